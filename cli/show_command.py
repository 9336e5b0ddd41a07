"""`tap show`: a contact sheet, a gallery to click through and a page about quality, of any finished set."""

import webbrowser
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from shards import ShardError, ShardReader
from shards.pages.gallery import gallery_page
from shards.pages.quality import quality_page
from shards.pages.sheet import contact_sheet
from shards.stores.store import Location, folder_name

SHEET, GALLERY, QUALITY = "contact_sheet.png", "gallery.html", "quality.html"


def show_shards(
    shards: Location, out: Path | None, split: str | None, num_samples: int, open_browser: bool
) -> list[Path]:
    """Writes the sheet, the gallery and the page about quality; earlier ones of these names are replaced.

    Args:
        shards: a finished set.
        out: folder of the three files, made where needed; None for `NAME-show` in the current folder.
        split: only this split; None for all.
        num_samples: samples in the gallery at most.
        open_browser: show the gallery in the browser afterwards.

    Returns:
        The three paths.

    Raises:
        ShardError: no manifest, an unfinished set, an unknown split, a damaged shard, or a folder that cannot be written.
    """
    console = Console(highlight=False)
    folder = out if out is not None else Path(f"{folder_name(shards)}-show")
    with ShardReader(shards, split) as reader:
        _make_folder(folder)
        paths = [contact_sheet(reader, folder / SHEET), gallery_page(reader, folder / GALLERY, num_samples)]
    paths.append(quality_page(shards, folder / QUALITY, split))
    for path in paths:
        console.print(f"{escape(str(path))}  {path.stat().st_size / 1e6:,.1f} MB", soft_wrap=True)
    if open_browser and not webbrowser.open(paths[1].resolve().as_uri()):
        console.print("no browser found to open it with", style="yellow")
    return paths


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ShardError(f"{folder}: cannot be made: {error.strerror}; name another folder with --out") from error
