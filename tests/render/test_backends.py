"""Every backend keeps the contract of a rasterizer, agrees with the CPU one, and is found by its name; the README's, too."""

import importlib.util
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from render.backends.rasterize_cpu import rasterize_cpu
from render.camera import PROJECTIONS, Cameras, Projection
from render.errors import RenderError
from render.fragments import Fragments, Rasterizer
from render.mesh import Mesh
from render.rasterizers import RASTERIZERS, draws_on_gpu, load_batch_drawing, load_rasterizer, resolve_backend
from render.rig import Viewpoint, mvcnn12
from render.shading.shade import shade
from render.shading.shade_config import ShadeConfig

ROOT = Path(__file__).resolve().parent.parent.parent
README_BACKEND = "every_ray"  # the module that the README tells to write
MARKS = {"pytorch3d": [pytest.mark.pytorch3d]}
Corners = Sequence[Sequence[float]]
BACKENDS = [pytest.param(name, marks=MARKS.get(name, [])) for name in sorted(RASTERIZERS)]


@pytest.fixture(scope="session")
def readme_backend(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The README's own backend as a file on the path, and its name for --backend."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(rf"^```python\n(# {README_BACKEND}\.py\n.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    (function,) = re.findall(r"^def (\w+)", code, flags=re.MULTILINE)
    (body,) = re.findall(rf"^def {function}.*", code, flags=re.MULTILINE | re.DOTALL)
    assert len(body.strip().splitlines()) <= 10, "the README says ten lines"
    folder = tmp_path_factory.mktemp("backend")
    (folder / f"{README_BACKEND}.py").write_text(code)
    sys.path.insert(0, str(folder))
    return f"{README_BACKEND}:{function}"


def loaded(name: str) -> Rasterizer:
    try:
        return load_rasterizer(name)
    except RenderError as error:
        pytest.skip(str(error))


@pytest.fixture(params=[*BACKENDS, "README"])
def rasterize(request: pytest.FixtureRequest) -> Rasterizer:
    return loaded(request.getfixturevalue("readme_backend") if request.param == "README" else request.param)


def frontal(size: int, projection: Projection = "parallel", focal: float = 1.0) -> Cameras:
    """One camera at the origin that looks along +z; parallel, a world unit is `focal` pixels and (0, 0) the corner."""
    intrinsics = np.array([[[focal, 0, 0], [0, focal, 0], [0, 0, 1]]], np.float32)
    if projection == "perspective":
        intrinsics[:, :2, 2] = size / 2
    return Cameras(np.eye(4, dtype=np.float32)[None], intrinsics, projection, size)


def triangles(*corners: Corners) -> Mesh:
    vertices = np.array(corners, np.float64).reshape(-1, 3)
    return Mesh(vertices, np.arange(len(vertices)).reshape(-1, 3))


def small_shape(shapes: list[Mesh]) -> Mesh:
    """A shape cut down to 60 faces: the README's backend is slow."""
    return Mesh(shapes[0].vertices, shapes[0].faces[::16])


@pytest.mark.parametrize("projection", PROJECTIONS)
def test_shapes_types_and_what_nothing_looks_like(
    rasterize: Rasterizer, shapes: list[Mesh], projection: Projection
) -> None:
    mesh, cameras = small_shape(shapes), mvcnn12(Viewpoint(24, projection))
    before = mesh.vertices.copy(), mesh.faces.copy()
    first, second = rasterize(mesh, cameras), rasterize(mesh, cameras)
    for fragments in (first, second):
        assert isinstance(fragments, Fragments)
        assert fragments.face.shape == fragments.depth.shape == (12, 24, 24)
        assert fragments.face.dtype == np.int32
        assert fragments.depth.dtype == np.float32
    assert -1 == first.face.min() < first.face.max() < len(mesh.faces)
    np.testing.assert_array_equal(np.isposinf(first.depth), first.face == -1)
    assert (first.depth > 0).all()
    np.testing.assert_array_equal(first.face, second.face)  # equal input, equal output
    np.testing.assert_array_equal(first.depth, second.depth)
    np.testing.assert_array_equal(mesh.vertices, before[0])
    np.testing.assert_array_equal(mesh.faces, before[1])


def test_a_slanted_triangle_by_hand(rasterize: Rasterizer) -> None:
    """Legs from (-1/4, -1/4) to 19/4: the centre of row j, column i is inside where i + j <= 3; depth rises by 2/5 a row."""
    corners = [[-0.25, -0.25, 1], [4.75, -0.25, 1], [-0.25, 4.75, 3]]
    row, column = np.mgrid[:6, :6]
    covered = row + column <= 3
    for order in (corners, corners[::-1]):  # drawn from both sides
        fragments = rasterize(triangles(order), frontal(6))
        np.testing.assert_array_equal(fragments.face[0], np.where(covered, 0, -1))
        np.testing.assert_allclose(fragments.depth[0], np.where(covered, 1 + 0.4 * (row + 0.75), np.inf), rtol=1e-5)


def test_a_slanted_plane_in_perspective_by_hand(rasterize: Rasterizer) -> None:
    """On the plane z = 2 + y the ray y = z (v - 8) / 20 is met at z = 2 / (1 - (v - 8) / 20)."""
    plane = triangles([[-9.1, -1.2, 0.8], [9.3, -1.2, 0.8], [0.1, 14.0, 16.0]])
    fragments = rasterize(plane, frontal(16, "perspective", focal=20.0))
    expected = 2 / (1 - (np.arange(16) + 0.5 - 8) / 20)
    assert (fragments.face == 0).all()
    np.testing.assert_allclose(fragments.depth[0], np.repeat(expected[:, None], 16, axis=1), rtol=1e-5)


def test_the_nearest_face_is_seen(rasterize: Rasterizer) -> None:
    far: Corners = [[-9, -9, 2], [30.1, -9, 2], [-9, 30.3, 2]]
    near: Corners = [[-9, -9, 1], [3.1, -9, 1], [-9, 3.1, 1]]
    nearer_first, farther_first = (
        rasterize(triangles(near, far), frontal(4)),
        rasterize(triangles(far, near), frontal(4)),
    )
    np.testing.assert_array_equal(nearer_first.depth, farther_first.depth)
    np.testing.assert_array_equal(nearer_first.face, 1 - farther_first.face)
    near_alone = rasterize(triangles(near), frontal(4)).face
    np.testing.assert_array_equal(nearer_first.face, np.where(near_alone == 0, 0, 1))


def test_an_edge_through_pixel_centres_leaves_no_crack(rasterize: Rasterizer) -> None:
    """A square whose diagonal runs through the centres of its pixels, as a box seen along an axis has it."""
    corners = np.array([[4, 4, 1], [24, 4, 1], [24, 24, 1], [4, 24, 1]], np.float64)
    fragments = rasterize(Mesh(corners, np.array([[0, 1, 2], [0, 2, 3]])), frontal(28))
    expected = np.zeros((28, 28), bool)
    expected[4:24, 4:24] = True
    np.testing.assert_array_equal(fragments.face[0] >= 0, expected)


def test_a_vertex_in_use_must_be_finite_and_one_out_of_use_need_not(rasterize: Rasterizer) -> None:
    mesh = triangles([[0.1, 0.1, 1], [4.2, 0.1, 1], [0.1, 4.2, 1]])
    for nowhere in (np.nan, np.inf, -1e30):
        spoiled = Mesh(np.concatenate([mesh.vertices, [[nowhere] * 3]]), mesh.faces)
        np.testing.assert_array_equal(rasterize(spoiled, frontal(5)).face, rasterize(mesh, frontal(5)).face)
    spoiled = Mesh(np.concatenate([mesh.vertices, [[np.nan] * 3]]), np.array([[0, 1, 3]]))
    with pytest.raises(RenderError, match="a vertex in use is not finite"):
        rasterize(spoiled, frontal(5))


def assert_agreement(
    truths: Sequence[Fragments], others: Sequence[Fragments], meshes: Sequence[Mesh], cameras: Cameras
) -> None:
    """Coverage 99.9 %; of pixels hit by both 99.9 % within 1e-4 in depth and 2/255 in grey, flat and smooth."""
    pixels = covered_differs = both_hit = depth_differs = flat_differs = smooth_differs = 0
    flat, smooth = ShadeConfig(), ShadeConfig(normals="smooth")
    for truth, other, mesh in zip(truths, others, meshes, strict=True):
        both = (truth.face >= 0) & (other.face >= 0)
        pixels += truth.face.size
        covered_differs += int(((truth.face >= 0) != (other.face >= 0)).sum())
        both_hit += int(both.sum())
        depth_differs += int((np.abs(truth.depth[both] - other.depth[both]) > 1e-4).sum())
        flat_differs += int((grey_difference(mesh, cameras, truth, other, flat)[both] > 2).sum())
        smooth_differs += int((grey_difference(mesh, cameras, truth, other, smooth)[both] > 2).sum())
    assert both_hit > 0.1 * pixels
    assert covered_differs <= 1e-3 * pixels
    assert depth_differs <= 1e-3 * both_hit
    assert flat_differs <= 1e-3 * both_hit
    assert smooth_differs <= 1e-3 * both_hit


def grey_difference(
    mesh: Mesh, cameras: Cameras, truth: Fragments, other: Fragments, config: ShadeConfig
) -> npt.NDArray[np.int64]:
    ours, theirs = (shade(mesh, cameras, fragments, config)[..., 0].astype(np.int64) for fragments in (truth, other))
    difference: npt.NDArray[np.int64] = np.abs(ours - theirs)
    return difference


@pytest.mark.parametrize("projection", PROJECTIONS)
@pytest.mark.parametrize("backend", [backend for backend in BACKENDS if backend.values != ("cpu",)])
def test_every_backend_agrees_with_cpu(shapes: list[Mesh], backend: str, projection: Projection) -> None:
    rasterize = loaded(backend)
    size = 224 if backend == "open3d" else 64  # pytorch3d is slow on the CPU
    cameras = mvcnn12(Viewpoint(size, projection))
    truths = [rasterize_cpu(mesh, cameras) for mesh in shapes]
    assert_agreement(truths, [rasterize(mesh, cameras) for mesh in shapes], shapes, cameras)


def test_auto_takes_pytorch3d_where_it_and_a_gpu_are_there_and_cpu_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    found = {"pytorch3d": True}
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: found["pytorch3d"] or None if name == "pytorch3d" else find_spec(name)
    )
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_backend("auto") == "pytorch3d"
    assert [name for name in (*RASTERIZERS, "package.module:function") if draws_on_gpu(name)] == ["pytorch3d"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_backend("auto") == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    found["pytorch3d"] = False
    assert resolve_backend("auto") == "cpu"
    assert load_rasterizer("auto") is rasterize_cpu
    for name in (*RASTERIZERS, "package.module:function"):
        assert resolve_backend(name) == name


def test_choosing_a_backend_imports_no_library_that_is_not_chosen() -> None:
    script = (
        "import importlib.util, sys\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name: None if name == 'pytorch3d' else find(name)\n"
        "from render.rasterizers import load_rasterizer, resolve_backend\n"
        "assert resolve_backend('auto') == 'cpu' and resolve_backend('pytorch3d') == 'pytorch3d'\n"
        "assert not {'torch', 'open3d', 'pytorch3d', 'numba'} & set(sys.modules)\n"
        "load_rasterizer('cpu')\n"
        "assert not {'torch', 'open3d', 'pytorch3d'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, timeout=60)


def test_an_unknown_backend_names_the_known_ones() -> None:
    for choose in (resolve_backend, load_rasterizer, load_batch_drawing):
        with pytest.raises(RenderError, match=r"'gl' is unknown; name one of auto, cpu, open3d, pytorch3d, or package"):
            choose("gl")


def test_a_missing_or_broken_pytorch3d_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for choose in (load_rasterizer, load_batch_drawing):
        with pytest.raises(RenderError, match=r"pytorch3d is not installed; .* or use --backend cpu"):
            choose("pytorch3d")
    monkeypatch.undo()
    (tmp_path / "pytorch3d").mkdir()
    (tmp_path / "pytorch3d" / "__init__.py").write_text("")
    (tmp_path / "pytorch3d" / "_C.py").write_text("raise ImportError('undefined symbol: _ZN3c10')")
    for name in [name for name in sys.modules if name.split(".")[0] == "pytorch3d"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        with pytest.raises(RenderError, match=r"does not import: undefined symbol: _ZN3c10; build it for the torch"):
            load_rasterizer("pytorch3d")
    finally:
        sys.modules.pop("pytorch3d", None)


USERS = """
import numpy as np
from render import Fragments

number = 7

def as_told(mesh, cameras):
    shape = (cameras.num_views, cameras.image_size, cameras.image_size)
    return Fragments(np.full(shape, -1, np.int32), np.full(shape, np.inf, np.float32))

def fails(mesh, cameras):
    return mesh.normals

def forgets(mesh, cameras):
    pass

def doubles(mesh, cameras):
    fragments = as_told(mesh, cameras)
    return Fragments(fragments.face, fragments.depth.astype(float))

def flattens(mesh, cameras):
    fragments = as_told(mesh, cameras)
    return Fragments(fragments.face[0], fragments.depth)

def lacks_memory(mesh, cameras):
    raise MemoryError

def empties(mesh, cameras):
    return Fragments(None, as_told(mesh, cameras).depth)

def counts_from_one(mesh, cameras):
    fragments = as_told(mesh, cameras)
    return Fragments(np.full_like(fragments.face, len(mesh.faces)), np.ones_like(fragments.depth))

def has_no_depth(mesh, cameras):
    fragments = as_told(mesh, cameras)
    return Fragments(np.zeros_like(fragments.face), fragments.depth)
"""


def test_a_users_backend_is_loaded_by_name_and_its_mistakes_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "users_backend.py").write_text(USERS)
    monkeypatch.syspath_prepend(str(tmp_path))
    mesh, cameras = triangles([[0, 0, 1], [4, 0, 1], [0, 4, 1]]), frontal(5)
    assert (load_rasterizer("users_backend:as_told")(mesh, cameras).face == -1).all()
    (fragments,) = load_batch_drawing("users_backend:as_told")([(mesh, cameras)])
    assert np.isinf(fragments.depth).all()
    for name, message in {
        "users_backend:missing": r"'users_backend:missing': AttributeError: .*importable as package.module:function",
        "no_such_module:draw": "'no_such_module:draw': ModuleNotFoundError: No module named 'no_such_module'",
        "users_backend:number": "not callable; it must take a Mesh and Cameras and return Fragments",
        ":": "importable as package.module:function",
    }.items():
        with pytest.raises(RenderError, match=message):
            load_rasterizer(name)
    for name, message in {
        "fails": "fails with AttributeError: 'Mesh' object has no attribute 'normals'",
        "forgets": "returns NoneType; it must take a Mesh and Cameras and return Fragments",
        "doubles": r"depth is float64 \(1, 5, 5\); it must be float32 \(1, 5, 5\)",
        "flattens": r"face is int32 \(5, 5\); it must be int32 \(1, 5, 5\)",
        "empties": r"face is NoneType; it must be int32 \(1, 5, 5\)",
        "counts_from_one": "face 1 of 1; where nothing is it must be -1",
        "has_no_depth": "depth must be finite where a face is, and inf where none is",
    }.items():
        with pytest.raises(RenderError, match=message):
            load_rasterizer(f"users_backend:{name}")(mesh, cameras)
    with pytest.raises(MemoryError):
        load_rasterizer("users_backend:lacks_memory")(mesh, cameras)
