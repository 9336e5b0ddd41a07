"""Samples of a set as loose files, which other tools open: pictures, points as PLY, cameras as `transforms.json`.

Each sample has a folder `SPLIT/CLASS/KEY`, which appears whole or not at all.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shards.codec import decode_member
from shards.engines.signals import exit_on_terminate
from shards.errors import ShardError
from shards.exchange.loose import IN_POINTS, IN_TRANSFORMS, META, POINTS, TRANSFORMS, folder_label
from shards.exchange.ply import encode_ply
from shards.exchange.transforms import encode_transforms
from shards.index import member_name
from shards.pages.choice import evenly
from shards.reader import ShardReader
from shards.schema import ARRAYS, Sample, split_image_name
from shards.stores.local_store import LocalStore
from shards.stores.store import is_url

_DRAFT = re.compile(r"\..+\.tmp-\d+")
"""Folders of samples that are not whole yet, or not any more."""


@dataclass(frozen=True)
class ExportOptions:
    """Which samples, and how.

    Attributes:
        classes: only these; empty for all.
        num_samples: at most so many, evenly spaced; None for all.
        as_stored: write views as they stand in the set instead of as RGBA. They are smaller, with grey, palettes and
            transparent values, of which tools that do not convert what they open lose the alpha or make nonsense.
        resume: keep the folders that are there whole.
        overwrite: remove earlier exported samples first, and nothing else.
    """

    classes: tuple[str, ...] = ()
    num_samples: int | None = None
    as_stored: bool = False
    resume: bool = False
    overwrite: bool = False


@dataclass(frozen=True)
class ExportReport:
    """Samples written now, and those that were there already."""

    num_written: int
    num_kept: int


def export_set(
    reader: ShardReader,
    folder: Path,
    options: ExportOptions | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> ExportReport:
    """Writes samples as loose files below a folder.

    Args:
        reader: the set, or one split of it.
        folder: made where missing.
        options: defaults where None.
        on_progress: called with the number of samples done, and of all.

    Returns:
        ExportReport.

    Raises:
        ShardError: the folder holds something and neither `resume` nor `overwrite` is given, holds files among the earlier
            samples that no export wrote, or cannot be written; an unknown class; a damaged sample.
    """
    options = options or ExportOptions()
    if options.resume and options.overwrite:
        raise ShardError("resume keeps what is in the folder, overwrite removes it: choose one of them")
    if is_url(str(folder)):
        raise ShardError(f"{folder}: loose files go to a folder of this machine; copy them from there")
    chosen = _chosen(reader, options)
    num_kept = 0
    with LocalStore(folder).claimed(), exit_on_terminate(), _told(folder):
        _prepare(folder, options)
        for done, index in enumerate(chosen, 1):
            num_kept += _export_sample(reader, index, folder, options)
            on_progress(done, len(chosen))
    return ExportReport(len(chosen) - num_kept, num_kept)


def _chosen(reader: ShardReader, options: ExportOptions) -> list[int]:
    """Global indices of the samples to write."""
    unknown = sorted(set(options.classes) - set(reader.classes))
    if unknown:
        raise ShardError(f"{reader.store.location}: no class {unknown[0]!r}; it has {', '.join(reader.classes)}")
    indices = list(range(len(reader)))
    if options.classes:
        indices = [index for index in indices if reader.meta(index)["category"] in options.classes]
    return indices if options.num_samples is None else evenly(indices, options.num_samples)


def _export_sample(reader: ShardReader, index: int, folder: Path, options: ExportOptions) -> bool:
    """Writes one sample; tells whether it was there already."""
    meta = reader.meta(index)
    place = (
        folder
        / folder_label(str(meta["split"]))
        / folder_label(str(meta["category"]))
        / folder_label(reader.key(index))
    )
    files = _files(reader, index, options.as_stored)
    if place.exists():
        if not options.resume:
            raise ShardError(
                f"{place}: is there already: two samples have this key (run tap shards verify), or no export wrote it; move it "
                "away, or choose another folder"
            )
        if {path.name: path.read_bytes() for path in place.iterdir() if path.is_file()} == files:
            return True
        _remove_sample(place)
    draft = _draft(place)
    draft.mkdir(parents=True)
    try:
        for name, data in files.items():
            (draft / name).write_bytes(data)
        draft.rename(place)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return False


def _files(reader: ShardReader, index: int, as_stored: bool) -> dict[str, bytes]:
    """The files of a sample: name to content."""
    fields = reader.fields(index)
    arrays = [field.removesuffix(".npy") for field in fields if field.endswith(".npy")]
    sample = reader.read(index, arrays, views=())
    files = {META: reader.raw(index, "json")}
    pictures = []
    for field in sorted(field for field in fields if field.endswith(".png")):
        data = reader.raw(index, field)
        is_view = (split_image_name(field.removesuffix(".png")) or ("",))[0] == "view"
        if is_view:
            image = decode_member(member_name(sample.key, field), data)
            is_grey = image.shape[2] == 2 and not as_stored
            data = data if as_stored else _rgba_png(image)
            pictures.append((field, image.shape[1], image.shape[0], is_grey))
        files[field] = data
    files[POINTS] = encode_ply(sample.arrays)
    pictures.sort(key=lambda picture: (len(picture[0]), picture[0]))  # view99 before view100
    files[TRANSFORMS] = _json(_cameras(sample, pictures))
    for name in arrays:
        if name not in IN_POINTS + IN_TRANSFORMS:
            files[f"{name}.npy"] = reader.raw(index, f"{name}.npy")
    return files


def _cameras(sample: Sample, pictures: list[tuple[str, int, int, bool]]) -> dict[str, Any]:
    """The content of the sample's `transforms.json`."""
    poses, matrices = sample.arrays["world_to_camera"], sample.arrays["intrinsics"]
    if not len(poses) == len(matrices) == len(pictures):
        raise ShardError(f"sample {sample.key}: {len(pictures)} views, {len(poses)} poses; each view has one pose")
    is_parallel = sample.meta["projection"] == "parallel"
    extent = float(np.abs(sample.arrays["points"][:, :3]).max(initial=0.0))
    return encode_transforms(poses, matrices, is_parallel, pictures, POINTS, extent)


def _rgba_png(image: NDArray[np.uint8]) -> bytes:
    """A PNG of four channels, whatever the view has: the one layout that every tool reads alike."""
    stream = io.BytesIO()
    rgba = image[..., [0, 0, 0, 1]] if image.shape[2] == 2 else image
    Image.fromarray(np.ascontiguousarray(rgba)).save(stream, "PNG", compress_level=3)
    return stream.getvalue()


def _json(content: dict[str, Any]) -> bytes:
    return json.dumps(content, indent=1, allow_nan=False).encode() + b"\n"


def _prepare(folder: Path, options: ExportOptions) -> None:
    """Makes the folder fit for writing."""
    if not options.resume and not options.overwrite:
        if any(folder.iterdir()):
            raise ShardError(f"{folder}: is not empty; --resume goes on with an export, --overwrite replaces it")
        return
    drafts = [path for path in folder.glob("*/*/.*.tmp-*") if _DRAFT.fullmatch(path.name) and path.is_dir()]
    for draft in drafts:
        _check_ours(draft)
        shutil.rmtree(draft)
    if options.overwrite:
        earlier = [path.parent for path in folder.glob(f"*/*/*/{META}")]
        for place in earlier:
            _check_ours(place)
        for place in earlier:
            _remove_sample(place)
        for empty in sorted({parent for place in earlier for parent in list(place.parents)[:2]}, reverse=True):
            with contextlib.suppress(OSError):  # something else lies in it
                empty.rmdir()


def _remove_sample(place: Path) -> None:
    """Removes an exported sample, and only that."""
    _check_ours(place)
    draft = _draft(place)
    place.rename(draft)  # half a sample must not look like one; what is left of it, a later run removes
    shutil.rmtree(draft)


def _draft(place: Path) -> Path:
    """Where a sample lies while it is not whole, in the same folder."""
    return place.with_name(f".{place.name}.tmp-{os.getpid()}")


def _check_ours(place: Path) -> None:
    """Looks at the files in a sample's folder, none of which may be another's."""
    for name in [path.name for path in place.iterdir()]:
        stem, _, suffix = name.rpartition(".")
        is_ours = name in (META, POINTS, TRANSFORMS) or (suffix == "npy" and stem in ARRAYS)
        if (not is_ours and not (suffix == "png" and split_image_name(stem))) or not (place / name).is_file():
            raise ShardError(f"{place / name}: no export wrote this; move it away, or choose another folder")


@contextlib.contextmanager
def _told(folder: Path) -> Iterator[None]:
    """Errors of the file system as one line."""
    try:
        yield
    except OSError as error:
        raise ShardError(
            f"{error.filename or folder}: cannot be written: {error.strerror}; what is there is kept, so make room (or choose "
            "another folder) and go on with --resume"
        ) from error
