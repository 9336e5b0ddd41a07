from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from shards.codec import pack_sample
from shards.errors import ShardError
from shards.schema import Sample, split_image_name
from tests.shards.synthetic import make_sample, make_sources


@pytest.fixture
def sample() -> Sample:
    return make_sample(make_sources()[0])


def changed(sample: Sample, **arrays: Any) -> Sample:
    return replace(sample, arrays={**sample.arrays, **arrays})


def test_optional_members(sample: Sample) -> None:
    num_points = len(sample.arrays["points"])
    full = changed(
        sample,
        colors=np.zeros((num_points, 3), np.uint8),
        part=np.full(num_points, -1, np.int32),
        semantic=np.zeros(num_points, np.int32),
        instance=np.zeros(num_points, np.int32),
        boxes=np.zeros((2, 7), np.float32),
    )
    depth = {f"depth{i:02d}": np.zeros((4, 4), np.uint16) for i in range(3)}
    normal = {f"normal{i:02d}": np.zeros((4, 4, 3), np.uint8) for i in range(3)}
    rgba = {f"view{i:02d}": np.zeros((4, 4, 4), np.uint8) for i in range(3)}
    assert len(pack_sample(replace(full, images={**depth, **normal, **rgba})).members) == 1 + 8 + 9


def test_a_cloud_without_views(sample: Sample) -> None:
    cloud = changed(sample, world_to_camera=np.zeros((0, 4, 4), np.float32), intrinsics=np.zeros((0, 3, 3), np.float32))
    meta = {**sample.meta, "rig": None, "projection": None, "backend": None, "image_size": None}
    assert len(pack_sample(replace(cloud, meta=meta, images={})).members) == 4


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"points": np.zeros((4, 6))}, r"points is \(4, 6\) float64, expected \(P,6\) float32"),
        ({"points": np.full((4, 6), np.nan, np.float32)}, "not finite"),
        ({"intrinsics": np.zeros((2, 3, 3), np.float32)}, r"expected \(3,3,3\)"),
        ({"part": np.zeros(4, np.int32)}, r"expected \("),
        ({"labels": np.zeros(4, np.int32)}, "unknown"),
    ],
)
def test_wrong_arrays(sample: Sample, arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(ShardError, match=message) as caught:
        pack_sample(changed(sample, **arrays))
    assert sample.key in str(caught.value)


def test_missing_array(sample: Sample) -> None:
    with pytest.raises(ShardError, match="intrinsics are missing"):
        pack_sample(
            replace(sample, arrays={name: value for name, value in sample.arrays.items() if name != "intrinsics"})
        )


@pytest.mark.parametrize("names", [["view00", "view01"], ["view00", "view01", "view03"], ["view00", "view1", "view02"]])
def test_views_count_from_zero_without_gaps(sample: Sample, names: list[str]) -> None:
    images = dict.fromkeys(names, sample.images["view00"])
    with pytest.raises(ShardError, match="view"):
        pack_sample(replace(sample, images=images))


def test_wrong_pixels(sample: Sample) -> None:
    for image in (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 2), np.int32), np.zeros((4, 4), np.uint16)):
        with pytest.raises(ShardError, match="expected"):
            pack_sample(replace(sample, images={**sample.images, "view00": image}))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("category", None),
        ("num_faces", -1),
        ("key", "other"),
        ("schema_version", "2.0"),
        ("normalization", {"scale": 1}),
    ],
)
def test_wrong_meta(sample: Sample, field: str, value: object) -> None:
    with pytest.raises(ShardError, match=field.split("_")[0]):
        pack_sample(replace(sample, meta={**sample.meta, field: value}))


def test_missing_meta(sample: Sample) -> None:
    with pytest.raises(ShardError, match="source_sha256"):
        pack_sample(replace(sample, meta={k: v for k, v in sample.meta.items() if k != "source_sha256"}))


@pytest.mark.parametrize("key", ["", "a.b", "a/b", "é", "k" * 81])
def test_wrong_keys(sample: Sample, key: str) -> None:
    with pytest.raises(ShardError, match="key"):
        pack_sample(replace(sample, key=key, meta={**sample.meta, "key": key}))


def test_image_names() -> None:
    assert split_image_name("view07") == ("view", 7)
    assert split_image_name("depth123") == ("depth", 123)
    assert [split_image_name(name) for name in ("view7", "view007", "photo00", "view")] == [None] * 4
