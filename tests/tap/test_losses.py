import pytest
import torch

from tap.batch import ViewBatch
from tap.errors import TapError
from tap.losses import RegionLoss, region_sums


def views(images: torch.Tensor, mask: torch.Tensor, valid: torch.Tensor | None = None) -> ViewBatch:
    batch, num_views = images.shape[:2]
    poses, lenses = torch.eye(4).expand(batch, num_views, 4, 4), torch.eye(3).expand(batch, num_views, 3, 3)
    return ViewBatch(poses, lenses, torch.ones(batch, dtype=torch.bool), images, mask, valid)


def two_pictures() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Two objects, one view of 2 x 2: errors .5 on one foreground pixel of the first, .1 elsewhere."""
    images = torch.zeros(2, 1, 3, 2, 2)
    generated = torch.full((2, 1, 3, 2, 2), 0.1)
    mask = torch.zeros(2, 1, 2, 2, dtype=torch.bool)
    mask[0, 0, 0, 0] = mask[1, 0, 1, 1] = True
    generated[0, 0, :, 0, 0] = 0.5
    return generated, images, mask


def test_loss_by_hand() -> None:
    generated, images, mask = two_pictures()
    terms = RegionLoss(20.0, 1.0)(generated, views(images, mask))
    assert terms["foreground"].item() == pytest.approx((0.25 + 0.01) / 2)
    assert terms["background"].item() == pytest.approx(0.01)
    assert terms["total"].item() == pytest.approx(20 * 0.13 + 0.01)
    assert (terms["sums"].foreground_count.item(), terms["sums"].background_count.item()) == (6, 18)


def test_an_empty_region_counts_nothing_and_gives_finite_gradients() -> None:
    generated, images, mask = two_pictures()
    generated.requires_grad_()
    terms = RegionLoss()(generated, views(images, torch.zeros_like(mask)))
    assert terms["foreground"].item() == 0
    assert terms["total"].item() == pytest.approx((3 * 0.25 + 21 * 0.01) / 24)
    terms["total"].backward()
    assert generated.grad is not None
    assert generated.grad.isfinite().all()
    full = RegionLoss(2.0, 1.0)(generated, views(images, torch.ones_like(mask)))
    assert full["background"].item() == 0
    assert full["total"].item() == pytest.approx(2 * (3 * 0.25 + 21 * 0.01) / 24)


def test_invalid_samples_are_left_out() -> None:
    generated, images, mask = two_pictures()
    images[0] = torch.nan
    terms = RegionLoss()(generated, views(images, mask, torch.tensor([False, True])))
    assert terms["total"].item() == pytest.approx(21 * 0.01)
    assert terms["sums"].foreground_count.item() == 3


def test_sums_average_over_a_data_set_exactly() -> None:
    generator = torch.Generator().manual_seed(0)
    generated, images = torch.rand(2, 5, 2, 3, 4, 4, generator=generator)
    mask = torch.rand(5, 2, 4, 4, generator=generator) < torch.linspace(0, 1, 5)[:, None, None, None]
    whole = region_sums(generated, views(images, mask))
    parts = region_sums(generated[:1], views(images[:1], mask[:1])).detached()
    parts = parts + region_sums(generated[1:], views(images[1:], mask[1:])).detached()
    assert parts.loss(20.0, 1.0).item() == pytest.approx(whole.loss(20.0, 1.0).item(), rel=1e-6)


def test_missing_or_different_pictures_are_refused() -> None:
    generated, images, mask = two_pictures()
    cameras = views(images, mask)
    bare = ViewBatch(cameras.world_to_camera, cameras.intrinsics, cameras.parallel)
    with pytest.raises(TapError, match="no images or no mask"):
        RegionLoss()(generated, bare)
    with pytest.raises(TapError, match=r"generated \(2, 1, 3, 1, 2\)"):
        RegionLoss()(generated[..., :1, :], cameras)
