import pytest
import torch

from tap.batch import Encoded, Level, PointBatch, ViewBatch
from tap.errors import TapError


def test_moving_a_record_moves_nested_records_and_keeps_nothing_as_nothing() -> None:
    points = torch.zeros(2, 5, 3)
    encoded = Encoded(torch.zeros(2, 4, 8), torch.zeros(2, 4, 3), levels=(Level(points), Level(points, points)))
    moved = encoded.to("meta")
    assert moved.tokens.device.type == moved.levels[1].points.device.type == "meta"
    assert moved.token_mask is None
    assert moved.levels[0].features is None
    assert encoded.to("cpu").tokens is encoded.tokens


def test_wrong_shapes_name_the_tensor_and_what_it_must_be() -> None:
    with pytest.raises(TapError, match=r"PointBatch.points: got shape \(5, 3\), it must be \(any, any, 3\)"):
        PointBatch(torch.zeros(5, 3))
    with pytest.raises(TapError, match=r"PointBatch.points: got torch.float64"):
        PointBatch(torch.zeros(2, 5, 3, dtype=torch.float64))
    with pytest.raises(TapError, match=r"PointBatch.mask: got shape \(2, 4\), it must be \(2, 5\)"):
        PointBatch(torch.zeros(2, 5, 3), mask=torch.ones(2, 4, dtype=torch.bool))
    with pytest.raises(TapError, match=r"Encoded.token_mask: got torch.float32"):
        Encoded(torch.zeros(2, 4, 8), torch.zeros(2, 4, 3), torch.zeros(2, 4))


def test_views_agree_in_number_and_size() -> None:
    poses, lenses, parallel = torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 3, 3), torch.zeros(2, dtype=torch.bool)
    ViewBatch(poses, lenses, parallel, torch.zeros(2, 3, 3, 8, 8), torch.zeros(2, 3, 8, 8, dtype=torch.bool))
    with pytest.raises(TapError, match=r"ViewBatch.intrinsics"):
        ViewBatch(poses, lenses[:, :2], parallel)
    with pytest.raises(TapError, match=r"ViewBatch.mask: got shape \(2, 3, 8, 7\), it must be \(2, 3, 8, 8\)"):
        ViewBatch(poses, lenses, parallel, torch.zeros(2, 3, 3, 8, 8), torch.zeros(2, 3, 8, 7, dtype=torch.bool))
    with pytest.raises(TapError, match=r"ViewBatch.parallel: got torch.float32, it must be torch.bool"):
        ViewBatch(poses, lenses, parallel.float())
