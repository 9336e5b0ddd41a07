"""The GPU rasterizer: pytorch3d behind our protocol. It must agree with the CPU rasterizer, which defines truth."""

import numpy as np
import torch
from pytorch3d.renderer.mesh.rasterize_meshes import rasterize_meshes
from pytorch3d.structures import Meshes

from render.camera import Cameras, project
from render.errors import RenderError
from render.fragments import Fragments
from render.mesh import Mesh


def rasterize_pytorch3d(mesh: Mesh, cameras: Cameras) -> Fragments:
    """Nearest face, its barycentrics and its depth at each pixel centre of each view, drawn on a GPU where there is one.

    Args:
        mesh: vertices in the world frame; faces are drawn from both sides.
        cameras: V views; faces that pass behind a perspective camera are not supported.

    Returns:
        Fragments.

    Raises:
        RenderError: a vertex is not finite, or lies behind a camera.
    """
    if not np.isfinite(mesh.vertices).all():
        raise RenderError("rasterize: a vertex is not finite")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    parallel = cameras.projection == "parallel"
    # Projected in float64 on the host: TF32 or float32 poses move edges by more than a rounding.
    poses, intrinsics = cameras.world_to_camera.astype(np.float64), cameras.intrinsics.astype(np.float64)
    pixels, depth = project(mesh.vertices[None], poses, intrinsics, np.array([[parallel]]))
    if not (depth > 0).all():
        raise RenderError("backend pytorch3d: part of the mesh lies behind a camera; use --backend cpu, which clips")
    half = cameras.image_size / 2
    # Its screen has +x left and +y up, from -1 to 1 across the image.
    screen = np.concatenate([1 - pixels / half, depth[..., None]], axis=-1).astype(np.float32)
    vertices = torch.from_numpy(screen).to(device)  # (V, N, 3)
    faces = torch.from_numpy(mesh.faces).to(device).expand(cameras.num_views, -1, -1)
    # bin_size=0 is its exact rasterizer: the binned one drops faces when a bin overflows.
    face, zbuf, bary, _ = rasterize_meshes(
        Meshes(verts=vertices, faces=faces), image_size=cameras.image_size, blur_radius=0.0, faces_per_pixel=1,
        bin_size=0, perspective_correct=not parallel, clip_barycentric_coords=False, cull_backfaces=False,
    )  # fmt: skip
    empty = face[..., 0] < 0
    # Its weights are divided by (area + 1e-8): on slivers they, and the depth summed with them, come out too small.
    total = bary[..., 0, :].sum(dim=-1)
    total = torch.where(total > 0, total, 1.0)
    first = torch.arange(cameras.num_views, device=device)[:, None, None] * len(mesh.faces)  # faces are counted through
    return Fragments(
        face=torch.where(empty, -1, face[..., 0] - first).to(torch.int32).cpu().numpy(),
        bary=torch.where(empty[..., None], 0.0, bary[..., 0, :] / total[..., None]).float().cpu().numpy(),
        depth=torch.where(empty, torch.inf, zbuf[..., 0] / total).float().cpu().numpy(),
    )
