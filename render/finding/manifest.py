"""A list of meshes in a .csv or .jsonl file: paths with category, split and part labels."""

import difflib
import errno
import json
import os
from collections.abc import Iterator, Sequence

from render.errors import RenderError
from render.finding.layouts import SPLITS
from render.finding.listed_path import listed
from render.finding.listing import UNLABELED, Listing, MeshSource, escaped
from render.finding.table import read_rows, read_text
from render.location import Location, as_location, is_url
from render.remote import StoreError

MANIFEST_SUFFIXES = (".csv", ".jsonl")
COLUMNS = ("path", "category", "split", "part_labels")
_NUM_ASKED = 32  # URLs of a manifest that a store is asked for before the work begins


def read_manifest(path: Location) -> Listing:
    """The meshes that a manifest lists.

    A .csv has a header of `COLUMNS`, a .jsonl one object of these keys a line; only `path` is required. Paths and part labels
    may be URLs; relative paths start at the manifest's folder, or beside it in its bucket. What a source is called
    (`MeshSource.relative`) tells `listed`.

    Args:
        path: a .csv or .jsonl file in UTF-8, with or without byte order mark, any line ends, empty lines allowed; local or
            behind a URL.

    Returns:
        Listing of layout manifest. Where a row has no category it is unlabeled, where it has no split it is train. A
        file that does not exist is listed: it fails by itself when it is rendered.

    Raises:
        RenderError: the file cannot be read, an unknown or missing column, a split that is none, a path listed twice, no
            row, or not one of the files exists (of URLs some are tried). The message names the line.
    """
    shown = str(path)  # once, and not for each of a million rows
    rows = _csv_rows(path) if path.suffix.lower() == ".csv" else _json_rows(path)
    sources: list[MeshSource] = []
    lines: dict[str, int] = {}
    for line, row in rows:
        source = _source(path, f"{shown}, line {line}", row)
        if source.relative in lines:
            other = ", or has its name in another bucket" if is_url(row["path"]) else ""
            raise RenderError(
                f"{path}, line {line}: {escaped(row['path'])} is the mesh of line {lines[source.relative]} again{other}; "
                "list each once"
            )
        lines[source.relative] = line
        sources.append(source)
    if not sources:
        raise RenderError(f"{path}: lists no mesh; expected rows of {','.join(COLUMNS)}")
    _check_some_exist(path, sources)
    return Listing("manifest", tuple(sorted(sources, key=lambda source: source.relative)), 0)


def _csv_rows(path: Location) -> Iterator[tuple[int, dict[str, str]]]:
    rows = read_rows(path)
    line, header = next(rows, (1, []))
    header = [name.strip() for name in header]
    _check_columns(f"{path}, line {line}", header)
    for number, fields in rows:
        yield number, dict(zip(header, fields, strict=True))


def _json_rows(path: Location) -> Iterator[tuple[int, dict[str, str]]]:
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


def _source(manifest: Location, where: str, row: dict[str, str]) -> MeshSource:
    path = row.get("path", "")
    category, split, labels = (row.get(name, "").strip() for name in ("category", "split", "part_labels"))
    if "\0" in path + labels:
        raise RenderError(f"{where}: a path holds a zero byte")
    if split and split not in SPLITS:
        raise RenderError(f"{where}: split {split!r} is none of {', '.join(SPLITS)}")
    try:
        opened, relative = listed(manifest, path) if path.strip() else ("", "")
        if not relative:
            raise RenderError(f"path {path!r} names no file")
        name = escaped(relative)
        category.encode()
        name.encode()
        return MeshSource(
            path=opened,
            relative=name,
            category=category or UNLABELED,
            split=split or "train",
            part_labels=listed(manifest, labels)[0] if labels else None,
        )
    except RenderError as error:
        raise RenderError(f"{where}: {error}") from error
    except UnicodeEncodeError as error:
        raise RenderError(f"{where}: {error.object!r} holds half a character and cannot be written down") from error


def _check_some_exist(manifest: Location, sources: Sequence[MeshSource]) -> None:
    """Refuses a list whose files are all missing. Of URLs, each of which is a question to a store, a few are tried."""
    # A Path a row would cost more than the check.
    if any(os.path.isfile(source.path) for source in sources if not is_url(source.path)):  # noqa: PTH113
        return
    remote = [source for source in sources if is_url(source.path)]
    asked = remote[:: -(-len(remote) // _NUM_ASKED) or 1]
    if any(_may_exist(source) for source in asked):
        return
    tried = f"{len(asked)} tried of its {len(sources):,}" if len(asked) < len(remote) else f"its {len(sources):,}"
    example = str(as_location(sources[0].path)) if remote else sources[0].path
    raise RenderError(
        f"{manifest}: none of {tried} meshes exists, such as {escaped(example)}; "
        "relative paths start at the manifest's folder"
    )


def _may_exist(source: MeshSource) -> bool:
    location = as_location(source.path)
    try:
        return location.exists()
    except StoreError as error:
        if error.errno == errno.EACCES:  # S3's answer for missing names, too, to those who may not list the bucket
            return False
        raise
