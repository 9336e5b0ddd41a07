import pytest
import torch

from tap.batch import Encoded
from tap.errors import TapError
from tap.network.heads import ClassificationHead


def test_pools_the_class_token_and_the_maximum_of_real_tokens() -> None:
    head = ClassificationHead(2, 4, "class_max")
    seen: list[torch.Tensor] = []
    head.layers.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    tokens = torch.tensor([[[1.0, 5.0], [2.0, 3.0], [9.0, 9.0]]]).expand(2, -1, -1)
    mask = torch.tensor([[True, True, False], [True, True, True]])
    scores = head(Encoded(tokens, torch.zeros(2, 3, 3), mask, torch.tensor([[7.0, 8.0], [7.0, 8.0]])))
    assert scores.shape == (2, 4)
    assert seen[0].tolist() == [[7, 8, 2, 5], [7, 8, 9, 9]]


def test_without_a_class_token_the_maximum_stands_alone() -> None:
    head = ClassificationHead(2, 4, "max")
    assert head.layers[0].in_features == 2
    encoded = Encoded(torch.randn(3, 5, 2), torch.zeros(3, 5, 3))
    assert head(encoded).shape == (3, 4)
    with pytest.raises(TapError, match="class token"):
        ClassificationHead(2, 4, "class_max")(encoded)


def test_without_hidden_layers_the_head_is_linear() -> None:
    head = ClassificationHead(2, 4, "max", hidden=())
    assert [tuple(parameter.shape) for parameter in head.parameters()] == [(4, 2), (4,)]
    tokens = torch.randn(3, 5, 2)
    scores = head(Encoded(tokens, torch.zeros(3, 5, 3)))
    weight, bias = head.parameters()
    torch.testing.assert_close(scores, tokens.amax(1) @ weight.T + bias)
