"""The settings of a render: what decides a sample's bytes, and nothing else."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from render.camera import Projection
from render.shading.shade_config import ShadeConfig

UpAxis = Literal["y", "z"]
Normalization = Literal["sphere", "none"]
Fit = Literal["sphere", "object"]
Channel = Literal["depth", "normal", "part"]
PointSampling = Literal["area", "poisson", "farthest"]


class RenderConfig(BaseModel):
    """How meshes become views and points."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    up: UpAxis = Field("y", description="up axis of the files; the world has +z up")
    normalize: Normalization = Field(
        "sphere", description="sphere: centroid at the origin, radius 1; none: as the file"
    )
    rig: str = Field("mvcnn12", description="a named rig, a .toml or .json file, or package.module:function")
    projection: Projection = Field("parallel", description="parallel or perspective")
    fit: Fit = Field("sphere", description="sphere: one scale for all; object: its largest view spans the frame")
    jitter: float = Field(
        0.0, ge=0, le=180, description="degrees by which a view's direction is moved at most, at random"
    )
    roll: float = Field(0.0, ge=0, le=180, description="degrees by which a camera is rolled at most, at random")
    image_size: int = Field(224, ge=8, le=4096, description="side of the square views in pixels")
    antialias: bool = Field(
        False, description="average the colour of 9 samples a pixel; alpha stays that of the centre"
    )
    channels: tuple[Channel, ...] = Field((), description="further images of each view: depth, normal, part")
    points: PointSampling = Field("area", description="area: uniform by area; poisson: blue noise; farthest: FPS of 4x")
    num_points: int = Field(8192, ge=1, description="surface samples a mesh")
    backend: str = Field("cpu", description="rasterizer: cpu, open3d, pytorch3d, or package.module:function")
    seed: int = Field(0, ge=0, description="seed of everything drawn at random")
    min_silhouette: float = Field(
        0.002, ge=0, le=1, description="share of a view's pixels below which its silhouette is flagged as small"
    )
    shade: ShadeConfig = Field(default_factory=ShadeConfig, description="material and light")

    @field_validator("channels")
    @classmethod
    def _each_once(cls, channels: tuple[Channel, ...]) -> tuple[Channel, ...]:
        if len(set(channels)) < len(channels):
            raise ValueError("a channel is named twice")
        return tuple(sorted(channels))  # in whichever order they are named, it is the same config
