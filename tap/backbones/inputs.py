"""What a convolutional backbone reads of each point: its place, and maybe its height or normal.

Legend: B batch, N points, C channels.
"""

from typing import Literal

import torch
from torch import Tensor

from tap.batch import PointBatch
from tap.errors import TapError

Inputs = Literal["xyz", "xyz_height", "xyz_normal"]
WIDTHS: dict[Inputs, int] = {"xyz": 3, "xyz_height": 4, "xyz_normal": 6}


def point_inputs(batch: PointBatch, inputs: Inputs) -> Tensor:
    """The numbers of each point that a backbone's first layer reads.

    Args:
        batch: clouds; for ``xyz_normal`` their features are unit normals (B, N, 3).
        inputs: ``xyz`` places; ``xyz_height`` also the height above the cloud's lowest real point, +z being up, as the
            authors' code; ``xyz_normal`` also the normals.

    Returns:
        (B, N, C) float32, C as `WIDTHS` says.

    Raises:
        TapError: normals are wanted and the batch has none.
    """
    points = batch.points
    if inputs == "xyz":
        return points
    if inputs == "xyz_height":
        height = points[..., 2:]
        real = height if batch.mask is None else height.masked_fill(~batch.mask[..., None], torch.inf)
        lowest = real.amin(1, keepdim=True)  # (B, 1, 1), infinite for a cloud without a real point
        return torch.cat([points, height - lowest.nan_to_num(posinf=0.0)], dim=-1)  # (B, N, 4)
    if batch.features is None or batch.features.shape[-1] != 3:
        found = "no features" if batch.features is None else f"features of {batch.features.shape[-1]} channels"
        raise TapError(f"inputs xyz_normal: the clouds come with {found}; give unit normals, or choose other inputs")
    return torch.cat([points, batch.features.to(points.dtype)], dim=-1)  # (B, N, 6)
