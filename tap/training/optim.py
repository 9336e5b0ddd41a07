"""The optimizer's parameter groups and the learning rate as a pure function of the step. Not the loop that uses them."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tap.errors import TapError
from tap.training.checkpoint import load_tensors

UNTOUCHED = "untouched"


def learning_rate(step: int, num_steps: int, warmup_steps: int, base: float, minimum: float) -> float:
    """The learning rate of one step: linear warm-up, then half a cosine that ends at ``minimum``.

    Args:
        step: 0-based step.
        num_steps: steps of the whole run; step num_steps - 1 gets ``minimum``.
        warmup_steps: step k < warmup_steps gets base (k + 1) / warmup_steps.
        base: the highest rate.
        minimum: the last rate.

    Returns:
        The rate; a pure function, so a resumed run needs no stored scheduler.
    """
    if step < warmup_steps:
        return base * (step + 1) / warmup_steps
    last = num_steps - 1
    progress = min(1.0, (step - warmup_steps) / (last - warmup_steps)) if last > warmup_steps else 1.0
    return minimum + (base - minimum) * 0.5 * (1.0 + math.cos(math.pi * progress))


def is_decayed(name: str, parameter: torch.Tensor) -> bool:
    """Whether weight decay acts on a parameter: not on biases, norms and other 1-d ones, nor on learnable tokens."""
    return parameter.ndim > 1 and not name.endswith("bias") and "token" not in name.rsplit(".", 1)[-1]


def parameter_groups(
    model: nn.Module, weight_decay: float, part_of: Callable[[str], str]
) -> tuple[list[dict[str, Any]], list[str]]:
    """The trainable parameters in groups of one part and one weight decay.

    Args:
        model: the module that is trained.
        weight_decay: decay of the parameters that `is_decayed` names; the others get 0.
        part_of: parameter name -> part name; the loop scales the learning rate per part.

    Returns:
        The groups (each with ``params``, ``part``, ``weight_decay``, in the model's order), and the parameter names in the
        order in which an optimizer numbers them.
    """
    members: dict[tuple[str, float], list[tuple[str, nn.Parameter]]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            decay = weight_decay if is_decayed(name, parameter) else 0.0
            members.setdefault((part_of(name), decay), []).append((name, parameter))
    groups = [
        {"params": [parameter for _, parameter in named], "part": part, "weight_decay": decay}
        for (part, decay), named in members.items()
    ]
    return groups, [name for named in members.values() for name, _ in named]


def flatten_state(state: dict[str, Any], names: list[str]) -> dict[str, torch.Tensor]:
    """An optimizer's ``state_dict()`` as one flat dict of tensors, ``<parameter name>/<quantity>``.

    A parameter that has had no gradient yet has no state; an empty tensor says so, to tell it from one that was lost.

    Args:
        state: of an optimizer whose state holds tensors only, as AdamW's does.
        names: parameter names in the optimizer's order.
    """
    flat = {
        f"{names[index]}/{quantity}": tensor.detach().cpu().contiguous()
        for index, quantities in state["state"].items()
        for quantity, tensor in quantities.items()
    }
    untouched = [name for index, name in enumerate(names) if not state["state"].get(index)]
    return flat | {f"{name}/{UNTOUCHED}": torch.zeros(0) for name in untouched}


def unflatten_state(
    flat: dict[str, torch.Tensor], names: list[str], groups: list[dict[str, Any]]
) -> tuple[dict[str, Any], list[str], list[str]]:
    """The reverse of `flatten_state`.

    Args:
        flat: ``<parameter name>/<quantity>`` to tensor.
        names: parameter names in the optimizer's order.
        groups: ``state_dict()["param_groups"]`` of the optimizer that takes the state.

    Returns:
        A dict for ``load_state_dict``, the entries of ``flat`` that belong to no parameter, and the parameters without an
        entry.
    """
    number = {name: index for index, name in enumerate(names)}
    state: dict[int, dict[str, torch.Tensor]] = {}
    unknown, found = [], set()
    for key, tensor in flat.items():
        name, _, quantity = key.rpartition("/")
        found.add(name)
        if name not in number:
            unknown.append(key)
        elif quantity != UNTOUCHED:
            state.setdefault(number[name], {})[quantity] = tensor
    return {"state": state, "param_groups": groups}, unknown, [name for name in names if name not in found]


def load_optimizer(optimizer: torch.optim.Optimizer, names: list[str], file: Path) -> None:
    """Loads what `flatten_state` made of an optimizer, which a checkpoint keeps in ``file``.

    Raises:
        TapError: it cannot be read, or the state is not of these parameters.
    """
    groups = optimizer.state_dict()["param_groups"]
    state, unknown, missing = unflatten_state(load_tensors(file), names, groups)
    if unknown:
        raise TapError(f"{file}: holds state of {', '.join(unknown[:3])}, which the model has not; start anew")
    if missing:
        raise TapError(f"{file}: {len(missing)} parameters have no state, first {', '.join(missing[:3])}; start anew")
    optimizer.load_state_dict(state)
