"""`tap shards info`: what a set holds, on one screen or as JSON."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.dry_run import format_bytes
from cli.verify_command import plain_console
from shards.stores.store import Location
from shards.upkeep.info import SetInfo, set_info

_SHOWN_CLASSES = 30


def show_info(location: Location, as_json: bool) -> None:
    """Prints what a set holds; only its manifest and records are read.

    Args:
        location: folder or URL of the set.
        as_json: print the fields of `SetInfo` as JSON.

    Raises:
        ShardError: no manifest, or a damaged one.
    """
    info = set_info(location)
    if as_json:
        plain_console().print(info.model_dump_json(indent=1))
        return
    console = Console(highlight=False, soft_wrap=True)
    state = "" if info.is_finished else ", not finished: what is done so far"
    console.print(escape(f"{info.name}: schema {info.schema_version}{state}"))
    console.print(_splits(info))
    if info.shard_bytes is not None:
        smallest, middle, largest = map(format_bytes, info.shard_bytes)
        console.print(f"shards: {smallest} to {largest}, half of them up to {middle}")
    for line in (_classes(info), _settings(info), _flags(info)):
        if line:
            console.print(escape(line))
    if info.failures:
        console.print(f"failed sources: {info.failures:,}; the records tell which and why", style="red")
    for note in info.notes:
        console.print(escape(f"note: {note}"), style="yellow")


def _splits(info: SetInfo) -> Table:
    table = Table()
    for title in ("split", "samples", "shards", "size"):
        table.add_column(title, justify="left" if title == "split" else "right")
    rows = [*info.splits.items(), *([("all", info.total)] if len(info.splits) != 1 else [])]
    for name, amount in rows:
        table.add_row(escape(name), f"{amount.samples:,}", f"{amount.shards:,}", format_bytes(amount.bytes))
    return table


def _classes(info: SetInfo) -> str:
    names = list(info.classes)
    shown = [
        name if info.classes[name] is None else f"{name} {info.classes[name]:,}" for name in names[:_SHOWN_CLASSES]
    ]
    more = f", ... and {len(names) - _SHOWN_CLASSES:,} more" if len(names) > _SHOWN_CLASSES else ""
    return f"{len(names):,} classes: {', '.join(shown)}{more}" if names else ""


def _settings(info: SetInfo) -> str:
    told = {
        name: ", ".join(map(str, value)) if isinstance(value, list) else value for name, value in info.settings.items()
    }
    return ", ".join(f"{name} {value}" for name, value in told.items() if value != "")


def _flags(info: SetInfo) -> str:
    return f"flagged: {', '.join(f'{flag} {count:,}' for flag, count in info.flags.items())}" if info.flags else ""
