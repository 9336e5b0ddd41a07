"""What .glb and .gltf files may hold: scenes, instances, transforms, modes, accessors of all kinds, skins, looks."""

import base64
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from render.appearance import Appearance
from render.errors import RenderError
from render.mesh import Mesh, read_mesh
from tests.render.files import SQUARE, SQUARE_UV, Gltf, painted_square, picture

HALF_TURN = [0.0, 0.0, 1.0, 0.0]  # about z


def read(made: Gltf, appearance: bool = False) -> Mesh:
    return read_mesh(Path("a.glb"), made.glb(), appearance)


def look_of(made: Gltf) -> Appearance:
    look = read(made, appearance=True).appearance
    assert look is not None
    return look


def scene(*nodes: dict[str, Any], **primitive: Any) -> Gltf:
    """The unit square as mesh 0, and nodes, of which the first is the root."""
    made = Gltf()
    made.add("meshes", primitives=[made.square(**primitive)])
    made.document["nodes"] = list(nodes) or [{"mesh": 0}]
    return made


def corners(mesh: Mesh) -> list[list[float]]:
    return [[float(value) for value in row] for row in mesh.vertices[mesh.faces].reshape(-1, 3)]


@pytest.mark.parametrize("suffix", [".glb", ".gltf"])
def test_both_containers(suffix: str) -> None:
    made = scene()
    mesh = read_mesh(Path(f"a{suffix}"), made.glb() if suffix == ".glb" else made.gltf())
    np.testing.assert_array_equal(mesh.vertices, SQUARE)
    assert mesh.faces.tolist() == [[0, 1, 2], [0, 2, 3]]
    assert mesh.appearance is None


def test_buffers_and_pictures_in_files_of_their_own(tmp_path: Path) -> None:
    made = painted_square()
    made.document["images"] = [{"uri": "a%20picture.png"}]
    made.document["buffers"] = [{"byteLength": len(made.binary), "uri": "sub/data.bin"}]
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "data.bin").write_bytes(made.binary)
    (tmp_path / "a picture.png").write_bytes(picture())
    (tmp_path / "a.gltf").write_text(json.dumps(made.document))
    look = read_mesh(tmp_path / "a.gltf", appearance=True).appearance
    assert look is not None
    assert look.materials[0].texture is not None
    (tmp_path / "sub" / "data.bin").unlink()
    with pytest.raises(RenderError, match=r"'sub/data\.bin' is not a file"):
        read_mesh(tmp_path / "a.gltf")


@pytest.mark.parametrize(
    "uri",
    ["../../data.bin", "/etc/hostname", "http://localhost/data.bin", "file:///etc/hostname", "..%2f..%2fdata.bin"],
)
def test_data_elsewhere_is_not_read(tmp_path: Path, uri: str) -> None:
    made = scene()
    (tmp_path / "data.bin").write_bytes(made.binary)
    made.document["buffers"] = [{"byteLength": len(made.binary), "uri": uri}]
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    (folder / "a.gltf").write_text(json.dumps(made.document))
    with pytest.raises(RenderError, match=r"leads out of|is not a name relative to the mesh file"):
        read_mesh(folder / "a.gltf")


def test_transforms_are_applied_from_the_leaf_to_the_root() -> None:
    made = scene(
        {"children": [1], "translation": [10, 0, 0]},
        {"children": [2], "rotation": HALF_TURN},
        {"mesh": 0, "scale": [2, 3, 1], "translation": [1, 0, 0]},
    )
    np.testing.assert_allclose(read(made).vertices, SQUARE * (-2, -3, 1) + (9, 0, 0), atol=1e-12)


def test_a_matrix_is_stored_by_columns() -> None:
    matrix = [0, 1, 0, 0, -1, 0, 0, 0, 0, 0, 1, 0, 5, 6, 7, 1]  # a quarter turn about z, then a move
    np.testing.assert_allclose(read(scene({"mesh": 0, "matrix": matrix})).vertices[1], [5, 7, 7])


def test_a_mirrored_mesh_keeps_its_normals_outward() -> None:
    mesh = read(scene({"mesh": 0, "scale": [-1, 1, 1]}))
    triangle = mesh.vertices[mesh.faces]
    normals = np.cross(triangle[:, 1] - triangle[:, 0], triangle[:, 2] - triangle[:, 0])
    np.testing.assert_allclose(normals, [[0, 0, 1], [0, 0, 1]])


def test_instances_stand_where_their_nodes_are() -> None:
    made = scene({"children": [1, 2]}, {"mesh": 0}, {"mesh": 0, "translation": [5, 0, 0]})
    mesh = read(made)
    np.testing.assert_array_equal(mesh.vertices, np.concatenate([SQUARE, SQUARE + np.array([5, 0, 0])]))
    assert mesh.faces.tolist() == [[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]]


def test_only_the_scene_shown_first_is_read() -> None:
    made = scene({"mesh": 0}, {"mesh": 0, "translation": [5, 0, 0]})
    assert len(read(made).faces) == 2
    made.document |= {"scene": 1, "scenes": [{"nodes": [0]}, {"nodes": [1]}]}
    assert read(made).vertices[0].tolist() == [5, 0, 0]
    del made.document["scenes"], made.document["scene"]
    assert len(read(made).faces) == 4


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([{"children": [1]}, {"children": [0], "mesh": 0}], "node 0 is reached twice"),
        ([{"children": [0], "mesh": 0}], "node 0 is reached twice"),
        ([{"children": [1, 2]}, {"children": [3]}, {"children": [3]}, {"mesh": 0}], "node 3 is reached twice"),
        ([{"children": [7]}], "names node 7 of 1"),
        ([{"mesh": 3}], "names mesh 3 of 1"),
        ([{"mesh": 0, "rotation": [0, 0, 0, 0]}], "rotation of no length"),
        ([{"mesh": 0, "matrix": [1, 0]}], "nodes.0.matrix"),
        ([{"mesh": 0, "extensions": {"EXT_mesh_gpu_instancing": {}}}], "EXT_mesh_gpu_instancing"),
        ([{"mesh": 0, "scale": [1e308, 1e308, 1e308], "translation": [1e308, 0, 0]}], "not finite"),
        ([{}], "no faces"),
    ],
)
def test_nodes_that_form_no_scene_are_told(nodes: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(RenderError, match=f"a.glb: .*{message}"):
        read(scene(*nodes))


def test_a_deep_chain_of_nodes_is_no_trouble() -> None:
    nodes: list[dict[str, Any]] = [{"children": [place + 1], "translation": [1, 0, 0]} for place in range(3000)]
    assert read(scene(*nodes, {"mesh": 0})).vertices[0].tolist() == [3000, 0, 0]


def test_a_scene_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("render.reading.read_gltf.MOST_CORNERS", 100)
    nodes: list[dict[str, Any]] = [{"children": list(range(1, 20))}, *({"mesh": 0} for _ in range(19))]
    with pytest.raises(RenderError, match="more than 33 faces, instances counted"):
        read(scene(*nodes))


@pytest.mark.parametrize(
    ("mode", "indices", "faces"),
    [
        (4, [0, 1, 2, 0, 2, 3], [[0, 1, 2], [0, 2, 3]]),
        (5, [1, 2, 0, 3], [[1, 2, 0], [2, 3, 0]]),
        (6, [0, 1, 2, 3], [[1, 2, 0], [2, 3, 0]]),
    ],
)
@pytest.mark.parametrize("kind", ["u1", "u2", "u4"])
def test_modes_and_index_types(mode: int, indices: list[int], faces: list[list[int]], kind: str) -> None:
    made = scene(mode=mode)
    made.document["meshes"][0]["primitives"][0]["indices"] = made.array(indices, kind)
    assert read(made).faces.tolist() == faces


def test_without_indices_vertices_come_in_threes() -> None:
    made = Gltf()
    position = made.array(SQUARE[[0, 1, 2, 0, 2, 3]])
    made.add("nodes", mesh=made.add("meshes", primitives=[{"attributes": {"POSITION": position}}]))
    assert read(made).faces.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_lines_and_points_are_left_out() -> None:
    made = scene()
    primitives = made.document["meshes"][0]["primitives"]
    primitives += [primitives[0] | {"mode": mode} for mode in (0, 1, 2, 3)]
    assert len(read(made).faces) == 2
    del primitives[0]
    with pytest.raises(RenderError, match="no faces"):
        read(made)


def test_interleaved_quantized_and_sparse_positions() -> None:
    made = scene()
    rows = b"".join(struct.pack("<4H", *(round(65535 * value) for value in row), 9) for row in SQUARE.tolist())
    view = made.view(rows, byteStride=8)
    quantized = made.add("accessors", bufferView=view, componentType=5123, normalized=True, count=4, type="VEC3")
    made.document["meshes"][0]["primitives"][0]["attributes"]["POSITION"] = quantized
    np.testing.assert_array_equal(read(made).vertices, SQUARE)
    sparse = {
        "count": 1,
        "indices": {"bufferView": made.view(struct.pack("<H", 2)), "componentType": 5123},
        "values": {"bufferView": made.view(struct.pack("<3H", 65535, 65535, 65535))},
    }
    made.document["accessors"][quantized]["sparse"] = sparse
    assert read(made).vertices[2].tolist() == [1, 1, 1]
    del made.document["accessors"][quantized]["bufferView"]
    assert read(made).vertices.tolist() == [[0, 0, 0], [0, 0, 0], [1, 1, 1], [0, 0, 0]]


def test_morph_targets_by_their_default_weights() -> None:
    made = scene()
    mesh = made.document["meshes"][0]
    mesh["primitives"][0]["targets"] = [{"POSITION": made.array(np.full((4, 3), 2.0))}, {"NORMAL": 0}]
    np.testing.assert_array_equal(read(made).vertices, SQUARE)
    mesh["weights"] = [0.5, 1.0]
    np.testing.assert_array_equal(read(made).vertices, SQUARE + 1)
    made.document["nodes"][0]["weights"] = [0.25, 0.0]
    np.testing.assert_array_equal(read(made).vertices, SQUARE + 0.5)


def test_a_skinned_mesh_stands_where_its_joints_are() -> None:
    made = scene(
        {"children": [1, 2]},
        {"mesh": 0, "skin": 0, "translation": [100, 0, 0]},  # which skins ignore
        {"children": [3], "translation": [0, 0, 1]},
        {"translation": [0, 2, 0]},
    )
    attributes = made.document["meshes"][0]["primitives"][0]["attributes"]
    attributes["JOINTS_0"] = made.array([[0, 1, 0, 0]] * 4, "u1")
    attributes["WEIGHTS_0"] = made.array(
        [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]
    )
    inverse = np.tile(np.eye(4), (2, 1, 1))
    inverse[1, 3, 0] = -1  # by columns: moves by -1 along x
    made.document["skins"] = [{"joints": [2, 3], "inverseBindMatrices": made.array(inverse.reshape(2, 16))}]
    moves = np.array([[0.0, 0.0, 1.0], [-1.0, 2.0, 1.0], [-0.5, 1.0, 1.0], [0.0, 0.0, 1.0]])
    np.testing.assert_allclose(read(made).vertices, SQUARE + moves)
    made.document["skins"][0]["joints"] = [2]
    with pytest.raises(RenderError, match="joints or weights of skin 0 do not fit"):
        read(made)


def test_base_color_is_turned_from_linear_light_to_srgb() -> None:
    made = scene(material=0)
    made.document["materials"] = [{"pbrMetallicRoughness": {"baseColorFactor": [1, 0.2140411, 0, 0.5]}}]
    look = look_of(made)
    assert look.materials[0].color == pytest.approx((1, 0.5, 0), abs=1e-6)
    assert look.corner_uv is None


def test_colors_of_vertices_are_linear_light() -> None:
    made = scene()
    attributes = made.document["meshes"][0]["primitives"][0]["attributes"]
    attributes["COLOR_0"] = made.array(
        [[255, 0, 0, 9], [55, 55, 55, 9], [0, 0, 0, 9], [255, 255, 255, 9]], "u1", normalized=True
    )
    look = look_of(made)
    assert look.corner_color is not None
    assert look.corner_color.tolist() == [
        [[255, 0, 0], [128, 128, 128], [0, 0, 0]],
        [[255, 0, 0], [0, 0, 0], [255, 255, 255]],
    ]


def test_a_texture_its_coordinates_and_its_sampler() -> None:
    made = painted_square()
    made.document["samplers"] = [{"wrapS": 33071, "wrapT": 33648}]
    made.document["textures"][0]["sampler"] = 0
    look = look_of(made)
    assert look.corner_uv is not None
    np.testing.assert_allclose(look.corner_uv, SQUARE_UV[[[0, 1, 2], [0, 2, 3]]])  # v upward
    texture = look.materials[0].texture
    assert texture is not None
    assert texture.wrap == ("clamp", "mirror")
    assert texture.pixels[0, 0].tolist() == [255, 0, 0]


def test_a_texture_may_be_moved_turned_and_use_other_coordinates() -> None:
    made = painted_square()
    attributes = made.document["meshes"][0]["primitives"][0]["attributes"]
    attributes["TEXCOORD_1"] = made.array(np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) / 2)
    info = made.document["materials"][0]["pbrMetallicRoughness"]["baseColorTexture"]
    info["extensions"] = {
        "KHR_texture_transform": {"offset": [0.25, 0.5], "scale": [2, 4], "rotation": np.pi / 2, "texCoord": 1}
    }
    made.document["extensionsRequired"] = ["KHR_texture_transform"]
    look = look_of(made)
    assert look.corner_uv is not None
    # (u, v) of 0.5, 0.5 is scaled to 1, 2, turned to 2, -1, moved to 2.25, -0.5; upward that is v = 1.5.
    np.testing.assert_allclose(look.corner_uv[0], [[0.25, 0.5], [0.25, 1.5], [2.25, 1.5]], atol=1e-6)


def test_old_glossy_materials_and_webp_sources() -> None:
    made = painted_square()
    texture = made.document["materials"][0].pop("pbrMetallicRoughness")["baseColorTexture"]
    glossy = {"diffuseFactor": [0.2140411, 1, 1, 1], "diffuseTexture": texture}
    made.document["materials"][0]["extensions"] = {"KHR_materials_pbrSpecularGlossiness": glossy}
    made.document["textures"][0] = {"extensions": {"EXT_texture_webp": {"source": 0}}}
    material = look_of(made).materials[0]
    assert material.color == pytest.approx((0.5, 1, 1), abs=1e-6)
    assert material.texture is not None


def test_parts_with_and_without_look_are_joined() -> None:
    made = painted_square()
    plain = made.square()
    del plain["attributes"]["TEXCOORD_0"]
    plain["attributes"]["COLOR_0"] = made.array([[0, 0, 0]] * 4)
    made.document["meshes"][0]["primitives"].append(plain)
    look = look_of(made)
    assert look.face_material.tolist() == [0, 0, 1, 1]
    assert look.corner_uv is not None
    assert look.corner_color is not None
    assert look.corner_uv[2:].tolist() == np.zeros((2, 3, 2)).tolist()
    assert look.corner_color[:, 0].tolist() == [[255] * 3, [255] * 3, [0] * 3, [0] * 3]


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        ({"images": [{"uri": "none.png"}]}, "none.png"),
        ({"images": [{"uri": "https://example.org/a.png"}]}, "https://example.org/a.png"),
        ({"images": [{"uri": "data:image/png;base64,AAAA", "name": "skin"}]}, "skin"),
        ({"images": [{}]}, "image 0"),
        ({"images": []}, "texture 0"),
        ({"textures": [{"source": 4}]}, "texture 0"),
        ({"textures": [{"extensions": {"KHR_texture_basisu": {"source": 0}}}]}, "texture 0"),
        ({"textures": []}, "texture 0"),
    ],
)
def test_a_texture_that_cannot_be_read_is_flagged(change: dict[str, Any], missing: str) -> None:
    made = painted_square()
    made.document |= change
    look = look_of(made)
    assert look.missing_textures == (missing,)
    assert look.materials[0].texture is None
    assert look.corner_uv is None


@pytest.mark.parametrize("name", ["KHR_draco_mesh_compression", "EXT_meshopt_compression", "VENDOR_secret"])
def test_required_extensions_that_are_not_read_are_named(name: str) -> None:
    made = scene()
    made.document["extensionsRequired"] = [name, "KHR_materials_unlit"]
    with pytest.raises(RenderError, match=f"requires {name}, which is not read"):
        read(made)


def test_compression_that_the_header_does_not_require_is_named() -> None:
    made = scene()
    primitive = made.document["meshes"][0]["primitives"][0]
    primitive["extensions"] = {"KHR_draco_mesh_compression": {}}
    assert len(read(made).faces) == 2  # the plain data are there as well
    del made.document["accessors"][primitive["attributes"]["POSITION"]]["bufferView"]
    with pytest.raises(RenderError, match="compressed by KHR_draco_mesh_compression"):
        read(made)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("accessors.0.count", 10**9, "1000000000 elements from byte 0 on do not fit buffer view 0"),
        ("accessors.0.count", 2**63, "accessors.0.count"),
        ("accessors.0.count", 0, "accessors.0.count"),
        ("accessors.0.byteOffset", 10**12, "do not fit buffer view 0"),
        ("accessors.0.bufferView", 99, "names buffer view 99"),
        ("accessors.0.bufferView", None, "accessor 0 has no data"),
        ("accessors.0.type", "VEC2", "accessor 0 has 2 components instead of 3"),
        ("accessors.2.componentType", 5126, "do not fit|does not hold 1 whole"),
        ("bufferViews.0.byteLength", 10**10, "reaches beyond its buffer"),
        ("bufferViews.0.buffer", 1, "names buffer 1 of 1"),
        ("buffers.0.byteLength", 10**10, "announces 10000000000 bytes"),
        ("meshes.0.primitives.0.attributes.POSITION", 77, "names accessor 77"),
        ("meshes.0.primitives.0.attributes", {}, "no POSITION"),
        ("meshes.0.primitives", 3, "meshes.0.primitives"),
        ("asset.version", "1.0", "is glTF 1.0"),
        ("asset", None, "asset"),
        ("scene", 5, "names scene 5 of 1"),
    ],
)
def test_numbers_that_lie_are_found_out(path: str, value: object, message: str) -> None:
    made = scene()
    document: Any = made.document | {"buffers": [{"byteLength": len(made.binary)}]}
    uri = "data:;base64," + base64.b64encode(made.binary).decode()
    document["buffers"][0]["uri"] = uri
    *parents, last = path.split(".")
    place = document
    for name in parents:
        place = place[int(name) if name.isdigit() else name]
    place[last] = value
    with pytest.raises(RenderError, match=message) as caught:
        read_mesh(Path("a.gltf"), json.dumps(document).encode())
    assert "\n" not in str(caught.value)


def test_an_index_beyond_the_vertices_is_told() -> None:
    made = scene()
    made.document["meshes"][0]["primitives"][0]["indices"] = made.array([0, 1, 9], "u2")
    with pytest.raises(RenderError, match="names vertex 9 of 4"):
        read(made)
    made.document["meshes"][0]["primitives"][0]["indices"] = made.array([0, 1, 2, 3], "u2")
    with pytest.raises(RenderError, match="4 indices are no triangles"):
        read(made)


def test_every_cut_is_found_out() -> None:
    for name, content in (("a.glb", scene().glb()), ("a.gltf", scene().gltf())):
        for size in range(0, len(content), 3):
            with pytest.raises(RenderError):
                read_mesh(Path(name), content[:size])


@pytest.mark.parametrize(
    "text", [b"[" * 100_000, b'{"asset":' * 100_000, b'{"asset": {"version": "2.0"}, "nodes": [1e999]}']
)
def test_hostile_json_is_refused(text: bytes) -> None:
    with pytest.raises(RenderError, match="glTF document"):
        read_mesh(Path("a.gltf"), text)


def test_binary_gltf_of_version_1_is_named() -> None:
    content = scene().glb()
    with pytest.raises(RenderError, match="is binary glTF 1"):
        read_mesh(Path("a.glb"), content[:4] + b"\1" + content[5:])
