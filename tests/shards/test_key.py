import hashlib
import random

import pytest

from shards.errors import ShardError
from shards.key import KEY_PATTERN, MAX_KEY_LENGTH, sanitize_key, unique_keys


def short_hash(path: str, length: int = 8) -> str:
    return hashlib.sha256(path.encode()).hexdigest()[:length]


def test_characters() -> None:
    assert sanitize_key("chair/train/chair 01.v2é") == "chair-train-chair_01_v2_"
    with pytest.raises(ShardError, match="empty"):
        sanitize_key("")


def test_only_the_last_suffix_is_dropped() -> None:
    assert unique_keys(["chair/train/chair_0001.off", "a.b/c.01.obj", "plain", ".hidden"]) == [
        "chair-train-chair_0001",
        "a_b-c_01",
        "plain",
        "_hidden",
    ]


def test_all_members_of_a_collision_are_renamed() -> None:
    paths = ["a/b.off", "c.off", "a-b.off", "a/b.obj"]
    assert unique_keys(paths) == [
        f"a-b-{short_hash('a/b.off')}",
        "c",
        f"a-b-{short_hash('a-b.off')}",
        f"a-b-{short_hash('a/b.obj')}",
    ]


def test_order_does_not_matter_and_a_renamed_key_meets_no_other() -> None:
    paths = ["x.off", "x.obj", f"x-{short_hash('x.off')}.ply", "y.off"]
    expected = dict(zip(paths, unique_keys(paths), strict=True))
    assert len(set(expected.values())) == 4
    for seed in range(5):
        shuffled = random.Random(seed).sample(paths, len(paths))
        assert dict(zip(shuffled, unique_keys(shuffled), strict=True)) == expected


def test_long_keys_fit_a_plain_tar_name() -> None:
    paths = ["a" * 300 + ".off", "a" * 300 + "b.off", "k" * MAX_KEY_LENGTH + ".off"]
    keys = unique_keys(paths)
    assert all(len(key) <= MAX_KEY_LENGTH and KEY_PATTERN.fullmatch(key) for key in keys)
    assert len(set(keys)) == 3
    assert keys[2] == "k" * MAX_KEY_LENGTH


@pytest.mark.parametrize("paths", [["a.off", "a.off"], [""]])
def test_refused(paths: list[str]) -> None:
    with pytest.raises(ShardError):
        unique_keys(paths)
