"""`tap export`: the weights of a run as a folder for the Hugging Face Hub, with a model card."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from tap.backbones import BackboneConfig, build_backbone
from tap.errors import TapError
from tap.interchange.card import PICTURE, write_card
from tap.interchange.folder import stored_backbone, write_folder
from tap.training.checkpoint import MODEL, STATE, find_checkpoint, load_record, load_tensors, read_json

What = Literal["backbone", "model"]
LARGEST_PICTURE = 2_000_000  # bytes; a card with more loads slowly


def export_run(
    run: Path, out: Path, what: What = "backbone", checkpoint: str = "last", license_name: str | None = None
) -> Path:
    """Writes ``model.safetensors``, ``config.json`` and ``README.md`` of a run.

    Args:
        run: run or checkpoint folder.
        out: new folder; upload it as it is.
        what: the ``backbone`` alone, which is what others need, or the whole ``model``.
        checkpoint: which one of a run folder: ``last`` or ``best``.
        license_name: for the card, such as ``mit``; left open where None.

    Returns:
        ``out``; `tap.load_backbone`, ``--init`` and `find_checkpoint` read it.

    Raises:
        TapError: no such run, one without a backbone, a folder that exists, or a license that is no name.
    """
    if license_name is not None and not re.fullmatch(r"[a-z0-9][a-z0-9.+-]*", license_name):
        raise TapError(f"license {license_name!r}: give a name that the Hub knows, such as mit, apache-2.0 or other")
    source = find_checkpoint(run, checkpoint)
    record = load_record(source)
    backbone = stored_backbone(record, source)
    tensors = _chosen(load_tensors(source / MODEL), what, source)
    state = read_json(source / STATE) if (source / STATE).is_file() else {}
    facts = _facts(record, state, backbone, what, run.resolve().name)
    picture = _picture(run)
    card = write_card(facts, sum(tensor.numel() for tensor in tensors.values()), license_name, picture is not None)
    return write_folder(out, facts, tensors, {"README.md": card}, {PICTURE: picture} if picture else {})


def _chosen(tensors: dict[str, Tensor], what: What, where: Path) -> dict[str, Tensor]:
    chosen = {name: tensor for name, tensor in tensors.items() if what == "model" or name.startswith("backbone.")}
    if not chosen:
        raise TapError(f"{where}: holds no tensor of a backbone; give a pre-training or fine-tuning run")
    return chosen


def _facts(
    record: Mapping[str, Any], state: Mapping[str, Any], backbone: BackboneConfig, what: What, name: str
) -> dict[str, Any]:
    """What ``config.json`` says. No path of this machine is among it: the folder is made to be given away."""
    config = dict(record["config"]) if what == "model" else {"backbone": backbone.model_dump(mode="json")}
    built = build_backbone(backbone)
    inputs = {"up_axis": "z", "frame": "centred, inside the unit sphere, as `tap render` stores clouds"}
    inputs |= record.get("inputs", {})
    data = record["config"].get("data")
    if isinstance(data, Mapping) and "num_points" in data:
        inputs["num_points"] = data["num_points"]
    rendering = {"render": record["render"]} if what == "model" and "render" in record else {}
    return rendering | {
        "task": record.get("task", "pretrain")
        if what == "model"
        else "backbone",  # as `tap photo` and others ask for it
        "config": config,
        "channels": built.channels,
        "num_tokens": built.num_tokens,
        "has_class_token": built.has_class_token,
        "inputs": inputs,
        "metrics": state.get("metrics", {}),
        "source": {
            "run": name,
            "task": record.get("task"),
            "epochs": state.get("epoch"),
            "package_version": record.get("package_version"),
            "num_samples": record.get("data", {}).get("num_samples"),
            "from": record.get("source"),  # of an import
        },
    }


def _picture(run: Path) -> Path | None:
    """The last picture of a pre-training run, if it is small."""
    found = sorted((run / "pictures").glob("*.png"))
    return found[-1] if found and found[-1].stat().st_size <= LARGEST_PICTURE else None
