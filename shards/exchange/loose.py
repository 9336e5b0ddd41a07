"""A sample as loose files in a folder of its own: pictures, points as PLY, cameras as `transforms.json`; read strictly.

Our own exports also hold `sample.json`, with which the sample comes back byte for byte. Without it, as other tools write such
folders, the pictures need alpha and the points normals; nothing is made up for what is missing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shards.codec import PackedSample, decode_json, decode_npy, pack_sample
from shards.errors import ShardError
from shards.exchange.ply import decode_ply
from shards.exchange.transforms import Frame, Transforms, camera_of, decode_transforms
from shards.plan import Source
from shards.png import decode_png
from shards.schema import ARRAYS, IMAGES, SCHEMA_VERSION, Sample, image_name

TRANSFORMS, POINTS, META = "transforms.json", "points.ply", "sample.json"
"""Files of a sample's folder, beside its pictures."""

IN_POINTS = ("points", "colors", "part")
IN_TRANSFORMS = ("world_to_camera", "intrinsics")
"""Arrays that have no file of their own."""

MAX_FILE_BYTES, MAX_JSON_BYTES = 1 << 30, 1 << 26
MAX_SAMPLE_PIXELS = 1 << 29
"""Pixels of all pictures of a sample together: two gigabytes when they are decoded."""

OPAQUE_FROM = 128
"""Alpha from which a pixel counts as the object; a sample knows only 0 and 255."""

_GREY_ALPHA, _RGBA = 2, 4
_MAX_LABEL = 80


def folder_label(text: str) -> str:
    """A class, split or key as the name of a folder: nothing that a file system takes for more than a name."""
    plain = "".join(c if c.isprintable() and c not in '/\\<>:"|?*' else "_" for c in text[:_MAX_LABEL])
    plain = plain.strip(" ").encode("utf-8", "replace").decode()
    return "_" + plain.lstrip(".") if plain.startswith(".") or not plain else plain


@dataclass(frozen=True)
class ReadLoose:
    """Makes the sample of a folder; `Source.path` is the folder."""

    def __call__(self, source: Source) -> PackedSample:
        """The sample, packed.

        Raises:
            ShardError: a file is missing, damaged, too large or outside the folder, or no sample can be made of it.
        """
        try:
            return pack_sample(_Folder(Path(source.path)).sample(source))
        except ShardError as error:
            reason = str(error).removeprefix(f"sample {source.key}: ")
            raise ShardError(f"{source.relative}: {reason}") from error


class _Folder:
    """The files of one sample, and the SHA-256 of what was read of them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._root = path.resolve()
        self._digest = hashlib.sha256()
        self._num_pixels = 0

    def sample(self, source: Source) -> Sample:
        """What the folder holds."""
        content = _named(TRANSFORMS, decode_json, self._read(TRANSFORMS))
        transforms: Transforms = _named(TRANSFORMS, decode_transforms, content)
        points_file = transforms.ply_file_path or POINTS
        arrays = _named(points_file, decode_ply, self._read(points_file))
        told = _named(META, decode_json, self._read(META)) if (self._path / META).is_file() else None
        if not transforms.frames and told is None:
            raise ShardError(f"{TRANSFORMS}: holds no frames; a cloud without views needs its {META}")
        images, poses, matrices = {}, [], []
        for number, frame in enumerate(transforms.frames):
            image = self._view(frame)
            pose, matrix = camera_of(transforms, frame, image.shape[1], image.shape[0])
            images[image_name("view", number)] = image
            poses.append(pose)
            matrices.append(matrix)
        arrays["world_to_camera"] = np.array(poses, np.float32).reshape(-1, 4, 4)
        arrays["intrinsics"] = np.array(matrices, np.float32).reshape(-1, 3, 3)
        sizes = {image.shape[:2] for image in images.values()}
        if told is None:
            _check_normals(arrays["points"])
            meta = self._new_meta(source, transforms, sizes)
        else:
            arrays |= self._other_arrays()
            images |= self._channels(len(poses))
            meta = _moved(told, source)
            _check_told(meta, transforms, sizes)
        return Sample(source.key, meta, arrays, images)

    def _view(self, frame: Frame) -> NDArray[Any]:
        """The picture of a frame, with alpha 0 or 255."""
        file = frame.file_path.replace("\\", "/")  # written on Windows
        if not self._has(file) and self._has(f"{file}.png"):
            file += ".png"
        image = self._picture(file)
        if image.ndim == 2 or image.shape[2] not in (_GREY_ALPHA, _RGBA):
            raise ShardError(f"{file}: has no alpha, so nothing tells the object from the background; write RGBA")
        if frame.tap is not None and frame.tap.grey:
            if (image[..., :1] != image[..., 1:3]).any():
                raise ShardError(
                    f"{file}: was grey when it was exported, and has colours now; remove grey from its frame"
                )
            image = image[..., 2:]
        alpha = np.where(image[..., -1:] >= OPAQUE_FROM, 255, 0).astype(np.uint8)
        return np.concatenate([image[..., :-1], alpha], axis=-1)

    def _picture(self, file: str) -> NDArray[Any]:
        image: NDArray[Any] = _named(file, decode_png, self._read(file))
        self._num_pixels += image.shape[0] * image.shape[1]
        if self._num_pixels > MAX_SAMPLE_PIXELS:
            raise ShardError(
                f"{file}: with it the pictures have more than {MAX_SAMPLE_PIXELS:,} pixels; use fewer or smaller"
            )
        return image

    def _other_arrays(self) -> dict[str, NDArray[Any]]:
        names = [name for name in ARRAYS if name not in IN_POINTS + IN_TRANSFORMS and self._has(f"{name}.npy")]
        return {name: _named(f"{name}.npy", decode_npy, self._read(f"{name}.npy")) for name in names}

    def _channels(self, num_views: int) -> dict[str, NDArray[Any]]:
        """Images of other kinds than views; where one is there, there is one for each view."""
        names = [image_name(kind, i) for kind in IMAGES if kind != "view" for i in range(num_views)]
        return {name: self._picture(f"{name}.png") for name in names if self._has(f"{name}.png")}

    def _new_meta(self, source: Source, transforms: Transforms, sizes: set[tuple[int, ...]]) -> dict[str, Any]:
        """The JSON of a sample that comes without one."""
        if len(sizes) > 1:
            (height, width), (other_height, other_width) = sorted(sizes)[:2]
            raise ShardError(
                f"pictures of {width} x {height} and {other_width} x {other_height} pixels; make them equal"
            )
        return {
            "schema_version": SCHEMA_VERSION,
            "key": source.key,
            "source": source.relative,
            "source_sha256": self._digest.hexdigest(),
            "category": source.category,
            "split": source.split,
            "normalization": {"center": [0.0, 0.0, 0.0], "scale": 1.0},
            "up_axis": "z",
            "num_vertices": 0,
            "num_faces": 0,
            "flags": [],
            "rig": "imported",
            "projection": "parallel" if transforms.is_parallel else "perspective",
            "backend": "imported",
            "seed": 0,
            "image_size": _one_size(sizes),
        }

    def _has(self, name: str) -> bool:
        try:
            return (self._path / name).is_file()
        except OSError:  # a name longer than any file's; reading it tells
            return False

    def _read(self, name: str) -> bytes:
        """A file's bytes; never one outside the folder."""
        path = self._path / name
        try:
            if Path(name).is_absolute() or ".." in Path(name).parts or not path.resolve().is_relative_to(self._root):
                raise ShardError(f"{name!r}: lies outside the sample's folder")
            if not path.is_file():
                raise ShardError(f"{name}: missing")
            largest = MAX_JSON_BYTES if name in (TRANSFORMS, META) else MAX_FILE_BYTES
            if path.stat().st_size > largest:
                raise ShardError(f"{name}: {path.stat().st_size:,} bytes, more than the {largest:,} allowed")
            data = path.read_bytes()
        except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
            raise ShardError(f"{name!r}: cannot be read: {getattr(error, 'strerror', error)}") from error
        self._digest.update(data)
        return data


def _named(file: str, decode: Callable[[Any], Any], data: Any) -> Any:
    """What `decode` makes of a file's content, its errors with the file's name."""
    try:
        return decode(data)
    except ShardError as error:
        raise ShardError(f"{file}: {error}") from error


def _check_normals(points: NDArray[np.float32]) -> None:
    lengths = np.linalg.norm(points[:, 3:].astype(np.float64), axis=1)
    wrong = np.flatnonzero(np.abs(lengths - 1.0) > 0.01)
    if len(wrong):
        raise ShardError(
            f"points: the normal of point {wrong[0]} has length {lengths[wrong[0]]:.3g}; normals have length 1"
        )


def _moved(meta: dict[str, Any], source: Source) -> dict[str, Any]:
    """The JSON that the sample had, at the place where its folder is now."""
    place = {"key": source.key, "source": source.relative, "category": source.category, "split": source.split}
    return meta | place | {"schema_version": SCHEMA_VERSION}


def _check_told(meta: dict[str, Any], transforms: Transforms, sizes: set[tuple[int, ...]]) -> None:
    """Compares what a sample's JSON says of its pictures with the pictures."""
    if not transforms.frames:
        return
    projection = "parallel" if transforms.is_parallel else "perspective"
    told = meta.get("projection"), meta.get("image_size")
    if told[0] != projection:
        raise ShardError(f"{META}: says projection {told[0]}, {TRANSFORMS} says {projection}")
    if len(sizes) == 1 and told[1] not in (_one_size(sizes), list(min(sizes))):
        raise ShardError(f"{META}: says image_size {told[1]}, the pictures have {_one_size(sizes)}")


def _one_size(sizes: set[tuple[int, ...]]) -> int | list[int]:
    """The `image_size` of pictures of one (height, width)."""
    height, width = min(sizes)
    return height if height == width else [height, width]
