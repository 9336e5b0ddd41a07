"""The settings of a render: what decides a sample's bytes, and nothing else."""

from pydantic import BaseModel, ConfigDict, Field

from render.camera import Projection
from render.normalization import Normalization, UpAxis
from render.shade import ShadeConfig


class RenderConfig(BaseModel):
    """How meshes become views and points."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    up: UpAxis = Field("y", description="up axis of the files; the world has +z up")
    normalize: Normalization = Field(
        "sphere", description="sphere: centroid at the origin, radius 1; none: as the file"
    )
    rig: str = Field("mvcnn12", description="a named rig, a .toml or .json file, or package.module:function")
    projection: Projection = Field("parallel", description="parallel or perspective")
    image_size: int = Field(224, ge=8, le=4096, description="side of the square views in pixels")
    antialias: bool = Field(False, description="average the grey of 9 samples a pixel; alpha stays that of the centre")
    num_points: int = Field(8192, ge=1, description="surface samples a mesh")
    backend: str = Field("cpu", description="rasterizer: cpu, open3d or pytorch3d")
    seed: int = Field(0, ge=0, description="seed of everything drawn at random")
    shade: ShadeConfig = Field(default_factory=ShadeConfig, description="material and light")
