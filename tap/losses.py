"""The pre-training loss: mean squared error of the object's pixels and of the background's, weighted, for each target.

Each mean runs over its region in the whole batch, so it is kept as sum and count: the same numbers average exactly over
a data set of any batching. Legend: B batch, V views, C image channels, H W pixels.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Self, TypedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tap.batch import ViewBatch
from tap.errors import TapError
from tap.targets import channel_slices


@dataclasses.dataclass(frozen=True, eq=False)
class RegionSums:
    """Squared errors by region, to be added up over batches.

    Attributes:
        foreground_error: () sum of squared errors over the silhouettes' pixels and channels.
        foreground_count: () int64, how many numbers that were.
        background_error: () the same outside the silhouettes.
        background_count: () int64.
    """

    foreground_error: Tensor
    foreground_count: Tensor
    background_error: Tensor
    background_count: Tensor

    def __add__(self, other: Self) -> "RegionSums":
        return RegionSums(
            self.foreground_error + other.foreground_error,
            self.foreground_count + other.foreground_count,
            self.background_error + other.background_error,
            self.background_count + other.background_count,
        )

    @property
    def foreground(self) -> Tensor:
        """() mean squared error of the foreground, 0 where it is empty."""
        return self.foreground_error / self.foreground_count.clamp(min=1)

    @property
    def background(self) -> Tensor:
        """() mean squared error of the background, 0 where it is empty."""
        return self.background_error / self.background_count.clamp(min=1)

    def parts(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The four sums, in the order of the attributes."""
        return self.foreground_error, self.foreground_count, self.background_error, self.background_count

    def loss(self, foreground_weight: float = 20.0, background_weight: float = 1.0) -> Tensor:
        """() the weighted loss of all that was added up."""
        return foreground_weight * self.foreground + background_weight * self.background

    def detached(self) -> "RegionSums":
        """The same without gradients, in float64 on the CPU (MPS has none), fit to be added up over a data set."""
        return RegionSums(
            self.foreground_error.detach().cpu().double(),
            self.foreground_count.cpu(),
            self.background_error.detach().cpu().double(),
            self.background_count.cpu(),
        )


class RegionTerms(TypedDict):
    """What `RegionLoss` returns: three () losses with gradients, and the sums behind them."""

    total: Tensor
    foreground: Tensor
    background: Tensor
    sums: RegionSums


def region_sums(generated: Tensor, views: ViewBatch) -> RegionSums:
    """Squared errors of generated images by region.

    Args:
        generated: (B, V, C, H, W) floating.
        views: with images (B, V, C, H, W) and mask; samples that are not valid are left out.

    Returns:
        RegionSums on the device of ``generated``, float32 with gradients.

    Raises:
        TapError: no images, no mask, or other shapes.
    """
    if views.images is None or views.mask is None:
        raise TapError("loss: the views have no images or no mask; read them from shards that hold pictures")
    if generated.shape != views.images.shape:
        raise TapError(f"loss: generated {tuple(generated.shape)} against images {tuple(views.images.shape)}")
    error = F.mse_loss(generated.float(), views.images.float(), reduction="none").sum(2)  # (B, V, H, W)
    foreground, background = views.mask, ~views.mask
    if views.valid is not None:
        valid = views.valid[:, None, None, None]  # (B, 1, 1, 1)
        foreground, background = foreground & valid, background & valid
    channels = generated.shape[2]
    nothing = error.new_zeros(())
    return RegionSums(
        torch.where(foreground, error, nothing).sum(),
        foreground.sum() * channels,
        torch.where(background, error, nothing).sum(),
        background.sum() * channels,
    )


class RegionLoss(nn.Module):
    """L = w_fg L_fg + w_bg L_bg, each the mean squared error over all pixels of its region in the batch.

    Args:
        foreground_weight: w_fg.
        background_weight: w_bg.
    Source: Take-A-Photo, equations 8 to 10. The mask is the exact silhouette, where the authors take every pixel of a
        JPEG that is not pure white.
    """

    def __init__(self, foreground_weight: float = 20.0, background_weight: float = 1.0) -> None:
        super().__init__()
        self.foreground_weight = foreground_weight
        self.background_weight = background_weight

    def forward(self, generated: Tensor, views: ViewBatch) -> RegionTerms:
        """Loss of generated images (B, V, C, H, W) against ``views``; an empty region counts 0.

        Raises:
            TapError: the views have no images or no mask, or other shapes.
        """
        sums = region_sums(generated, views)
        total = sums.loss(self.foreground_weight, self.background_weight)
        return {"total": total, "foreground": sums.foreground, "background": sums.background, "sums": sums}


@dataclasses.dataclass(frozen=True, eq=False)
class TargetTerms:
    """What `TargetLoss` returns.

    Attributes:
        total: () the loss, with gradients.
        shares: of each target, () what it adds to the total.
        regions: of each target, its `RegionTerms`.
    """

    total: Tensor
    shares: dict[str, Tensor]
    regions: dict[str, RegionTerms]


class TargetLoss(nn.Module):
    """The sum of the region losses of all targets.

    Args:
        weights: of each target, in the order of the channels, the weights of its foreground and of its background.
    """

    def __init__(self, weights: Mapping[str, tuple[float, float]]) -> None:
        super().__init__()
        self.regions = nn.ModuleDict({name: RegionLoss(*pair) for name, pair in weights.items()})
        self._slices = channel_slices(tuple(weights))

    def forward(self, generated: Tensor, views: ViewBatch) -> TargetTerms:
        """Loss of generated images (B, V, C, H, W) against ``views`` with the channels of all targets.

        Raises:
            TapError: the views have no images or no mask, or other shapes.
        """
        regions: dict[str, RegionTerms] = {}
        for name, region in self.regions.items():
            part = self._slices[name]
            regions[name] = region(generated[:, :, part], with_channels(views, part))
        shares = {name: terms["total"] for name, terms in regions.items()}
        first, *others = shares.values()
        return TargetTerms(sum(others, first), shares, regions)


def target_sums(generated: Tensor, views: ViewBatch, targets: Sequence[str]) -> dict[str, RegionSums]:
    """`region_sums` of each target's channels, by target.

    Args:
        generated: (B, V, C, H, W) floating, the channels of all targets in their order.
        views: with images of these channels, and mask.
        targets: names.
    """
    return {
        name: region_sums(generated[:, :, part], with_channels(views, part))
        for name, part in channel_slices(targets).items()
    }


def with_channels(views: ViewBatch, part: slice) -> ViewBatch:
    """The same views with some channels of their images."""
    return views if views.images is None else dataclasses.replace(views, images=views.images[:, :, part])
