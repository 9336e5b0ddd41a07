"""Samples on their way from the loader to the device: one item, a batch of them, and the change to what a model takes.

Pictures travel as the stored bytes and become floats on the device. Legend: B batch, V views, N points, H W pixels.
"""

import dataclasses
import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import get_worker_info

from tap.batch import PointBatch, ViewBatch
from tap.errors import TapError
from tap.loading.buffers import Buffers, Lent
from tap.loading.surface import SurfaceBatch, SurfaceImages, collate_surfaces
from tap.targets import RGB_ALONE

FloatArray = npt.NDArray[np.float32]
LENT = Lent()
"""Shared memory that this process has received from its loaders."""


@dataclasses.dataclass(frozen=True)
class Item:
    """One sample as it is trained on.

    Attributes:
        points: (N, 3) float32, world frame.
        world_to_camera: (V, 4, 4) float32.
        intrinsics: (V, 3, 3) float32, pixels of the stored image.
        parallel: whether the projection is parallel.
        images: V of (H, W, 2 or 4) uint8, grey or colour, and alpha; None where no view was asked for.
        label: class index, -1 where the sample has none.
        index: place in the reader.
        valid: false where it only fills up a batch.
        key: the sample's key, for messages.
        problem: what was wrong with the damaged sample that it stands in for; empty where it is itself.
        surface: depth and normals of the views, None where they were not asked for.
        normals: (N, 3) float32 unit normals of the points, world frame, or None.
        parts: (N,) int64 part label of each point, or None.
    """

    points: FloatArray
    world_to_camera: FloatArray
    intrinsics: FloatArray
    parallel: bool
    images: tuple[npt.NDArray[np.uint8], ...] | None
    label: int
    index: int
    valid: bool
    key: str
    problem: str = ""
    surface: SurfaceImages | None = None
    normals: FloatArray | None = None
    parts: npt.NDArray[np.int64] | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Batch:
    """A batch as it leaves the loader.

    Attributes:
        points: (B, N, 3) float32, world frame.
        world_to_camera: (B, V, 4, 4) float32.
        intrinsics: (B, V, 3, 3) float32, pixels of the stored image.
        parallel: (B,) bool.
        images: (B, V, H, W, 2 or 4) uint8 as stored, or None.
        labels: (B,) int64, -1 where there is none.
        index: (B,) int64, place in the reader.
        valid: (B,) bool, false at samples that only fill up the batch. Losses and metrics leave them out; batch norm in
            training does not, so they weigh in its means (as the copies that they are of other samples of the batch).
        problems: what was wrong with damaged samples that others stand in for, one line each.
        mark: of the block of shared memory that the images lie in, see `tap.loading.buffers`; None where they lie
            elsewhere. Images that are sent to a further process without their batch have to be cloned.
        surface: depth and normals of the views, or None.
        normals: (B, N, 3) float32 unit normals of the points, world frame, or None.
        parts: (B, N) int64 part label of each point, or None.
    """

    points: Tensor
    world_to_camera: Tensor
    intrinsics: Tensor
    parallel: Tensor
    images: Tensor | None
    labels: Tensor
    index: Tensor
    valid: Tensor
    problems: tuple[str, ...] = ()
    mark: Tensor | None = None
    surface: SurfaceBatch | None = None
    normals: Tensor | None = None
    parts: Tensor | None = None

    def __getstate__(self) -> dict[str, Any]:
        """A block of shared memory goes from the loader's process to this one and no further: nobody else is waited for."""
        if self.images is None or self.mark is None or get_worker_info() is not None:
            return self.__dict__
        return {**self.__dict__, "images": self.images.clone(), "mark": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Unpickled is what comes from a loader's process, copied or sent on what lies in no block."""
        self.__dict__.update(state)
        if self.images is not None and get_worker_info() is None:
            LENT.receive(self.images, self.mark)

    def to(self, device: torch.device | str) -> Self:
        """The batch on a device."""
        # Only CUDA has read shared memory by the time it returns; others might find it written over.
        apart = torch.device(device).type == "cuda"
        return self._each(lambda tensor: tensor.to(device, non_blocking=apart))

    def pin_memory(self) -> Self:
        """The batch in page-locked memory; the loader calls this by name."""
        return self._each(lambda tensor: tensor.pin_memory())

    def point_batch(self) -> PointBatch:
        """The clouds, with their normals as features where they were read."""
        return PointBatch(self.points, self.normals)

    def view_batch(self, image_size: int, targets: Sequence[str] = RGB_ALONE) -> ViewBatch:
        """The cameras, and the pictures as floats of ``image_size``.

        Args:
            image_size: divides the stored size k times; colour is then the mean of k x k pixels, a pixel is foreground if
                any of them is, and the intrinsics shrink with it.
            targets: what the images hold, see `tap.targets`.

        Returns:
            ViewBatch: images (B, V, C, H, W) float32 in [0, 1], C the channels of all targets in their order; colour has
            three equal channels where grey was stored.

        Raises:
            TapError: the batch was read without views or without a target's images, or the stored size is no multiple.
        """
        if self.images is None:
            raise TapError("this batch was read without views")
        batch, views, height, _, channels = self.images.shape
        factor = shrink_factor(height, image_size)
        pixels = self.images.flatten(0, 1).movedim(-1, 1)  # (B V, 2 or 4, H, W)
        colour, covered = pixels[:, : channels - 1].float() / 255.0, pixels[:, channels - 1 :] > 0
        known = {} if self.surface is None else self.surface.targets(covered, factor)
        if factor > 1:
            colour = F.avg_pool2d(colour, factor)
            covered = F.max_pool2d(covered.float(), factor) > 0
        known["rgb"] = colour.expand(-1, 3, -1, -1)
        if "mask" in targets:
            known["mask"] = covered.float()
        lacking = [name for name in targets if name not in known]
        if lacking:
            raise TapError(f"this batch was read without {' and '.join(lacking)} images")
        drawn = torch.cat([known[name] for name in targets], dim=1) if len(targets) > 1 else known[targets[0]]
        scale = self.intrinsics.new_tensor([1.0 / factor, 1.0 / factor, 1.0])[:, None]
        return ViewBatch(
            world_to_camera=self.world_to_camera,
            intrinsics=self.intrinsics * scale,
            parallel=self.parallel,
            images=drawn.reshape(batch, views, -1, image_size, image_size),  # (B, V, C, H, W)
            mask=covered[:, 0].reshape(batch, views, image_size, image_size),  # (B, V, H, W)
            valid=self.valid,
        )

    def _each(self, change: Callable[[Tensor], Tensor]) -> Self:
        values: dict[str, Any] = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        tensors = {name: change(value) for name, value in values.items() if isinstance(value, Tensor)}
        surface = None if self.surface is None else self.surface.each(change)
        return type(self)(**(values | tensors | {"mark": None, "surface": surface}))


def collate(items: Sequence[Item]) -> Batch:
    """Items of one shape as a batch of tensors.

    Raises:
        TapError: the samples differ in the number of views or the image size; both are named.
    """
    images, mark = _stacked_images(items)
    return Batch(
        points=torch.from_numpy(np.stack([item.points for item in items])),
        world_to_camera=torch.from_numpy(np.stack([item.world_to_camera for item in items])),
        intrinsics=torch.from_numpy(np.stack([item.intrinsics for item in items])),
        parallel=torch.tensor([item.parallel for item in items]),
        images=images,
        labels=torch.tensor([item.label for item in items]),
        index=torch.tensor([item.index for item in items]),
        valid=torch.tensor([item.valid for item in items]),
        problems=tuple(item.problem for item in items if item.problem),
        mark=mark,
        surface=collate_surfaces([item.surface for item in items]),
        normals=_stacked([item.normals for item in items]),
        parts=_stacked([item.parts for item in items]),
    )


def images_of(views: ViewBatch) -> tuple[Tensor, Tensor]:
    """The images (B, V, C, H, W) and masks (B, V, H, W) of views that must have them; `TapError` if they have not."""
    if views.images is None or views.mask is None:
        raise TapError("these views come without images; pre-training needs shards with rendered views")
    return views.images, views.mask


def shrink_factor(stored: int, wanted: int) -> int:
    """How many stored pixels make one wanted pixel along a side; `TapError` if that is no whole number."""
    if wanted > stored or stored % wanted:
        raise TapError(
            f"the stored views are {stored} px, the model draws {wanted} px, which must divide the stored size; "
            f"set model.image_size to {stored} or its half, or render at a multiple of {wanted} px"
        )
    return stored // wanted


def _stacked_images(items: Sequence[Item]) -> tuple[Tensor | None, Tensor | None]:
    """The pictures of all items, (B, V, H, W, C) uint8, grey ones in colour where others are; and the mark of their block."""
    first = items[0].images
    if first is None:
        return None, None
    channels = 0
    for item in items:
        images = item.images or ()
        if len(images) != len(first) or any(image.shape[:2] != first[0].shape[:2] for image in images):
            raise TapError(
                f"samples {items[0].key} and {item.key} hold {_told(first)} and {_told(images)}; one set needs one rig and "
                "one image size"
            )
        channels = max(channels, *(image.shape[-1] for image in images))
    batch, mark = _room((len(items), len(first), *first[0].shape[:2], channels))
    pixels = batch.numpy()
    for place, item in enumerate(items):
        for view, image in enumerate(item.images or ()):
            if image.shape[-1] == channels:
                pixels[place, view] = image
            else:
                pixels[place, view, ..., :-1], pixels[place, view, ..., -1] = image[..., :1], image[..., -1]
    return batch, mark


def _stacked(arrays: Sequence[npt.NDArray[Any] | None]) -> Tensor | None:
    found = [array for array in arrays if array is not None]
    return torch.from_numpy(np.stack(found)) if len(found) == len(arrays) else None


def _told(images: Sequence[npt.NDArray[np.uint8]]) -> str:
    return f"{len(images)} views of {images[0].shape[0] if images else 0} px"


def _room(shape: tuple[int, ...]) -> tuple[Tensor, Tensor | None]:
    """An uninitialised uint8 tensor: in a loader's process in shared memory, where the training process will look for it."""
    if get_worker_info() is None:
        return torch.empty(shape, dtype=torch.uint8), None
    return _buffers(os.getpid()).take(shape)


@lru_cache(maxsize=1)
def _buffers(process_id: int) -> Buffers:
    """Those of this process; a forked one makes its own."""
    return Buffers()
