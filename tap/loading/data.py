"""Samples of a shard set as training data: which points, which views, which augmentation.

All randomness of a sample comes from (seed, epoch, place in the reader), so neither the number of workers nor a resumed
run changes the stream. Knows no model. Legend: V views, N points, H W pixels.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from shards.errors import ShardError
from shards.reader import ShardReader
from shards.stores.cache import ShardCache
from shards.stores.store import Location, is_url
from shards.stream import Address, IntArray, OnError
from tap.errors import TapError
from tap.loading.augment import AugmentConfig, augment
from tap.loading.collate import FloatArray, Item
from tap.loading.points import EvaluationPoints, ShortClouds, TrainingPoints, choose_points
from tap.loading.samples import UNLABELLED, Samples
from tap.loading.sampling import EVALUATION
from tap.loading.skipped import Skipped
from tap.loading.surface import read_surface

Views = Literal["some", "all", "none"]


class DataConfig(BaseModel):
    """What is read of each sample."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_points: int = Field(1024, ge=1, description="Points of a cloud, a subset of those stored.")
    train_points: TrainingPoints = Field(
        "random", description="Points of a training sample: random, or a random subset of farthest points."
    )
    eval_points: EvaluationPoints = Field(
        "random", description="Points of an evaluation sample: random, the same ones always, or the farthest points."
    )
    short_clouds: ShortClouds = Field(
        "raise", description="A cloud of fewer points stops the run (raise), or random ones are taken again (repeat)."
    )
    normals: bool = Field(
        False, description="Read unit normals beside the points, for a backbone with xyz_normal inputs."
    )
    num_views: int = Field(4, ge=1, description="Views of a sample in a training step; evaluation takes all.")
    on_error: OnError = Field(
        "raise", description="A damaged sample stops the run (raise), or is left out, counted and told (skip)."
    )
    cache: str | None = Field(
        None, description="Folder that keeps tars of a set behind a URL; null takes the user's cache folder."
    )
    cache_gb: float | None = Field(
        None, ge=0, description="Its size in GB; null takes 50, or half of the free disk if less; 0 keeps nothing."
    )


def open_reader(location: Location, split: str, config: DataConfig) -> ShardReader:
    """A reader of one split, with the cache that the config asks for where the set lies behind a URL.

    Raises:
        ShardError: no such set or split, a damaged one, or a cache folder that cannot be used.
    """
    cache = None
    if is_url(location) and config.cache_gb != 0:
        cache = ShardCache(config.cache, None if config.cache_gb is None else round(config.cache_gb * 1e9))
    return ShardReader(location, split, cache)


class SampleData(Samples):
    """The samples of a reader, addressed by `Address`.

    Args:
        reader: an open shard set.
        config: points and views of a training sample.
        seed: of the run.
        views: ``some`` draws ``config.num_views`` of those stored, ``all`` takes each in its order, ``none`` reads no picture.
        augmentation: of training samples, or None.
        skipped: see `Samples`.
        images: kinds of images that are read beside each view, see `tap.targets.image_kinds`.
        labels: category in the shards to class index; None for the set's own.
        classes: names of those classes; None for the set's own.
    """

    reader: ShardReader

    def __init__(
        self,
        reader: ShardReader,
        config: DataConfig,
        seed: int,
        views: Views = "some",
        augmentation: AugmentConfig | None = None,
        skipped: Skipped | None = None,
        images: Sequence[str] = (),
        labels: Mapping[str, int] | None = None,
        classes: Sequence[str] | None = None,
    ) -> None:
        super().__init__(config, seed, skipped)
        self.reader, self.views, self.augmentation = reader, views, augmentation
        self.location = reader.store.location
        self.images = tuple(images)
        self.classes = reader.classes if classes is None else tuple(classes)
        self._label = {name: index for index, name in enumerate(reader.classes)} if labels is None else dict(labels)

    def __len__(self) -> int:
        return len(self.reader)

    def label(self, index: int) -> int | None:
        """The class index of a sample, -1 where it has none; reads its JSON alone.

        Returns:
            None where that is damaged and damaged samples are skipped; it is noted in ``skipped``.
        """
        try:
            return self._label_of(self.reader.meta(index))
        except ShardError as error:
            if self.config.on_error == "raise":
                raise
            self.skipped.note([str(error)])
            return None

    def key(self, index: int) -> str:
        """The sample's key."""
        return self.reader.key(index)

    def size(self, index: int) -> int | None:
        """Bytes of its points."""
        return self.reader.fields(index).get("points.npy")

    def order(self, epoch: int) -> IntArray:
        """The reader's order."""
        return self.reader.order(self.seed, epoch)

    def num_views(self, indices: Iterable[int]) -> set[int]:
        """The numbers of views that occur among some samples; with ``skip`` unreadable shards are left out."""
        found = set()
        for index in indices:
            try:
                found.add(self.reader.num_views(int(index)))
            except ShardError:  # met again, and noted, when the sample is read
                if self.config.on_error == "raise":
                    raise
        return found

    def unlike(self, indices: Iterable[int]) -> list[int]:
        """One sample of each size of the points, number of views and kinds of images that occur among some samples.

        Nothing is decoded, so this is quick: what cannot be trained on is met here and not hours later. With ``skip``
        unreadable shards are left out.
        """
        found: dict[Any, int] = {}
        for index in map(int, indices):
            try:
                kinds = tuple((kind, len(numbers)) for kind, numbers in self.reader.images(index).items())
                found.setdefault((self.size(index), kinds), index)
            except ShardError:  # met again, and noted, when the sample is read
                if self.config.on_error == "raise":
                    raise
        return list(found.values())

    def __getitem__(self, address: Address) -> Item:
        """The sample of an address.

        Raises:
            TapError: it stores fewer points or views than the config asks for, or not the images that are asked for.
            ShardError: it is damaged.
        """
        epoch, index, valid = address
        rng = np.random.default_rng((self.seed, epoch - EVALUATION, index))
        arrays = ("points",) if self.views == "none" else ("points", "world_to_camera", "intrinsics")
        views = self._choose_views(index, rng)
        kinds = ("view", *self.images) if self.views != "none" else ("view",)
        sample = self.reader.read(index, arrays=arrays, views=views, kinds=kinds)
        points = self._choose_points(sample.arrays["points"], sample.key, rng, epoch == EVALUATION)
        chosen = np.arange(self.reader.num_views(index)) if views is None else np.asarray(views, np.int64)
        poses, intrinsics = _cameras(sample.arrays, chosen)
        surface = read_surface(sample, chosen.tolist(), poses, self.images) if len(kinds) > 1 else None
        parallel = sample.meta["projection"] == "parallel"
        if self.augmentation is not None and epoch != EVALUATION:
            points, poses, intrinsics, _ = augment(points, poses, intrinsics, parallel, rng, self.augmentation)
        images = None if self.views == "none" else tuple(sample.images[f"view{view:02d}"] for view in chosen)
        return Item(
            np.ascontiguousarray(points[:, :3]),
            poses,
            intrinsics,
            parallel,
            images,
            self._label_of(sample.meta),
            index,
            valid,
            sample.key,
            surface=surface,
            normals=np.ascontiguousarray(points[:, 3:]) if self.config.normals else None,
        )

    def _label_of(self, meta: dict[str, Any]) -> int:
        return self._label.get(meta.get("category") or "", UNLABELLED)

    def _choose_points(self, stored: FloatArray, key: str, rng: np.random.Generator, evaluation: bool) -> FloatArray:
        where = f"sample {key}"
        chosen = stored.take(choose_points(where, stored[:, :3], self.config, rng, evaluation), axis=0)
        if not self.config.normals:
            return np.ascontiguousarray(chosen[:, :3], np.float32)
        if stored.shape[1] != 6:
            raise TapError(f"{where} stores no normals; render again with this release, or set data.normals=false")
        return np.ascontiguousarray(chosen, np.float32)

    def _choose_views(self, index: int, rng: np.random.Generator) -> list[int] | tuple[()] | None:
        if self.views == "none":
            return ()
        stored, wanted = self.reader.num_views(index), self.config.num_views
        if stored == 0:
            raise TapError(f"sample {self.reader.key(index)} stores no views; pre-training needs rendered ones")
        lacking = [kind for kind in self.images if len(self.reader.images(index).get(kind, ())) != stored]
        if lacking:
            raise TapError(
                f"{self.reader.store.location}: sample {self.reader.key(index)} stores no {' and no '.join(lacking)} "
                f"images; render with --channels {','.join(self.images)}, or leave {' and '.join(lacking)} out of targets"
            )
        if self.views == "all":
            return None
        if stored < wanted:
            raise TapError(
                f"sample {self.reader.key(index)} stores {stored} views, data.num_views asks for {wanted}; lower it"
            )
        return sorted(rng.choice(stored, wanted, replace=False).tolist())


def _cameras(arrays: dict[str, npt.NDArray[Any]], views: npt.NDArray[np.int64]) -> tuple[FloatArray, FloatArray]:
    if "world_to_camera" not in arrays:
        return np.zeros((0, 4, 4), np.float32), np.zeros((0, 3, 3), np.float32)
    return arrays["world_to_camera"][views], arrays["intrinsics"][views]
