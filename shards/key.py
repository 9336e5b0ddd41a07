"""Sample keys: a source's path turned into a name that every tar reader of this format keeps whole."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

from shards.errors import ShardError

KEY_PATTERN = re.compile(r"[A-Za-z0-9_-]+")
"""A full match is a valid key. No dot: webdataset cuts a member's name at the first one."""

MAX_KEY_LENGTH = 80
"""With the longest field, `.world_to_camera.npy`, this still fits the 100 bytes of a plain USTAR name."""

_HASH_LENGTHS = (8, 16, 32, 64)


def sanitize_key(text: str) -> str:
    """The text with `/` turned into `-` and every other character outside the key pattern into `_`.

    Args:
        text: any text that is not empty.

    Returns:
        A text of equal length that matches KEY_PATTERN; it may be longer than MAX_KEY_LENGTH.

    Raises:
        ShardError: the text is empty.
    """
    if not text:
        raise ShardError("a sample key cannot be made from an empty path")
    return re.sub(r"[^A-Za-z0-9_-]", "_", text.replace("/", "-"))


def unique_keys(sources: Sequence[str]) -> list[str]:
    """One key for each source, all different, whatever the order of the sources.

    The key is the path without its suffix, sanitised. Sources that would share one, and those whose key is too long,
    get `-` and the first 8 hex digits of the SHA-256 of their path (more digits in the rare case that these still meet
    another key).

    Args:
        sources: posix paths relative to SRC.

    Returns:
        Keys in the order of `sources`, each at most MAX_KEY_LENGTH long.

    Raises:
        ShardError: a path is empty or occurs twice.
    """
    for path, count in Counter(sources).items():
        if count > 1:
            raise ShardError(f"{path}: listed {count} times; every source must occur once")
    stems = [sanitize_key(path.removesuffix(PurePosixPath(path).suffix)) for path in sources]
    levels = [1 if len(stem) > MAX_KEY_LENGTH else 0 for stem in stems]
    keys = [_hashed(stem, path, level) for stem, path, level in zip(stems, sources, levels, strict=True)]
    while len(set(keys)) < len(keys):
        # All members of a colliding group move on together, so that the outcome does not depend on who came first.
        counts = Counter(keys)
        for index, key in enumerate(keys):
            if counts[key] > 1:
                levels[index] += 1
                keys[index] = _hashed(stems[index], sources[index], levels[index])
    return keys


def _hashed(stem: str, path: str, level: int) -> str:
    """The stem alone at level 0, else shortened and followed by a hash that grows with the level."""
    if level == 0:
        return stem
    digits = hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()[: _HASH_LENGTHS[level - 1]]
    return f"{stem[: MAX_KEY_LENGTH - 1 - len(digits)]}-{digits}"
