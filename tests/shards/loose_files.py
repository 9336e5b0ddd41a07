"""A folder as a NeRF tool writes it: RGBA pictures, poses in OpenGL's axes, points with normals; for the tests."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from shards.exchange.ply import encode_ply

SIDE = 8
POINTS = np.array([[0.5, 0, 0, 1, 0, 0], [0, 0.5, 0, 0, 1, 0], [0, 0, 0.5, 0, 0, 1]], np.float32)


def picture(value: int, alpha: int = 255, mode: str = "RGBA", side: int = SIDE) -> bytes:
    """A PNG, its left half opaque in one colour and its right half transparent, in Pillow's way of writing."""
    image = np.zeros((side, side, 4), np.uint8)
    image[:, : side // 2] = (value, 10, 20, alpha)
    stream = io.BytesIO()
    Image.fromarray(image).convert(mode).save(stream, "PNG")
    return stream.getvalue()


def write_foreign(folder: Path, num_views: int = 2, **fields: Any) -> Path:
    """Writes a sample with `num_views` pictures in `images`; `fields` go into transforms.json."""
    (folder / "images").mkdir(parents=True)
    frames = []
    for number in range(num_views):
        (folder / f"images/{number:04d}.png").write_bytes(picture(100 + number))
        pose = np.eye(4)
        pose[2, 3] = 2.0 + number
        frames.append({"file_path": f"./images/{number:04d}", "transform_matrix": pose.tolist()})
    content = {"camera_angle_x": 0.8, "frames": frames} | fields
    (folder / "transforms.json").write_text(json.dumps(content))
    (folder / "points.ply").write_bytes(encode_ply({"points": POINTS}))
    return folder


def change_transforms(folder: Path, **fields: Any) -> None:
    """Sets fields of a folder's transforms.json; those under `frame` in its first frame."""
    content = json.loads((folder / "transforms.json").read_text())
    content["frames"][0].update(fields.pop("frame", {}))
    (folder / "transforms.json").write_text(json.dumps(content | fields))
