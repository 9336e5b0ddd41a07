"""The picture that a model must beat: of each view, the one image that is best for all objects of the train split.

A model that has only learned what an average object looks like reaches the loss of this image; the ratio of the two losses
says how much it drew of the object itself. An image here has the channels of all targets of the run. Legend: V views,
C channels, H W pixels.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from tap.batch import ViewBatch
from tap.errors import TapError
from tap.loading.collate import images_of
from tap.targets import RGB_ALONE, TARGETS
from tap.training.checkpoint import load_tensors

POSE_TOLERANCE = 1e-4
NUMBERS = ("loss", "view_dependence")
SHARE = "_loss"  # of one target


@dataclasses.dataclass(frozen=True, eq=False)
class MeanImages:
    """The best constant image of each view.

    Attributes:
        images: (V, C, H, W) float32.
        world_to_camera: (V, 4, 4) float32, the cameras of these views.
    """

    images: Tensor
    world_to_camera: Tensor

    def fits(self, views: ViewBatch) -> bool:
        """Whether all samples were seen by these cameras."""
        return same_cameras(views, self.world_to_camera)


@dataclasses.dataclass(frozen=True, eq=False)
class Baseline:
    """Mean images, and what they reach on the samples that are evaluated.

    Attributes:
        mean: the images.
        losses: of each target, what it adds to their loss.
        view_dependence: theirs, since they too follow the pose: what a model that ignores the object reaches.
    """

    mean: MeanImages
    losses: Mapping[str, float]
    view_dependence: float

    @property
    def loss(self) -> float:
        """Theirs, all targets together."""
        return sum(self.losses.values())


def same_cameras(views: ViewBatch, world_to_camera: Tensor) -> bool:
    """Whether all samples of a batch were seen by the cameras (V, 4, 4)."""
    poses = views.world_to_camera
    if poses.shape[1] != len(world_to_camera):
        return False
    return torch.allclose(poses, world_to_camera.expand_as(poses), atol=POSE_TOLERANCE)


def weighted_mean_images(batches: Iterable[ViewBatch], weights: Mapping[str, tuple[float, float]]) -> MeanImages | None:
    """The image of each view that minimises the loss of all targets over all batches.

    The loss is a weighted sum of squares, so its minimum is the weighted mean: pixels of the foreground weigh w_fg / N_fg and
    those of the background w_bg / N_bg, with N the pixels of that region over all views and objects.

    Args:
        batches: the train split, all views of each sample in one order, not augmented; samples that are not valid are
            left out.
        weights: w_fg and w_bg of each target, in the order of the channels.

    Returns:
        The images on the CPU; None where the cameras differ from sample to sample, so that no view has a mean.
    """
    sums: list[Tensor] = []
    pose: Tensor | None = None
    for views in batches:
        all_images, all_masks = images_of(views)
        pose = views.world_to_camera[0] if pose is None else pose
        if not same_cameras(views, pose):
            return None
        if views.valid is not None:
            all_images, all_masks = all_images[views.valid], all_masks[views.valid]
        images, mask = all_images.double(), all_masks[:, :, None]  # (B, V, C, H, W), (B, V, 1, H, W)
        foreground = (images * mask).sum(0)
        parts = [foreground, images.sum(0) - foreground, mask.double().sum(0), (~mask).double().sum(0)]
        sums = [total + part for total, part in zip(sums, parts, strict=True)] if sums else parts
    if pose is None:
        return None
    regions = [
        _by_channel([pair[number] for pair in weights.values()], weights, sums[0])
        / sums[2 + number].sum().clamp(min=1.0)
        for number in (0, 1)
    ]  # (C, 1, 1) each
    total = regions[0] * sums[0] + regions[1] * sums[1]
    weight = regions[0] * sums[2] + regions[1] * sums[3]
    # A pixel that weighs nothing (a region of weight 0) may be anything; white is what the views have there.
    images = torch.where(weight > 0, total / weight.clamp(min=1e-300), 1.0)
    return MeanImages(images.float().cpu(), pose.cpu())


def save_baseline(file: Path, baseline: Baseline | None) -> None:
    """Stores a baseline; None is stored as no tensors."""
    tensors = {}
    if baseline is not None:
        mean = baseline.mean
        tensors = {"images": mean.images.contiguous(), "world_to_camera": mean.world_to_camera.contiguous()}
        numbers = {name: getattr(baseline, name) for name in NUMBERS}
        if tuple(baseline.losses) != RGB_ALONE:
            numbers |= {f"{name}{SHARE}": value for name, value in baseline.losses.items()}
        tensors |= {name: torch.tensor(value, dtype=torch.float64) for name, value in numbers.items()}
    try:
        save_file(tensors, file)
    except (OSError, SafetensorError) as error:
        raise TapError(f"{file}: cannot be written: {error}; free space or change --out") from error


def load_baseline(file: Path, targets: tuple[str, ...]) -> Baseline | None:
    """The reverse of `save_baseline` for a run of these targets; `TapError` if unreadable or something else."""
    tensors = load_tensors(file)
    if not tensors:
        return None
    shares = set() if targets == RGB_ALONE else {f"{name}{SHARE}" for name in targets}
    missing = {"images", "world_to_camera", *NUMBERS, *shares} - tensors.keys()
    if missing:
        raise TapError(f"{file}: holds no {', '.join(sorted(missing))}; delete it, it is then computed again")
    loss, view_dependence = (float(tensors[name]) for name in NUMBERS)
    losses = {name: float(tensors[f"{name}{SHARE}"]) for name in targets} if targets != RGB_ALONE else {"rgb": loss}
    return Baseline(MeanImages(tensors["images"], tensors["world_to_camera"]), losses, view_dependence)


def _by_channel(numbers: Sequence[float], targets: Iterable[str], like: Tensor) -> Tensor:
    """A number of each target, repeated for its channels: (C, 1, 1) of the kind of ``like``."""
    channels = [number for number, name in zip(numbers, targets, strict=True) for _ in range(TARGETS[name].channels)]
    return like.new_tensor(channels)[:, None, None]
