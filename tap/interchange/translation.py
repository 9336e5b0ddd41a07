"""Tensors of another code base under our names, every one accounted for: taken, left out with a reason, or made.

A table of rules maps names; what no rule knows, what ours lacks and what has another shape is an error that lists it.
Nothing here knows a particular code base.
"""

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor

from tap.errors import TapError, some
from tap.training.checkpoint import differences

NUM_NAMED = 5  # tensors of a kind that are named in a message; the rest are counted


@dataclasses.dataclass(frozen=True)
class Rule:
    """Where the tensors of one pattern of names go.

    Attributes:
        pattern: regular expression for their whole name.
        target: our name, a template for `re.Match.expand` or a function of the match; None leaves it out.
        reason: why it is left out.
        part: (index, count) where ``count`` of their tensors are joined along axis 0 to one of ours.
    """

    pattern: str
    target: str | Callable[[re.Match[str]], str] | None = None
    reason: str = ""
    part: tuple[int, int] = (0, 1)

    def match(self, name: str) -> re.Match[str] | None:
        """The match of a whole name."""
        return re.fullmatch(self.pattern, name)


@dataclasses.dataclass(frozen=True)
class Account:
    """What became of every tensor.

    Attributes:
        format: the kind of checkpoint.
        taken: their name to ours.
        left_out: their name to the reason.
        made: our name to how it was made, for tensors that such checkpoints do not have.
    """

    format: str
    taken: Mapping[str, str]
    left_out: Mapping[str, str]
    made: Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class Made:
    """A tensor of ours that checkpoints of some format do not have.

    Attributes:
        make: from the shape that ours has; None where it cannot be made in that shape, and so is missing.
        how: for the account.
    """

    make: Callable[[torch.Size], Tensor | None]
    how: str


def translate(
    where: str,
    format_name: str,
    theirs: Mapping[str, Tensor],
    rules: Sequence[Rule],
    ours: Mapping[str, Tensor],
    made: Mapping[str, Made],
) -> tuple[dict[str, Tensor], Account]:
    """Their tensors under our names.

    Axes of length 1 are not compared: a 1 x 1 convolution is a linear layer.

    Args:
        where: start of an error message.
        format_name: for the account.
        theirs: name to tensor.
        rules: the first that matches a name counts.
        ours: the state dict of a fresh model, whose names and shapes are wanted.
        made: our names that may be missing in theirs.

    Returns:
        Our names to tensors of our shapes (float32 where floating), and the account.

    Raises:
        TapError: a tensor that no rule knows, a name of ours without a tensor, another shape, or a number not finite.
    """
    taken, left_out, unknown = _sort_out(theirs, rules)
    if unknown:
        raise TapError(
            f"{where}: {some(sorted(unknown), most=NUM_NAMED)} {'has' if len(unknown) == 1 else 'have'} no place in "
            f"{'its' if len(unknown) == 1 else 'their'} format, {format_name}; name the part to take with --prefix"
        )
    tensors = {name: _joined(parts, theirs) for name, parts in _by_target(taken).items()}
    lacking = {name: found for name, found in made.items() if name in ours and name not in tensors}
    fresh = {name: found.make(ours[name].shape) for name, found in lacking.items()}
    tensors |= {name: tensor for name, tensor in fresh.items() if tensor is not None}
    _check_fit(where, tensors, ours)
    finished = {name: _in_shape(tensors[name], ours[name]) for name in ours}
    odd = [name for name, tensor in finished.items() if not tensor.isfinite().all()]
    if odd:
        raise TapError(
            f"{where}: {some(odd, most=NUM_NAMED)} (our name) holds numbers that are not finite; the training has diverged"
        )
    names = {name: target for name, (target, _) in taken.items()}
    return finished, Account(format_name, names, left_out, {name: found.how for name, found in lacking.items()})


def known_share(names: Iterable[str], rules: Sequence[Rule]) -> float:
    """Share of the names that some rule knows."""
    found = [any(rule.match(name) for rule in rules) for name in names]
    return sum(found) / max(len(found), 1)


def _sort_out(
    theirs: Mapping[str, Tensor], rules: Sequence[Rule]
) -> tuple[dict[str, tuple[str, tuple[int, int]]], dict[str, str], list[str]]:
    taken: dict[str, tuple[str, tuple[int, int]]] = {}
    left_out: dict[str, str] = {}
    unknown = []
    for name in theirs:
        found = next(((rule, match) for rule in rules if (match := rule.match(name))), None)
        if found is None:
            unknown.append(name)
        elif found[0].target is None:
            left_out[name] = found[0].reason
        else:
            rule, match = found
            assert rule.target is not None  # noqa: S101 - for the type checker
            target = match.expand(rule.target) if isinstance(rule.target, str) else rule.target(match)
            taken[name] = (target, rule.part)
    return taken, left_out, unknown


def _by_target(taken: Mapping[str, tuple[str, tuple[int, int]]]) -> dict[str, dict[tuple[int, int], str]]:
    grouped: dict[str, dict[tuple[int, int], str]] = {}
    for name, (target, part) in taken.items():
        grouped.setdefault(target, {})[part] = name
    # A tensor of which a part is missing counts as missing.
    return {target: parts for target, parts in grouped.items() if len(parts) == next(iter(parts))[1]}


def _joined(parts: Mapping[tuple[int, int], str], theirs: Mapping[str, Tensor]) -> Tensor:
    tensors = [theirs[parts[part]] for part in sorted(parts)]
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors)


def _check_fit(where: str, tensors: Mapping[str, Tensor], ours: Mapping[str, Tensor]) -> None:
    found = differences(tensors, ours, ignore_ones=True)
    if any(found):
        raise TapError(
            f"{where}: does not fit the model (our names): {some(*found, most=NUM_NAMED)}; name its settings with --set, "
            "for example --set backbone.settings.depth=8"
        )


def _in_shape(tensor: Tensor, wanted: Tensor) -> Tensor:
    return tensor.detach().to(wanted.dtype).reshape(wanted.shape).contiguous().clone()
