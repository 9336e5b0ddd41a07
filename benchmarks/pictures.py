"""The pictures of the README, drawn anew: `python benchmarks/pictures.py` writes benchmarks/results/{gallery,rig}.png.

Only our own parametric shapes are shown. Their connected pieces serve as parts, and colours are laid on by part.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from cli.rigs_command import draw_rig
from render import Mesh, RenderConfig, render_mesh
from render.appearance import Appearance, Material
from render.shading.shade_config import Light, ShadeConfig
from render.shapes.families import make_shape

RESULTS = Path(__file__).resolve().parent / "results"
SIZE, GAP, HEAD = 200, 14, 34
OBJECTS = (("chair", 1), ("airplane", 5), ("lamp", 2), ("car", 1))
LOOKS = ("clay", "smooth", "material", "two lights", "depth", "normals", "parts")
COLORS = np.array(
    [
        [0.80, 0.36, 0.27],
        [0.25, 0.45, 0.65],
        [0.93, 0.73, 0.35],
        [0.40, 0.60, 0.42],
        [0.55, 0.42, 0.62],
        [0.75, 0.75, 0.72],
    ]
)


def with_pieces(mesh: Mesh) -> Mesh:
    """The mesh with its connected pieces as parts, a colour to each size of piece."""
    edges = np.concatenate([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]]])
    graph = coo_matrix((np.ones(len(edges)), edges.T), (len(mesh.vertices),) * 2)
    _, label = connected_components(graph, directed=False)
    piece = label[mesh.faces[:, 0]]
    # Pieces of one size are of one kind, such as the legs of a chair.
    _, kind = np.unique(np.bincount(piece), return_inverse=True)
    part = kind[piece].astype(np.int32)
    materials = tuple(Material((float(r), float(g), float(b))) for r, g, b in COLORS)
    return Mesh(mesh.vertices, mesh.faces, Appearance(materials, (part % len(COLORS)).astype(np.int32)), part)


def looks(mesh: Mesh) -> list[Image.Image]:
    """One picture of each look."""
    lights = (Light(direction=(1.0, 0.4, 0.9)), Light(direction=(-0.6, -1.0, 0.2), intensity=0.35))
    shades = (
        ShadeConfig(),
        ShadeConfig(normals="smooth"),
        ShadeConfig(normals="smooth", appearance="material", ambient=0.4),
        ShadeConfig(normals="smooth", appearance="material", lights=lights, diffuse=0.8),
    )
    config = RenderConfig(up="z", rig="orbit:12,25", fit="object", image_size=SIZE, num_points=64, antialias=True)
    config = config.model_copy(update={"channels": ("depth", "normal", "part")})
    drawn = [render_mesh(mesh, config.model_copy(update={"shade": shade})) for shade in shades]
    pictures = [picture(rendering.views[1]) for rendering in drawn]
    channels = {name: image[1] for name, image in drawn[1].channels.items()}
    depth, empty = channels["depth"].astype(np.float64), channels["depth"] == 0
    grey = np.where(empty, 255, 235 - 190 * (depth - depth[~empty].min()) / np.ptp(depth[~empty]))
    normal = np.where(empty[..., None], 255, channels["normal"])
    part = np.where(empty[..., None], 255, 255 * COLORS[(channels["part"].astype(int) - 1) % len(COLORS)])
    flat = [np.repeat(grey[..., None], 3, axis=-1), normal, part]
    return pictures + [Image.fromarray(image.astype(np.uint8)) for image in flat]


def picture(view: npt.NDArray[Any]) -> Image.Image:
    """A view in colour."""
    color = view[..., :-1]
    return Image.fromarray(np.ascontiguousarray(np.broadcast_to(color, (*color.shape[:2], 3))))


def trimmed(images: list[Image.Image]) -> list[Image.Image]:
    """The pictures without the rows that are empty in all of them."""
    filled = np.flatnonzero(np.any([(np.asarray(image) < 255).any(axis=(1, 2)) for image in images], axis=0))
    return [image.crop((0, int(filled[0]), image.width, int(filled[-1]) + 1)) for image in images]


def gallery(path: Path) -> None:
    """Rows of objects, columns of looks."""
    rows = [trimmed(looks(with_pieces(make_shape(name, np.random.default_rng(seed))))) for name, seed in OBJECTS]
    width = GAP + len(LOOKS) * (SIZE + GAP)
    height = HEAD + sum(row[0].height + GAP for row in rows)
    sheet = Image.new("RGB", (width, height), (255, 255, 255))
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(17)
    for column, name in enumerate(LOOKS):
        pen.text((GAP + column * (SIZE + GAP) + SIZE / 2, HEAD / 2), name, fill=(70, 74, 82), font=font, anchor="mm")
    top = HEAD
    for row in rows:
        for column, image in enumerate(row):
            sheet.paste(image, (GAP + column * (SIZE + GAP), top))
        top += row[0].height + GAP
    sheet.save(path, optimize=True)


def main() -> None:
    """Draw both."""
    gallery(RESULTS / "gallery.png")
    draw_rig({"rig": "mvcnn12", "projection": "perspective"}, RESULTS / "rig.png")


if __name__ == "__main__":
    main()
