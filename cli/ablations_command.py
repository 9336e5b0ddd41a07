"""`tap ablations`: the rows of the paper's ablation tables, what each changes, and what it reached."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tap.ablations import ABLATIONS, FULL_MODEL, MEASURED_ON, Ablation


def list_ablations(console: Console) -> None:
    """Print every ablation, the settings that it changes, and the accuracy that the paper reports.

    Args:
        console: where to.
    """
    table = Table("name", "what changes", "settings", "published", "table", box=None, pad_edge=False)
    for row in ABLATIONS.values():
        table.add_row(row.name, escape(row.title), escape(_settings(row)), f"{row.accuracy:.1f} %", row.table)
    console.print(table)
    console.print(
        f"\nPublished: accuracy on {MEASURED_ON}; the full model has {FULL_MODEL} %.\n"
        "To run one on any preset: tap pretrain SHARDS --out RUN --ablation F2"
    )


def _settings(row: Ablation) -> str:
    """The changed settings, the part of the config that they share said once: ``loss: foreground_weight=2 ...``."""
    part = row.changes[0].partition("=")[0].rpartition(".")[0]
    return f"{part}: " + " ".join(change.removeprefix(f"{part}.") for change in row.changes)
