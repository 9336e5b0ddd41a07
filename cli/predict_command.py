"""`tap predict`: what a fine-tuned run says of files of points or meshes; the join of reading and predicting."""

import csv
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.errors import EXPECTED
from render.config import RenderConfig
from render.mesh import MESH_SUFFIXES, file_content, read_mesh
from render.normalization import UP_ROTATIONS, normalize
from render.randomness import generator_for
from render.sample import SAMPLERS, points_with_normals
from tap.errors import TapError
from tap.photos.clouds import CLOUD_SUFFIXES, Cloud, centred, holds_faces, read_cloud
from tap.results.evaluation_run import Checkpoint
from tap.results.prediction import Predictor, load_predictor
from tap.results.prediction_cloud import Prediction
from tap.results.prediction_parts import write_parts

Up = Literal["y", "z"]


@dataclasses.dataclass(frozen=True)
class PredictOptions:
    """What `tap predict` is asked for.

    Attributes:
        checkpoint: of the run.
        up: up axis of the files.
        category: the class of all files, for a run that predicts parts.
        out: folder for coloured clouds of parts; None for none.
        as_json: print JSON in place of a table.
        csv_file: a table of all files, or None.
    """

    checkpoint: Checkpoint = "best"
    up: Up = "y"
    category: str | None = None
    out: Path | None = None
    as_json: bool = False
    csv_file: Path | None = None


def predict_files(files: Sequence[Path], run: Path, options: PredictOptions) -> bool:
    """Predicts file by file and tells; the whole of `tap predict`.

    Args:
        files: meshes, or files of points, see `tap.photos.clouds.read_cloud`.
        run: folder of a fine-tuning task.
        options: what is asked for.

    Returns:
        Whether all files could be predicted; of each of the others one line is told on standard error.

    Raises:
        TapError: no such run, options that do not fit its task, or a file or folder that cannot be written.
    """
    predictor = load_predictor(run, options.checkpoint)
    _check(predictor, options, files)
    rows: list[dict[str, Any]] = []
    complaints = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    for file in files:
        try:
            cloud, places = cloud_of(file, options.up, predictor.least_points)
            prediction = predictor.predict(cloud, options.category)
        except EXPECTED as error:
            told = " ".join(str(error).split())
            complaints.print(f"error: {told if told.startswith(str(file)) else f'{file}: {told}'}", style="red")
            continue
        rows.append(_row(file, prediction, predictor, places, options))
    console = Console(highlight=False)
    if options.as_json:
        console.print(json.dumps(rows, indent=2), soft_wrap=True, markup=False)
    elif rows:
        console.print(_table(rows))
    if options.csv_file is not None:
        _write_csv(options.csv_file, rows, bool(predictor.part_names))
    return len(rows) == len(files)


def cloud_of(path: Path, up: Up, least: int = 1) -> tuple[Cloud, npt.NDArray[np.float64]]:
    """The points of a file, brought into the frame of training: +z up, centred, in the unit sphere.

    Args:
        path: mesh (then points of its surface, as many as `tap render` draws) or cloud, told by suffix and faces.
        up: up axis of the file.
        least: points that a cloud must have.

    Returns:
        The cloud in the world frame, and the same points and normals (P, 6) in the file's frame and units; a normal that is
        not known is 0.

    Raises:
        RenderError, TapError: a file that is neither, damaged, or without extent.
    """
    suffix = path.suffix.lower()
    if suffix not in MESH_SUFFIXES and suffix not in CLOUD_SUFFIXES:
        known = ", ".join(dict.fromkeys([*MESH_SUFFIXES, *CLOUD_SUFFIXES]))
        raise TapError(f"{path}: suffix {suffix!r} is neither a mesh's nor a cloud's; tap predict reads {known}")
    if suffix not in MESH_SUFFIXES or (suffix in CLOUD_SUFFIXES and not holds_faces(path)):
        stored = read_cloud(path, least)
        normals = np.zeros_like(stored.points) if stored.normals is None else stored.normals
        return centred(stored, up), np.concatenate([stored.points, normals], axis=1)
    normalized = normalize(read_mesh(path, file_content(path)), up, "sphere", str(path))
    settings = RenderConfig()
    generator = generator_for(settings.seed, path.name)
    places = SAMPLERS[settings.points](normalized.mesh, normalized.face_areas, settings.num_points, generator)
    points = points_with_normals(normalized.mesh, places)
    turned = points[:, :3].astype(np.float64) * normalized.scale + normalized.center
    back = np.concatenate([turned @ UP_ROTATIONS[up], points[:, 3:] @ UP_ROTATIONS[up]], axis=1)
    return Cloud(points[:, :3], points[:, 3:]), back


def _check(predictor: Predictor, options: PredictOptions, files: Sequence[Path]) -> None:
    """Raises `TapError` where the options do not fit the run's task, before any file is read."""
    if not predictor.part_names:
        if options.category is not None:
            raise TapError("--class: a run of classification finds the class itself; leave it out")
        if options.out is not None:
            raise TapError("--out: a run of classification colours no parts; use --csv or --json")
    elif options.category is None and len(predictor.classes) > 1:
        raise TapError(f"parts are those of a class: name it with --class, one of {', '.join(predictor.classes)}")
    elif options.category not in (None, *predictor.classes):
        raise TapError(
            f"--class {options.category!r} is unknown to the run; name one of {', '.join(predictor.classes)}"
        )
    stems = [file.stem for file in files]
    twice = next((stem for stem in stems if stems.count(stem) > 1), None)
    if options.out is not None and twice is not None:
        raise TapError(f"--out: two files are called {twice}, and would write the same PLY; predict them apart")


def _row(
    file: Path, prediction: Prediction, predictor: Predictor, places: npt.NDArray[np.float64], options: PredictOptions
) -> dict[str, Any]:
    """What is told of a file; of parts the shares of its points, and the PLY where one was asked for."""
    row: dict[str, Any] = {"file": str(file)}
    if prediction.parts is None:
        row["classes"] = [{"class": name, "confidence": round(value, 4)} for name, value in prediction.classes]
        return row
    category = predictor.classes.index(options.category) if options.category is not None else 0
    counts = np.bincount(prediction.parts, minlength=len(predictor.part_names))
    mine = predictor.class_parts[category]
    row["class"] = predictor.classes[category]
    row["parts"] = [
        {"part": predictor.part_names[part], "index": part, "share": round(float(counts[part] / counts.sum()), 4)}
        for part in mine
    ]
    if options.out is not None:
        row["ply"] = str(options.out / f"{file.stem}.ply")
        write_parts(Path(row["ply"]), places, prediction.parts, mine)
    return row


def _table(rows: Sequence[dict[str, Any]]) -> Table:
    if "parts" in rows[0]:
        table = Table("file", "class", "parts, share of the points", "coloured cloud")
        for row in rows:
            shares = ", ".join(f"{part['part']} {part['share']:.1%}" for part in row["parts"] if part["share"])
            table.add_row(*map(escape, (row["file"], row["class"], shares, row.get("ply", ""))))
        return table
    table = Table("file", "class", "confidence", "next")
    for row in rows:
        first, *others = row["classes"]
        following = ", ".join(f"{other['class']} {other['confidence']:.1%}" for other in others)
        table.add_row(escape(row["file"]), escape(first["class"]), f"{first['confidence']:.1%}", escape(following))
    return table


def _write_csv(file: Path, rows: Sequence[dict[str, Any]], parts: bool) -> None:
    """A line a file and class, or a file and part."""
    what, number, place = ("part", "share", "index") if parts else ("class", "confidence", "rank")
    try:
        with file.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(["file", place, what, number])
            for row in rows:
                for rank, found in enumerate(row["parts" if parts else "classes"], start=1):
                    first = found["index"] if parts else rank
                    writer.writerow([row["file"], first, found[what], f"{found[number]:.4f}"])
    except OSError as error:
        raise TapError(f"{file}: cannot be written: {error.strerror or error}; name another --csv file") from error
