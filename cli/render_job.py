"""The join of `render` and `shards`: a picklable callable from a mesh source to a sample."""

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

from render.camera import Cameras
from render.config import RenderConfig
from render.errors import RenderError
from render.mesh import read_mesh
from render.rendering import Rendering, render_mesh
from render.rig import Rig
from shards import SCHEMA_VERSION, Sample, Source


@dataclasses.dataclass(frozen=True)
class RenderJob:
    """Renders one source; carried to worker processes as it is.

    Attributes:
        config: all settings of the render.
        rig: what ``config.rig`` named when the run began; a file that changes later changes nothing.
    """

    config: RenderConfig
    rig: Rig

    def __call__(self, source: Source) -> Sample:
        """The sample of a mesh file.

        Raises:
            RenderError: the mesh cannot be read or drawn; the record of its shard names it relative to SRC.
        """
        path = Path(source.path)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise RenderError(f"{source.relative}: cannot read: {error.strerror}") from error
        mesh = read_mesh(path, content)
        rendering = render_mesh(mesh, self.config, source.key, source.relative, self.rig)
        return Sample(
            key=source.key,
            meta=self._meta(source, hashlib.sha256(content).hexdigest(), rendering)
            | {"num_vertices": len(mesh.vertices), "num_faces": len(mesh.faces)},
            arrays={
                "points": rendering.points,
                "world_to_camera": rendering.cameras.world_to_camera,
                "intrinsics": rendering.cameras.intrinsics,
            },
            images={f"view{index:02d}": view for index, view in enumerate(rendering.views)},
        )

    def _meta(self, source: Source, digest: str, rendering: Rendering) -> dict[str, Any]:
        normalized = rendering.normalized
        return {
            "schema_version": SCHEMA_VERSION,
            "key": source.key,
            "source": source.relative,
            "source_sha256": digest,
            "category": source.category,
            "split": source.split,
            "normalization": {"center": [float(value) for value in normalized.center], "scale": normalized.scale},
            "up_axis": self.config.up,
            "flags": list(rendering.flags),
            "rig": self.config.rig,
            "projection": rendering.cameras.projection,
            "backend": self.config.backend,
            "seed": self.config.seed,
            "image_size": rendering.cameras.image_size,
        }


def rig_digest(cameras: Cameras) -> str:
    """SHA-256 of a rig's cameras, so that a file or function that changed under its name is another config."""
    return hashlib.sha256(cameras.world_to_camera.tobytes() + cameras.intrinsics.tobytes()).hexdigest()
