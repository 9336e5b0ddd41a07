"""What moves between loader, backbone, photograph module and loss: four frozen records of tensors.

They name shapes once and refuse wrong ones at construction, where the message can still say which tensor it was. No
computation lives here. Legend: B batch, V views, N points, G tokens, C channels, F point features, H W pixels.
"""

import dataclasses
from typing import Any, Self

import torch
from torch import Tensor

from tap.errors import TapError

Device = torch.device | str


class _Movable:
    """Moves every tensor of a record, one level of nested records included."""

    def to(self, device: Device) -> Self:
        """The same record with all tensors on ``device``; records already there share their tensors."""
        names = [field.name for field in dataclasses.fields(self)]  # type: ignore[arg-type]
        return type(self)(**{name: _moved(getattr(self, name), device) for name in names})


@dataclasses.dataclass(frozen=True, eq=False)
class PointBatch(_Movable):
    """A batch of point clouds, padded to one length.

    Attributes:
        points: (B, N, 3) float32, world frame.
        features: (B, N, F) floating, or None.
        mask: (B, N) bool, true at real points, or None where every point is real.
    """

    points: Tensor
    features: Tensor | None = None
    mask: Tensor | None = None

    def __post_init__(self) -> None:
        _check("PointBatch.points", self.points, (None, None, 3), torch.float32)
        batch, num_points = self.points.shape[:2]
        _check("PointBatch.features", self.features, (batch, num_points, None))
        _check("PointBatch.mask", self.mask, (batch, num_points), torch.bool)


@dataclasses.dataclass(frozen=True, eq=False)
class Level(_Movable):
    """One resolution of a backbone, for tasks that predict at every point.

    Attributes:
        points: (B, N_i, 3) float32, world frame.
        features: (B, N_i, C_i) floating, or None at an input level without features.
    """

    points: Tensor
    features: Tensor | None = None

    def __post_init__(self) -> None:
        _check("Level.points", self.points, (None, None, 3))
        _check("Level.features", self.features, (*self.points.shape[:2], None))


@dataclasses.dataclass(frozen=True, eq=False)
class Encoded(_Movable):
    """What a backbone makes of a `PointBatch`.

    Attributes:
        tokens: (B, G, C) floating.
        centers: (B, G, 3) float32, world frame, where each token sits.
        token_mask: (B, G) bool, true at real tokens, or None where every token is real.
        class_token: (B, C) floating, or None for a backbone without one.
        levels: finest first, the tokens last.
    """

    tokens: Tensor
    centers: Tensor
    token_mask: Tensor | None = None
    class_token: Tensor | None = None
    levels: tuple[Level, ...] = ()

    def __post_init__(self) -> None:
        _check("Encoded.tokens", self.tokens, (None, None, None))
        batch, num_tokens, channels = self.tokens.shape
        _check("Encoded.centers", self.centers, (batch, num_tokens, 3))
        _check("Encoded.token_mask", self.token_mask, (batch, num_tokens), torch.bool)
        _check("Encoded.class_token", self.class_token, (batch, channels))


@dataclasses.dataclass(frozen=True, eq=False)
class ViewBatch(_Movable):
    """The cameras of a batch and, where they are known, the pictures these cameras took.

    Attributes:
        world_to_camera: (B, V, 4, 4) float32.
        intrinsics: (B, V, 3, 3) float32, pixels.
        parallel: (B,) bool, true for parallel projection.
        images: (B, V, C, H, W) floating in [0, 1], C the channels of all that is drawn (3 of colour alone), or None.
        mask: (B, V, H, W) bool, true on the object's silhouette, or None.
        valid: (B,) bool, false at samples that only fill up the batch, or None where all count.
    """

    world_to_camera: Tensor
    intrinsics: Tensor
    parallel: Tensor
    images: Tensor | None = None
    mask: Tensor | None = None
    valid: Tensor | None = None

    def __post_init__(self) -> None:
        _check("ViewBatch.world_to_camera", self.world_to_camera, (None, None, 4, 4), torch.float32)
        batch, num_views = self.world_to_camera.shape[:2]
        _check("ViewBatch.intrinsics", self.intrinsics, (batch, num_views, 3, 3), torch.float32)
        _check("ViewBatch.parallel", self.parallel, (batch,), torch.bool)
        _check("ViewBatch.images", self.images, (batch, num_views, None, None, None))
        height, width = (None, None) if self.images is None else self.images.shape[-2:]
        _check("ViewBatch.mask", self.mask, (batch, num_views, height, width), torch.bool)
        _check("ViewBatch.valid", self.valid, (batch,), torch.bool)


def _moved(value: Any, device: Device) -> Any:
    if isinstance(value, Tensor):
        # A copy to the CPU that does not wait could be read before it has arrived.
        return value.to(device, non_blocking=torch.device(device).type != "cpu")
    if isinstance(value, tuple):
        return tuple(_moved(item, device) for item in value)
    return value.to(device) if isinstance(value, _Movable) else value


def _check(name: str, value: Tensor | None, shape: tuple[int | None, ...], dtype: torch.dtype | None = None) -> None:
    """Raise TapError where the tensor is not of ``shape`` (None allows any length) and ``dtype`` (None: floating)."""
    if value is None:
        return
    fits = value.dim() == len(shape) and all(
        want is None or want == got for want, got in zip(shape, value.shape, strict=True)
    )
    if not fits:
        wanted = ", ".join("any" if length is None else str(length) for length in shape)
        raise TapError(f"{name}: got shape {tuple(value.shape)}, it must be ({wanted})")
    if value.dtype != dtype if dtype is not None else not value.is_floating_point():
        raise TapError(f"{name}: got {value.dtype}, it must be {dtype or 'floating point'}")
