"""PLY: our own form read by us and by trimesh, the forms of other tools, and what is refused."""

import io
import struct
from typing import Any

import numpy as np
import pytest
import trimesh
from numpy.typing import NDArray

from shards.errors import ShardError
from shards.exchange.ply import decode_ply, encode_ply

POINTS = np.array([[0.1, -0.0, 2.0, 0.0, 0.0, 1.0], [3.0, 4.0, 5.0, 1.0, 0.0, 0.0]], np.float32)
COLORS = np.array([[1, 2, 3], [254, 255, 0]], np.uint8)
PART = np.array([-1, 7], np.int32)
PROPERTIES = "".join(f"property float {name}\n" for name in ("x", "y", "z", "nx", "ny", "nz"))


def header(form: str, properties: str = PROPERTIES, count: int = 2, after: str = "") -> bytes:
    return f"ply\nformat {form} 1.0\ncomment a tool\nelement vertex {count}\n{properties}{after}end_header\n".encode()


@pytest.mark.parametrize("names", [("points",), ("points", "colors"), ("points", "part"), ("points", "colors", "part")])
def test_what_is_written_comes_back_to_the_last_bit(names: tuple[str, ...]) -> None:
    known: dict[str, NDArray[Any]] = {"points": POINTS, "colors": COLORS, "part": PART}
    arrays = {name: known[name] for name in names}
    found = decode_ply(encode_ply(arrays))
    assert list(found) == list(names)
    for name in names:
        assert found[name].dtype == arrays[name].dtype
        assert found[name].tobytes() == arrays[name].tobytes()


def test_an_empty_cloud_comes_back() -> None:
    assert decode_ply(encode_ply({"points": POINTS[:0]}))["points"].shape == (0, 6)


def test_trimesh_reads_ours() -> None:
    cloud = trimesh.load(io.BytesIO(encode_ply({"points": POINTS, "colors": COLORS})), file_type="ply", process=False)
    assert np.array_equal(cloud.vertices, POINTS[:, :3])
    assert np.array_equal(cloud.colors[:, :3], COLORS)


@pytest.mark.parametrize(("form", "order"), [("binary_little_endian", "<"), ("binary_big_endian", ">")])
def test_doubles_and_other_properties_and_faces_are_read(form: str, order: str) -> None:
    properties = PROPERTIES.replace("float", "double") + "property short quality\n"
    rows = b"".join(struct.pack(f"{order}6dh", *row, 9) for row in POINTS.tolist())
    face = "element face 1\nproperty list uchar int vertex_indices\n"
    data = header(form, properties, after=face) + rows + b"\x03" + bytes(12)
    assert np.array_equal(decode_ply(data)["points"], POINTS)


def test_text_is_read_with_either_end_of_line() -> None:
    properties = PROPERTIES + "".join(f"property uchar {name}\n" for name in ("red", "green", "blue"))
    rows = "".join(
        " ".join(map(str, [*map(float, p), *map(int, c)])) + "\n" for p, c in zip(POINTS, COLORS, strict=True)
    )
    text = header("ascii", properties) + rows.encode()
    for data in (text, text.replace(b"\n", b"\r\n")):
        found = decode_ply(data)
        assert np.array_equal(found["points"], POINTS)
        assert np.array_equal(found["colors"], COLORS)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"solid", "not a PLY"),
        (b"ply\nformat ascii 1.0\n", "not a PLY"),
        (header("binary_middle_endian") + bytes(48), "the format is none of"),
        (header("ascii", PROPERTIES.replace("property float nz\n", "")) + b"0 " * 10, "no normals.*nz are missing"),
        (header("ascii", PROPERTIES.replace("property float y\n", "")) + b"0 " * 10, "no points.*y are missing"),
        (header("binary_little_endian") + bytes(47), "cut short: 2 vertices need 48 bytes, 47 are there"),
        (header("binary_little_endian", count=10**15) + bytes(47), "cut short"),
        (header("ascii", count=10**15) + b"0 " * 12, "cut short"),
        (header("ascii") + b"0 " * 11, "cut short"),
        (header("ascii") + b"a " * 12, "cannot be read"),
        (header("ascii", PROPERTIES + "property uchar red\n") + (b"0 " * 6 + b"300 ") * 2, "cannot be read"),
        (header("ascii", PROPERTIES.replace("float", "int")) + b"0 " * 12, "x is int32, expected float or double"),
        (header("ascii", PROPERTIES * 2) + b"0 " * 24, "occurs twice"),
        (header("ascii", PROPERTIES + "property list uchar int rest\n") + b"0 " * 14, "list uchar int rest"),
        (header("ascii").replace(b"vertex", b"face") + b"0 " * 12, "first element is face"),
    ],
)
def test_what_cannot_be_read_is_told(data: bytes, told: str) -> None:
    with pytest.raises(ShardError, match=told):
        decode_ply(data)


def test_colours_of_another_type_are_refused() -> None:
    properties = PROPERTIES + "".join(f"property float {name}\n" for name in ("red", "green", "blue"))
    with pytest.raises(ShardError, match="colours are not uchar"):
        decode_ply(header("binary_little_endian", properties) + bytes(72))


def test_labels_beyond_32_bits_are_refused() -> None:
    with pytest.raises(ShardError, match="no labels of 32 bits"):
        decode_ply(header("ascii", PROPERTIES + "property uint part\n") + (b"0 " * 6 + b"4294967295 ") * 2)


def test_a_number_of_vertices_that_python_would_not_read() -> None:
    with pytest.raises(ShardError, match="the first element is vertex 9999"):
        decode_ply(b"ply\nformat ascii 1.0\nelement vertex " + b"9" * 5000 + b"\nproperty float x\nend_header\n")
