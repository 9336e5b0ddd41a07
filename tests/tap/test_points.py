"""Which points of a stored cloud a sample is made of."""

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from render.farthest import farthest_subset
from shards.reader import ShardReader
from shards.stream import Address
from tap.errors import TapError
from tap.loading.data import DataConfig, SampleData
from tap.loading.points import POOLS, choose_points
from tap.loading.sampling import EVALUATION

CLOUD = np.random.default_rng(0).normal(size=(500, 3)).astype(np.float32)


def chosen(evaluation: bool, seed: int = 1, cloud: np.ndarray = CLOUD, **settings: object) -> np.ndarray:
    config = DataConfig.model_validate({"num_points": 64} | settings)
    return choose_points("sample x", cloud, config, np.random.default_rng(seed), evaluation)


@pytest.mark.parametrize("evaluation", [True, False])
def test_by_default_the_points_are_what_they_were(evaluation: bool) -> None:
    expected = np.random.default_rng(1).choice(500, 64, replace=False)
    np.testing.assert_array_equal(chosen(evaluation), expected)


def test_farthest_points_of_evaluation_do_not_depend_on_the_draw() -> None:
    found = chosen(True, eval_points="farthest", train_points="farthest_random")
    np.testing.assert_array_equal(found, farthest_subset(CLOUD, 64))
    np.testing.assert_array_equal(found, chosen(True, seed=2, eval_points="farthest"))
    assert found[0] == 0
    np.testing.assert_array_equal(chosen(False, eval_points="farthest"), chosen(False))


def test_training_takes_a_random_subset_of_farthest_points() -> None:
    # A clump of 400 points and 75 that stand apart: the pool of 75 holds all of those, a random subset few.
    clump = np.random.default_rng(0).normal(scale=1e-3, size=(400, 3))
    apart = np.stack(np.meshgrid([1.0, 2, 3, 4, 5], [1.0, 2, 3, 4, 5], [1.0, 2, 3]), axis=-1).reshape(-1, 3)
    cloud = np.concatenate([clump, apart]).astype(np.float32)
    found = chosen(False, cloud=cloud, train_points="farthest_random")
    assert len(set(found.tolist())) == 64
    assert (found >= 400).sum() >= 63  # the pool is 75: at most one of the clump's points is among the 75 farthest
    assert (chosen(False, cloud=cloud) >= 400).sum() < 32
    assert set(chosen(False, 2, cloud, train_points="farthest_random").tolist()) != set(found.tolist())
    np.testing.assert_array_equal(found, chosen(False, cloud=cloud, train_points="farthest_random"))


@pytest.mark.parametrize(("wanted", "stored", "pool"), [(1024, 1300, 1200), (1024, 1100, 1100), (64, 500, 75)])
def test_the_pool_is_the_published_one(monkeypatch: pytest.MonkeyPatch, wanted: int, stored: int, pool: int) -> None:
    asked = []

    def told(points: np.ndarray, number: int) -> np.ndarray:
        asked.append(number)
        return np.arange(number)

    monkeypatch.setattr("tap.loading.points.farthest_subset", told)
    cloud = np.zeros((stored, 3), np.float32)
    assert len(chosen(False, cloud=cloud, num_points=wanted, train_points="farthest_random")) == wanted
    assert asked == [pool]
    assert POOLS == {1024: 1200, 2048: 2400, 4096: 4800, 8192: 8192}


def test_a_short_cloud_is_an_error_or_repeats_points() -> None:
    few = CLOUD[:50]
    with pytest.raises(
        TapError, match=r"sample x stores 50 points, data\.num_points asks for 64; .*short_clouds=repeat"
    ):
        chosen(True, cloud=few)
    found = chosen(False, cloud=few, short_clouds="repeat")
    assert found[:50].tolist() == list(range(50))
    assert len(found) == 64
    assert set(found.tolist()) == set(range(50))
    np.testing.assert_array_equal(chosen(False, short_clouds="repeat"), chosen(False))
    with pytest.raises(TapError, match="stores 0 points"):
        chosen(False, cloud=few[:0], short_clouds="repeat")
    with pytest.raises(ValidationError):
        DataConfig.model_validate({"eval_points": "nearest"})


def test_samples_of_shards_take_them(shards: Path) -> None:
    config = DataConfig(num_points=20, eval_points="farthest", normals=True)
    data = SampleData(ShardReader(shards, "train"), config, 0, "none")
    stored = data.reader.read(2).arrays["points"]
    item = data[Address(EVALUATION, 2)]
    index = farthest_subset(stored[:, :3], 20)
    np.testing.assert_array_equal(item.points, stored[index, :3])
    np.testing.assert_array_equal(item.normals, stored[index, 3:])
