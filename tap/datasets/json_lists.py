"""JSON files that come with public data sets, read as plain data and checked."""

import json
from collections.abc import Container
from pathlib import Path
from typing import Any

from tap.errors import TapError


def read_json_file(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        TapError: it cannot be read, or is no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TapError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise TapError(f"{path}: is no JSON: {error}") from error


def shape_list(path: Path, synsets: Container[str], where: str) -> list[tuple[str, str]]:
    """The shapes of a list of ShapeNetPart, whose entries read ``shape_data/SYNSET/ID``.

    Args:
        path: the JSON file.
        synsets: those that are known.
        where: the file that makes them known, for messages.

    Returns:
        Synset and ID of each shape; folders before them do not count.

    Raises:
        TapError: another form, an unknown synset, or an ID that is no file name.
    """
    content = read_json_file(path)
    if not isinstance(content, list) or not content:
        raise TapError(f"{path}: holds no list of shape_data/SYNSET/ID")
    shapes = []
    for entry in content:
        fields = entry.split("/") if isinstance(entry, str) else []
        if len(fields) < 2 or fields[-1] in ("", ".", ".."):
            raise TapError(f"{path}: {entry!r} is no shape_data/SYNSET/ID")
        if fields[-2] not in synsets:
            raise TapError(f"{path}: {entry!r} is of category {fields[-2]!r}, which {where} does not name")
        shapes.append((fields[-2], fields[-1]))
    return shapes
