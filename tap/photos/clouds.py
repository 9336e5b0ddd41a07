"""Point clouds from files of other tools (.ply, .pcd, .npy, columns of text), and their way into the frame of our shards.

Knows no model. Legend: P points.
"""

import dataclasses
import io
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tap.errors import TapError
from tap.photos.columns import Columns, pcd_columns, ply_columns, ply_elements

UpAxis = Literal["y", "z"]
FloatArray = npt.NDArray[np.floating[Any]]
TEXT_SUFFIXES = (".xyz", ".txt", ".pts", ".csv")
CLOUD_SUFFIXES = (".ply", ".pcd", ".npy", *TEXT_SUFFIXES)
_NORMALS = (("nx", "ny", "nz"), ("normal_x", "normal_y", "normal_z"))
_UNIT_SLACK = 0.02  # normals written with two decimals are still normals
_UP_ROTATIONS = {"y": np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]]), "z": np.eye(3)}


@dataclasses.dataclass(frozen=True, eq=False)
class Cloud:
    """A point cloud.

    Attributes:
        points: (P, 3) finite; float64 in the file's frame and units, since places on a map need more than 7 digits; float32
            in the world frame.
        normals: (P, 3) of the same dtype, of length 1, or 0 where a point has none; None where the file has none.
    """

    points: FloatArray
    normals: FloatArray | None = None

    def taken(self, index: npt.NDArray[np.int64]) -> "Cloud":
        """Some of the points, in the order of their indices (N,)."""
        return Cloud(self.points[index], None if self.normals is None else self.normals[index])


def read_cloud(path: Path, least: int = 1) -> Cloud:
    """The points of a file.

    What is read: of .ply (text, binary of both byte orders) the vertices' x y z and nx ny nz; of .pcd (text, binary,
    compressed) x y z and normal_x normal_y normal_z; of .npy an array (P, 3 or more); of .xyz, .txt, .pts and .csv lines of 3
    or more numbers between blanks or commas, after an optional line with their number, ``#`` beginning a comment. Of arrays
    and lines the first three columns are the place; columns 4 to 6 are the normal if every row's has length 1 or 0, else they
    are something else, such as colours, and left out like all further ones.

    Args:
        path: the file; its suffix, in any case, names the format.
        least: points that must be there.

    Returns:
        Cloud in the file's frame, float64. Normals that are not finite are as none at all.

    Raises:
        TapError: another suffix, unreadable or damaged, fewer than ``least`` points, or points that are not finite.
    """
    suffix = path.suffix.lower()
    if suffix not in _READERS:
        raise TapError(f"{path}: suffix {suffix!r} is not one of {', '.join(CLOUD_SUFFIXES)}")
    try:
        cloud = _READERS[suffix](path)
    except OSError as error:
        raise TapError(f"{path}: cannot be read: {error.strerror or error}") from error
    except TapError as error:
        raise TapError(f"{path}: {error}") from error
    if len(cloud.points) < least:
        raise TapError(f"{path}: holds {len(cloud.points):,} points, at least {least:,} are needed")
    num_wrong = int((~np.isfinite(cloud.points).all(axis=1)).sum())
    if num_wrong:
        raise TapError(
            f"{path}: {num_wrong:,} of {len(cloud.points):,} points are not finite (NaN or infinite); leave them out"
        )
    return cloud


def centred(cloud: Cloud, up: UpAxis) -> Cloud:
    """The cloud in the frame that shards have: +z up, the mean of the points at the origin, the farthest at distance 1.

    Of a mesh the renderer takes the surface's centroid and the farthest vertex, which differs as far as the points are denser
    in one place than in another.

    Args:
        cloud: P points in the file's frame.
        up: the file's up axis.

    Returns:
        Cloud of float32.

    Raises:
        TapError: all points are one, or they are too far apart for float64.
    """
    turn = _UP_ROTATIONS[up].T
    points = cloud.points.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):  # told below
        size = float(np.abs(points - points[0]).max())
        relative = (points - points[0]) / size if size > 0 else points
        relative = relative - relative.mean(axis=0)
        radius = float(np.linalg.norm(relative, axis=1).max())
    if not (size > 0 and np.isfinite(radius)):
        reason = "all points are one" if size == 0 else "coordinates overflow"
        raise TapError(f"{reason}: the cloud has no size to go by")
    normals = None if cloud.normals is None else (cloud.normals @ turn).astype(np.float32)
    return Cloud(((relative / radius) @ turn).astype(np.float32), normals)


def holds_faces(path: Path) -> bool:
    """Whether a .ply file is a mesh rather than a cloud of points.

    Raises:
        TapError: it cannot be read, or is no PLY file.
    """
    try:
        _, elements, _ = ply_elements(path.read_bytes())
    except OSError as error:
        raise TapError(f"{path}: cannot be read: {error.strerror or error}") from error
    except TapError as error:
        raise TapError(f"{path}: {error}") from error
    return any(element.name in ("face", "tristrips") and element.num_rows > 0 for element in elements)


def _from_columns(columns: Columns) -> Cloud:
    missing = [name for name in "xyz" if name not in columns]
    if missing:
        raise TapError(f"its points have no {', '.join(missing)}; they have {', '.join(columns) or 'nothing'}")
    points = np.stack([columns[name].astype(np.float64) for name in "xyz"], axis=1)
    for names in _NORMALS:
        if all(name in columns for name in names):
            return Cloud(points, _unit(np.stack([columns[name].astype(np.float64) for name in names], axis=1)))
    return Cloud(points)


def _from_table(table: npt.NDArray[Any]) -> Cloud:
    if table.ndim != 2 or table.shape[1] < 3 or table.dtype.kind not in "fiu":
        raise TapError(f"holds {table.dtype} numbers {table.shape}; points are (P, 3) or, with normals, (P, 6)")
    rows = table.astype(np.float64)
    candidates = rows[:, 3:6]
    if candidates.shape[1] < 3:
        return Cloud(rows[:, :3])
    lengths = np.linalg.norm(candidates, axis=1)
    are_normals = ((np.abs(lengths - 1) <= _UNIT_SLACK) | (lengths == 0)).all() and lengths.any()
    return Cloud(rows[:, :3], _unit(candidates) if are_normals else None)


def _unit(normals: FloatArray) -> FloatArray | None:
    if not np.isfinite(normals).all():
        return None
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    unit: FloatArray = normals / np.where(lengths > 0, lengths, 1.0)
    return unit


def _read_npy(path: Path) -> Cloud:
    try:
        # A map refuses a header that claims more than the file holds, and never unpickles.
        array = np.lib.format.open_memmap(path, mode="r")
    except (ValueError, EOFError, SyntaxError) as error:
        raise TapError(f"cannot be read as .npy: {error}") from error
    return _from_table(np.asarray(array))


def _read_text(path: Path) -> Cloud:
    try:
        lines = path.read_bytes().decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise TapError("is not text; its suffix promises lines of numbers") from error
    stripped = [(number, line.partition("#")[0].strip()) for number, line in enumerate(lines, 1)]
    rows = [(number, line) for number, line in stripped if line]
    if rows and rows[0][1].isdecimal():  # .pts and .xyz files may begin with the number of points
        rows = rows[1:]
    if not rows:
        return Cloud(np.zeros((0, 3)))
    delimiter = "," if "," in rows[0][1] else None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            table = np.loadtxt(io.StringIO("\n".join(line for _, line in rows)), delimiter=delimiter, ndmin=2)
    except (ValueError, UserWarning) as error:
        reason = _wrong_line(rows, delimiter) or str(error)
        raise TapError(f"is not lines of equally many numbers: {reason}; mend or delete it") from error
    return _from_table(table)


def _wrong_line(rows: Sequence[tuple[int, str]], delimiter: str | None) -> str:
    """What is wrong with the first line that is not as many numbers as the line before all others; empty for nothing."""
    width = len(rows[0][1].split(delimiter))
    for number, line in rows:
        entries = line.split(delimiter)
        for entry in entries:
            try:
                float(entry)
            except ValueError:
                return f"line {number} has {entry.strip()[:40]!r}"
        if len(entries) != width:
            return f"line {number} has {len(entries)} numbers, line {rows[0][0]} has {width}"
    return ""


_READERS: dict[str, Callable[[Path], Cloud]] = {
    ".ply": lambda path: _from_columns(ply_columns(path.read_bytes())),
    ".pcd": lambda path: _from_columns(pcd_columns(path.read_bytes())),
    ".npy": _read_npy,
    **dict.fromkeys(TEXT_SUFFIXES, _read_text),
}
