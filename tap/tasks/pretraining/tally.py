"""Squared errors and view spreads of drawn images, added up over the samples of an evaluation."""

from collections.abc import Mapping

import torch
from lightning.fabric import Fabric
from torch import Tensor

from tap.batch import ViewBatch
from tap.loading.collate import images_of
from tap.losses import RegionSums, target_sums
from tap.targets import TARGETS, channel_slices


class Tally:
    """The sums of an evaluation: on the CPU, because MPS has no float64.

    Args:
        weights: of each target, in the order of the channels, the weights of its foreground and of its background.
    """

    def __init__(self, weights: Mapping[str, tuple[float, float]]) -> None:
        self._weights, self._slices = weights, channel_slices(tuple(weights))
        self._sums: dict[str, RegionSums] = {}
        self._spread = torch.zeros(2, dtype=torch.float64)  # drawn, true

    def add(self, drawn: Tensor, views: ViewBatch) -> None:
        """Adds drawn images (B, V, C, H, W) float32 of views with images; samples that are not valid are left out."""
        for name, sums in target_sums(drawn, views, tuple(self._weights)).items():
            part = sums.detached()
            self._sums[name] = self._sums[name] + part if name in self._sums else part
        for number, images in enumerate(self._followed(drawn, views)):
            spread = view_spread(images)  # (B,)
            self._spread[number] += (spread if views.valid is None else spread[views.valid]).sum().cpu().double()

    def reduce(self, fabric: Fabric) -> None:
        """Adds up over processes; each then has all."""
        self._sums = {
            name: RegionSums(*(_reduced(fabric, value) for value in sums.parts()))
            for name, sums in self._added().items()
        }
        self._spread = _reduced(fabric, self._spread)

    def losses(self) -> dict[str, float]:
        """What each target adds to the weighted loss of all that was added."""
        return {name: float(sums.loss(*self._weights[name])) for name, sums in self._added().items()}

    def view_dependence(self) -> float:
        """The spread of the drawn views over that of the true ones."""
        return float(self._spread[0] / self._spread[1].clamp(min=1e-12))

    def _followed(self, drawn: Tensor, views: ViewBatch) -> tuple[Tensor, Tensor]:
        """Drawn and true images, (B, V, C, H, W) both, as far as they are to follow the pose.

        Of colour, where it is drawn; else of all targets, and what is asked on the silhouette alone counts there alone.
        """
        true, mask = images_of(views)
        if "rgb" in self._slices:
            return drawn[:, :, self._slices["rgb"]], true[:, :, self._slices["rgb"]]
        followed = drawn.clone()
        for name, part in self._slices.items():
            if not TARGETS[name].background_weight:
                followed[:, :, part] = torch.where(mask[:, :, None], drawn[:, :, part], true[:, :, part])
        return followed, true

    def _added(self) -> dict[str, RegionSums]:
        assert self._sums, "there is at least one sample to evaluate"  # noqa: S101
        return self._sums


def view_spread(images: Tensor) -> Tensor:
    """How much the views of each object differ: standard deviation over views, mean over pixels.

    Args:
        images: (B, V, C, H, W) floating.

    Returns:
        (B,) of the same dtype; 0 where there is one view.
    """
    return images.std(dim=1, correction=0).mean(dim=(1, 2, 3))


def _reduced(fabric: Fabric, values: Tensor) -> Tensor:
    """The sum over all processes, on the CPU; NCCL adds only what is on the device."""
    if fabric.world_size == 1:
        return values
    total: Tensor = fabric.all_reduce(values.to(fabric.device), reduce_op="sum")
    return total.cpu()
