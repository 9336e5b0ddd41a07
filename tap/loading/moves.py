"""Augmentation on the device: whole batches of clouds are scaled, turned, shifted, jittered and thinned at once.

Points alone move, not cameras, so these are for tasks that look at no views; `tap.loading.augment` moves both. Each sample of
a batch has its own draw. Legend: B batch, N points.
"""

import dataclasses
from typing import Self

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor
from torch.nn import functional as F

from tap.errors import TapError
from tap.loading.collate import Batch

Interval = tuple[float, float]


class MovesConfig(BaseModel):
    """How far the clouds of a batch are moved; the defaults change nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scale: Interval = Field((1.0, 1.0), description="Lowest and highest scale.")
    scale_axes: bool = Field(False, description="Each axis has a scale of its own, which stretches the shape.")
    rotate_z: float = Field(0.0, ge=0, le=180, description="Largest turn about z in degrees, either way.")
    translate: float = Field(0.0, ge=0, description="Largest shift along each axis, world units, either way.")
    jitter: float = Field(0.0, ge=0, description="Standard deviation of noise on each coordinate, world units.")
    jitter_clip: float = Field(0.05, gt=0, description="Largest noise, world units, either way.")
    dropout: float = Field(
        0.0, ge=0, lt=1, description="Points are dropped, each with a chance drawn for its cloud between 0 and this."
    )

    @model_validator(mode="after")
    def _scale_in_order(self) -> Self:
        if not 0 < self.scale[0] <= self.scale[1]:
            raise ValueError(f"scale {self.scale}: it must be (lowest, highest) with 0 < lowest <= highest")
        return self


def move(batch: Batch, config: MovesConfig, seed: int) -> Batch:
    """A batch with its clouds moved: scaled, turned, shifted, jittered, thinned, in this order.

    Args:
        batch: on the device, read without views.
        config: how far.
        seed: of all that is drawn; each kind of move has a stream of its own, so that switching one off leaves the others
            as they were.

    Returns:
        The batch, with moved points, normals and parts; itself where the config changes nothing.

    Raises:
        TapError: it was read with views, whose pictures would not follow.
    """
    if config == MovesConfig():
        return batch
    if batch.images is not None:
        raise TapError("moves: the batch has views, which would not follow the points; use augment instead")
    points, normals, parts = batch.points, batch.normals, batch.parts

    def stream(number: int) -> torch.Generator:
        state = int(np.random.SeedSequence((seed, number)).generate_state(1, np.uint64)[0])
        return torch.Generator(points.device).manual_seed(state)

    if config.scale != (1.0, 1.0):
        points, normals = scale(points, normals, config.scale, config.scale_axes, stream(0))
    if config.rotate_z:
        points, normals = rotate_z(points, normals, config.rotate_z, stream(1))
    if config.translate:
        points = translate(points, config.translate, stream(2))
    if config.jitter:
        points = jitter(points, config.jitter, config.jitter_clip, stream(3))
    if config.dropout:
        kept = drop_points(points, config.dropout, stream(4))
        points = take_points(points, kept)
        normals, parts = (None if tensor is None else take_points(tensor, kept) for tensor in (normals, parts))
    return dataclasses.replace(batch, points=points, normals=normals, parts=parts)


def scale(
    points: Tensor, normals: Tensor | None, interval: Interval, axes: bool, generator: torch.Generator
) -> tuple[Tensor, Tensor | None]:
    """Clouds scaled about the origin.

    Args:
        points: (B, N, 3) floating, world frame.
        normals: (B, N, 3) unit normals, or None.
        interval: lowest and highest scale.
        axes: a scale for each axis, or one for all three.
        generator: on the device of the points.

    Returns:
        Points and normals; where the axes differ, normals tilt with the surface (by the inverse scales) and stay unit.
    """
    low, high = interval
    factors = low + (high - low) * _uniform((len(points), 1, 3), points, generator)  # (B, 1, 3)
    factors = factors if axes else factors[..., :1]
    if normals is not None and axes:
        normals = F.normalize(normals / factors, dim=-1)
    return points * factors, normals


def rotate_z(
    points: Tensor, normals: Tensor | None, degrees: float, generator: torch.Generator
) -> tuple[Tensor, Tensor | None]:
    """Clouds turned about z, each by an angle within ``degrees`` either way; see `scale` for the arguments."""
    angle = torch.deg2rad(degrees * (2 * _uniform((len(points),), points, generator) - 1))  # (B,)
    cos, sin, zero, one = angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)
    rotation = torch.stack([cos, sin, zero, -sin, cos, zero, zero, zero, one], dim=-1).view(-1, 3, 3)  # for rows
    return points @ rotation, None if normals is None else normals @ rotation


def translate(points: Tensor, reach: float, generator: torch.Generator) -> Tensor:
    """Clouds (B, N, 3) shifted along each axis by up to ``reach`` world units either way; normals stay as they are."""
    return points + reach * (2 * _uniform((len(points), 1, 3), points, generator) - 1)


def jitter(points: Tensor, deviation: float, clip: float, generator: torch.Generator) -> Tensor:
    """Clouds (B, N, 3) with Gaussian noise of ``deviation`` on each coordinate, cut off at ``clip`` world units."""
    noise = torch.randn(points.shape, generator=generator, device=points.device, dtype=points.dtype)
    return points + (deviation * noise).clamp(-clip, clip)


def drop_points(points: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Which point stands where after some were dropped, so that a cloud keeps its size.

    Args:
        points: (B, N, 3).
        share: the largest chance of a point to be dropped; that of a cloud is drawn between 0 and this.
        generator: on the device of the points.

    Returns:
        (B, N) int64 indices for `take_points`: a point's own, or 0 where it was dropped. The first one always stays.
    Source: the public code of PointNet++ (NeurIPS 2017): dropped points become copies of the first.
    """
    size, number = points.shape[:2]
    chance = share * _uniform((size, 1), points, generator)  # (B, 1)
    dropped = _uniform((size, number), points, generator) < chance
    return torch.arange(number, device=points.device).expand(size, -1).masked_fill(dropped, 0)


def take_points(values: Tensor, index: Tensor) -> Tensor:
    """What stands at (B, N) indices of (B, N) or (B, N, C) values."""
    if values.dim() == index.dim():
        return values.gather(1, index)
    return values.gather(1, index[..., None].expand(-1, -1, values.shape[-1]))


def _uniform(shape: tuple[int, ...], like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=generator, device=like.device, dtype=like.dtype)
