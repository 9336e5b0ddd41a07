"""Where a run comes from, as sections of its report: settings beside the nearest preset, and the environment."""

import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from tap.config import flatten
from tap.training.checkpoint import read_json
from tap.training.environment import ENVIRONMENT
from tap.training.report.sections import Section, Table, Text, told, words

MISSING = object()


def settings_section(record: Mapping[str, Any]) -> list[Section]:
    """The settings that differ from those of the nearest preset; nothing for a task without presets.

    Args:
        record: of the run.
    """
    # Only now: the tasks import the training loop, which writes the report.
    from tap.tasks import TASKS

    entry = TASKS.get(str(record.get("task")))
    if entry is None:
        return []
    preset, pairs = nearest_preset(record["config"], entry.presets)
    if not pairs:
        return [Section("Settings", [Text(f"All as in the preset {preset}.")])]
    table = Table(["setting", preset, "this run"], [(key, told(was), told(now)) for key, was, now in pairs])
    return [Section("Settings", [Text(f"All else is as in the nearest preset, {preset}."), table])]


def nearest_preset(
    config: Mapping[str, Any], presets: Mapping[str, Callable[[], BaseModel]]
) -> tuple[str, list[tuple[str, Any, Any]]]:
    """The preset that a config differs least from.

    Args:
        config: dumped as JSON.
        presets: name to function that returns a whole config; at least one.

    Returns:
        Its name, and the dotted keys that differ with the preset's value and the config's; None where one lacks the key.
    """
    right = dict(flatten(config))
    found = []
    for name, preset in sorted(presets.items()):
        left = dict(flatten(preset().model_dump(mode="json")))
        keys = [key for key in sorted(left.keys() | right.keys()) if left.get(key, MISSING) != right.get(key, MISSING)]
        found.append((name, [(key, left.get(key), right.get(key)) for key in keys]))
    return min(found, key=lambda one: len(one[1]))


def environment_section(out: Path) -> list[Section]:
    """Command line, machine and versions, folded; nothing where the folder does not say.

    Args:
        out: run folder.
    """
    if not (out / ENVIRONMENT).exists():
        return []
    content = read_json(out / ENVIRONMENT)
    earlier, versions, command = (content.pop(name, None) for name in ("earlier", "versions", "command"))
    rows = [(words(name), told(value)) for name, value in content.items()]
    rows += [(name, told(version)) for name, version in (versions or {}).items()]
    blocks: list[Text | Table] = [Text(shlex.join(map(str, command or [])), code=True), Table([], rows)]
    if earlier:
        commits = ", ".join(str(one.get("commit")) for one in earlier)
        blocks.append(Text(f"Begun with another environment, at commit {commits}; environment.json has it all."))
    return [Section("Made with", blocks, folded=True)]
