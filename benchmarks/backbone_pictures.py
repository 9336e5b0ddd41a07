"""What several pre-trained runs draw of the package's own shapes, one row a run, above the true views.

    python benchmarks/backbone_pictures.py NAME=RUN [NAME=RUN ...] --out FILE

Each run is a folder of `tap pretrain`. The shapes are none that it was trained on.
"""

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from render import RenderConfig, render_mesh
from render.shapes.families import make_shape
from tap.photos.clouds import Cloud
from tap.photos.photographer import load_photographer

SHAPES = (("chair", 1), ("airplane", 5), ("table", 2), ("plant", 1))
VIEWS = (1, 4, 8)
INK = "#222222"

Strip = npt.NDArray[np.float32]


def joined(images: npt.NDArray[np.float32]) -> Strip:
    """(V, 3, H, W) as one strip (H, V W, 3) of the views that are shown."""
    return np.concatenate(list(images[list(VIEWS)].transpose(0, 2, 3, 1)), axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="NAME=RUN")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    config = RenderConfig(up="z", image_size=224, antialias=True)
    rendered = [render_mesh(make_shape(name, np.random.default_rng(seed)), config) for name, seed in SHAPES]
    rows: dict[str, list[Strip]] = {}
    for named in options.runs:
        name, _, run = named.partition("=")
        photographer = load_photographer(Path(run))
        rows[name] = []
        for one in rendered:
            points = one.points.astype(np.float32)
            cloud = photographer.sampled(Cloud(points[:, :3], points[:, 3:]))
            rows[name].append(joined(photographer.photograph(cloud, one.cameras)[:, :3]))
    grey = [one.views[..., :1].repeat(3, -1).transpose(0, 3, 1, 2) / 255.0 for one in rendered]
    rows["true"] = [joined(views.astype(np.float32)) for views in grey]
    names = [name for name, _ in SHAPES]
    figure = Figure(figsize=(2.2 * len(names) + 0.9, 0.76 * len(rows) + 0.3), facecolor="white")
    grid = figure.subplots(len(rows), len(names), squeeze=False)
    figure.subplots_adjust(left=0.115, right=0.997, bottom=0.005, top=0.95, wspace=0.04, hspace=0.04)
    for panels, (name, strips) in zip(grid, rows.items(), strict=True):
        for panel, strip in zip(panels, strips, strict=True):
            panel.axis("off")
            panel.imshow(strip.clip(0, 1), interpolation="bilinear")
        panels[0].text(-0.03, 0.5, name, transform=panels[0].transAxes, ha="right", va="center", fontsize=9, color=INK)
    for panel, name in zip(grid[0], names, strict=True):
        panel.set_title(name, fontsize=9, color=INK, pad=3)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.out, dpi=140)


if __name__ == "__main__":
    main()
