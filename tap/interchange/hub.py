"""`load_backbone`: a backbone ready for use, from a folder of this machine or from the Hugging Face Hub."""

import importlib
import re
from pathlib import Path
from typing import Any

from torch import nn

from tap.backbones import build_backbone
from tap.errors import TapError
from tap.interchange.folder import stored_backbone
from tap.training.checkpoint import CONFIG, MODEL, find_checkpoint, load_record, load_weights

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def load_backbone(path_or_hub_id: str | Path, revision: str | None = None, checkpoint: str = "last") -> nn.Module:
    """A backbone with its weights, in evaluation mode, on the CPU.

    Args:
        path_or_hub_id: folder of `tap export` or `tap import-weights`, run or checkpoint folder; or, where no such folder
            exists, ``user/name`` on the Hugging Face Hub, for which ``pip install "tap3d[hub]"``.
        revision: branch, tag or commit on the Hub.
        checkpoint: of a run folder, ``last`` or ``best``.

    Returns:
        The module, called with a `tap.PointBatch`; ``config`` holds its settings.

    Raises:
        TapError: neither such a folder nor such a name, weights of another backbone, or no access to the Hub.
    """
    path = Path(path_or_hub_id)
    remote = not path.exists()
    folder = _download(str(path_or_hub_id), revision) if remote else path
    found = find_checkpoint(folder, checkpoint)
    config = stored_backbone(load_record(found), found, foreign=remote)
    backbone: Any = build_backbone(config)  # an `nn.Module` at run time
    load_weights(backbone, found, "backbone.")
    if not hasattr(backbone, "config"):
        backbone.config = config
    module: nn.Module = backbone.eval()
    return module


def _download(name: str, revision: str | None) -> Path:
    if not _HUB_ID.fullmatch(name):
        raise TapError(f"{name}: no such folder; give an export, a run, or user/name on the Hugging Face Hub")
    try:
        hub = importlib.import_module("huggingface_hub")
    except ImportError as error:
        raise TapError(
            f'{name}: no such folder, and the Hugging Face Hub is read through pip install "tap3d[hub]"'
        ) from error
    try:
        return Path(hub.snapshot_download(name, revision=revision, allow_patterns=[CONFIG, MODEL]))
    except (OSError, ValueError) as error:  # what its errors of connection, access and names have in common
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise TapError(f"{name}: no such folder, and not to be had from the Hugging Face Hub: {reason}") from error
