"""Which points of a stored cloud a sample is made of: a random subset, or one that spreads over the shape.

Source: Point-BERT (CVPR 2022), whose public code takes farthest points for evaluation and a random subset of somewhat more
farthest points for training. Legend: P stored points, N points of a sample.
"""

from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from render.farthest import farthest_subset
from tap.errors import TapError

if TYPE_CHECKING:
    from tap.loading.data import DataConfig

EvaluationPoints = Literal["random", "farthest"]
TrainingPoints = Literal["random", "farthest_random"]
ShortClouds = Literal["raise", "repeat"]

POOLS = {1024: 1200, 2048: 2400, 4096: 4800, 8192: 8192}
"""Farthest points that a training sample is drawn from, for each number of points, as published; else 75 for 64."""


def choose_points(
    where: str, xyz: npt.NDArray[np.float32], config: "DataConfig", rng: np.random.Generator, evaluation: bool
) -> npt.NDArray[np.int64]:
    """The points of a sample.

    Args:
        where: the sample, for messages.
        xyz: (P, 3) float32, finite.
        config: how many, and how they are chosen.
        rng: the source of all randomness.
        evaluation: whether the sample is judged rather than trained on.

    Returns:
        (N,) int64 indices, each at most once where P >= N; else every point once and random ones again.

    Raises:
        TapError: fewer than N points where that is an error.
    """
    stored, wanted = len(xyz), config.num_points
    if stored < wanted:
        if config.short_clouds == "raise" or stored == 0:
            raise TapError(
                f"{where} stores {stored} points, data.num_points asks for {wanted}; lower it, render more, "
                "or set data.short_clouds=repeat"
            )
        again = rng.choice(stored, wanted - stored)
        return np.concatenate([np.arange(stored), again]).astype(np.int64)
    if evaluation and config.eval_points == "farthest":
        return farthest_subset(xyz, wanted)
    if not evaluation and config.train_points == "farthest_random":
        shuffled = rng.permutation(stored)  # farthest points begin with the first, which should not always be the same
        pool = max(wanted, min(stored, POOLS.get(wanted, wanted * 75 // 64)))
        spread = shuffled[farthest_subset(xyz[shuffled], pool)]
        return spread[rng.choice(pool, wanted, replace=False)]
    # Stored points are independent samples of the surface, so a random subset is a fair sample of it too.
    return rng.choice(stored, wanted, replace=False)
