"""Samples of a shard set as training data: which points, which views, which augmentation.

All randomness of a sample comes from (seed, epoch, place in the reader), so neither the number of workers nor a resumed
run changes the stream. Knows no model. Legend: V views, N points, H W pixels.
"""

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field
from torch.utils.data import Dataset

from shards.reader import ShardReader
from tap.augment import AugmentConfig, augment
from tap.collate import FloatArray, Item
from tap.errors import TapError
from tap.sampling import EVALUATION, Address

UNLABELLED = -1
Views = Literal["some", "all", "none"]


class DataConfig(BaseModel):
    """What is read of each sample."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_points: int = Field(1024, ge=1, description="Points of a cloud, a random subset of those stored.")
    num_views: int = Field(4, ge=1, description="Views of a sample in a training step; evaluation takes all.")


class SampleData(Dataset[Item]):
    """The samples of a reader, addressed by `Address`.

    Args:
        reader: an open shard set.
        config: points and views of a training sample.
        seed: of the run.
        views: ``some`` draws ``config.num_views`` of those stored, ``all`` takes each in its order, ``none`` reads no picture.
        augmentation: of training samples, or None.
    """

    def __init__(
        self,
        reader: ShardReader,
        config: DataConfig,
        seed: int,
        views: Views = "some",
        augmentation: AugmentConfig | None = None,
    ) -> None:
        self.reader, self.config, self.seed, self.views, self.augmentation = reader, config, seed, views, augmentation
        self._label = {name: index for index, name in enumerate(reader.classes)}

    def __len__(self) -> int:
        return len(self.reader)

    def label(self, index: int) -> int:
        """The class index of a sample, -1 where it has none; reads its JSON."""
        return self._label_of(self.reader.meta(index))

    def __getitem__(self, address: Address) -> Item:
        """The sample of an address.

        Raises:
            TapError: it stores fewer points or views than the config asks for.
        """
        epoch, index, counted = address
        rng = np.random.default_rng((self.seed, epoch - EVALUATION, index))
        arrays = ("points",) if self.views == "none" else ("points", "world_to_camera", "intrinsics")
        views = self._choose_views(index, rng)
        sample = self.reader.read(index, arrays=arrays, views=views)
        points = self._choose_points(sample.arrays["points"], sample.key, rng)
        chosen = np.arange(self.reader.num_views(index)) if views is None else np.asarray(views, np.int64)
        poses, intrinsics = _cameras(sample.arrays, chosen)
        parallel = sample.meta["projection"] == "parallel"
        if self.augmentation is not None and epoch != EVALUATION:
            points, poses, intrinsics, _ = augment(points, poses, intrinsics, parallel, rng, self.augmentation)
        images = None if self.views == "none" else np.stack([sample.images[f"view{view:02d}"] for view in chosen])
        return Item(
            np.ascontiguousarray(points[:, :3]),
            poses,
            intrinsics,
            parallel,
            images,
            self._label_of(sample.meta),
            index,
            counted,
            sample.key,
        )

    def _label_of(self, meta: dict[str, Any]) -> int:
        return self._label.get(meta.get("category") or "", UNLABELLED)

    def _choose_points(self, stored: FloatArray, key: str, rng: np.random.Generator) -> FloatArray:
        wanted = self.config.num_points
        if len(stored) < wanted:
            raise TapError(
                f"sample {key} stores {len(stored)} points, data.num_points asks for {wanted}; lower it or render more"
            )
        # Stored points are independent samples of the surface, so a random subset is a fair sample of it too.
        return np.ascontiguousarray(stored[rng.choice(len(stored), wanted, replace=False)], np.float32)

    def _choose_views(self, index: int, rng: np.random.Generator) -> list[int] | tuple[()] | None:
        if self.views == "none":
            return ()
        stored, wanted = self.reader.num_views(index), self.config.num_views
        if stored == 0:
            raise TapError(f"sample {self.reader.key(index)} stores no views; pre-training needs rendered ones")
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
