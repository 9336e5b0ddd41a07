"""The GPU rasterizer: pytorch3d behind our protocol, many meshes and views in one call. It must agree with the CPU one.

Points are projected on the host in float64. Nothing here multiplies matrices on the device, so that TF32, which would move
edges by pixels, has nothing to act on; its flags are left as they are.
"""

import collections
import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from pytorch3d.renderer.mesh.rasterize_meshes import rasterize_meshes

from render.backends.batch_plan import Chunk, Piece, Size, plan_chunks, smaller_chunks
from render.camera import Cameras, project
from render.errors import RenderError
from render.fragments import Fragments
from render.mesh import Mesh

# A pixel centre belongs to a face from which it is at most 1e-6 of half an image away (about ten roundings of float32; here
# squared). With the kernel's strict test alone, a centre on the edge between two faces belongs to neither: a crack.
_REACH = 1e-12
_NEAR = 1e-5  # nearest depth, as a share of the farthest
_FARTHEST_PIXEL = 1e5  # beyond, a float32 cannot tell a hundredth of a pixel
_CPU_BUDGET = 1 << 30


def rasterize_pytorch3d(mesh: Mesh, cameras: Cameras) -> Fragments:
    """Nearest face and its depth at each pixel centre of each view, drawn on a GPU where there is one.

    See `draw_batch`, of which this is a batch of one.
    """
    return draw_batch([(mesh, cameras)])[0]


def draw_batch(requests: Sequence[tuple[Mesh, Cameras]], device: torch.device | str | None = None) -> list[Fragments]:
    """Fragments of many meshes, each in views of its own.

    Args:
        requests: meshes in the world frame, whose faces are drawn from both sides, and their cameras. Image sizes and
            projections may differ.
        device: where to draw; None takes the current GPU, or the CPU where there is none.

    Returns:
        Fragments in the order of the requests. Faces smaller than 5e-9 of a quarter of the image are not drawn (at 224 px:
        1/16,000 of a pixel). Of faces at equal depth the lower index is seen where the naive kernel draws, any where the
        binned one does; their depth is the same.

    Raises:
        RenderError: a vertex in use is not finite, lies behind a camera, or lands 100,000 pixels off the image; or one
            view alone does not fit into the device's memory.
    """
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    sizes = [
        Size(
            len(mesh.vertices), len(mesh.faces), cameras.num_views, cameras.image_size, cameras.projection == "parallel"
        )
        for mesh, cameras in requests
    ]
    canvases = [_Canvas(size) for size in sizes]
    waiting = collections.deque(plan_chunks(sizes, _budget(device), can_bin=device.type == "cuda"))
    flying: _Flight | None = None  # on a GPU, the next call is made ready while this one is being drawn
    while waiting:
        chunk = waiting.popleft()
        try:
            launched = _launch(chunk, requests, device)
        except torch.OutOfMemoryError as error:
            smaller = smaller_chunks(chunk)
            if not smaller:
                faces = chunk.pieces[0].num_faces
                raise RenderError(
                    f"backend pytorch3d: one view of {faces:,} faces, {chunk.image_size} px, does not fit into the "
                    "memory of the device; use --backend cpu"
                ) from error
            waiting.extendleft(reversed(smaller))
            launched = None
        if flying is not None:
            flying.land(canvases)
        flying = launched
        if launched is None:
            torch.cuda.empty_cache()
    if flying is not None:
        flying.land(canvases)
    return [canvas.fragments() for canvas in canvases]


class _Canvas:
    """Where the views of one request come together; those drawn in one call are handed on without a copy."""

    def __init__(self, size: Size) -> None:
        self._size = size
        self._face: npt.NDArray[np.int32] | None = None
        self._depth: npt.NDArray[np.float32] | None = None

    def put(self, views: range, face: npt.NDArray[np.int32], depth: npt.NDArray[np.float32]) -> None:
        if len(views) == self._size.num_views:
            self._face, self._depth = face, depth
            return
        whole = self.fragments()
        self._face, self._depth = whole.face, whole.depth
        self._face[views.start : views.stop], self._depth[views.start : views.stop] = face, depth

    def fragments(self) -> Fragments:
        if self._face is None or self._depth is None:
            shape = (self._size.num_views, self._size.image_size, self._size.image_size)
            return Fragments(np.full(shape, -1, np.int32), np.full(shape, np.inf, np.float32))
        return Fragments(self._face, self._depth)


@dataclasses.dataclass(frozen=True)
class _Flight:
    """A call under way, and where its result will lie on the host: (2, n, H, W) int32, faces and the bits of depths."""

    chunk: Chunk
    result: torch.Tensor
    done: torch.cuda.Event | None

    def land(self, canvases: Sequence[_Canvas]) -> None:
        if self.done is not None:
            self.done.synchronize()
        face, bits = self.result.numpy()
        depth, first = bits.view(np.float32), 0
        for piece in self.chunk.pieces:
            last = first + len(piece.views)
            canvases[piece.request].put(piece.views, face[first:last], depth[first:last])
            first = last


@dataclasses.dataclass(frozen=True)
class _Packed:
    """What `rasterize_meshes` asks of a ``Meshes``, without the thousand small steps that building one takes.

    Each view is a mesh of its own, its corners on its screen.
    """

    vertices: torch.Tensor  # (sum of N, 3) float32
    faces: torch.Tensor  # (sum of F, 3) int64 into all vertices
    first_face: torch.Tensor  # (n,) int64
    num_faces: torch.Tensor  # (n,) int64

    @property
    def device(self) -> torch.device:
        return self.vertices.device

    def verts_packed(self) -> torch.Tensor:
        return self.vertices

    def faces_packed(self) -> torch.Tensor:
        return self.faces

    def mesh_to_faces_packed_first_idx(self) -> torch.Tensor:
        return self.first_face

    def num_faces_per_mesh(self) -> torch.Tensor:
        return self.num_faces


@torch.no_grad()
def _launch(chunk: Chunk, requests: Sequence[tuple[Mesh, Cameras]], device: torch.device) -> _Flight:
    """Project, upload, draw, and copy back both results at once; on a GPU none of it is waited for."""
    screens = [_on_screen(*requests[piece.request], piece.views) for piece in chunk.pieces]
    packed = _pack(chunk.pieces, screens, requests, device)
    face, depth, _, _ = rasterize_meshes(
        packed, image_size=chunk.image_size, blur_radius=_REACH, faces_per_pixel=1, bin_size=chunk.bin_size,
        max_faces_per_bin=chunk.max_faces_per_bin, perspective_correct=not chunk.parallel,
        clip_barycentric_coords=True,  # a centre a hair outside takes its depth from the face's edge; weights sum to 1
        cull_backfaces=False,
    )  # fmt: skip
    face, depth = face[..., 0], depth[..., 0]
    unit = _upload(np.concatenate([unit for _, unit in screens]), device)[:, None, None]
    result = torch.empty((2, *face.shape), dtype=torch.int32, device=device)
    # Faces are counted through all views; -1 stays.
    result[0] = torch.where(face < 0, face, face - packed.first_face[:, None, None])
    result[1].view(torch.float32)[:] = torch.where(face < 0, torch.inf, depth * unit)
    if device.type != "cuda":
        return _Flight(chunk, result, None)
    landed = torch.empty(result.shape, dtype=torch.int32, pin_memory=True)
    landed.copy_(result, non_blocking=True)
    return _Flight(chunk, landed, torch.cuda.current_stream(device).record_event())


def _pack(
    pieces: Sequence[Piece],
    screens: Sequence[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]],
    requests: Sequence[tuple[Mesh, Cameras]],
    device: torch.device,
) -> _Packed:
    """All views on the device; each mesh's faces travel once, however many views it has."""
    vertices = _upload(np.concatenate([screen.reshape(-1, 3) for screen, _ in screens]), device)
    faces, first = [], 0
    for piece in pieces:
        starts = first + torch.arange(len(piece.views), device=device) * piece.num_vertices
        mesh_faces = _upload(np.asarray(requests[piece.request][0].faces, np.int64), device)
        faces.append((mesh_faces[None] + starts[:, None, None]).reshape(-1, 3))
        first += len(piece.views) * piece.num_vertices
    num_faces = np.concatenate([np.full(len(piece.views), piece.num_faces, np.int64) for piece in pieces])
    first_face = np.cumsum(num_faces) - num_faces
    return _Packed(vertices, torch.cat(faces), _upload(first_face, device), _upload(num_faces, device))


def _on_screen(mesh: Mesh, cameras: Cameras, views: range) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Vertices on the screens of some views, (v, N, 3) float32, and the world length of their unit of depth, (v,) float32.

    The screen has +x left and +y up, from -1 to 1 across the image. Depth is divided by a power of two, exactly, so that it
    is at most 1: the kernel takes anything nearer than 1e-8 to be behind the camera.
    """
    used = np.zeros(len(mesh.vertices), bool)
    used[mesh.faces] = True
    # What no face uses may be anywhere, or nowhere; it takes the place of a vertex in use.
    vertices = np.where(used[:, None], mesh.vertices, mesh.vertices[mesh.faces[0, 0]])
    if not np.isfinite(vertices).all():
        raise RenderError("rasterize: a vertex in use is not finite")
    parallel = cameras.projection == "parallel"
    chosen = slice(views.start, views.stop)
    poses, intrinsics = (
        cameras.world_to_camera[chosen].astype(np.float64),
        cameras.intrinsics[chosen].astype(np.float64),
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        pixels, depth = project(vertices[None], poses, intrinsics, np.array([[parallel]]))
    farthest = depth.max(axis=1)
    if not (depth.min(axis=1) > _NEAR * np.abs(farthest)).all():
        raise RenderError("backend pytorch3d: part of the mesh lies behind a camera; use --backend cpu, which clips")
    if not np.abs(pixels).max() <= _FARTHEST_PIXEL:
        raise RenderError(
            f"backend pytorch3d: part of the mesh lands {np.abs(pixels).max():.0f} pixels off the image, beyond the "
            f"{_FARTHEST_PIXEL:.0f} that float32 can draw; use --backend cpu, which clips"
        )
    unit = np.exp2(np.ceil(np.log2(farthest)))
    screen = np.empty((*depth.shape, 3), np.float32)
    screen[..., :2] = 1 - pixels / (cameras.image_size / 2)
    screen[..., 2] = depth / unit[:, None]
    return screen, unit.astype(np.float32)


def _upload(array: npt.NDArray[np.generic], device: torch.device) -> torch.Tensor:
    """The array on the device; to a GPU from pinned memory, so that the host need not wait for it."""
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


def _budget(device: torch.device) -> int:
    """Bytes for one call: a third of what is free, since two calls are on the device at a time."""
    if device.type != "cuda":
        return _CPU_BUDGET
    free, _ = torch.cuda.mem_get_info(device)
    return (free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)) // 3
