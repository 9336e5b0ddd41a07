"""A folder of weights to give away: safetensors, a config and what explains them, written whole or not at all.

`tap.training.checkpoint` reads it as it reads a checkpoint of a run, and `stored_backbone` says what it holds.
"""

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from tap.backbones import BackboneConfig
from tap.config import validated
from tap.errors import TapError
from tap.training.checkpoint import CONFIG, FORMAT_VERSION, MODEL, flush, savable, write_json
from tap.training.environment import package_version


def write_folder(
    out: Path,
    facts: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    texts: Mapping[str, str],
    copies: Mapping[str, Path] | None = None,
) -> Path:
    """Writes the folder under a temporary name and then gives it its own.

    Args:
        out: must not exist, or be empty.
        facts: for ``config.json``; format and package version are added.
        tensors: for ``model.safetensors``.
        texts: name to content of further files.
        copies: name to file that is copied.

    Returns:
        ``out``.

    Raises:
        TapError: something stands there, or it cannot be written; nothing is left behind then.
    """
    check_free(out)
    temporary = out.with_name(f".{out.name}.tmp-{os.getpid()}")
    record = {"format_version": FORMAT_VERSION, "package_version": package_version(), **facts}
    try:
        temporary.mkdir(parents=True)
        write_json(temporary / CONFIG, record)
        save_file(savable(tensors), temporary / MODEL, {"format": "pt"})
        for name, text in texts.items():
            (temporary / name).write_text(text, encoding="utf-8")
        for name, source in (copies or {}).items():
            shutil.copyfile(source, temporary / name)
        for path in (*sorted(temporary.iterdir()), temporary):
            flush(path)
        temporary.rename(out)
    except (OSError, SafetensorError) as error:
        raise TapError(f"{out}: cannot be written: {error}; free space or choose another --out") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return out


def check_free(out: Path) -> None:
    """Raises `TapError` unless ``out`` does not exist or is an empty folder."""
    if out.exists() and any(out.iterdir() if out.is_dir() else [out]):
        raise TapError(f"{out}: exists; choose another --out")


def stored_backbone(record: Mapping[str, Any], where: Path, foreign: bool = False) -> BackboneConfig:
    """The backbone that a run record, an export or an import names.

    Args:
        record: of a checkpoint folder.
        where: that folder, for messages.
        foreign: it comes from elsewhere, so a ``package.module:Name`` in it must not make anything be imported.

    Raises:
        TapError: it names none, one with settings that this release does not know, or a foreign one that is not imported.
    """
    config = record.get("config")
    model = config.get("model", config) if isinstance(config, Mapping) else None
    stored = model.get("backbone") if isinstance(model, Mapping) else None
    if not isinstance(stored, Mapping):
        raise TapError(f"{where}: its config names no backbone; give a pre-training or fine-tuning run, or an export")
    module, colon, _ = str(stored.get("name")).partition(":")
    if foreign and colon and module not in sys.modules:
        raise TapError(f"{where}: its backbone is {stored.get('name')}; import {module} first, if you trust it")
    return validated(BackboneConfig, stored, f"{where}: config.json")
