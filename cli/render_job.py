"""The join of `render` and `shards`: a picklable callable from a mesh source to a sample."""

import dataclasses
import hashlib
from typing import TYPE_CHECKING, Any

from render.camera import Cameras
from render.config import RenderConfig
from render.errors import RenderError
from render.fragments import Rasterizer
from render.location import Location, as_location
from render.mesh import file_content, read_mesh
from render.reading.part_labels import read_part_labels, with_parts
from render.rig import Rig
from shards import SCHEMA_VERSION, Sample, Source
from shards.schema import image_name

if TYPE_CHECKING:
    from render.rendering import Rendering


@dataclasses.dataclass(frozen=True)
class RenderJob:
    """Renders one source; carried to worker processes as it is.

    Attributes:
        config: all settings of the render.
        rig: what ``config.rig`` named when the run began; a file that changes later changes nothing.
        rasterizer: what draws, such as a draw server's; None for what ``config.backend`` names.
    """

    config: RenderConfig
    rig: Rig
    rasterizer: Rasterizer | None = None

    def __call__(self, source: Source) -> Sample:
        """The sample of a mesh file.

        Raises:
            RenderError: the mesh cannot be read or drawn; the record of its shard names it relative to SRC.
        """
        path = as_location(source.path)
        labels = None if source.companion is None else as_location(source.companion)
        try:
            return self._sample(source, path, labels)
        except RenderError as error:
            # Neither a folder of this machine nor a bucket; the text of a URL is not always what opens it.
            reason = str(error).replace(str(path), source.relative)
            if labels is not None:
                reason = reason.replace(str(labels), labels.name)
            if not reason.startswith(source.relative):  # of rigs, framing and backends, which know no file
                reason = f"{source.relative}: {reason}"
            raise RenderError(reason) from error

    def _sample(self, source: Source, path: Location, labels: Location | None) -> Sample:
        # With its compiler, which the process that hands out the work does not need.
        from render.rendering import render_mesh

        content = file_content(path)
        mesh = read_mesh(path, content, appearance=self.config.shade.appearance == "material")
        if labels is not None:
            mesh = with_parts(mesh, read_part_labels(labels, mesh))
        rendering = render_mesh(mesh, self.config, source.key, source.relative, self.rig, self.rasterizer)
        arrays = {
            "points": rendering.points,
            "world_to_camera": rendering.cameras.world_to_camera,
            "intrinsics": rendering.cameras.intrinsics,
        }
        optional = {"colors": rendering.colors, "part": rendering.parts}
        images = {"view": rendering.views, **rendering.channels}
        return Sample(
            key=source.key,
            meta=self._meta(source, hashlib.sha256(content).hexdigest(), rendering)
            | {"num_vertices": len(mesh.vertices), "num_faces": len(mesh.faces)},
            arrays=arrays | {name: array for name, array in optional.items() if array is not None},
            images={image_name(kind, i): image for kind, stack in images.items() for i, image in enumerate(stack)},
        )

    def _meta(self, source: Source, digest: str, rendering: "Rendering") -> dict[str, Any]:
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
            "flags": list(rendering.quality.flags),
            "quality": rendering.quality.values,
            "rig": self.config.rig,
            "projection": rendering.cameras.projection,
            "backend": self.config.backend,
            "seed": self.config.seed,
            "image_size": rendering.cameras.image_size,
            **rendering.channel_numbers,
        }


def rig_digest(cameras: Cameras) -> str:
    """SHA-256 of a rig's cameras, so that a file or function that changed under its name is another config."""
    return hashlib.sha256(cameras.world_to_camera.tobytes() + cameras.intrinsics.tobytes()).hexdigest()
