"""Configs from a preset, a TOML file and ``--set`` options: three ways to the same validated object.

The config models themselves stand beside the code that they configure.
"""

import difflib
import itertools
import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from tap.errors import TapError

Config = TypeVar("Config", bound=BaseModel)

SETTLED: Mapping[str, Sequence[str]] = {"photograph.cells": ("image_size", "generator.strides")}
"""A setting that a config works out where it is None and then stores, and the settings beside it that decide it."""


def apply_overrides(config: Config, overrides: Sequence[str], where: str = "--set") -> Config:
    """A changed copy of a config.

    Args:
        config: any config of this package.
        overrides: each ``a.b=value``; the value is a TOML or JSON literal, or else plain text.
        where: the option that they come from, for errors.

    Raises:
        TapError: one line naming the override; an unknown key comes with the nearest known one.
    """
    changes: dict[str, Any] = {}
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key.strip():
            raise TapError(f"{where} {override}: expected key=value, for example train.epochs=3")
        changes[key.strip()] = parse_value(text.strip())
    return _changed(config, changes, where)


def load_config(file: Path, base: Config) -> Config:
    """A config from a TOML file whose keys change those of ``base``.

    Args:
        file: tables and keys as in the config, all optional.
        base: the preset that gives everything the file leaves out.

    Raises:
        TapError: unreadable, not TOML, an unknown key or a wrong value.
    """
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise TapError(f"{file}: cannot be read as TOML: {error}") from error
    return _changed(base, dict(flatten(content)), str(file))


def configured(base: Config, file: Path | None, overrides: Sequence[str]) -> Config:
    """A preset changed by a TOML file, if there is one, and then by overrides, which win.

    Raises:
        TapError: see `load_config` and `apply_overrides`.
    """
    return apply_overrides(base if file is None else load_config(file, base), overrides)


def validated(kind: type[Config], content: Mapping[str, Any], where: str) -> Config:
    """A config from plain data, with errors as one `TapError` that starts with ``where``."""
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        # What a model's own check says tells the value itself, and pydantic puts a word before it.
        own = first["msg"].removeprefix("Value error, ") if first["type"] == "value_error" else None
        told = own or f"{first['msg']}, got {first['input']!r}"
        raise TapError(f"{where}: {key or kind.__name__}: {told}") from error


def parse_value(text: str) -> Any:
    """The value that a text means: a TOML literal, else a JSON literal (``null``), else the text itself."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, KeyError):
        try:
            return json.loads(text)
        except ValueError:
            return text


def differing_keys(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """The dotted keys in which two dumped configs differ, with both values."""
    left, right = dict(flatten(first)), dict(flatten(second))
    return [
        f"{key} ({left.get(key)!r} and {right.get(key)!r})"
        for key in sorted(left.keys() | right.keys())
        if left.get(key) != right.get(key)
    ]


def flatten(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names and values of a nested config; an empty mapping counts as a value."""
    for key, value in content.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _changed(config: Config, changes: Mapping[str, Any], where: str) -> Config:
    content = config.model_dump()
    renamed = {key: value for key, value in changes.items() if _names_settings(content, key, value)}
    if renamed:  # settings belong to a name: another one begins with its own
        for key, value in renamed.items():
            node = _node_of(content, key)
            node["name"], node["settings"] = value, {}
        content = validated(type(config), content, where).model_dump()
    empty = _empty_parts(content, changes)
    for key, value in changes.items():
        _begin(content, key, empty)
        node, last = _node_of(content, key), key.rpartition(".")[2]
        if not isinstance(node, dict) or (last not in node and not empty & set(_parts_of(key))):
            raise TapError(f"{where}: unknown key {key!r}; the nearest known one is {_nearest(key, content)!r}")
        node[last] = value
    _unsettle(content, changes)
    return validated(type(config), content, where)


def _empty_parts(content: Mapping[str, Any], changes: Iterable[str]) -> set[str]:
    """What the config leaves empty, an absent model or a mapping of free keys, and a change names something in."""
    missing = object()
    return {
        part
        for key in changes
        for part in _parts_of(key)
        if isinstance(node := _node_of(content, part), dict)
        and node.get(part.rpartition(".")[2], missing) in (None, {})
    }


def _begin(content: Mapping[str, Any], key: str, empty: set[str]) -> None:
    """Puts mappings where a key leads through what was left empty; validation says which keys they may have."""
    for number, part in enumerate(parts := _parts_of(key)):
        if empty & set(parts[: number + 1]):
            node, last = _node_of(content, part), part.rpartition(".")[2]
            if isinstance(node, dict) and not isinstance(node.get(last), dict):
                node[last] = {}


def _parts_of(key: str) -> list[str]:
    """The dotted keys that a dotted key stands in, from the outside inwards."""
    words = key.split(".")[:-1]
    return [".".join(words[: number + 1]) for number in range(len(words))]


def _unsettle(content: Mapping[str, Any], changes: Mapping[str, Any]) -> None:
    """Takes back what the config had worked out from values that now change, so that it is worked out anew."""
    for settled, causes in SETTLED.items():
        for key, cause in itertools.product(changes, causes):
            if f".{key}".endswith(f".{cause}"):
                name = key.removesuffix(cause) + settled
                node, last = _node_of(content, name), name.rpartition(".")[2]
                if name not in changes and isinstance(node, dict):
                    node[last] = None


def _node_of(content: Mapping[str, Any], key: str) -> Any:
    """What holds the last part of a dotted key, or None."""
    node: Any = content
    for part in key.split(".")[:-1]:
        node = node.get(part) if isinstance(node, dict) else None
    return node


def _names_settings(content: Mapping[str, Any], key: str, value: Any) -> bool:
    """Whether a change gives another name to something that has settings beside its name."""
    node = _node_of(content, key)
    named = key.endswith(".name") and isinstance(node, dict) and "settings" in node
    return bool(named and node["name"] != value)


def _nearest(key: str, content: Mapping[str, Any]) -> str:
    known = [name for name, _ in flatten(content)]
    same_leaf = [name for name in known if name.split(".")[-1] == key.split(".")[-1]]
    return difflib.get_close_matches(key, same_leaf or known, n=1, cutoff=0.0)[0]
