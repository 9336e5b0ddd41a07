"""Query generator: each cell of a view's feature map asks with its own optical line.

The line comes from the camera that took the picture, through `render.camera`, so it meets the very surface that the
cell shows, for any rig and both projections. Legend: B batch, V views, C channels, h w cells.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from render.camera import cell_centers, nearest_to_origin, pixel_rays
from tap.batch import ViewBatch
from tap.network.encoding import FourierEncoding

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
        hidden: width of the MLP's hidden layer; None for C. The authors' has as many units as inputs, 8, which leaves
            a query of 256 channels little to say.
        authors_lines: direction and position as in the authors' code, for their checkpoints; see `lines`.
    Source: Take-A-Photo, section 3.3, equations 3 to 6. The origin of a line is its point nearest to the world origin,
        which is the paper's whenever the pose is a rotation and the projection parallel.
    """

    def __init__(
        self,
        channels: int,
        cells: int,
        image_size: int,
        octaves: int,
        parts: tuple[str, ...],
        hidden: int | None = None,
        authors_lines: bool = False,
    ) -> None:
        super().__init__()
        self.image_size = image_size
        self.parts = parts
        self.authors_lines = authors_lines
        self.encoding = FourierEncoding(octaves)
        width, hidden = self.encoding.width(sum(_WIDTHS[part] for part in parts)), hidden or channels
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, channels))
        self.register_buffer("pixels", torch.from_numpy(cell_centers(image_size, cells)), persistent=False)
        self.pixels: Tensor
        positions = _authors_positions(cells) if authors_lines else self.pixels / image_size
        self.register_buffer("positions", positions, persistent=False)
        self.positions: Tensor

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
            cell center over image side as (u, v) (2, in [0, 1]). With ``authors_lines`` the direction is the third
            column of the authors' R (`authors_views` says which R a camera of ours has), where that of the true line is
            R's third row, and the position is (row, column) on linspace(0, 1, cells).
        """
        parallel = views.parallel[:, None, None]  # (B, 1, 1), broadcasts over views and cells
        start, direction = pixel_rays(self.pixels, views.world_to_camera, views.intrinsics, parallel)
        position = self.positions.expand(*start.shape[:2], -1, -1)  # (B, V, h w, 2)
        origin = nearest_to_origin(start, direction)
        if self.authors_lines:
            direction = _authors_direction(views.world_to_camera)[:, :, None].expand_as(start)
        every = {"origin": origin, "direction": direction, "position": position}
        return torch.cat([every[part] for part in self.parts], dim=-1)  # (B, V, h w, D)


class LearnedQueries(nn.Module):
    """Queries of all cells of all views by an MLP from the pose alone: what the optical lines are compared with.

    Of a camera only the rotation enters, the nine numbers of world_to_camera's upper left 3 x 3 block (augmentation's
    scale with it). Where the camera stands, its lens and its projection do not, so cameras of one rig that differ in
    these alone get the same queries.

    Args:
        channels: C.
        cells: h = w, cells along a side of the image.
        octaves: Fourier octaves of the nine numbers.
        hidden: width of the MLP's hidden layer; None for C.
    Source: Take-A-Photo, section 4.4, model E of table 6 (b). The paper says neither the depth nor the widths.
    """

    def __init__(self, channels: int, cells: int, octaves: int, hidden: int | None = None) -> None:
        super().__init__()
        self.channels = channels
        self.encoding = FourierEncoding(octaves)
        hidden = hidden or channels
        self.mlp = nn.Sequential(
            nn.Linear(self.encoding.width(9), hidden), nn.GELU(), nn.Linear(hidden, cells * cells * channels)
        )

    def forward(self, views: ViewBatch) -> Tensor:
        """Queries, row by row of cells: (B V, h w, C)."""
        with torch.autocast(views.world_to_camera.device.type, enabled=False):  # poses need all their digits
            encoded = self.encoding(flat_rotation(views))  # (B V, width)
        queries: Tensor = self.mlp(encoded).unflatten(-1, (-1, self.channels))  # (B V, h w, C)
        return queries


def flat_rotation(views: ViewBatch) -> Tensor:
    """The nine numbers of each pose's rotation, row by row: (B V, 9) float32."""
    return views.world_to_camera[:, :, :3, :3].flatten(0, 1).flatten(1)


def authors_views(rotation: Tensor, scale: Tensor, bias: Tensor) -> ViewBatch:
    """The cameras whose optical lines are those of the authors' query generator.

    In their code (x', y', z') = R p, and the cell in row i and column j of the feature map has its line through
    x' = scale 32 (i + 1/2) + bias_x and y' = scale 32 (j + 1/2) + bias_y: rows go along x', columns along y'. In ours a
    row goes along the camera's y and a column along its x, so the camera has the rows R_2, R_1 and, to stay
    right-handed, -R_3, stands at the world's origin, and has parallel projection with 1 / scale pixels a unit.

    Args:
        rotation: (B, V, 3, 3) float32, their R.
        scale: (B, V) float32, world units a pixel.
        bias: (B, V, 2) float32, (x', y') of the image's corner, world units.

    Returns:
        ViewBatch of parallel cameras.
    """
    poses = torch.eye(4, dtype=rotation.dtype, device=rotation.device).repeat(*rotation.shape[:2], 1, 1)
    poses[..., :3, :3] = _rows_swapped(rotation)
    lenses = torch.eye(3, dtype=rotation.dtype, device=rotation.device).repeat(*rotation.shape[:2], 1, 1)
    lenses[..., [0, 1], [0, 1]] = 1 / scale[..., None]
    lenses[..., :2, 2] = -bias.flip(-1) / scale[..., None]
    return ViewBatch(poses, lenses, torch.ones(len(rotation), dtype=torch.bool, device=rotation.device))


def _authors_direction(world_to_camera: Tensor) -> Tensor:
    """The third column of the authors' R for each camera, unit length: (B, V, 3)."""
    return F.normalize(_rows_swapped(world_to_camera[..., :3, :3])[..., 2], dim=-1)


def _rows_swapped(matrix: Tensor) -> Tensor:
    """(..., 3, 3) with first and second row exchanged and the third negated: from their axes to ours and back."""
    return torch.stack([matrix[..., 1, :], matrix[..., 0, :], -matrix[..., 2, :]], dim=-2)


def _authors_positions(cells: int) -> Tensor:
    """(h w, 2) float32: row and column of each cell, from 0 at the first to 1 at the last."""
    along = torch.linspace(0, 1, cells)
    return torch.stack(torch.meshgrid(along, along, indexing="ij"), dim=-1).flatten(0, 1)
