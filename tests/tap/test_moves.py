import dataclasses
import math

import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional as F

from tap.config import apply_overrides
from tap.errors import TapError
from tap.loading.collate import Batch
from tap.loading.moves import MovesConfig, drop_points, jitter, move, rotate_z, scale, take_points, translate

SIZE, NUMBER = 3, 400


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def batch() -> Batch:
    points = torch.randn(SIZE, NUMBER, 3, generator=stream(9))
    nothing = torch.zeros(SIZE, 0, 4, 4)
    flags = torch.ones(SIZE, dtype=torch.bool)
    parts = torch.arange(NUMBER).expand(SIZE, -1)
    place = torch.arange(SIZE)
    return Batch(
        points, nothing, nothing[..., :3, :3], flags, None, place, place, flags,
        normals=F.normalize(points, dim=-1), parts=parts,
    )  # fmt: skip


def test_the_defaults_change_nothing(batch: Batch) -> None:
    assert move(batch, MovesConfig(), 3) is batch


def test_scale_is_one_number_a_cloud_or_one_an_axis(batch: Batch) -> None:
    moved, normals = scale(batch.points, batch.normals, (0.5, 2.0), False, stream())
    factors = moved / batch.points
    assert factors.min() >= 0.5
    assert factors.max() <= 2.0
    torch.testing.assert_close(factors, factors[:, :1, :1].expand_as(factors))
    assert len(set(factors[:, 0, 0].tolist())) == SIZE
    assert normals is batch.normals
    factors = scale(batch.points, None, (0.5, 2.0), True, stream())[0] / batch.points
    torch.testing.assert_close(factors, factors[:, :1].expand_as(factors))
    assert not torch.isclose(factors[0, 0, 0], factors[0, 0, 1])


def test_normals_stay_normal_to_a_stretched_plane() -> None:
    normal = torch.tensor([0.6, 0.0, 0.8])
    plane = torch.randn(1, 50, 3, generator=stream())
    plane -= (plane @ normal)[..., None] * normal
    points, normals = scale(plane, normal.expand_as(plane), (0.5, 2.0), True, stream(1))
    assert normals is not None
    torch.testing.assert_close((points * normals).sum(-1), torch.zeros(1, 50), atol=1e-6, rtol=0)
    torch.testing.assert_close(normals.norm(dim=-1), torch.ones(1, 50))
    assert not torch.allclose(normals, normal.expand_as(normals), atol=1e-2)


def test_rotation_turns_points_and_normals_about_z(batch: Batch) -> None:
    points, normals = rotate_z(batch.points, batch.normals, 90.0, stream())
    torch.testing.assert_close(points[..., 2], batch.points[..., 2])
    torch.testing.assert_close(points.norm(dim=-1), batch.points.norm(dim=-1))
    assert normals is not None
    torch.testing.assert_close(normals, F.normalize(points, dim=-1))
    angle = torch.atan2(points[..., 1], points[..., 0]) - torch.atan2(batch.points[..., 1], batch.points[..., 0])
    angle = torch.remainder(angle + math.pi, 2 * math.pi) - math.pi
    torch.testing.assert_close(angle, angle[:, :1].expand_as(angle), atol=1e-4, rtol=0)
    assert angle.abs().max() <= math.pi / 2 + 1e-4
    assert len(set(angle[:, 0].round(decimals=3).tolist())) == SIZE


def test_translation_is_one_vector_a_cloud(batch: Batch) -> None:
    shift = translate(batch.points, 0.2, stream()) - batch.points
    torch.testing.assert_close(shift, shift[:, :1].expand_as(shift), atol=1e-6, rtol=0)
    assert shift.abs().max() <= 0.2 + 1e-6
    assert len(set(shift[:, 0].flatten().tolist())) == 3 * SIZE


def test_jitter_is_clipped(batch: Batch) -> None:
    noise = jitter(batch.points, 0.05, 0.06, stream()) - batch.points
    assert noise.abs().max() == pytest.approx(0.06, abs=1e-6)
    # of a Gaussian of .05 cut off at .06: 23 % of it lies beyond
    assert (noise.abs() > 0.0599).float().mean() == pytest.approx(0.2301, abs=0.03)


def test_dropped_points_become_the_first(batch: Batch) -> None:
    kept = drop_points(batch.points, 0.8, stream())
    dropped = (kept != torch.arange(NUMBER)).float().mean(1)
    assert (kept[kept != torch.arange(NUMBER)] == 0).all()
    assert dropped.max() <= 0.85
    assert dropped.max() - dropped.min() > 0.1  # the chance differs from cloud to cloud
    points = take_points(batch.points, kept)
    torch.testing.assert_close(points[kept == 0], batch.points[:, :1].expand_as(points)[kept == 0])
    moved = move(batch, MovesConfig(dropout=0.8), 0)
    assert moved.parts is not None
    assert moved.normals is not None
    for cloud in range(SIZE):  # parts and normals follow their points
        torch.testing.assert_close(moved.points[cloud], batch.points[cloud, moved.parts[cloud]])
        torch.testing.assert_close(moved.normals[cloud], F.normalize(moved.points[cloud], dim=-1))


def test_a_seed_decides_all_and_kinds_do_not_disturb_each_other(batch: Batch) -> None:
    everything = MovesConfig(scale=(0.8, 1.2), rotate_z=180, translate=0.1, jitter=0.01, dropout=0.5)
    first, again, other = (move(batch, everything, seed) for seed in (4, 4, 5))
    assert torch.equal(first.points, again.points)
    assert not torch.equal(first.points, other.points)
    with_scale, without = (
        move(batch, MovesConfig(translate=0.1, scale=interval), 4).points for interval in ((2.0, 2.0), (1.0, 1.0))
    )
    torch.testing.assert_close(with_scale - 2 * batch.points, without - batch.points, atol=1e-6, rtol=0)
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    move(batch, everything, 4)
    assert torch.equal(torch.rand(1), expected)  # dropout and drop path draw what they drew without moves


def test_views_and_wrong_settings_are_refused(batch: Batch) -> None:
    with pytest.raises(TapError, match="has views"):
        move(dataclasses.replace(batch, images=torch.zeros(SIZE, 1, 4, 4, 2)), MovesConfig(jitter=0.1), 0)
    with pytest.raises(TapError, match="lowest <= highest"):
        apply_overrides(MovesConfig(), ["scale=[1.2, 0.8]"])
    with pytest.raises(ValidationError):
        MovesConfig(dropout=1.0)
