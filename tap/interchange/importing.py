"""Checkpoints of Take-A-Photo, Point-BERT and Point-MAE into a folder that fine-tuning and `load_backbone` read."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from tap.backbones import BackboneConfig, build_backbone
from tap.config import apply_overrides, validated
from tap.errors import TapError
from tap.interchange.folder import check_free, write_folder
from tap.interchange.formats import Format, all_rules, check_backbone, read_settings, recognise
from tap.interchange.tables import BACKBONE_RULES
from tap.interchange.translation import Account, Rule, translate
from tap.interchange.untrusted import load_checkpoint
from tap.network.generator import GeneratorConfig
from tap.network.model import ModelConfig, build_model
from tap.network.photograph import reference_photograph

ACCOUNT = "account.json"
_CONTAINERS = ("model", "base_model", "state_dict", "net", "network")
_WRAPPERS = ("module.", "base_model.")  # of data parallelism, and of Point-BERT's trainer


def import_weights(
    file: Path, backbone: str, out: Path, prefix: str | None = None, overrides: Sequence[str] = ()
) -> Account:
    """Reads a checkpoint of others and writes it as a folder of ours.

    Args:
        file: ``.pth``, ``.pt`` or ``.safetensors``.
        backbone: name of the backbone that it holds.
        out: new folder: ``config.json``, ``model.safetensors``, ``account.json``.
        prefix: only tensors whose names start so are looked at, without it.
        overrides: ``key=value`` changes of the `ModelConfig`, such as ``backbone.settings.num_groups=128``, for what shapes
            do not tell.

    Returns:
        What became of every tensor. With photograph module and generator in the file it is a whole model, else a backbone.

    Raises:
        TapError: an unknown backbone, a file that cannot be read or is not allowed, tensors that are unknown, missing or of
            another shape, a folder that exists.
    """
    if backbone not in BACKBONE_RULES:
        raise TapError(f"backbone {backbone!r}: weights of {', '.join(BACKBONE_RULES)} can be imported")
    check_free(out)  # before the work, and once more when it is written
    where = str(file)
    tensors, beside = _tensors_of(load_checkpoint(file), where, prefix)
    check_backbone(where, tensors, backbone)
    kind = recognise(tensors, backbone)
    config = _model_config(kind, backbone, tensors, overrides)
    rules: tuple[Rule, ...] = all_rules(kind, backbone)
    finished, account = translate(where, kind.name, tensors, rules, _fresh(kind, config), kind.made)
    account = Account(kind.name, account.taken, {**account.left_out, **beside}, account.made)
    _write(out, file, kind, config, finished, account)
    return account


def _tensors_of(content: Mapping[str, Any], where: str, prefix: str | None) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The named tensors of the weights, and what stands beside them with the reason why it is left out."""
    key = next((key for key in _CONTAINERS if isinstance(content.get(key), Mapping)), None)
    weights = content if key is None else content[key]
    beside = {} if key is None else {name: "state of that training" for name in content if name != key}
    tensors: dict[str, Tensor] = {}
    for name, value in weights.items():
        plain = str(name)
        for wrapper in _WRAPPERS:
            plain = plain.removeprefix(wrapper)
        if not isinstance(value, Tensor):
            beside[plain] = "not a tensor"
        elif prefix is not None and not plain.startswith(prefix):
            beside[plain] = f"does not start with {prefix}"
        elif (short := plain.removeprefix(prefix or "")) in tensors:
            raise TapError(f"{where}: holds {short} twice, with and without a wrapper's prefix")
        else:
            tensors[short] = value
    if not tensors:
        raise TapError(f"{where}: holds no tensor whose name starts with {prefix!r}; leave --prefix out, or mend it")
    return tensors, beside


def _model_config(kind: Format, backbone: str, tensors: Mapping[str, Tensor], overrides: Sequence[str]) -> ModelConfig:
    """The config of such a model, with the photograph module of the authors' code, changed by the overrides."""
    stated = {"name": backbone, "settings": read_settings(kind, backbone, tensors)}
    named = validated(BackboneConfig, stated, "settings read from the tensors")
    channels = build_backbone(named).channels
    config = ModelConfig(backbone=named, photograph=reference_photograph(channels), generator=GeneratorConfig())
    return apply_overrides(config, overrides)


def _fresh(kind: Format, config: ModelConfig) -> dict[str, Tensor]:
    """Names and shapes that are wanted: of the whole model, or of its backbone."""
    if kind.whole:
        return dict(build_model(config).state_dict())
    module: Any = build_backbone(config.backbone)  # an `nn.Module` at run time
    return {f"backbone.{name}": tensor for name, tensor in module.state_dict().items()}


def _write(
    out: Path, file: Path, kind: Format, config: ModelConfig, tensors: Mapping[str, Tensor], account: Account
) -> None:
    stored = config.model_dump(mode="json")
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    facts = {
        "task": "pretrain" if kind.whole else "backbone",  # with generator it can take photos
        "config": {"model": stored} if kind.whole else {"backbone": stored["backbone"]},
        "inputs": {"up_axis": kind.up_axis, "frame": "centred at the mean, largest distance from it 1"},
        "source": {"file": file.name, "sha256": digest, "format": kind.name},
    }
    text = {"taken": account.taken, "left_out": account.left_out, "made": account.made, "format": account.format}
    write_folder(out, facts, tensors, {ACCOUNT: json.dumps(text, indent=2, sort_keys=True) + "\n"})
