"""The picture that a model must beat: of each view, the one image that is best for all objects of the train split.

A model that has only learned what an average object looks like reaches the loss of this image; the ratio of the two losses
says how much it drew of the object itself. Legend: V views, H W pixels.
"""

import dataclasses
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from tap.batch import ViewBatch
from tap.checkpoint import load_tensors
from tap.collate import images_of
from tap.errors import TapError

POSE_TOLERANCE = 1e-4
NUMBERS = ("loss", "view_dependence")


@dataclasses.dataclass(frozen=True, eq=False)
class MeanImages:
    """The best constant image of each view.

    Attributes:
        images: (V, 3, H, W) float32.
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
        loss: theirs.
        view_dependence: theirs, since they too follow the pose: what a model that ignores the object reaches.
    """

    mean: MeanImages
    loss: float
    view_dependence: float


def same_cameras(views: ViewBatch, world_to_camera: Tensor) -> bool:
    """Whether all samples of a batch were seen by the cameras (V, 4, 4)."""
    poses = views.world_to_camera
    if poses.shape[1] != len(world_to_camera):
        return False
    return torch.allclose(poses, world_to_camera.expand_as(poses), atol=POSE_TOLERANCE)


def weighted_mean_images(
    batches: Iterable[ViewBatch], foreground_weight: float, background_weight: float
) -> MeanImages | None:
    """The image of each view that minimises the region loss over all batches.

    The loss is a weighted sum of squares, so its minimum is the weighted mean: pixels of the foreground weigh w_fg / N_fg and
    those of the background w_bg / N_bg, with N the pixels of that region over all views and objects.

    Args:
        batches: the train split, all views of each sample in one order, not augmented; samples that are not valid are
            left out.
        foreground_weight: w_fg of the loss.
        background_weight: w_bg.

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
        images, mask = all_images.double(), all_masks[:, :, None]  # (B, V, 3, H, W), (B, V, 1, H, W)
        foreground = (images * mask).sum(0)
        parts = [foreground, images.sum(0) - foreground, mask.double().sum(0), (~mask).double().sum(0)]
        sums = [total + part for total, part in zip(sums, parts, strict=True)] if sums else parts
    if pose is None:
        return None
    weights = [
        weight / count.sum().clamp(min=1.0)
        for weight, count in zip((foreground_weight, background_weight), sums[2:], strict=True)
    ]
    colour = weights[0] * sums[0] + weights[1] * sums[1]
    weight = weights[0] * sums[2] + weights[1] * sums[3]
    # A pixel that weighs nothing (a region of weight 0) may be anything; white is what the views have there.
    images = torch.where(weight > 0, colour / weight.clamp(min=1e-300), 1.0)
    return MeanImages(images.float().cpu(), pose.cpu())


def save_baseline(file: Path, baseline: Baseline | None) -> None:
    """Stores a baseline; None is stored as no tensors."""
    tensors = {}
    if baseline is not None:
        mean = baseline.mean
        tensors = {"images": mean.images.contiguous(), "world_to_camera": mean.world_to_camera.contiguous()}
        for name in NUMBERS:
            tensors[name] = torch.tensor(getattr(baseline, name), dtype=torch.float64)
    try:
        save_file(tensors, file)
    except (OSError, SafetensorError) as error:
        raise TapError(f"{file}: cannot be written: {error}; free space or change --out") from error


def load_baseline(file: Path) -> Baseline | None:
    """The reverse of `save_baseline`; `TapError` if unreadable or something else."""
    tensors = load_tensors(file)
    if not tensors:
        return None
    missing = {"images", "world_to_camera", *NUMBERS} - tensors.keys()
    if missing:
        raise TapError(f"{file}: holds no {', '.join(sorted(missing))}; delete it, it is then computed again")
    loss, view_dependence = (float(tensors[name]) for name in NUMBERS)
    return Baseline(MeanImages(tensors["images"], tensors["world_to_camera"]), loss, view_dependence)
