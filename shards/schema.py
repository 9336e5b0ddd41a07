"""The sample, a public contract: what a sample holds, and the comparison of a sample with it.

World frame: right-handed, +z up, unit sphere unless the source was not normalised. Camera frame: +x right, +y down, +z
forward; pixel centres at +0.5. How the members become bytes is the business of `codec.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shards.errors import ShardError
from shards.key import KEY_PATTERN, MAX_KEY_LENGTH

SCHEMA_VERSION = "1.2"
"""Major.minor of the sample contract; a reader takes every minor version of its own major one."""


def version_of(text: str) -> tuple[int, int]:
    """Major and minor number of a schema version, to compare.

    Raises:
        ShardError: it is none.
    """
    match = re.fullmatch(r"(\d{1,6})\.(\d{1,6})", text)
    if match is None:
        raise ShardError(f"schema version {text!r} is none; expected two numbers as in {SCHEMA_VERSION}")
    return int(match[1]), int(match[2])


@dataclass(frozen=True)
class ArraySpec:
    """One array member: its dtype, and its shape, where a letter is a size shared by all members of the sample."""

    dtype: str
    shape: tuple[int | str, ...]
    required: bool = False


ARRAYS: dict[str, ArraySpec] = {
    "points": ArraySpec("float32", ("P", 6), required=True),  # xyz and unit normal, world frame
    "world_to_camera": ArraySpec("float32", ("V", 4, 4), required=True),
    "intrinsics": ArraySpec("float32", ("V", 3, 3), required=True),  # pixels
    "colors": ArraySpec("uint8", ("P", 3)),  # RGB
    "part": ArraySpec("int32", ("P",)),  # -1 where there is no label, in all three
    "semantic": ArraySpec("int32", ("P",)),
    "instance": ArraySpec("int32", ("P",)),
    "boxes": ArraySpec("float32", ("K", 7)),  # centre xyz, size xyz, heading about +z in radians; world frame
}
"""Array members, `NAME.npy`. V is 0 for a cloud that was never rendered."""

IMAGES: dict[str, tuple[str, tuple[int, ...]]] = {
    "view": ("uint8", (2, 4)),  # grey and alpha, or RGBA; straight colour, alpha 0 or 255
    "depth": ("uint16", (0,)),  # 0 where nothing is, else z = offset + (value - 1) scale, both in the sample's JSON
    "normal": ("uint8", (3,)),  # world frame, n = value / 127.5 - 1; 0, 0, 0 where nothing is
    "part": ("uint16", (0,)),  # label + 1; 0 where nothing is, or nothing is labelled
}
"""Image members, `KINDnn.png`: dtype and allowed channel counts, 0 for a plain (H, W) image."""

_IMAGE_NAME = re.compile(r"([a-z]+)(\d{2,})")


class Normalization(BaseModel):
    """What undoes the normalisation: source point = sample point * scale + center."""

    model_config = ConfigDict(extra="allow", frozen=True)

    center: tuple[float, float, float] = Field(description="xyz in the source's units, after the axes were turned")
    scale: float = Field(gt=0, description="source units per sample unit")


class SampleMeta(BaseModel):
    """The fields that `K.json` must hold; more are allowed, fewer or wrong ones are refused when writing."""

    model_config = ConfigDict(extra="allow", frozen=True)

    schema_version: str = Field(description="version of the sample contract")
    key: str = Field(description="the sample's key")
    source: str = Field(description="posix path relative to SRC")
    source_sha256: str = Field(description="SHA-256 of the source file, hex")
    category: str = Field(description="class name")
    split: str = Field(description="train, val or test")
    normalization: Normalization = Field(description="centre and scale that undo the normalisation")
    up_axis: str = Field(description="axis of the source that became +z")
    num_vertices: int = Field(ge=0, description="vertices of the source")
    num_faces: int = Field(ge=0, description="faces of the source")
    flags: list[str] = Field(description="quality flags")
    rig: Any = Field(description="the rig's name, or its full description; null without views")
    projection: str | None = Field(description="parallel or perspective; null without views")
    backend: str | None = Field(description="the rasterizer that drew the views; null without views")
    seed: int = Field(description="seed of the run")
    image_size: int | list[int] | None = Field(description="side, or height and width, in pixels; null without views")


@dataclass(frozen=True, eq=False)
class Sample:
    """One sample in memory.

    Attributes:
        key: matches KEY_PATTERN, at most MAX_KEY_LENGTH long.
        meta: the content of `K.json`, see SampleMeta.
        arrays: member name without `.npy` to array, see ARRAYS.
        images: member name without `.png`, such as `view00`, to (H, W, C) or (H, W) array, see IMAGES.
    """

    key: str
    meta: dict[str, Any]
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    images: dict[str, NDArray[Any]] = field(default_factory=dict)


def image_name(kind: str, number: int) -> str:
    """Name of one image without `.png`: `view` and 3 give `view03`."""
    return f"{kind}{number:02d}"


def split_image_name(name: str) -> tuple[str, int] | None:
    """Kind and number of an image name without `.png`; None when it is not one of IMAGES."""
    match = _IMAGE_NAME.fullmatch(name)
    if match is None or match[1] not in IMAGES or image_name(match[1], int(match[2])) != name:
        return None
    return match[1], int(match[2])


@lru_cache(maxsize=1024)  # samples of a set have few different lists of members, most often one
def image_numbers(fields: tuple[str, ...]) -> Mapping[str, tuple[int, ...]]:
    """Numbers of a sample's images, ascending, by kind, from its fields such as `view00.png`; others are left out."""
    numbers: dict[str, list[int]] = {}
    for name in fields:
        found = split_image_name(name.removesuffix(".png")) if name.endswith(".png") else None
        if found is not None:
            numbers.setdefault(found[0], []).append(found[1])
    return MappingProxyType({kind: tuple(sorted(found)) for kind, found in sorted(numbers.items())})


def check_sample(sample: Sample) -> None:
    """Compares a whole sample with the contract.

    Raises:
        ShardError: a key, field, array or image is missing, unknown, or of the wrong kind.
    """
    if not KEY_PATTERN.fullmatch(sample.key) or len(sample.key) > MAX_KEY_LENGTH:
        raise ShardError(f"a key has 1 to {MAX_KEY_LENGTH} of A-Z a-z 0-9 _ -; make keys with unique_keys")
    check_meta(sample.key, sample.meta)
    missing = [name for name, spec in ARRAYS.items() if spec.required and name not in sample.arrays]
    if missing:
        raise ShardError(f"arrays {', '.join(missing)} are missing")
    sizes: dict[str, int] = {}
    for name, array in sample.arrays.items():
        check_array(name, array, sizes)
    for name, image in sample.images.items():
        check_image(name, image)
    _check_images(sample.images, sizes["V"])


def check_array(name: str, array: NDArray[Any], sizes: dict[str, int]) -> None:
    """Compares one array with ARRAYS; the sizes behind the letters are read from, and added to, `sizes`.

    Raises:
        ShardError: an unknown name, another dtype or shape, or a value that is not finite.
    """
    spec = ARRAYS.get(name)
    if spec is None:
        raise ShardError(f"array {name} is unknown; known are {', '.join(ARRAYS)}")
    wanted = tuple(sizes.get(size, size) if isinstance(size, str) else size for size in spec.shape)
    fits = array.ndim == len(wanted) and all(
        isinstance(want, str) or size == want for size, want in zip(array.shape, wanted, strict=True)
    )
    if not fits or array.dtype != np.dtype(spec.dtype):
        shape = "(" + ",".join(map(str, wanted)) + ")"
        raise ShardError(f"array {name} is {array.shape} {array.dtype}, expected {shape} {spec.dtype}")
    named = zip(spec.shape, array.shape, strict=True)
    sizes.update({letter: size for letter, size in named if isinstance(letter, str)})
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ShardError(f"array {name} holds a value that is not finite")


def check_image(name: str, image: NDArray[Any]) -> None:
    """Compares one image with IMAGES.

    Raises:
        ShardError: an unknown name, another dtype or number of channels, or no pixel.
    """
    parts = split_image_name(name)
    if parts is None:
        raise ShardError(f"image {name} is unknown; known are {', '.join(image_name(kind, 0) for kind in IMAGES)} ...")
    dtype, channels = IMAGES[parts[0]]
    num_channels = image.shape[2] if image.ndim == 3 else 0
    if image.dtype != np.dtype(dtype) or image.ndim not in (2, 3) or num_channels not in channels or image.size == 0:
        allowed = " or ".join(f"(H,W,{count})" if count else "(H,W)" for count in channels)
        raise ShardError(f"image {name} is {image.shape} {image.dtype}, expected {allowed} {dtype}")


def _check_images(names: Iterable[str], num_views: int) -> None:
    """Every kind of image that is there, and views in any case, must have one image for each camera."""
    numbers: dict[str, set[int]] = {"view": set()}
    for kind, number in filter(None, map(split_image_name, names)):
        numbers.setdefault(kind, set()).add(number)
    for kind, found in numbers.items():
        if found != set(range(num_views)):
            raise ShardError(f"{len(found)} {kind} images for {num_views} cameras; they count from 0 without a gap")


def check_meta(key: str, content: dict[str, Any]) -> None:
    """Compares a sample's JSON with SampleMeta and with its key.

    Raises:
        ShardError: a field is missing or wrong, or the key or schema is another.
    """
    try:
        meta = SampleMeta.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        raise ShardError(f"field {'.'.join(map(str, first['loc']))} of the JSON: {first['msg']}") from error
    if meta.key != key or meta.schema_version != SCHEMA_VERSION:
        raise ShardError(
            f"the JSON says key {meta.key}, schema {meta.schema_version}; expected {key}, {SCHEMA_VERSION}"
        )
