"""What a run was made with: versions, machine, the commit of this code and the command line, as environment.json."""

import datetime
import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from tap.training.checkpoint import read_json, write_json

ENVIRONMENT = "environment.json"
PACKAGES = ("tap3d", "torch", "numpy", "lightning", "pydantic", "safetensors")
_FOLDER = Path(__file__).resolve().parents[2]  # that the packages stand in
_VARYING = ("started_at", "command", "earlier")


def write_environment(out: Path) -> None:
    """Writes ``environment.json``; where a continuation is made with something else, what was before stays in ``earlier``.

    Args:
        out: run folder.

    Raises:
        TapError: the file that stands there is damaged.
        OSError: it cannot be written.
    """
    now = environment()
    earlier: list[dict[str, Any]] = []
    if (out / ENVIRONMENT).exists():
        before = read_json(out / ENVIRONMENT)
        kept = before.pop("earlier", None)
        earlier = kept if isinstance(kept, list) else []
        if _lasting(before) != _lasting(now):
            earlier.append(before)
    write_json(out / ENVIRONMENT, {**now, "earlier": earlier})


def environment() -> dict[str, Any]:
    """What `write_environment` writes of this process.

    Returns:
        ``python``, ``platform``, ``processors``, ``torch_threads``, ``device``, ``versions``; ``commit`` of this code and
        ``changed_since_commit``, both None where it does not stand in a git checkout of its own; ``command`` as a list and
        ``started_at`` in UTC.
    """
    commit = _git("rev-parse", "HEAD") if _git("rev-parse", "--show-toplevel") == str(_FOLDER) else None
    changes = None if commit is None else _git("status", "--porcelain", "--untracked-files=no", "--", ".")
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "versions": {package: _version(package) for package in PACKAGES},
        "commit": commit,
        "changed_since_commit": None if changes is None else bool(changes),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "started_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def package_version() -> str:
    """Of this package, ``not installed`` where it runs from a folder alone."""
    return _version("tap3d") or "not installed"


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _lasting(content: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in content.items() if name not in _VARYING}


def _git(*arguments: str) -> str | None:
    """What git says of the folder of this code; None where there is no git, or no checkout."""
    try:
        answer = subprocess.run(
            ["git", "-C", str(_FOLDER), *arguments], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
