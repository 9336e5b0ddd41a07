import pytest
import torch

from tap.errors import TapError
from tap.interchange.translation import Made, Rule, translate

RULES = (
    Rule(r"drop\..*", reason="not used"),
    Rule(r"conv(\d)\.weight", r"layer.\1.weight"),
    Rule(r"q\.weight", "both.weight", part=(0, 2)),
    Rule(r"k\.weight", "both.weight", part=(1, 2)),
)
OURS = {"layer.1.weight": torch.zeros(2, 3), "both.weight": torch.zeros(4, 1)}


def theirs() -> dict[str, torch.Tensor]:
    return {
        "k.weight": torch.full((2, 1), 2.0),
        "q.weight": torch.full((2, 1), 1.0),
        "conv1.weight": torch.arange(6.0).reshape(2, 3, 1, 1).half(),
        "drop.bias": torch.ones(3),
    }


def test_every_tensor_is_accounted_for() -> None:
    tensors, account = translate("w", "test", theirs(), RULES, OURS, {})
    assert torch.equal(tensors["layer.1.weight"], torch.arange(6.0).reshape(2, 3))
    assert tensors["layer.1.weight"].dtype == torch.float32
    assert tensors["both.weight"].flatten().tolist() == [1.0, 1.0, 2.0, 2.0]
    assert account.taken == {
        "k.weight": "both.weight",
        "q.weight": "both.weight",
        "conv1.weight": "layer.1.weight",
    }
    assert account.left_out == {"drop.bias": "not used"}
    assert account.made == {}


def test_what_a_format_lacks_is_made_and_told() -> None:
    wanted = {**OURS, "token": torch.zeros(3)}
    made = {"token": Made(torch.ones, "ones"), "layer.1.weight": Made(torch.ones, "not needed")}
    tensors, account = translate("w", "test", theirs(), RULES, wanted, made)
    assert tensors["token"].tolist() == [1.0, 1.0, 1.0]
    assert account.made == {"token": "ones"}
    with pytest.raises(TapError, match="token is missing"):
        translate("w", "test", theirs(), RULES, wanted, {"token": Made(lambda shape: None, "not in that shape")})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"odd.weight": torch.ones(1)}, "w: odd.weight has no place in its format, test"),
        ({"conv2.weight": torch.ones(1)}, "layer.2.weight has no place in the model"),
        ({"conv1.weight": None}, "layer.1.weight is missing"),
        ({"q.weight": None}, "both.weight is missing"),  # half of a tensor is none
        ({"conv1.weight": torch.ones(3, 2, 1)}, r"layer.1.weight is \(3, 2, 1\) where the model has \(2, 3\)"),
        ({"conv1.weight": torch.full((2, 3), torch.nan)}, r"layer.1.weight \(our name\) holds numbers that are not"),
    ],
)
def test_what_does_not_fit_is_listed(change: dict[str, torch.Tensor | None], message: str) -> None:
    tensors = {name: tensor for name, tensor in {**theirs(), **change}.items() if tensor is not None}
    with pytest.raises(TapError, match=message):
        translate("w", "test", tensors, RULES, OURS, {})


def test_many_names_are_counted() -> None:
    many = theirs() | {f"odd{number}": torch.ones(1) for number in range(9)}
    with pytest.raises(TapError, match="odd0, odd1, odd2, odd3, odd4 and 4 more have no place"):
        translate("w", "test", many, RULES, OURS, {})
