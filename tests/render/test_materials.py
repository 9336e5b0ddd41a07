"""Materials of .mtl files, and textured files of every format seen from a known side."""

from pathlib import Path

import numpy as np
import pytest

from render.config import RenderConfig
from render.errors import RenderError
from render.mesh import read_mesh
from render.reading.materials import MtlMaterial, load_material, read_mtl
from render.rendering import render_mesh
from render.shading.shade_config import ShadeConfig
from tests.render.files import (
    BOTTOM_LEFT,
    BOTTOM_RIGHT,
    SQUARE,
    SQUARE_UV,
    TOP_LEFT,
    TOP_RIGHT,
    painted_square,
    picture,
    ply,
    write_obj,
)


def materials(folder: Path, text: str | bytes) -> dict[str, MtlMaterial]:
    (folder / "a.mtl").write_bytes(text.encode() if isinstance(text, str) else text)
    return read_mtl(folder / "mesh.obj", "a.mtl")


def test_colors_pictures_and_what_is_ignored(tmp_path: Path) -> None:
    text = "# note\nKd 9 9 9\nnewmtl a b\r\n  Kd 0.25 .5 1\n\tKa 1 0 0\nd 0.5\nillum 2\nmap_Ka ka.png\n"
    text += "newmtl c\nmap_Kd sub/my pic.png\n"
    assert materials(tmp_path, text) == {
        "a b": MtlMaterial((0.25, 0.5, 1.0)),
        "c": MtlMaterial(picture="sub/my pic.png"),
    }


@pytest.mark.parametrize(
    ("value", "color"),
    [
        ("0.5", (0.5, 0.5, 0.5)),
        ("2 -1 0.5", (1.0, 0.0, 0.5)),
        ("1e-1 1 1 1", (0.1, 1.0, 1.0)),
        ("spectral file.rfl 1", (1.0, 1.0, 1.0)),
        ("nan 0 0", (1.0, 1.0, 1.0)),
        ("red", (1.0, 1.0, 1.0)),
    ],
)
def test_kd_of_all_kinds(tmp_path: Path, value: str, color: tuple[float, float, float]) -> None:
    assert materials(tmp_path, f"newmtl a\nKd {value}\n")["a"].color == color


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a.png", MtlMaterial(picture="a.png")),
        ("-s 2 3 1 a b.png", MtlMaterial(picture="a b.png", scale=(2, 3))),
        ("-o 0.5 a.png", MtlMaterial(picture="a.png", offset=(0.5, 0))),
        ("-s 2 1.png", MtlMaterial(picture="1.png", scale=(2, 1))),
        ("-clamp on -bm 0.2 -mm 0 1 -blendu off -t 1 1 1 a.png", MtlMaterial(picture="a.png", wrap="clamp")),
        ("-clamp off a.png", MtlMaterial(picture="a.png")),
        ("-odd.png", MtlMaterial(picture="-odd.png")),
        ("-s 2 3 1", MtlMaterial(picture="1", scale=(2, 3))),
        ("-clamp on", MtlMaterial(wrap="clamp")),
    ],
)
def test_options_before_the_picture(tmp_path: Path, value: str, expected: MtlMaterial) -> None:
    assert materials(tmp_path, f"newmtl a\nmap_Kd {value}\n")["a"] == expected


def test_names_in_other_encodings(tmp_path: Path) -> None:
    assert list(materials(tmp_path, "newmtl schräg\n".encode())) == ["schräg"]
    assert list(materials(tmp_path, "newmtl schräg\n".encode("latin-1"))) == ["schräg"]
    assert list(materials(tmp_path, "\ufeffnewmtl a\n".encode())) == ["a"]


def test_a_library_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RenderError, match=r"'none\.mtl' is not a file"):
        read_mtl(tmp_path / "mesh.obj", "none.mtl")


def test_kd_tints_a_picture_but_black_does_not_hide_it(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(picture())
    tinted, missing = load_material(tmp_path / "mesh.obj", MtlMaterial((0.5, 1, 1), "a.png"))
    assert (tinted.color, missing) == ((0.5, 1, 1), None)
    assert tinted.texture is not None
    assert load_material(tmp_path / "mesh.obj", MtlMaterial((0, 0, 0), "a.png"))[0].color == (1, 1, 1)
    for name in (None, "b.png"):  # without a picture, black is black
        plain, missing = load_material(tmp_path / "mesh.obj", MtlMaterial((0, 0, 0), name))
        assert (plain.color, plain.texture, missing) == ((0, 0, 0), None, name)


@pytest.mark.parametrize("name", ["square.obj", "square.ply", "square.glb", "square.gltf"])
def test_a_picture_lies_on_a_square_as_it_should(tmp_path: Path, name: str) -> None:
    path = write_obj(tmp_path)
    rows = [(*row, *uv) for row, uv in zip(SQUARE.tolist(), SQUARE_UV.tolist(), strict=True)]
    columns = "float x,float y,float z,float s,float t"
    square = ply(rows, [(0, 1, 2, 3)], "<", columns, comments="comment TextureFile square.png\n")
    (tmp_path / "square.ply").write_bytes(square)
    (tmp_path / "square.glb").write_bytes(painted_square().glb())
    (tmp_path / "square.gltf").write_bytes(painted_square().gltf())
    config = RenderConfig(
        rig="orbit:4,0", image_size=64, num_points=16, shade=ShadeConfig(appearance="material", ambient=1, diffuse=0)
    )
    view = render_mesh(read_mesh(path.with_name(name), appearance=True), config).views[
        3
    ]  # from the front: -y, file's +z
    inside = np.argwhere(view[..., 3] > 0)
    (top, left), (bottom, right) = inside.min(axis=0), inside.max(axis=0)
    high, low = (3 * top + bottom) // 4, (top + 3 * bottom) // 4
    near, far = (3 * left + right) // 4, (left + 3 * right) // 4
    assert bottom - top > 32
    seen = [tuple(view[row, column, :3].tolist()) for row in (high, low) for column in (near, far)]
    assert seen == [TOP_LEFT, TOP_RIGHT, BOTTOM_LEFT, BOTTOM_RIGHT]
