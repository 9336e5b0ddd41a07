"""Few-shot folds: published pickles, which are not trusted, and our own seeded ones."""

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shards.stream import Address
from tap.datasets import DatasetConfig, Source, open_source
from tap.datasets.clouds import CloudData
from tap.datasets.fewshot import draw_fold, load_fold
from tap.datasets.frame import to_our_frame
from tap.errors import TapError
from tap.loading.data import DataConfig
from tap.loading.samples import Samples
from tap.loading.sampling import EVALUATION
from tests.tap.datasets.tiny_sets import shape, write_h5

DATA = DataConfig(num_points=10)


def fold_of(test_labels: tuple[int, ...] = (1, 0)) -> dict[str, Any]:
    """As the public generator has them: classes 17 and 3, which some copies leave in an array of one."""
    classes: dict[int, Any] = {0: np.int32(17), 1: np.array([3], np.int32)}
    return {
        "train": [(shape(label), label, classes[label]) for label in (0, 1, 1)],
        "test": [(shape(5 + label), label, classes[label]) for label in test_labels],
    }


def written(path: Path, content: Any, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(content, protocol))
    return path


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_published_fold_is_read(tmp_path: Path, protocol: int) -> None:
    train, test = load_fold(written(tmp_path / "0.pkl", fold_of(), protocol))
    assert (len(train), len(test)) == (3, 2)
    assert train.classes == test.classes == ("17", "3")
    assert [train.label(index) for index in range(3)] == [0, 1, 1]
    assert [test.label(index) for index in range(2)] == [1, 0]
    data = CloudData(test, DataConfig(num_points=40, normals=True), 0)
    item = data[Address(EVALUATION, 0)]
    points, normals = to_our_frame(shape(6)[:, :3], shape(6)[:, 3:], "y")
    mine, theirs = np.argsort(item.points[:, 0]), np.argsort(points[:, 0])
    np.testing.assert_array_equal(item.points[mine], points[theirs])
    assert item.normals is not None
    assert normals is not None
    np.testing.assert_array_equal(item.normals[mine], normals[theirs])
    assert item.key == "test/0/0"


def test_names_of_old_numpy_are_read(tmp_path: Path) -> None:
    content = pickle.dumps(fold_of(), 3).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert b"numpy.core.multiarray" in content
    (tmp_path / "0.pkl").write_bytes(content)
    assert len(load_fold(tmp_path / "0.pkl")[0]) == 3


class Runs:
    """A pickle of it calls a function when it is read."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.call


@pytest.mark.parametrize("call", ["system", "eval", "getattr", "Path", "_codecs"])
def test_what_would_run_is_refused_and_does_not(tmp_path: Path, call: str) -> None:
    import codecs

    witness = tmp_path / "ran"
    runs = {
        "system": Runs(os.system, f"touch {witness}"),
        "eval": Runs(eval, f"open({str(witness)!r}, 'w').close()"),
        "getattr": Runs(getattr, "text", "upper"),
        "Path": tmp_path,
        "_codecs": Runs(codecs.encode, "x", "rot13"),
    }
    file = written(tmp_path / "0.pkl", fold_of() | {"more": runs[call]})
    told = "text in 'rot13'" if call == "_codecs" else rf"names \S*{call}; only arrays and plain data are read"
    with pytest.raises(TapError, match=rf"0\.pkl: .*{told}"):
        load_fold(file)
    assert not witness.exists()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ([1], "holds no dict of train and test"),
        ({"train": fold_of()["train"]}, "holds no dict of train and test"),
        (fold_of() | {"test": []}, "test holds no list of samples"),
        (fold_of() | {"test": [(shape(0), 0)]}, "test, sample 0: is no .array, label, class"),
        (fold_of() | {"test": [(shape(0)[:, :4], 0, 17)]}, r"test, sample 0: is no array \(P, 6\)"),
        (fold_of() | {"test": [(shape(0).astype(object), 0, 17)]}, r"test, sample 0: is no array \(P, 6\)"),
        (fold_of() | {"test": [(shape(0), 0.5, 17)]}, "with a whole number as label"),
        (fold_of() | {"test": [(shape(0), 0, 18)]}, "label 0 is class 18 here and 17 before"),
        (fold_of() | {"test": [(shape(0), 2, 9)]}, "and no others in test"),
        ({"train": [(shape(0), 0, 5), (shape(0), 1, 5)], "test": [(shape(0), 0, 5)]}, "two labels are of one original"),
        ({"train": [(shape(0), 1, 5)], "test": [(shape(0), 1, 5)]}, r"train labels are \[1\]"),
    ],
)
def test_another_form_is_refused(tmp_path: Path, content: Any, told: str) -> None:
    with pytest.raises(TapError, match=rf"0\.pkl: .*{told}|0\.pkl: {told}"):
        load_fold(written(tmp_path / "0.pkl", content))


def test_a_damaged_or_missing_pickle_is_named(tmp_path: Path) -> None:
    file = written(tmp_path / "0.pkl", fold_of())
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(TapError, match=r"0\.pkl: cannot be read as a pickle: .*; it may be cut off"):
        load_fold(file)
    with pytest.raises(TapError, match=r"1\.pkl: cannot be read: No such file"):
        load_fold(tmp_path / "1.pkl")


@pytest.fixture
def source(tmp_path: Path) -> Source:
    """Five classes; train has 6, 6, 6, 2, 6 samples of them, test 3, 3, 3, 3, 0."""
    (tmp_path / "shape_names.txt").write_text("a\nb\nc\nd\ne\n")
    for split, counts in (("train", (6, 6, 6, 2, 6)), ("test", (3, 3, 3, 3, 0))):
        labels = np.repeat(np.arange(5), counts)
        write_h5(tmp_path / f"{split}.h5", np.random.default_rng(0).permutation(labels).tolist())
        (tmp_path / f"{split}_files.txt").write_text(f"{split}.h5\n")
    return open_source(tmp_path, DatasetConfig())


def labels_of(source: Source, split: str, indices: np.ndarray) -> list[str]:
    data = source.open(split, DataConfig(), 0)
    return [source.classes[data.label(int(index)) or 0] for index in indices]


def test_a_fold_has_so_many_of_each_class(source: Source) -> None:
    seen = set()
    for number in range(6):
        fold = draw_fold(source, ("train", "test"), DATA, 2, 4, 2, 0, number)
        assert set(fold.classes) <= {"a", "b", "c"}  # d has too few to train on, e none to test on
        assert fold.test_split == "test"
        assert fold.train_labels.tolist() == [0] * 4 + [1] * 4
        assert fold.test_labels.tolist() == [0] * 2 + [1] * 2
        assert labels_of(source, "train", fold.train) == [fold.classes[label] for label in fold.train_labels]
        assert labels_of(source, "test", fold.test) == [fold.classes[label] for label in fold.test_labels]
        assert len(set(fold.train.tolist())) == 8
        assert len(set(fold.test.tolist())) == 4
        seen.add((fold.classes, tuple(fold.train.tolist())))
    assert len(seen) == 6


def test_a_fold_is_a_function_of_seed_and_number(source: Source) -> None:
    def drawn(seed: int, number: int) -> tuple[Any, ...]:
        fold = draw_fold(source, ("train", "test"), DATA, 3, 2, None, seed, number)
        return (fold.classes, fold.train.tolist(), fold.test.tolist())

    assert drawn(1, 2) == drawn(1, 2)
    assert drawn(1, 2) != drawn(2, 1)
    assert drawn(1, 2) != drawn(1, 3)
    assert len(drawn(0, 0)[2]) == 9  # all that there are


@pytest.mark.parametrize("test_split", [None, "val", "train"])
def test_without_a_test_split_the_rest_of_train_is_the_query(source: Source, test_split: str | None) -> None:
    fold = draw_fold(source, ("train", test_split), DATA, 4, 4, None, 0, 0)
    assert set(fold.classes) == {"a", "b", "c", "e"}
    assert fold.test_split == "train"
    assert not set(fold.train.tolist()) & set(fold.test.tolist())
    assert len(fold.test) == 4 * 2
    assert labels_of(source, "train", fold.test) == [fold.classes[label] for label in fold.test_labels]
    with pytest.raises(TapError, match=r"0 classes have 4 samples to train on and 3 to test on, 2 are needed"):
        draw_fold(source, ("train", test_split), DATA, 2, 4, 3, 0, 0)


def test_too_few_samples_are_told(source: Source) -> None:
    with pytest.raises(
        TapError, match=r"3 classes have 4 samples to train on and 2 to test on, 4 are needed; lower --way"
    ):
        draw_fold(source, ("train", "test"), DATA, 4, 4, 2, 0, 0)
    with pytest.raises(TapError, match="1 ways, 4 shots"):
        draw_fold(source, ("train", "test"), DATA, 1, 4, 2, 0, 0)


def test_folds_of_shards(shards: Path) -> None:
    source = open_source(shards, DatasetConfig())
    fold = draw_fold(source, ("train", "test"), DATA, 2, 3, None, 0, 0)
    data = source.open("train", DataConfig(num_points=100), 0)
    assert [source.classes[data[Address(0, int(index))].label] for index in fold.train] == [
        fold.classes[label] for label in fold.train_labels
    ]
    assert len(fold.test) == 4


def test_the_labels_of_a_fold_are_read_as_the_run_reads_them(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[DataConfig] = []
    plain = type(source).open

    def told(self: Source, split: str, config: DataConfig, seed: int) -> Samples:
        asked.append(config)
        return plain(self, split, config, seed)

    monkeypatch.setattr(type(source), "open", told)
    config = DataConfig(num_points=10, on_error="skip", cache="kept")
    draw_fold(source, ("train", "test"), config, 2, 2, None, 0, 0)
    assert asked == [config, config]
