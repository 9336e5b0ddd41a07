import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = [
    [], ["render"], ["pretrain"], ["finetune"], ["finetune", "classification"], ["finetune", "fewshot"],
    ["finetune", "partseg"],
    ["probe"], ["embed"], ["evaluate"], ["predict"], ["compare"], ["reproduce"], ["rigs"], ["show"], ["demo"],
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_explains_itself(runner: CliRunner, command: list[str]) -> None:
    result = runner.invoke(app, [*command, "--help"], env={"COLUMNS": "120"})
    assert result.exit_code == 0
    if command and command != ["finetune"]:
        assert "Example: tap" in result.output


def test_help_loads_no_heavy_library() -> None:
    """Half a second is the promise; what costs is an import, so the imports are what is tested."""
    script = (
        "import sys; from cli.main import app\n"
        "try: app(['render', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'numba', 'trimesh', 'open3d', 'lightning', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < 30


@pytest.mark.parametrize(
    "arguments",
    [["rendr"], ["render"], ["render", "x"], ["render", "x", "--out", "y", "--wrong"], ["demo", "--workers", "0"]],
    ids=" ".join,
)
def test_wrong_usage_is_exit_code_2(runner: CliRunner, arguments: list[str]) -> None:
    result = runner.invoke(app, arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.output
