"""Finding meshes in a folder or a manifest, and telling class and split of each. Opens no mesh."""

import functools
import os
import sys
from collections.abc import Callable

from render.errors import RenderError
from render.finding import shapenet
from render.finding.layouts import FOLDER_LAYOUTS, LAYOUTS, SPLITS, Layout, guess_layout
from render.finding.listing import UNLABELED, Listing, MeshSource, escaped
from render.finding.manifest import MANIFEST_SUFFIXES, read_manifest
from render.finding.remote_walk import remote_walk
from render.finding.walk import Found, walk
from render.location import Location, RemotePath, as_location
from render.mesh import MESH_SUFFIXES
from render.remote import StoreError

__all__ = ["LAYOUTS", "SPLITS", "UNLABELED", "Layout", "Listing", "MeshSource", "find_meshes"]

_LABELLERS = {
    "shapenet-v1": shapenet.core_labels,
    "shapenet-v2": shapenet.core_labels,
    "shapenet55": shapenet.numbered_labels,
}


def find_meshes(src: str | Location, layout: Layout = "auto") -> Listing:
    """The mesh files below a folder, or those that a manifest lists.

    Args:
        src: a folder, links to files and folders in it followed, or a .csv or .jsonl manifest; or the URL of either. Of web
            addresses (http) only manifests are read.
        layout: one of `LAYOUTS`; ``auto`` goes by the places of the files.

    Raises:
        RenderError: no such folder, no mesh in it, a mesh whose path does not fit the layout, no layout or more than one
            that fits, a damaged table or manifest; a URL whose protocol is unknown, or whose store cannot be asked.
    """
    if layout not in LAYOUTS:
        raise RenderError(f"layout {layout!r} is unknown; name one of {', '.join(LAYOUTS)}")
    place = as_location(src)
    try:
        return _found(place, layout)
    except StoreError as error:
        raise RenderError(f"{place}: {error.strerror}") from error


def _found(src: Location, layout: Layout) -> Listing:
    if src.suffix.lower() in MANIFEST_SUFFIXES and src.is_file():
        if layout not in ("auto", "manifest"):
            raise RenderError(f"{src}: is a manifest, which has no layout {layout}; leave --layout out")
        return read_manifest(src)
    if not src.is_dir():
        absent = "no such folder" if not isinstance(src, RemotePath) else "no such bucket or folder"
        raise RenderError(
            f"{src}: {'is not a folder' if src.exists() else absent}; "
            "name one with meshes, or a .csv or .jsonl manifest"
        )
    if layout == "manifest":
        raise RenderError(f"{src}: is a folder; layout manifest wants a .csv or .jsonl file")
    found = remote_walk(src) if isinstance(src, RemotePath) else walk(src)
    if not found.meshes:
        asides = "".join(f"; {note}" for note in found.notes)
        raise RenderError(
            f"{src}: no mesh below it ({found.num_others:,} other files{asides}); tap reads {', '.join(MESH_SUFFIXES)}"
        )
    return _listing(src, guess_layout(src, found.meshes) if layout == "auto" else layout, found)


def _listing(folder: Location, name: str, found: Found) -> Listing:
    layout = FOLDER_LAYOUTS[name]
    misfit = layout.misfit(found.meshes)
    if misfit is not None:
        splits = f", where <split> is one of {', '.join(SPLITS)}" if "<split>" in layout.form else ""
        raise RenderError(
            f"{folder / misfit}: does not fit layout {name} ({layout.form}{splits}); move it or choose another --layout"
        )
    meshes = [match for match in map(layout.mesh.fullmatch, found.meshes) if match]
    if not meshes:
        raise RenderError(f"{folder}: no mesh of layout {name} ({layout.form}) below it; choose another --layout")
    notes = found.notes
    if name in _LABELLERS:
        labels, more = _LABELLERS[name](folder, meshes)
        notes += more
    else:
        groups = (match.groupdict() for match in meshes)
        labels = [(group.get("category", UNLABELED), group.get("split", "train")) for group in groups]
    if layout.model_folder:
        num_empty = sum(bool(layout.model_folder.fullmatch(path)) for path in found.folders) - len(meshes)
        notes += (f"{num_empty:,} model folders without a mesh",) if num_empty else ()
    path_of, size_of = _paths_below(folder), found.sizes.get
    sources = tuple(
        MeshSource(
            path_of(match.string),
            escaped(match.string),
            sys.intern(escaped(category)),
            sys.intern(split),
            num_bytes=size_of(match.string),
        )
        for match, (category, split) in zip(meshes, labels, strict=True)
    )
    return Listing(name, sources, found.num_others + len(found.meshes) - len(meshes), notes)


def _paths_below(folder: Location) -> Callable[[str], str]:
    """From a path below the folder to what opens it; text, for a Path a file would cost more than its listing."""
    if isinstance(folder, RemotePath):
        return f"{folder.url}/".__add__
    return functools.partial(os.path.join, os.fspath(folder))
