"""New splits: which samples move, that nothing else changes, and what is refused."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from shards.build import BuildOptions, build_shards
from shards.errors import ShardError
from shards.exchange.merge import merge_sets
from shards.exchange.split import SplitRule, StoredSample, new_splits, read_split_list, split_set
from shards.reader import ShardReader
from shards.stores.store import open_store
from shards.upkeep.verify import verify_set
from tests.shards import synthetic

IN_PROCESS = BuildOptions(num_workers=0, samples_per_shard=4)


def samples(counts: dict[str, int], split: str = "train") -> list[StoredSample]:
    names = [(category, f"{category}_{i:04d}") for category, count in counts.items() for i in range(count)]
    return [StoredSample(i, key, f"{key}.off", category, split) for i, (category, key) in enumerate(names)]


def counted(found: list[StoredSample], splits: dict[str, str]) -> dict[str, Counter[str]]:
    counts: dict[str, Counter[str]] = {}
    for sample in found:
        counts.setdefault(sample.category, Counter())[splits[sample.key]] += 1
    return counts


def built(folder: Any) -> Any:
    build_shards(
        synthetic.make_sources(),
        synthetic.failing_sample,
        folder,
        {"rig": "mvcnn12"},
        IN_PROCESS,
        failure_types=(synthetic.SourceError,),
    )
    return folder


@pytest.fixture
def location(tmp_path: Path) -> Path:
    return Path(built(tmp_path / "set"))


def stored(location: Any) -> dict[str, dict[str, bytes]]:
    """Key to all members of a set's samples."""
    with ShardReader(location) as reader:
        return {
            reader.key(index): {field: reader.raw(index, field) for field in reader.fields(index)}
            for index in range(len(reader))
        }


def test_each_class_gives_its_share_and_at_least_one() -> None:
    found = samples({"a": 100, "b": 2, "c": 1, "d": 3, "e": 30})
    counts = counted(found, new_splits(found, SplitRule(val=0.1, test=0.2)))
    assert counts["a"] == {"train": 70, "val": 10, "test": 20}
    assert counts["b"] == {"train": 1, "val": 1}
    assert counts["c"] == {"train": 1}
    assert counts["d"] == {"train": 1, "val": 1, "test": 1}
    assert counts["e"] == {"train": 21, "val": 3, "test": 6}


def test_only_the_named_splits_are_dealt_anew() -> None:
    found = [*samples({"a": 10}), *samples({"b": 10}, "test")]
    splits = new_splits(found, SplitRule(val=0.5))
    assert counted(found, splits) == {"a": {"train": 5, "val": 5}, "b": {"test": 10}}
    splits = new_splits(found, SplitRule(val=0.5, of=("test",)))
    assert counted(found, splits) == {"a": {"train": 10}, "b": {"test": 5, "val": 5}}


def test_the_choice_follows_from_seed_and_keys_alone() -> None:
    found = samples({"a": 50, "b": 50})
    first = new_splits(found, SplitRule(val=0.2))
    assert new_splits(found[::-1], SplitRule(val=0.2)) == first
    assert new_splits(found, SplitRule(val=0.2, seed=1)) != first


def test_more_samples_move_few_of_the_others() -> None:
    few, many = samples({"a": 1000}), samples({"a": 1050})
    rule = SplitRule(val=0.1, test=0.1)
    before, after = new_splits(few, rule), new_splits(many, rule)
    # Of about 105 val samples some 5 are new ones, and so are 5 of the test samples: hardly any other has to move.
    assert sum(before[key] != after[key] for key in before) <= 25


def test_the_new_set_differs_in_split_alone(tmp_path: Path, location: Path) -> None:
    report = split_set(location, tmp_path / "out", SplitRule(val=0.4), None, IN_PROCESS)
    before, after = stored(location), stored(tmp_path / "out")
    assert (report.num_samples, report.failures) == (len(before), ())
    assert before.keys() == after.keys()
    moved: Counter[str] = Counter()
    for key, members in before.items():
        old, new = json.loads(members.pop("json")), json.loads(after[key].pop("json"))
        assert after[key] == members
        assert old | {"split": new["split"]} == new
        if old["split"] != new["split"]:
            assert (old["split"], new["split"]) == ("train", "val")
            moved[new["category"]] += 1
    assert moved == {"chair": 2, "lamp": 1, "mug": 1}  # 40 % of 4, of 3 and of 2
    assert verify_set(tmp_path / "out").findings == ()
    with ShardReader(tmp_path / "out") as reader:
        assert reader.config["rig"] == "mvcnn12"
        assert reader.config["split"]["val"] == 0.4


def test_workers_and_runs_do_not_change_the_bytes(tmp_path: Path, location: Path) -> None:
    rule = SplitRule(val=0.4, seed=3)
    split_set(location, tmp_path / "one", rule, None, IN_PROCESS)
    split_set(location, tmp_path / "two", rule, None, IN_PROCESS.model_copy(update={"num_workers": 2}))
    assert synthetic.contents(tmp_path / "one") == synthetic.contents(tmp_path / "two")
    (tmp_path / "two/train-000000.json").unlink()
    resume = IN_PROCESS.model_copy(update={"resume": True})
    assert split_set(location, tmp_path / "two", rule, None, resume).num_written == 1
    assert synthetic.contents(tmp_path / "one") == synthetic.contents(tmp_path / "two")
    with pytest.raises(ShardError, match=r"made with split.val = 0.4, now it is 0.3"):
        split_set(location, tmp_path / "two", SplitRule(val=0.3, seed=3), None, resume)


def test_a_list_tells_the_split_of_some(tmp_path: Path, location: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("key,split\nlamp-train-lamp_0001,val\r\nchair-test-chair_0900,train\n\n")
    split_set(location, tmp_path / "out", SplitRule(), read_split_list(path), IN_PROCESS)
    before = {key: json.loads(members["json"])["split"] for key, members in stored(location).items()}
    after = {key: json.loads(members["json"])["split"] for key, members in stored(tmp_path / "out").items()}
    assert after == before | {"lamp-train-lamp_0001": "val", "chair-test-chair_0900": "train"}
    with pytest.raises(ShardError, match=r"no sample 'nobody', which the list names \(1 such keys\)"):
        split_set(location, tmp_path / "other", SplitRule(), {"nobody": "val"}, IN_PROCESS)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("split,key\na,val\n", "its first line must be key,split"),
        ("", "its first line must be key,split"),
        ("key,split\na,valid\n", r"line 2: 'a,valid' is no key and one of train, val, test"),
        ("key,split\na,val\na,val\n", "line 3: a occurs twice"),
        ("key,split\na\n", "line 2: 'a' is no key"),
        ('key,split\n"a,val\n', "cannot be read"),
    ],
)
def test_lists_are_read_strictly(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "list.csv"
    path.write_text(text)
    with pytest.raises(ShardError, match=told):
        read_split_list(path)
    with pytest.raises(ShardError, match="No such file"):
        read_split_list(tmp_path / "nowhere.csv")


def test_chosen_classes_alone_are_taken(tmp_path: Path, location: Path) -> None:
    split_set(location, tmp_path / "out", SplitRule(classes=("lamp", "mug")), None, IN_PROCESS)
    with ShardReader(tmp_path / "out") as reader:
        assert reader.classes == ("lamp", "mug")
    assert {key.partition("-")[0] for key in stored(tmp_path / "out")} == {"lamp", "mug"}


def test_what_was_split_can_be_split_and_merged_again(tmp_path: Path, location: Path) -> None:
    for category in ("chair", "lamp"):
        split_set(location, tmp_path / category, SplitRule(classes=(category,)), None, IN_PROCESS)
    merge_sets([tmp_path / "chair", tmp_path / "lamp"], tmp_path / "both")
    split_set(tmp_path / "both", tmp_path / "out", SplitRule(val=0.4), None, IN_PROCESS)
    assert verify_set(tmp_path / "out").findings == ()
    split_set(tmp_path / "chair", tmp_path / "again", SplitRule(val=0.4), None, IN_PROCESS)
    with ShardReader(tmp_path / "again") as reader:
        assert reader.config["split"]["before"]["classes"] == ["chair"]


def test_what_makes_no_sense_is_refused(tmp_path: Path, location: Path) -> None:
    overwrite = IN_PROCESS.model_copy(update={"overwrite": True})
    with pytest.raises(ShardError, match="is the set itself"):
        split_set(location, tmp_path / "x/../set", SplitRule(val=0.1), None, overwrite)
    with pytest.raises(ShardError, match="no class 'sofa'; it has chair, lamp, mug"):
        split_set(location, tmp_path / "out", SplitRule(classes=("sofa",)), None, IN_PROCESS)
    with pytest.raises(ShardError, match="no split 'val'; it has test, train"):
        split_set(location, tmp_path / "out", SplitRule(val=0.1, of=("val",)), None, IN_PROCESS)
    with pytest.raises(ShardError, match="leave nothing to train on"):
        split_set(location, tmp_path / "out", SplitRule(val=0.5, test=0.5), None, IN_PROCESS)
    with pytest.raises(ValidationError):
        SplitRule(val=-0.1)


def test_a_damaged_sample_ends_it(tmp_path: Path, location: Path) -> None:
    tar = location / "train-000000.tar"
    data = bytearray(tar.read_bytes())
    name = b"chair-train-chair_0000.view00.png"
    data[data.index(name) + 512 + 60] ^= 1  # in the member's payload, which follows its header
    tar.write_bytes(data)
    with pytest.raises(ShardError, match=r"chair-train-chair_0000.view00.png is not as it was written"):
        split_set(location, tmp_path / "out", SplitRule(val=0.4), None, IN_PROCESS)


def test_sets_in_a_store_are_split_there(tmp_path: Path, location: Path, s3_url: str) -> None:
    split_set(location, tmp_path / "out", SplitRule(val=0.4), None, IN_PROCESS)
    built(f"{s3_url}/set")
    two = IN_PROCESS.model_copy(update={"num_workers": 2})
    split_set(f"{s3_url}/set", f"{s3_url}/out", SplitRule(val=0.4), None, two)
    store = open_store(f"{s3_url}/out")
    assert {name: store.read(name) for name in store.sizes()} == synthetic.contents(tmp_path / "out")
