"""The part of every point of a cloud, as a part segmentation run says it, and the cloud coloured so as a PLY file."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from shards.exchange.ply import encode_ply
from shards.stream import IntArray
from tap.errors import TapError
from tap.photos.clouds import Cloud
from tap.results.evaluation_parts import load_segmenter, parts_of
from tap.results.evaluation_run import FinetunedRun
from tap.results.prediction_cloud import Prediction, blocks_of, check_points, least_points, point_batch
from tap.tasks.parts.part_pictures import PART_COLORS
from tap.tasks.parts.part_scores import best_parts, part_table

BLOCKS_AT_ONCE = 8  # bounds the memory of a cloud of millions of points


class PartPredictor:
    """A run of part segmentation as a `tap.results.prediction.Predictor`; all points of a cloud are labelled, block by block.

    Args:
        run: whose model it is.
    """

    task = "partseg"

    def __init__(self, run: FinetunedRun) -> None:
        self.classes = run.classes
        self.part_names, self.class_parts = parts_of(run)
        self._table = part_table(self.class_parts, len(self.part_names))
        self._model, config = load_segmenter(run)
        self._data, self._seed = config.data, config.train.seed
        self.least_points = least_points(self._model)

    @torch.inference_mode()
    def predict(self, cloud: Cloud, category: str | None = None) -> Prediction:
        """See `tap.results.prediction.Predictor`; ``category`` must be given where the run knows several."""
        category = self.classes[0] if category is None and len(self.classes) == 1 else category
        if category not in self.classes:
            raise TapError(f"which class it is must be known: name one with --class: {', '.join(self.classes)}")
        check_points(cloud, self.least_points, self._data)
        label = self.classes.index(category)
        index = blocks_of(len(cloud.points), self._data.num_points, self._seed)  # (B, N)
        parts = np.empty(len(cloud.points), np.int64)
        for first in range(0, len(index), BLOCKS_AT_ONCE):
            some = index[first : first + BLOCKS_AT_ONCE]
            labels = torch.full((len(some),), label)
            scores = self._model(point_batch(cloud, some, self._data), labels).float()  # (b, N, P)
            parts[some.ravel()] = best_parts(scores, labels, self._table).numpy().ravel()
        return Prediction(parts=parts)


def write_parts(file: Path, points: npt.NDArray[np.float64], parts: IntArray, first: Sequence[int]) -> None:
    """Writes a PLY of points with a colour for each part of their class, and the index of the part as ``part``.

    Args:
        file: where to; its folder is made.
        points: (P, 6), places and normals in any frame; 0 for a normal that is not known.
        parts: (P,) part of each.
        first: the parts of the class, which take the colours in their order.

    Raises:
        TapError: it cannot be written.
    """
    palette = np.array([[int(color[at : at + 2], 16) for at in (1, 3, 5)] for color in PART_COLORS], np.uint8)
    place = {part: number % len(palette) for number, part in enumerate(first)}
    colors = palette[[place[part] for part in parts.tolist()]]  # (P, 3)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(
            encode_ply({"points": points.astype(np.float32), "colors": colors, "part": parts.astype(np.int32)})
        )
    except OSError as error:
        raise TapError(
            f"{file}: cannot be written: {error.strerror or error}; name another folder with --out"
        ) from error
