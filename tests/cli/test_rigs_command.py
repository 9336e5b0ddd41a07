"""What `tap rigs` prints and draws; the command itself only names these functions."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cli.rigs_command import draw_rig, list_rigs
from render import RIGS, RenderError, normalize, read_mesh
from render.camera import project
from render.rig import RIG_FAMILIES, Viewpoint, load_rig
from tap.errors import TapError


@pytest.fixture(autouse=True)
def _wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")


def test_the_list_has_every_rig_with_its_form(capsys: pytest.CaptureFixture[str]) -> None:
    list_rigs()
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.strip()}
    for name, num_views in (("mvcnn12", 12), ("mvcnn80", 80), ("dodecahedron20", 20), ("axes6", 6)):
        assert lines[name].split()[1] == str(num_views)
    assert {*RIGS, *(f"{name}:{family.form}" for name, family in RIG_FAMILIES.items())} < lines.keys()
    assert "N 1 to 1000, ELEVATION -89 to 89" in lines["orbit:N,ELEVATION"]
    assert lines["orbit:N,ELEVATION"].split()[-1] == "orbit:12,30"
    assert "package.module:function" in lines


def test_the_cameras_of_a_rig_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    draw_rig({"rig": "orbit:3,20", "projection": "perspective"})
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "orbit:3,20: 3 views of 224 px, perspective"
    assert out[1].split() == ["view", "azimuth", "elevation", "roll", "distance", "fx"]
    assert out[3].split() == ["1", "120.0°", "20.0°", "0.0°", "3.236", "307.7", "px"]
    assert len(out) == 5


def test_only_the_first_twelve_of_many_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    draw_rig({"rig": "mvcnn80"})
    out = capsys.readouterr().out.splitlines()
    assert out[13].split()[:4] == ["11", "45.0°", "35.3°", "-90.0°"]
    assert out[14].strip() == "..."
    assert len(out) == 15


def test_a_picture_of_a_rig_around_a_mesh(
    mesh_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = next((mesh_folder / "table").rglob("*.off")), tmp_path / "new" / "rig.png"
    given = {"rig": "fibonacci:5", "fit": "object", "jitter": 5.0, "roll": 10.0, "image_size": 96, "up": "z"}
    cameras = draw_rig(given, out, path, key="a")
    assert Image.open(out).size == (1600, 900)
    assert "fibonacci:5, jitter 5°, roll 10°, fit object" in capsys.readouterr().out
    vertices = normalize(read_mesh(path)).mesh.vertices
    pixels, _ = project(vertices, cameras.world_to_camera, cameras.intrinsics.astype(np.float64), True)
    assert np.abs(pixels - 48).max() == pytest.approx(48 * 200 / 224, abs=1e-3)
    plain = load_rig("fibonacci:5")(Viewpoint(96, "parallel"))
    assert np.abs(cameras.world_to_camera - plain.world_to_camera).max() > 0.01
    other = draw_rig(given, None, path, key="b")
    assert np.abs(cameras.world_to_camera - other.world_to_camera).max() > 0.01


@pytest.mark.parametrize(
    ("given", "out", "message"),
    [
        ({"rig": "orbit:12"}, None, "wants orbit:N,ELEVATION"),
        ({"projection": "fisheye"}, None, "--projection"),
        ({"jitter": 200.0}, None, "--jitter"),
        ({"image_size": 2}, None, "--image-size"),
        ({"rig": "axes6"}, "rig.jpg", "give a name that ends in .png"),
        ({"rig": "axes6"}, "a_file/rig.png", "cannot be written"),
    ],
)
def test_a_mistake_is_one_clear_line(given: dict[str, Any], out: str | None, message: str, tmp_path: Path) -> None:
    (tmp_path / "a_file").write_text("")
    with pytest.raises((RenderError, TapError), match=message):
        draw_rig(given, None if out is None else tmp_path / out)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_an_object_that_is_no_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.off")
    with pytest.raises(RenderError, match=r"pipe\.off: cannot read: is a folder, pipe or device"):
        draw_rig({"rig": "axes6"}, None, tmp_path / "pipe.off")
