"""The settings of shading: material, normals, lights and background."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Color = tuple[
    Annotated[int, Field(ge=0, le=255)], Annotated[int, Field(ge=0, le=255)], Annotated[int, Field(ge=0, le=255)]
]


class Light(BaseModel):
    """A light at infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    direction: tuple[float, float, float] = Field(description="toward the light, of any length above 0")
    frame: Literal["camera", "world"] = Field(
        "world", description="axes of direction: camera (+x right, +y down, +z forward) or world (+z up)"
    )
    intensity: float = Field(1.0, ge=0, allow_inf_nan=False, description="factor on diffuse")

    @model_validator(mode="after")
    def _has_direction(self) -> Self:
        if not 1e-24 < sum(value * value for value in self.direction) < float("inf"):
            raise ValueError(f"direction {self.direction} must have a length above 0, and a finite one")
        return self


class ShadeConfig(BaseModel):
    """Material and light; the default is MVCNN's clay: ambient .3, diffuse .6, no specular, head light, flat, on white."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    appearance: Literal["clay", "material"] = Field("clay", description="clay: grey; material: the mesh's own colours")
    normals: Literal["flat", "smooth"] = Field("flat", description="flat: one a face; smooth: blended over soft edges")
    crease_angle: float = Field(
        45.0, ge=0, le=180, description="degrees between two planes from which smooth normals are not blended"
    )
    ambient: float = Field(0.3, ge=0, le=1, description="share of light that reaches every face")
    diffuse: float = Field(0.6, ge=0, le=1, description="share of light by the angle between normal and light")
    lights: tuple[Light, ...] = Field(
        (), description="lights at infinity, in the place of the head light along the camera's axis"
    )
    background: Color = Field(
        (255, 255, 255), description="red, green, blue (0 to 255) where nothing is; three equal numbers for clay"
    )

    @model_validator(mode="after")
    def _background_fits(self) -> Self:
        if self.appearance == "clay" and len(set(self.background)) > 1:
            raise ValueError(f"background {self.background} must be grey for clay; colours need appearance=material")
        return self
