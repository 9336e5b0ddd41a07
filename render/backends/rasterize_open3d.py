"""A rasterizer by ray casting with Open3D: slower than ours, wholly independent of it, and so its judge."""

import functools
from typing import Any

import numpy as np
import numpy.typing as npt

from render.camera import Cameras, pixel_centers, pixel_rays
from render.fragments import Fragments
from render.mesh import Mesh, check_finite


def rasterize_open3d(mesh: Mesh, cameras: Cameras) -> Fragments:
    """Nearest face and its depth at each pixel centre of each view, on one thread.

    Args:
        mesh: vertices in the world frame; faces are hit from both sides.
        cameras: V views; nothing behind a camera is hit.

    Returns:
        Fragments; of faces at equal depth Open3D picks any.

    Raises:
        RenderError: a vertex in use is not finite.

    Source: open3d.t.geometry.RaycastingScene (Embree).
    """
    import open3d

    check_finite(mesh, "rasterize")
    scene = open3d.t.geometry.RaycastingScene(nthreads=1)
    scene.add_triangles(
        open3d.core.Tensor(np.ascontiguousarray(mesh.vertices, np.float32)),
        open3d.core.Tensor(np.ascontiguousarray(mesh.faces, np.uint32)),
    )
    hits = scene.cast_rays(_ray_tensor(_Key(cameras)), nthreads=1)
    # The id of no face is 2**32 - 1, which as int32 is our -1.
    return Fragments(face=hits["primitive_ids"].numpy().view(np.int32), depth=hits["t_hit"].numpy())


class _Key:
    """Cameras as a key: most objects of a render are seen by the same ones, and rays take longer to make than to cast."""

    def __init__(self, cameras: Cameras) -> None:
        self.cameras = cameras
        matrices = cameras.world_to_camera.tobytes() + cameras.intrinsics.tobytes()
        self._content = (matrices, cameras.projection, cameras.image_size)

    def __hash__(self) -> int:
        return hash(self._content)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self._content == other._content


@functools.lru_cache(maxsize=1)
def _ray_tensor(key: _Key) -> Any:
    import open3d

    return open3d.core.Tensor(depth_rays(key.cameras))


def depth_rays(cameras: Cameras) -> npt.NDArray[np.float32]:
    """A ray through each pixel centre whose parameter is camera z: (V, H, W, 6) float32, start and direction, world."""
    pixels, size = pixel_centers(cameras.image_size).astype(np.float64), cameras.image_size
    poses, intrinsics = cameras.world_to_camera.astype(np.float64), cameras.intrinsics.astype(np.float64)
    parallel = np.array([cameras.projection == "parallel"])
    rays = np.empty((cameras.num_views, size * size, 6), np.float32)
    for view, pose in enumerate(poses):  # one at a time: in float64 all of them would take many times the memory
        start, direction = pixel_rays(pixels, pose, intrinsics[view], parallel)
        forward = direction @ pose[2, :3, None]  # (H W, 1), the cosine to the optical axis
        rays[view, :, :3], rays[view, :, 3:] = start, direction / forward
    return rays.reshape(-1, size, size, 6)
