"""Depth and normals of views: read from shards as stored, made into targets on the device.

Depth: z lies along the camera's axis, and z0 is that of the world's origin, about which objects are normalised. The target
d = 1/2 + (z - z0) / 2 takes the unit sphere to [0, 1] under both projections and wherever the camera stands. Normals are
stored in the world's frame and drawn in the camera's: they then depend on the pose, as a view does, and a patch that faces
the camera has one and the same colour in every view. Augmentation x' = s Q x changes neither: normals turn with world and
camera alike, and depth is counted in units of the scaled world, so no scale leaves [0, 1]. So both are made with the poses
as stored. Where nothing is seen, depth is 1 (far) and the normal 1/2 (no direction); no loss looks there.
Legend: B batch, V views, H W pixels, k pixels that shrink to one along a side.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from shards.errors import ShardError
from shards.schema import Sample, image_name
from tap.errors import TapError

FloatArray = npt.NDArray[np.float32]
BEYOND = 1e-3  # how far depth may leave [0, 1]: the rounding of float32 poses
LARGEST = 65534  # steps between the nearest and the farthest stored depth


@dataclasses.dataclass(frozen=True, eq=False)
class SurfaceImages:
    """Depth and normals of one sample, as stored.

    Attributes:
        depth: (V, H, W) uint16, 0 where nothing is, or None.
        normal: (V, H, W, 3) uint8, world frame, n = value / 127.5 - 1, or None.
        depth_range: (V, 2) float32; the target is first + second * (value - 1).
        rotation: (V, 3, 3) float32, world to camera, as stored.
    """

    depth: npt.NDArray[np.uint16] | None
    normal: npt.NDArray[np.uint8] | None
    depth_range: FloatArray
    rotation: FloatArray


@dataclasses.dataclass(frozen=True, eq=False)
class SurfaceBatch:
    """Depth and normals of a batch, as stored.

    Attributes:
        depth: (B, V, H, W) int16, the bits of the stored uint16 (few devices know that), or None.
        normal: (B, V, H, W, 3) uint8, or None.
        depth_range: (B, V, 2) float32, see `SurfaceImages`.
        rotation: (B, V, 3, 3) float32.
    """

    depth: Tensor | None
    normal: Tensor | None
    depth_range: Tensor
    rotation: Tensor

    def each(self, change: Callable[[Tensor], Tensor]) -> Self:
        """The same with every tensor changed."""
        depth, normal = (None if images is None else change(images) for images in (self.depth, self.normal))
        return type(self)(depth, normal, change(self.depth_range), change(self.rotation))

    def targets(self, covered: Tensor, factor: int) -> dict[str, Tensor]:
        """What a model is to draw.

        Args:
            covered: (B V, 1, H, W) bool, the silhouettes.
            factor: k; a pixel is the mean of those of its k x k that are covered.

        Returns:
            ``depth`` (B V, 1, H/k, W/k) and ``normal`` (B V, 3, H/k, W/k) float32 in [0, 1], as far as they were read.
        """
        found = {}
        if self.depth is not None:
            steps = ((self.depth.flatten(0, 1).int() & 0xFFFF) - 1).float()[:, None]  # (B V, 1, H, W)
            start, step = self.depth_range.flatten(0, 1)[:, :, None, None, None].unbind(1)  # (B V, 1, 1, 1)
            depth, seen = _mean_of_covered(start + step * steps, covered, factor)
            found["depth"] = torch.where(seen, depth.clamp(0.0, 1.0), depth.new_ones(()))
        if self.normal is not None:
            stored = self.normal.flatten(0, 1).movedim(-1, 1).float() / 127.5 - 1.0  # (B V, 3, H, W)
            mean, seen = _mean_of_covered(stored, covered, factor)
            turned = torch.einsum("vij,vjhw->vihw", self.rotation.flatten(0, 1), mean)
            unit = F.normalize(turned, dim=1)  # normals that cancel out keep no direction
            found["normal"] = torch.where(seen, (unit + 1.0) / 2.0, unit.new_full((), 0.5))
        return found


def read_surface(sample: Sample, views: Sequence[int], poses: FloatArray, kinds: Sequence[str]) -> SurfaceImages:
    """Depth and normals of some views of a sample.

    Args:
        sample: with the view, and with the images of ``kinds``, of each of ``views``.
        views: numbers of the V views.
        poses: (V, 4, 4) float32, world to camera, as stored.
        kinds: ``depth``, ``normal`` or both.

    Raises:
        TapError: the surface lies beyond the unit sphere about the world's origin.
        ShardError: the JSON does not say what depth means, or other pixels are covered than in the view.
    """
    images: dict[str, npt.NDArray[Any]] = {}
    for kind in kinds:
        images[kind] = np.stack([sample.images[image_name(kind, view)] for view in views])
        covered = images[kind] > 0 if kind == "depth" else images[kind].any(axis=-1)
        alpha = np.stack([sample.images[image_name("view", view)][..., -1] for view in views]) > 0
        if covered.shape != alpha.shape or not np.array_equal(covered, alpha):
            raise ShardError(
                f"sample {sample.key}: its {kind} images cover other pixels than its views; render it again"
            )
    spread = np.zeros((len(views), 2))
    if "depth" in kinds:
        spread = _depth_range(sample, poses)
        _check_reach(sample.key, images["depth"], spread)
    rotation = np.ascontiguousarray(poses[:, :3, :3])
    return SurfaceImages(images.get("depth"), images.get("normal"), spread.astype(np.float32), rotation)


def collate_surfaces(surfaces: Sequence[SurfaceImages | None]) -> SurfaceBatch | None:
    """Surfaces of one shape as tensors; None where none were read."""
    found = [surface for surface in surfaces if surface is not None]
    if not found:
        return None
    depths = [surface.depth.view(np.int16) for surface in found if surface.depth is not None]
    normals = [surface.normal for surface in found if surface.normal is not None]
    return SurfaceBatch(
        depth=torch.from_numpy(np.stack(depths)) if depths else None,
        normal=torch.from_numpy(np.stack(normals)) if normals else None,
        depth_range=torch.from_numpy(np.stack([surface.depth_range for surface in found])),
        rotation=torch.from_numpy(np.stack([surface.rotation for surface in found])),
    )


def _depth_range(sample: Sample, poses: FloatArray) -> npt.NDArray[np.float64]:
    """(V, 2) first depth and step of each view, in units of the target."""
    told = sample.meta.get("depth")
    numbers = [told.get(name) for name in ("offset", "scale")] if isinstance(told, dict) else []
    if len(numbers) != 2 or not all(isinstance(value, int | float) and np.isfinite(value) for value in numbers):
        raise ShardError(f"sample {sample.key}: its JSON holds no depth.offset and depth.scale; render it again")
    offset, scale = (float(value) for value in numbers if value is not None)
    start = 0.5 + (offset - poses[:, 2, 3].astype(np.float64)) / 2.0  # (V,); the origin's z is the translation's
    return np.stack([start, np.full(len(poses), scale / 2.0)], axis=1)


def _check_reach(key: str, depth: npt.NDArray[np.uint16], spread: npt.NDArray[np.float64]) -> None:
    """Raises where a depth is outside of [0, 1]."""
    ends = spread[:, 0].min(), (spread[:, 0] + spread[:, 1] * LARGEST).max()
    if ends[0] >= -BEYOND and ends[1] <= 1.0 + BEYOND:  # of all views of the sample: most often that is the answer
        return
    for image, (start, step) in zip(depth, spread, strict=True):
        seen = image[image > 0].astype(np.float64)
        reach = np.abs(start + step * (seen - 1.0) - 0.5).max(initial=0.0)
        if reach > 0.5 + BEYOND:
            raise TapError(
                f"sample {key}: its surface lies {2 * reach:.3g} before or behind the world's origin, depth as a target "
                "reaches 1; render with --normalize sphere, or leave depth out of the targets"
            )


def _mean_of_covered(values: Tensor, covered: Tensor, factor: int) -> tuple[Tensor, Tensor]:
    """Means (M, C, H/k, W/k) over the covered pixels of each k x k, and (M, 1, H/k, W/k) bool where there is one."""
    if factor == 1:
        return values, covered
    share = F.avg_pool2d(covered.float(), factor)
    total = F.avg_pool2d(torch.where(covered, values, values.new_zeros(())), factor)
    return total / share.clamp(min=0.5 / factor**2), share > 0
