"""`tap photo`: photos of a cloud or mesh file by a pre-trained run, beside the true views of a mesh; the join of the two."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape

from cli.render_job import RenderJob
from render import Mesh, RenderConfig, RenderError
from render.camera import Cameras
from render.mesh import MESH_SUFFIXES
from render.rendering import cameras_of
from render.rig import Rig, Viewpoint, cameras_around, load_rig
from render.viewpoint import camera_angles
from shards import Sample, Source
from shards.key import unique_keys
from shards.png import encode_png
from tap.batch import ViewBatch
from tap.config import validated
from tap.errors import TapError
from tap.photos.attention import looked_views
from tap.photos.clouds import CLOUD_SUFFIXES, Cloud, centred, holds_faces, read_cloud
from tap.photos.photographer import FloatArray, Photographer, errors_against, load_photographer
from tap.photos.pictures import draw_attention, draw_photos
from tap.targets import TARGETS, channel_slices, image_kinds

VIEWS, ATTENTION = "views.png", "attention.png"
_POSES = "--pose"  # what stands for the name of a rig, where there is none


@dataclasses.dataclass(frozen=True)
class PhotoOptions:
    """What `tap photo` is asked for.

    Attributes:
        rig: as `tap render --rig` takes it; None for the one that the run's shards were rendered with, or mvcnn12.
        poses: in place of a rig: azimuth and elevation of each camera, and maybe its roll, degrees.
        projection: parallel or perspective; None for that of the run's shards, or parallel.
        up: up axis of the file; None for y.
        attention: draw which points some cells looked at.
        cells: (row, column) that are drawn then; empty for some that show the object.
        views: that are drawn then; empty for some around the object.
        seed: of the points, where the cloud has more than the model takes, and of rigs that draw at random.
    """

    rig: str | None = None
    poses: Sequence[tuple[float, ...]] = ()
    projection: str | None = None
    up: str | None = None
    attention: bool = False
    cells: Sequence[tuple[int, int]] = ()
    views: Sequence[int] = ()
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class _Subject:
    """What is photographed: a cloud in the world frame, its cameras, and the sample where a mesh was rendered."""

    cloud: Cloud
    cameras: Cameras
    sample: Sample | None


def photo_run(path: Path, run: Path, out: Path | None, options: PhotoOptions) -> Path:
    """Take the photos, write them, say where they are; the whole of `tap photo`.

    Args:
        path: a mesh, or a file of points, see `tap.photos.clouds.read_cloud`.
        run: folder of `tap pretrain`.
        out: folder for the pictures, made where needed; files of the same names are replaced. None for `NAME-photo` in the
            current folder.
        options: what is asked for.

    Returns:
        The folder: ``view00.png`` and so on, ``views.png`` with all of them, and ``attention.png`` where asked for.

    Raises:
        RenderError, ShardError, TapError: see the functions called.
    """
    is_mesh = _is_mesh(path)
    photographer = load_photographer(run)
    config = _config(photographer, options)
    rig = _rig(config, options)
    subject = _rendered(path, config, rig) if is_mesh else _placed(path, config, rig, photographer.least_points)
    console = Console(highlight=False)
    console.print(_told(path, subject, config, photographer), soft_wrap=True)
    cloud = photographer.sampled(subject.cloud, options.seed)
    photos = photographer.photograph(cloud, subject.cameras)
    slices, labels = channel_slices(photographer.targets), _labels(subject.cameras)
    pictures = photos[:, slices.get("rgb", next(iter(slices.values())))]
    looked = {}
    if options.attention:  # before anything is written: a view or a cell may be wrong
        attention = photographer.attention(cloud, subject.cameras)
        views = looked_views(attention, pictures, cloud, subject.cameras, options.views, options.cells)
        looked = {f"view {view}: {labels[view]}": shown for view, shown in views.items()}
    true = None if subject.sample is None else photographer.true_views(subject.sample)
    folder = out if out is not None else Path(f"{path.stem}-photo")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        first = _write_photos(folder, pictures)
        draw_photos(
            folder / VIEWS, _rows(photos, true, slices), labels, f"{path.name}: views generated from its points"
        )
        if looked:
            draw_attention(folder / ATTENTION, looked, f"{path.name}: which points a cell of a photo looks at")
    except OSError as error:
        raise TapError(
            f"{folder}: cannot be written: {error.strerror or error}; name another folder with --out"
        ) from error
    files = {"the view" if len(photos) == 1 else f"{len(photos)} views, the first": first, "overview": folder / VIEWS}
    _tell(console, files | ({"attention": folder / ATTENTION} if looked else {}))
    _tell_errors(console, true, photos, photographer.targets)
    return folder


def _is_mesh(path: Path) -> bool:
    """Whether a file is a mesh rather than a cloud of points, by its suffix and, of .ply, by whether it holds faces."""
    suffix = path.suffix.lower()
    known = dict.fromkeys([*MESH_SUFFIXES, *CLOUD_SUFFIXES])
    if suffix not in known:
        raise TapError(
            f"{path}: suffix {suffix!r} is neither a mesh's nor a cloud's; tap photo reads {', '.join(known)}"
        )
    return suffix in MESH_SUFFIXES and (suffix not in CLOUD_SUFFIXES or holds_faces(path))


def _config(photographer: Photographer, options: PhotoOptions) -> RenderConfig:
    """How the run's shards were rendered, as far as it is known, with what the options ask for."""
    known = {name: value for name, value in photographer.rendering.items() if name in RenderConfig.model_fields}
    size, stored = photographer.image_size, known.get("image_size", RenderConfig().image_size)
    is_multiple = isinstance(stored, int) and stored % size == 0
    changes: dict[str, Any] = {
        "up": "y",
        "normalize": "sphere",
        "jitter": 0.0,
        "roll": 0.0,
        "backend": "cpu",
        "seed": options.seed,
        "image_size": stored if is_multiple else size,  # shrunk as in training
        "channels": image_kinds(photographer.targets),
    }
    config = validated(RenderConfig, known | changes, "settings of the run's shards")
    asked = {"rig": _POSES if options.poses else options.rig, "projection": options.projection, "up": options.up}
    for name, value in asked.items():  # one by one, so that an error names the option that was typed
        if value is not None:
            config = validated(RenderConfig, config.model_dump() | {name: value}, f"--{name}")
    return config


def _rig(config: RenderConfig, options: PhotoOptions) -> Rig:
    if options.poses:
        angles = np.array([(*pose, 0.0)[:3] for pose in options.poses], np.float64)  # without a roll it is 0

        def posed(viewpoint: Viewpoint) -> Cameras:
            return cameras_around(angles[:, 0], angles[:, 1], viewpoint, angles[:, 2])

        return posed
    try:
        return load_rig(config.rig)
    except RenderError as error:
        if options.rig is not None:
            raise
        raise RenderError(f"the run's shards were rendered with another rig: {error}; name one with --rig") from error


def _rendered(path: Path, config: RenderConfig, rig: Rig) -> _Subject:
    """A mesh as a sample of shards, made as `tap render` makes it."""
    sample = RenderJob(config, rig)(Source(str(path), str(path), "", "", unique_keys([path.name])[0]))
    points, meta = sample.arrays["points"], sample.meta  # a rig may go its own way in projection and image size
    poses, intrinsics = sample.arrays["world_to_camera"], sample.arrays["intrinsics"]
    cameras = Cameras(poses, intrinsics, meta["projection"], meta["image_size"])
    return _Subject(Cloud(points[:, :3], points[:, 3:]), cameras, sample)


def _placed(path: Path, config: RenderConfig, rig: Rig, least: int) -> _Subject:
    """A cloud of points in the frame of shards, with its cameras."""
    try:
        cloud = centred(read_cloud(path, least), config.up)
    except TapError as error:
        told = str(error)
        raise TapError(told if told.startswith(str(path)) else f"{path}: {told}") from error
    points = Mesh(cloud.points.astype(np.float64), np.zeros((0, 3), np.int64))
    return _Subject(cloud, cameras_of(points, config, unique_keys([path.name])[0], rig), None)


def _told(path: Path, subject: _Subject, config: RenderConfig, photographer: Photographer) -> str:
    number, taken = len(subject.cloud.points), photographer.config.data.num_points
    kind, what = ("cloud", "points") if subject.sample is None else ("mesh", "points on its surface")
    share = f"{number:,} {what}, repeated to {taken:,}" if number < taken else f"{taken:,} of {number:,} {what}"
    size = photographer.image_size
    cameras = subject.cameras
    rig = "poses as given" if config.rig == _POSES else f"rig {config.rig}"
    views = f"{cameras.num_views} view{'s' * (cameras.num_views > 1)} of {size} px"
    return escape(f"{path}: {kind}, {share}; {config.up} is up; {rig}, {views}, {cameras.projection}")


def _labels(cameras: Cameras) -> list[str]:
    """Azimuth and elevation of each camera, and its roll where it has one."""
    angles = camera_angles(cameras).round(0) + 0.0
    return [
        f"{azimuth % 360:.0f}°, {abs(elevation):.0f}° {'down' if elevation < 0 else 'up'}"
        + (f", roll {roll:.0f}°" if roll else "")
        for azimuth, elevation, roll, _ in angles
    ]


def _write_photos(folder: Path, pictures: FloatArray) -> Path:
    """Each photo of (V, 1 or 3, H, W) as its own file; returns the first."""
    digits = max(2, len(str(len(pictures) - 1)))
    files = [folder / f"view{view:0{digits}d}.png" for view in range(len(pictures))]
    for file, picture in zip(files, pictures, strict=True):
        pixels = np.rint(picture.transpose(1, 2, 0) * 255.0).astype(np.uint8)
        file.write_bytes(encode_png(np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))))
    return files[0]


def _rows(photos: FloatArray, true: ViewBatch | None, slices: Mapping[str, slice]) -> dict[str, FloatArray]:
    """The rows of the overview: of each target the generated views and, where there are any, the true ones."""
    rows = {}
    for target, part in slices.items():
        word = "" if target == "rgb" else f" {target}"
        rows[f"generated{word}"] = photos[:, part]
        if true is not None and true.images is not None:
            rows[f"true{word}"] = true.images[0, :, part].numpy()
    return rows


def _tell(console: Console, files: Mapping[str, Path]) -> None:
    for what, file in files.items():
        console.print(f"{what}: {escape(str(file))}", soft_wrap=True)


def _tell_errors(console: Console, true: ViewBatch | None, photos: FloatArray, targets: Sequence[str]) -> None:
    if true is None:
        return
    for target, (inside, around) in errors_against(true, photos, targets).items():
        numbers = f"mean squared error {inside:.4f} on the object"
        if TARGETS[target].background_weight > 0:  # else nothing was asked of what is drawn there
            numbers += f", {around:.4f} around it"
        console.print(f"{target} against the true views: {numbers}", soft_wrap=True)
