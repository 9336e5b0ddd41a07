"""What `tap ablations` prints."""

import io

from rich.console import Console

from cli.ablations_command import list_ablations
from tap.ablations import ABLATIONS


def test_every_row_is_listed_with_its_settings_and_its_published_accuracy() -> None:
    output = io.StringIO()
    list_ablations(Console(file=output, width=220, highlight=False))
    lines = {line.split()[0]: line for line in output.getvalue().splitlines() if line.strip()}
    assert ABLATIONS.keys() < lines.keys()
    assert "model.photograph: query_direction=false query_position=false" in lines["F2"]
    assert "87.8 %" in lines["F2"]
    assert "6 (b)" in lines["F2"]
    assert "model.photograph: layers=8 channels=1024 num_heads=32" in lines["L8C1024"]
    assert "the full model has 88.5 %" in output.getvalue()
