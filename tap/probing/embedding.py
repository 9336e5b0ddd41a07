"""The features of a whole data set in one file, for whatever is done with them elsewhere.

Legend: S samples, D channels, K classes.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from shards.stores.store import Location
from tap.datasets import DatasetConfig, open_source
from tap.errors import TapError
from tap.loading.data import DataConfig
from tap.loading.sampling import plain_errors
from tap.network.heads import Pooling
from tap.probing.features import Features, embed, frozen_backbone
from tap.tasks.finetuning import resolve_backbone
from tap.tasks.split import check_backbone
from tap.training.fabric import build_fabric
from tap.training.machine import prepare_machine
from tap.training.task import Progress, Silent
from tap.training.train_config import TrainConfig


class EmbedConfig(BaseModel):
    """How the features of a whole data set are made."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    train: TrainConfig = Field(default_factory=TrainConfig, description="Batch size and device; nothing is trained.")
    data: DataConfig = Field(default_factory=DataConfig, description="Points of a cloud; views are not read.")
    dataset: DatasetConfig = Field(default_factory=DatasetConfig, description="How the data set is stored.")
    pooling: Pooling = Field("max_mean", description="Tokens to one vector: class_max, max or max_mean.")
    splits: tuple[str, ...] = Field((), description="Splits that are embedded; none named takes all.")


@plain_errors()
def embed_source(
    location: Location, out: Path, config: EmbedConfig, init: Path, progress: Progress | None = None
) -> dict[str, int]:
    """Writes the features of a data set by the backbone of a run as one ``.npz``.

    The file holds ``vectors`` (S, D) float32; ``keys``, ``splits`` and ``classes`` (K,) as text; ``labels`` (S,) int64, indices
    of classes, -1 where there is none. `numpy.load` reads it without pickles.

    Args:
        location: path of the data set, or URL of a shard set.
        out: file to write; it must not exist.
        config: what is embedded and how.
        init: run, export or import whose backbone it is.
        progress: is told what is done.

    Returns:
        Samples of each split.

    Raises:
        TapError: a file that exists or cannot be written, a folder without a backbone, an unknown split.
        ShardError: a damaged set.
    """
    progress = progress or Silent()
    if out.exists():
        raise TapError(f"{out}: exists; choose another --out")
    stored = resolve_backbone(None, init)
    source = open_source(location, config.dataset)
    unknown = [split for split in config.splits if split not in source.num_samples]
    if unknown:
        raise TapError(f"{location}: no split {unknown[0]!r}; there are {', '.join(sorted(source.num_samples))}")
    prepare_machine(config.train)
    fabric = build_fabric(config.train.accelerator, 1, config.train.precision)
    backbone = frozen_backbone(stored, init, 0).to(fabric.device)
    found: dict[str, tuple[Features, list[str]]] = {}
    for split in config.splits or tuple(source.num_samples):
        data = source.open(split, config.data, config.train.seed)
        check_backbone(nn.ModuleDict({"backbone": backbone}), data, np.arange(len(data)))
        features = embed(backbone, data, np.arange(len(data)), config.pooling, config.train, fabric)
        found[split] = features, [data.key(index) for index in features.index.tolist()]
        progress.on_message(f"{split}: {len(features.index)} samples of {features.vectors.shape[1]} channels")
    _write_features(out, found, source.classes)
    return {split: len(features.index) for split, (features, _) in found.items()}


def _write_features(out: Path, found: Mapping[str, tuple[Features, list[str]]], classes: Sequence[str]) -> None:
    """Under a temporary name first, so that no half of a file is left."""
    temporary = out.with_name(f".{out.name}.tmp-{os.getpid()}")
    arrays: dict[str, Any] = {
        "vectors": np.concatenate([features.vectors for features, _ in found.values()]),
        "labels": np.concatenate([features.label for features, _ in found.values()]),
        "keys": np.asarray([key for _, keys in found.values() for key in keys]),
        "splits": np.asarray([split for split, (_, keys) in found.items() for _ in keys]),
        "classes": np.asarray(classes),
    }
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as stream:
            np.savez(stream, allow_pickle=False, **arrays)
        temporary.rename(out)
    except OSError as error:
        raise TapError(f"{out}: cannot be written: {error}; free space or choose another --out") from error
    finally:
        temporary.unlink(missing_ok=True)
