"""What a fine-tuned run says of a single point cloud: its most likely classes, or the part of every point."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import torch

from tap.errors import TapError
from tap.photos.clouds import Cloud
from tap.results.evaluation_run import Checkpoint, FinetunedRun, load_classifier, open_finetuned
from tap.results.prediction_cloud import Prediction, check_points, least_points, point_batch, points_for
from tap.results.prediction_parts import PartPredictor


class Predictor(Protocol):
    """A run that predicts.

    Attributes:
        task: what it learned.
        classes: names in the order of the label indices.
        part_names: of every part; empty of a run that knows none.
        class_parts: the parts of each class; empty likewise.
        least_points: points that a cloud must have.
    """

    task: str
    classes: tuple[str, ...]
    part_names: tuple[str, ...]
    class_parts: tuple[tuple[int, ...], ...]
    least_points: int

    def predict(self, cloud: Cloud, category: str | None = None) -> Prediction:
        """What the run says of a cloud in the world frame, see `tap.photos.clouds.centred`.

        Args:
            cloud: P points. Of more than the run was trained on, a class is told from a random subset, the same every time,
                and parts of one subset after the other; of fewer, some are repeated.
            category: the class that the object is known to be of, for a run that predicts parts.

        Raises:
            TapError: too few points, or normals missing that the run reads.
        """
        ...


class ClassPredictor:
    """A run of classification as a `Predictor`.

    Args:
        run: whose classifier it is.
    """

    task = "classification"
    part_names: tuple[str, ...] = ()
    class_parts: tuple[tuple[int, ...], ...] = ()

    def __init__(self, run: FinetunedRun, num_best: int = 3) -> None:
        self.classes = run.classes
        self._model, config = load_classifier(run)
        self._data, self._seed, self._num_best = config.data, config.train.seed, num_best
        self.least_points = least_points(self._model)

    @torch.inference_mode()
    def predict(self, cloud: Cloud, category: str | None = None) -> Prediction:
        """See `Predictor`; ``category`` must be None."""
        if category is not None:
            raise TapError("a run of classification finds the class itself; leave --class out")
        check_points(cloud, self.least_points, self._data)
        index = points_for(cloud, self._data, self._seed)
        scores = self._model(point_batch(cloud, index[None], self._data))[0].float()  # (K,)
        best = scores.softmax(-1).topk(min(self._num_best, len(self.classes)))
        pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        return Prediction(classes=tuple((self.classes[place], probability) for place, probability in pairs))


PREDICTORS: dict[str, Callable[[FinetunedRun], Predictor]]
PREDICTORS = {"classification": ClassPredictor, "partseg": PartPredictor}


def load_predictor(run: Path, checkpoint: Checkpoint = "best") -> Predictor:
    """A fine-tuned run, ready to predict on the CPU.

    Args:
        run: run folder of a task of `PREDICTORS`, or one of its checkpoints.
        checkpoint: of a run folder.

    Raises:
        TapError: no such run or checkpoint, or weights that do not fit.
    """
    finetuned, build = open_finetuned(run, checkpoint, PREDICTORS)
    return build(finetuned)
