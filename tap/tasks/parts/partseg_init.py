"""The backbone that a part segmentation run starts from, which may read more of each point than it was pre-trained with."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

from torch import Tensor, nn

from tap.backbones import BackboneConfig
from tap.errors import TapError, some
from tap.interchange.folder import stored_backbone
from tap.tasks.finetuning import resolve_backbone
from tap.training.checkpoint import MODEL, differences, find_checkpoint, load_record, load_tensors, load_weights

Reinit = Literal["embedding"]
PREFIX = "backbone."


def reinit_named(name: str) -> Reinit:
    """What may be begun anew, by name; `TapError` where nothing is called so."""
    for known in get_args(Reinit):
        if name == known:
            found: Reinit = known
            return found
    raise TapError(f"--reinit {name}: it must be one of {', '.join(get_args(Reinit))}")


def starting_backbone(wanted: BackboneConfig | None, init: Path | None) -> BackboneConfig:
    """The backbone of a run: the wanted one, which must be that of the run to start from but for its ``inputs``.

    Raises:
        TapError: it is another one.
    """
    if init is None or wanted is None or "inputs" not in wanted.settings:
        return resolve_backbone(wanted, init)
    found = stored_backbone(load_record(find_checkpoint(init)), init)
    read = {"inputs": found.settings["inputs"]} if "inputs" in found.settings else {}
    resolve_backbone(BackboneConfig(name=wanted.name, settings=wanted.settings | read), init)
    return wanted


def load_backbone(backbone: nn.Module, init: Path, reinit: Reinit | None = None) -> list[str]:
    """Loads a backbone strictly; with ``reinit`` all but its first layer, which then stays fresh.

    The first layer is found by its shape: it alone may be of another one, as it reads other inputs.

    Args:
        backbone: takes the weights in place.
        init: run or checkpoint folder.
        reinit: ``embedding`` for a first layer that does not fit.

    Returns:
        The names of the tensors that stay fresh, as in a checkpoint.

    Raises:
        TapError: a tensor does not fit, or with ``reinit`` all do; the backbone is then untouched.
    """
    file = find_checkpoint(init) / MODEL
    stored = {name: tensor for name, tensor in load_tensors(file).items() if name.startswith(PREFIX)}
    own = {f"{PREFIX}{name}": tensor for name, tensor in backbone.state_dict().items()}
    missing, surplus, reshaped = differences(stored, own)
    layers = {name.rpartition(".")[0] for name in own if name in stored and stored[name].shape != own[name].shape}
    if missing or surplus or len(layers) > 1 or (reshaped and not _reads_other_inputs(stored, own)):
        raise TapError(
            f"{file}: does not fit the backbone: {some(missing, surplus, reshaped)}; use the config of that run, but for "
            "backbone.settings.inputs"
        )
    if not layers:
        if reinit is not None:
            raise TapError(f"--reinit {reinit}: the first layer of {init} fits, as all do; leave --reinit out")
        load_weights(backbone, init, PREFIX)
        return []
    if reinit is None:
        raise TapError(
            f"{file}: {reshaped[0]}: the first layer reads other inputs; give --reinit embedding to begin it anew, or set "
            "backbone.settings.inputs to those of that run"
        )
    (layer,) = layers
    fresh = [name for name in own if name.rpartition(".")[0] == layer]
    taken = {name: own[name] if name in fresh else stored[name] for name in own}
    backbone.load_state_dict({name[len(PREFIX) :]: tensor for name, tensor in taken.items()}, strict=True)
    return fresh


def _reads_other_inputs(stored: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> bool:
    """Whether the tensors of another shape are weights (out, in, ...) that differ in what comes in."""
    pairs = [(stored[name].shape, own[name].shape) for name in own if stored[name].shape != own[name].shape]
    return all(
        len(first) == len(second) >= 2 and first[0] == second[0] and first[2:] == second[2:] for first, second in pairs
    )
