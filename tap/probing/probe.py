"""Linear probe: a linear SVM on the pooled features of a frozen backbone, which says how much they know of the classes.

Its settings are chosen on cuts of the train split; the test split is read once, at the end.
"""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from lightning.fabric import Fabric
from pydantic import BaseModel, ConfigDict, Field
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from torch import nn

from shards.stores.store import Location
from tap.backbones import BackboneConfig
from tap.datasets import DatasetConfig, Source, open_source
from tap.errors import TapError
from tap.loading.data import DataConfig
from tap.loading.samples import Samples
from tap.loading.sampling import plain_errors
from tap.network.heads import Pooling
from tap.probing.features import calibrate_norms, embed, frozen_backbone
from tap.tasks.finetuning import RESULT, resolve_backbone
from tap.tasks.split import check_backbone, check_label, cut_share, labelled_samples, source_account, take_share
from tap.training.checkpoint import write_json
from tap.training.fabric import build_fabric
from tap.training.machine import prepare_machine
from tap.training.run import open_run
from tap.training.task import Progress, Silent
from tap.training.train_config import TrainConfig

MOST_ITERATIONS = 20_000


class ProbeConfig(BaseModel):
    """A whole linear probe."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backbone: BackboneConfig | None = Field(
        None,
        description="The backbone; null takes that of the run to probe, or the small transformer with random weights.",
    )
    train: TrainConfig = Field(
        default_factory=TrainConfig, description="Seed, batch size and device; nothing is trained."
    )
    data: DataConfig = Field(default_factory=DataConfig, description="Points of a cloud; views are not read.")
    dataset: DatasetConfig = Field(default_factory=DatasetConfig, description="How the data set is stored.")
    pooling: Pooling = Field("max_mean", description="Tokens to one vector: class_max, max or max_mean.")
    penalties: tuple[float, ...] = Field(
        (1e-4, 1e-3, 1e-2, 1e-1, 1.0), min_length=1, description="Values of the SVM's C to choose among."
    )
    num_cuts: int = Field(4, ge=1, description="Cuts of train on whose mean accuracy C is chosen.")
    validation_share: float = Field(0.2, gt=0, lt=1, description="Share of each class of train in a cut.")
    label_share: float = Field(1.0, gt=0, le=1, description="Share of the labels of each class of train that is used.")
    train_split: str = Field("train", description="Split that the SVM is fitted to.")
    test_split: str = Field("test", description="Split that is read once at the end, if the set has it.")


@plain_errors()
def probe(
    location: Location,
    out: Path,
    config: ProbeConfig,
    init: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Fits and scores a linear SVM on frozen features.

    A random backbone has the statistics of its batch norms from the train split, see `calibrate_norms`.

    Args:
        location: path of a labelled data set, or URL of a shard set.
        out: run folder, new or of a probe that was stopped.
        config: the probe.
        init: run or export whose backbone is probed, or None: random weights.
        progress: is told what is done.

    Returns:
        What ``result.json`` holds: ``validation`` accuracy (mean over the cuts), ``test`` numbers (None without such a split),
        ``penalty`` (the chosen C) and the accuracy of each, ``selected_on``, ``init`` and counts.

    Raises:
        TapError: settings that do not fit the data or ``init``, too few samples, a folder that holds a run or result.
        ShardError: a damaged set.
    Source: linear SVM on frozen global features as in Point-BERT (CVPR 2022) and Point-MAE (ECCV 2022), there with C = 1.
    """
    progress = progress or Silent()
    out, init = Path(out), None if init is None else Path(init).resolve()
    chosen = resolve_backbone(config.backbone, init)
    config = config.model_copy(update={"backbone": chosen})
    if config.train.devices > 1:
        raise TapError("a probe runs on one device; set train.devices=1")
    if config.test_split == config.train_split:
        raise TapError(f"test_split: {config.test_split!r} is the split that the SVM is fitted to; name another")
    if (out / RESULT).exists():
        raise TapError(f"{out}: holds a result already; choose another --out")
    source = open_source(location, config.dataset)
    data = source.open(config.train_split, config.data, config.train.seed)
    members, labels = _labelled(data, config)
    prepare_machine(config.train)
    backbone = frozen_backbone(chosen, init, config.train.seed)
    check_backbone(nn.ModuleDict({"backbone": backbone}), data, members)
    account = source_account(source, config.train_split, config.test_split)
    facts: dict[str, Any] = {"shards": str(location), "init": None if init is None else str(init)}
    open_run(out, "probe", config, account, False, facts)
    fabric = build_fabric(config.train.accelerator, 1, config.train.precision)
    backbone.to(fabric.device)
    progress.on_message(f"{len(members)} samples; features of {chosen.name}, {init or 'random weights'}")
    if init is None:
        calibrate_norms(backbone, data, members, config.train, fabric)
    features = embed(backbone, data, members, config.pooling, config.train, fabric).of(members)
    progress.on_message(f"fitting SVMs to {features.vectors.shape[1]} channels")
    accuracies = cut_accuracies(features.vectors, labels, config)
    penalty = max(accuracies, key=lambda value: (accuracies[value], -value))  # of equals the smoother one
    svm = fit_svm(features.vectors, labels, penalty)
    result = {
        **facts,
        "validation": {"accuracy": accuracies[penalty]},
        "test": _test(svm, backbone, source, config, fabric),
        "penalty": penalty,
        "penalties": {f"{value:g}": accuracy for value, accuracy in accuracies.items()},
        "selected_on": f"{config.num_cuts} cuts of {config.validation_share:.0%} of each class of {config.train_split}",
        "num_used": {"train": len(members), "test": account["num_samples"].get(config.test_split, 0)},
        "num_classes": len(source.classes),
        "num_channels": features.vectors.shape[1],
    }
    write_json(out / RESULT, result)
    return result


def cut_accuracies(
    vectors: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], config: ProbeConfig
) -> dict[float, float]:
    """Mean accuracy of each C over cuts of the samples.

    Args:
        vectors: (S, D).
        labels: (S,).
        config: how many cuts, of which share, with which C.

    Returns:
        C to accuracy.
    """
    cuts = [
        cut_share(labels.tolist(), config.validation_share, config.train.seed + cut) for cut in range(config.num_cuts)
    ]
    return {
        penalty: float(
            np.mean(
                [fit_svm(vectors[kept], labels[kept], penalty).score(vectors[cut], labels[cut]) for kept, cut in cuts]
            )
        )
        for penalty in config.penalties
    }


def fit_svm(vectors: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], penalty: float) -> Pipeline:
    """A linear SVM, one against the rest, on features of mean 0 and variance 1."""
    svm = make_pipeline(StandardScaler(), LinearSVC(C=penalty, dual=True, max_iter=MOST_ITERATIONS, random_state=0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of a large C, which the cuts then judge
        return svm.fit(vectors.astype(np.float64), labels)


def _labelled(data: Samples, config: ProbeConfig) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The training samples and their labels, after a look at what the set offers."""
    indices, found = labelled_samples(data)
    kept = take_share(found, config.label_share, config.train.seed)
    labels = np.asarray(found, np.int64)[kept]
    num_classes = len(np.unique(labels))
    if num_classes < 2 or len(labels) == num_classes:
        raise TapError(
            f"{data.location}: {len(labels)} samples of {num_classes} classes in {config.train_split}; a probe needs two "
            "classes, and two samples of one of them, to cut some for validation"
        )
    return indices[kept], labels


def _test(
    svm: Pipeline, backbone: nn.Module, source: Source, config: ProbeConfig, fabric: Fabric
) -> dict[str, float] | None:
    """Accuracy and class mean on the test split, None where there is none."""
    if config.test_split not in source.num_samples:
        return None
    data = source.open(config.test_split, config.data, config.train.seed)
    features = embed(backbone, data, np.arange(len(data)), config.pooling, config.train, fabric)
    for index, label in zip(features.index.tolist(), features.label.tolist(), strict=True):
        check_label(data, index, label)
    right = svm.predict(features.vectors.astype(np.float64)) == features.label
    each = [right[features.label == label].mean() for label in np.unique(features.label)]
    return {"accuracy": float(right.mean()), "class_mean_accuracy": float(np.mean(each))}
