"""Query generator: each cell of a view's feature map asks with its own optical line.

The line comes from the camera that took the picture, through `render.camera`, so it meets the very surface that the
cell shows, for any rig and both projections. Legend: B batch, V views, C channels, h w cells.
"""

import torch
from torch import Tensor, nn

from render.camera import cell_centers, nearest_to_origin, pixel_rays
from tap.batch import ViewBatch
from tap.encoding import FourierEncoding

PARTS = ("origin", "direction", "position")
_WIDTHS = {"origin": 3, "direction": 3, "position": 2}


class QueryGenerator(nn.Module):
    """Queries of all cells of all views from their cameras.

    Args:
        channels: C.
        cells: h = w, cells along a side of the image.
        image_size: side in pixels of the images that the intrinsics belong to.
        octaves: Fourier octaves of the line's numbers; 0 feeds them as they are, as the paper does.
        parts: which of `PARTS` a query is made of.
    Source: Take-A-Photo, section 3.3, equations 3 to 6. The origin of a line is its point nearest to the world origin,
        which is the paper's whenever the pose is a rotation and the projection parallel. The hidden layer of the MLP
        has C units; the authors' has as many as inputs, 8, which leaves a query of 256 channels little to say. Two
        more differences that no preset follows: their positions are linspace(0, 1, 7), ours the cells' centers,
        (i + 1/2) / 7; they take the direction from the third column of R, ours is that of the true line, R^-1's.
    """

    def __init__(self, channels: int, cells: int, image_size: int, octaves: int, parts: tuple[str, ...]) -> None:
        super().__init__()
        self.image_size = image_size
        self.parts = parts
        self.encoding = FourierEncoding(octaves)
        width = self.encoding.width(sum(_WIDTHS[part] for part in parts))
        self.mlp = nn.Sequential(nn.Linear(width, channels), nn.GELU(), nn.Linear(channels, channels))
        self.register_buffer("pixels", torch.from_numpy(cell_centers(image_size, cells)), persistent=False)
        self.pixels: Tensor

    def forward(self, views: ViewBatch) -> Tensor:
        """Queries, row by row of cells: (B V, h w, C)."""
        with torch.autocast(self.pixels.device.type, enabled=False):  # poses need all their digits
            encoded = self.encoding(self.lines(views).flatten(0, 1))  # (B V, h w, width)
        queries: Tensor = self.mlp(encoded)
        return queries

    def lines(self, views: ViewBatch) -> Tensor:
        """The numbers that stand for each cell's optical line.

        Args:
            views: cameras; images and mask are not read.

        Returns:
            (B, V, h w, D) float32, of the chosen parts in this order: origin (3, world), unit direction (3, world),
            cell center over image side as (u, v) (2, in [0, 1]).
        """
        parallel = views.parallel[:, None, None]  # (B, 1, 1), broadcasts over views and cells
        start, direction = pixel_rays(self.pixels, views.world_to_camera, views.intrinsics, parallel)
        position = (self.pixels / self.image_size).expand(*start.shape[:2], -1, -1)  # (B, V, h w, 2)
        every = {"origin": nearest_to_origin(start, direction), "direction": direction, "position": position}
        return torch.cat([every[part] for part in self.parts], dim=-1)  # (B, V, h w, D)
