from pathlib import Path

import pytest

from shards.build import BuildOptions, build_shards
from shards.pages.choice import by_rarest, flagged_first, flagged_shards, spread, take_turns
from shards.reader import ShardReader
from tests.shards.synthetic import make_sample, make_sources


def test_groups_take_turns() -> None:
    groups = {"b": [1, 2, 3, 4], "a": [10], "c": [20, 21, 22, 23, 24, 25]}
    assert take_turns(groups, 5) == [10, 1, 3, 20, 23]
    assert take_turns(groups, 2) == [10, 1]
    assert take_turns(groups, 99) == [10, 1, 2, 3, 4, 20, 21, 22, 23, 24, 25]
    assert take_turns({}, 3) == []


def test_items_go_to_their_rarest_flag() -> None:
    flags = {0: ["often"], 1: ["often", "rare"], 2: ["often"], 3: ["also"]}
    assert by_rarest(flags) == {"often": [0, 2], "rare": [1], "also": [3]}


def test_spread_leaves_out(tmp_path: Path) -> None:
    build_shards(make_sources(30, 0), make_sample, tmp_path, {}, BuildOptions(num_workers=0))
    reader = ShardReader(tmp_path)
    picks = spread(reader, 5)
    assert [reader.meta(index)["category"] for index in picks] == ["chair", "chair", "lamp", "lamp", "mug"]
    assert not set(picks) & set(spread(reader, 25, leave_out=picks))
    assert len(set(spread(reader, 100))) == 30


def test_flagged_samples_come_first(tmp_path: Path) -> None:
    build_shards(make_sources(20, 0), make_sample, tmp_path, {}, BuildOptions(samples_per_shard=5, num_workers=0))
    with ShardReader(tmp_path) as reader:
        flagged = [index for index in range(20) if reader.meta(index)["flags"]]
        assert len(flagged) == 4
        picks = flagged_first(reader, 10)
        assert sorted(picks[:4]) == flagged
        assert len(set(picks)) == 10
        assert not set(picks[4:]) & set(flagged)
        assert sorted(flagged_first(reader, 20)) == list(range(20))
        assert len(set(flagged_first(reader, 4)[:2]) & set(flagged)) == 2


def test_shards_without_flags_are_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_shards(make_sources(20, 0), make_sample, tmp_path, {}, BuildOptions(samples_per_shard=1, num_workers=0))
    with ShardReader(tmp_path) as reader:
        places = flagged_shards(reader)
        assert len(places) == 4
        assert all(reader.meta(place)["flags"] for place in places)  # one sample a shard
        (tmp_path / f"{reader.entries[0].name}.json").unlink()  # without its record, a shard may hold anything
        assert flagged_shards(reader) == sorted({0, *places})
        monkeypatch.setattr("shards.pages.choice.MAX_SHARDS_OPENED", 2)
        assert len(flagged_shards(reader)) == 2
