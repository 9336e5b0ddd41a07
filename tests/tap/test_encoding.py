import math

import torch

from tap.network.encoding import FourierEncoding


def test_no_octaves_leave_coordinates_as_they_are() -> None:
    coordinates = torch.randn(2, 5, 3)
    assert FourierEncoding(0)(coordinates) is coordinates
    assert FourierEncoding(0).width(3) == 3


def test_octaves_by_hand() -> None:
    encoding = FourierEncoding(2)
    encoded = encoding(torch.tensor([[0.5, 0.25]]))
    assert encoded.shape == (1, encoding.width(2)) == (1, 10)
    half = math.sqrt(0.5)
    expected = [0.5, 0.25, 1, half, 0, 1, 0, half, -1, 0]  # x, sin pi x, sin 2 pi x, cos pi x, cos 2 pi x
    torch.testing.assert_close(encoded, torch.tensor([expected]), atol=1e-6, rtol=0)
