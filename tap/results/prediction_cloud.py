"""A single point cloud on its way into a fine-tuned model, and what comes out: blocks of points, checks, the prediction."""

import dataclasses

import numpy as np
import torch
from torch import nn

from shards.stream import IntArray
from tap.batch import PointBatch
from tap.errors import TapError
from tap.loading.data import DataConfig
from tap.loading.points import choose_points
from tap.photos.clouds import Cloud
from tap.photos.photographer import LEAST_POINTS


@dataclasses.dataclass(frozen=True, eq=False)
class Prediction:
    """What a run says of a cloud.

    Attributes:
        classes: most likely classes and their probabilities, the likeliest first; empty of a run that predicts none.
        parts: (P,) int64, part index of each point; None of a run that predicts none.
    """

    classes: tuple[tuple[str, float], ...] = ()
    parts: IntArray | None = None


def least_points(model: nn.Module) -> int:
    """Points that a cloud must have: no token of the model's backbone may stand for none."""
    return getattr(model.get_submodule("backbone"), "num_tokens", None) or LEAST_POINTS


def check_points(cloud: Cloud, least: int, config: DataConfig) -> None:
    """Raises `TapError` where a cloud has too few points, or no normals that the config asks for."""
    if len(cloud.points) < least:
        raise TapError(f"the cloud has {len(cloud.points):,} points, this run needs at least {least:,}")
    if config.normals and cloud.normals is None:
        raise TapError("the cloud has no normals, which this run reads; give a file with normals, or the mesh")


def points_for(cloud: Cloud, config: DataConfig, seed: int) -> IntArray:
    """The points of a cloud that a class is told from, (N,) indices: chosen as in evaluation, some twice of a short cloud."""
    config = config.model_copy(update={"short_clouds": "repeat"})
    xyz = np.ascontiguousarray(cloud.points, np.float32)
    return choose_points("the cloud", xyz, config, np.random.default_rng(seed), evaluation=True)


def blocks_of(number: int, wanted: int, seed: int) -> IntArray:
    """The points of a cloud in blocks of the size that a run was trained on, each a random subset, as in training.

    Args:
        number: P points of the cloud, at least one.
        wanted: N points of a block.
        seed: of what is drawn.

    Returns:
        (ceil(P / N), N) int64 indices; each point occurs at least once, and what fills the last block repeats others.
    """
    order = np.random.default_rng(seed).permutation(number)
    num_blocks = -(-number // wanted)
    return np.resize(order, num_blocks * wanted).reshape(num_blocks, wanted)


def point_batch(cloud: Cloud, index: IntArray, config: DataConfig) -> PointBatch:
    """Some points of a cloud as a batch.

    Args:
        cloud: world frame.
        index: (B, N) indices.
        config: whether normals are read.
    """
    points = torch.from_numpy(np.ascontiguousarray(cloud.points[index], np.float32))
    if not config.normals or cloud.normals is None:
        return PointBatch(points)
    return PointBatch(points, torch.from_numpy(np.ascontiguousarray(cloud.normals[index], np.float32)))
