"""What a model may be asked to draw of each view: colour, depth, normals, silhouette; how many channels each has.

An image of the generator holds the channels of all targets of a run, one after the other in the order in which they were
named. All numbers lie in [0, 1], because a sigmoid draws them. Knows no image and no model; `tap.loading.surface` makes
depth and normals of what shards store. Departure from the paper, which draws colour alone.
"""

import dataclasses
from collections.abc import Sequence
from typing import Literal

TargetName = Literal["rgb", "depth", "normal", "mask"]
RGB_ALONE: tuple[TargetName, ...] = ("rgb",)


@dataclasses.dataclass(frozen=True)
class Target:
    """One thing that is drawn.

    Attributes:
        name: its name.
        channels: how many of an image.
        image: kind of the images in shards that hold it beside the views; None where the views themselves do.
        foreground_weight: what the run's weight for it counts on the silhouette.
        background_weight: the same around it; at 0 nothing is asked of the pixels there.
        description: what its numbers mean.
    """

    name: TargetName
    channels: int
    image: str | None
    foreground_weight: float
    background_weight: float
    description: str


_ALL = (
    Target("rgb", 3, None, 1.0, 1.0, "colour, over the stored background"),
    Target(
        "depth",
        1,
        "depth",
        1.0,
        0.0,
        "d = 1/2 + (z - z0) / 2 with z along the camera's axis and z0 that of the world's origin, world units before "
        "augmentation: 0 at the nearest point of the unit sphere, 1 at its farthest",
    ),
    Target(
        "normal", 3, "normal", 1.0, 0.0, "(n + 1) / 2 of the unit normal n in the camera's frame, facing the camera"
    ),
    Target("mask", 1, None, 1.0, 1.0, "1 on the silhouette, 0 around it"),
)
TARGETS: dict[str, Target] = {target.name: target for target in _ALL}


def num_channels(targets: Sequence[str]) -> int:
    """The channels of an image that holds these targets."""
    return sum(TARGETS[name].channels for name in targets)


def channel_slices(targets: Sequence[str]) -> dict[str, slice]:
    """Where each target lies among the channels of an image, in the order of the targets."""
    slices, start = {}, 0
    for name in targets:
        slices[name] = slice(start, start + TARGETS[name].channels)
        start += TARGETS[name].channels
    return slices


def image_kinds(targets: Sequence[str]) -> tuple[str, ...]:
    """The kinds of images that shards must hold beside the views."""
    return tuple(image for name in targets if (image := TARGETS[name].image) is not None)
