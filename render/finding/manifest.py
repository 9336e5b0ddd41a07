"""A list of meshes in a .csv or .jsonl file: paths with category, split and part labels."""

import difflib
import json
import os
import posixpath
from collections.abc import Iterator
from pathlib import Path

from render.errors import RenderError
from render.finding.layouts import SPLITS
from render.finding.listing import UNLABELED, Listing, MeshSource, escaped
from render.finding.table import read_rows, read_text

MANIFEST_SUFFIXES = (".csv", ".jsonl")
COLUMNS = ("path", "category", "split", "part_labels")


def read_manifest(path: Path) -> Listing:
    """The meshes that a manifest lists.

    A .csv has a header of `COLUMNS`, a .jsonl one object of these keys a line; only `path` is required. Relative paths
    start at the manifest's folder. A source's name (`MeshSource.relative`) is its path from there without `.` and `..`:
    a step up is written `__up__`, and a path outside that was given from the root begins with `__root__`.

    Args:
        path: a .csv or .jsonl file in UTF-8, with or without byte order mark, any line ends, empty lines allowed.

    Returns:
        Listing of layout manifest. Where a row has no category it is unlabeled, where it has no split it is train. A
        file that does not exist is listed: it fails by itself when it is rendered.

    Raises:
        RenderError: the file cannot be read, an unknown or missing column, a split that is none, a path listed twice, no
            row, or not one of the files exists. The message names the line.
    """
    rows = _csv_rows(path) if path.suffix.lower() == ".csv" else _json_rows(path)
    sources: list[MeshSource] = []
    lines: dict[str, int] = {}
    for line, row in rows:
        source = _source(path, line, row)
        if source.relative in lines:
            raise RenderError(
                f"{path}, line {line}: {escaped(row['path'])} is the mesh of line {lines[source.relative]} again; "
                "list each once"
            )
        lines[source.relative] = line
        sources.append(source)
    if not sources:
        raise RenderError(f"{path}: lists no mesh; expected rows of {','.join(COLUMNS)}")
    if not any(os.path.isfile(source.path) for source in sources):  # noqa: PTH113  a Path a row costs more than the check
        raise RenderError(
            f"{path}: none of its {len(sources):,} meshes exists, such as {escaped(sources[0].path)}; "
            "relative paths start at the manifest's folder"
        )
    return Listing("manifest", tuple(sorted(sources, key=lambda source: source.relative)), 0)


def _csv_rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    rows = read_rows(path)
    line, header = next(rows, (1, []))
    header = [name.strip() for name in header]
    _check_columns(f"{path}, line {line}", header)
    for number, fields in rows:
        yield number, dict(zip(header, fields, strict=True))


def _json_rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    # Not splitlines: JSON may hold the separators U+2028 and U+0085 inside a text.
    for line, text in enumerate(read_text(path).split("\n"), 1):
        if not text.strip():
            continue
        where = f"{path}, line {line}"
        try:
            pairs = json.loads(text, object_pairs_hook=lambda pairs: pairs)
        except (ValueError, RecursionError) as error:
            raise RenderError(f"{where}: not valid JSON: {error}") from error
        if not isinstance(pairs, list) or not all(isinstance(pair, tuple) for pair in pairs):
            raise RenderError(f'{where}: is no JSON object; expected {{"path": ...}}')
        _check_columns(where, [name for name, _ in pairs])
        for name, value in pairs:
            if not isinstance(value, str | None):
                raise RenderError(f"{where}: {name} is {json.dumps(value)}, expected text")
        yield line, {name: value for name, value in pairs if value is not None}


def _check_columns(where: str, names: list[str]) -> None:
    for name in names:
        if name not in COLUMNS:
            near = difflib.get_close_matches(name.lower(), [known for known in COLUMNS if known not in names], 1, 0.5)
            meant = f"did you mean {near[0]}? " if near else ""
            raise RenderError(f"{where}: column {name!r} is unknown; {meant}known are {', '.join(COLUMNS)}")
        if names.count(name) > 1:
            raise RenderError(f"{where}: column {name!r} occurs twice")
    if "path" not in names:
        raise RenderError(f"{where}: lacks the column path; found {', '.join(names) or 'none'}")


def _source(manifest: Path, line: int, row: dict[str, str]) -> MeshSource:
    where = f"{manifest}, line {line}"
    path = row.get("path", "")
    category, split, labels = (row.get(name, "").strip() for name in ("category", "split", "part_labels"))
    if "\0" in path + labels:
        raise RenderError(f"{where}: a path holds a zero byte")
    if split and split not in SPLITS:
        raise RenderError(f"{where}: split {split!r} is none of {', '.join(SPLITS)}")
    relative = _relative(manifest, path) if path.strip() else ""
    if not relative:
        raise RenderError(f"{where}: path {path!r} names no file")
    try:
        category.encode()
        name = escaped(relative)
        name.encode()
    except UnicodeEncodeError as error:
        raise RenderError(f"{where}: {error.object!r} holds half a character and cannot be written down") from error
    return MeshSource(
        path=os.path.join(manifest.parent, path),  # noqa: PTH118  half the cost of a Path, and rows come by the million
        relative=name,
        category=category or UNLABELED,
        split=split or "train",
        part_labels=os.path.join(manifest.parent, labels) if labels else None,  # noqa: PTH118
    )


def _relative(manifest: Path, path: str) -> str:
    """The path from the manifest's folder, with `__up__` and `__root__` for what leaves it; empty for the folder."""
    if posixpath.isabs(path):
        folder = posixpath.abspath(manifest.parent)
        path = posixpath.normpath(path)
        inside = path == folder or path.startswith(folder.rstrip("/") + "/")
        return posixpath.relpath(path, folder) if inside else "__root__/" + path.lstrip("/")
    parts = posixpath.normpath(path).split("/")
    return "" if parts in (["."], [".."]) else "/".join("__up__" if part == ".." else part for part in parts)
