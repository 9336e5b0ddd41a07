"""`tap shards verify`: a line for each thing that is not as it was written, or one line that all is."""

from rich.console import Console

from cli.bytes_progress import BytesProgress
from shards.stores.store import Location
from shards.upkeep.finding import Finding
from shards.upkeep.verify import verify_set


def verify_shards(location: Location, threads: int) -> bool:
    """Reads a whole set and prints what is wrong, as it is found.

    Args:
        location: folder or URL of the set.
        threads: shards that are read side by side.

    Returns:
        Whether nothing is wrong.

    Raises:
        ShardError: see `verify_set`.
    """
    console = plain_console()
    with BytesProgress("verify") as progress:
        verification = verify_set(
            location, threads, on_finding=lambda finding: tell(console, finding), on_progress=progress.update
        )
    for note in verification.notes:
        console.print(f"note: {note}")
    size = f"{verification.num_samples:,} samples in {verification.num_shards:,} shards, {verification.num_bytes / 1e6:,.0f} MB"
    if not verification.findings:
        console.print(f"{size}: all as they were written")
        return True
    files = len({finding.file for finding in verification.findings})
    console.print(
        f"{size}: {counted(len(verification.findings), 'finding')} in {counted(files, 'file')}; see tap shards repair"
    )
    return False


def plain_console() -> Console:
    """Standard output, where a line stays one line and nothing in it is markup."""
    return Console(highlight=False, markup=False, soft_wrap=True)


def tell(console: Console, finding: Finding, more: str = "") -> None:
    """Prints a finding as one line, with ``more`` at its end."""
    console.print(f"{finding.line()}{more}", style="red")


def counted(number: int, noun: str) -> str:
    """`1 file`, `2 files`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
