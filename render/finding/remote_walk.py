"""Every mesh file below a folder behind a URL, from one flat listing of the store."""

import posixpath

from render.finding.walk import HIDDEN, Found, is_hidden
from render.location import RemotePath
from render.mesh import MESH_SUFFIXES

_ODD = "names with empty, . or .. parts, which are no paths, skipped"


def remote_walk(folder: RemotePath) -> Found:
    """The files below a remote folder, as `render.finding.walk.walk` gives those of a local one; links do not exist.

    A store takes any text for a name. What would not be the path of a file is passed over and told: ``a//b``, ``a/../b``.

    Raises:
        FileNotFoundError: no such bucket.
        StoreError: the store cannot be asked.
    """
    sizes: dict[str, int] = {}
    folders: set[str] = set()
    hidden: set[str] = set()
    num_odd = num_others = 0
    for name, size in folder.find().items():
        parts = name.removesuffix("/").split("/")
        if not {"", ".", ".."}.isdisjoint(parts):
            num_odd += 1
            continue
        first_hidden = next((place for place, part in enumerate(parts) if is_hidden(part)), None)
        if first_hidden is not None:
            hidden.add("/".join(parts[: first_hidden + 1]))  # counted once, as a folder that is not entered
            folders.add("/".join(parts[:first_hidden]))
        elif name.endswith("/"):
            folders.add("/".join(parts))
        else:
            folders.add("/".join(parts[:-1]))
            if name.lower().endswith(MESH_SUFFIXES):
                sizes[name] = size
            else:
                num_others += 1
    counts = ((len(hidden), HIDDEN), (num_odd, _ODD))
    notes = tuple(f"{count:,} {note}" for count, note in counts if count)
    return Found(tuple(sorted(sizes)), tuple(_with_parents(folders)), num_others + len(hidden) + num_odd, notes, sizes)


def _with_parents(folders: set[str]) -> set[str]:
    """The folders and all above them, without the one that was listed."""
    complete: set[str] = set()
    for folder in folders:
        while folder and folder not in complete:
            complete.add(folder)
            folder = posixpath.dirname(folder)
    return complete
