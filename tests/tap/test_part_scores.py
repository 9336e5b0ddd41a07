import dataclasses

import pytest
import torch

from tap.errors import TapError
from tap.tasks.parts.part_scores import PartScores, best_parts, part_table, shape_ious

TABLE = part_table([(0, 1), (2, 3, 4)], 5)


def test_the_table_says_which_parts_a_category_has() -> None:
    assert TABLE.tolist() == [[True, True, False, False, False], [False, False, True, True, True]]
    assert part_table([(0,), ()], 1).tolist() == [[True], [False]]
    with pytest.raises(TapError, match=r"category 0 has the parts \[0, 5\], each has to be one of 0 to 4"):
        part_table([(0, 5)], 5)


def test_the_best_part_is_one_of_the_category() -> None:
    scores = torch.tensor([[[1.0, 2.0, 9.0, 0.0, 0.0]], [[9.0, 8.0, -3.0, -1.0, -2.0]]])
    assert best_parts(scores, torch.tensor([0, 1]), TABLE).tolist() == [[1], [3]]


def test_ious_by_hand() -> None:
    predicted = torch.tensor([[0, 0, 1, 1], [2, 2, 3, 2]])
    truth = torch.tensor([[0, 1, 1, 1], [2, 2, 3, 3]])
    # shape 0: part 0 is 1 of 2, part 1 is 2 of 3; shape 1: part 2 is 2 of 3, part 3 is 1 of 2, part 4 is absent: 1
    wanted = [(1 / 2 + 2 / 3) / 2, (2 / 3 + 1 / 2 + 1) / 3]
    assert shape_ious(predicted, truth, torch.tensor([0, 1]), TABLE).tolist() == pytest.approx(wanted)


def test_a_part_that_is_only_predicted_or_only_there_counts_as_nothing() -> None:
    predicted, truth = torch.tensor([[0, 0], [1, 1], [0, 0]]), torch.tensor([[0, 1], [0, 0], [0, 0]])
    ious = shape_ious(predicted, truth, torch.tensor([0, 0, 0]), TABLE)
    assert ious.tolist() == pytest.approx([(1 / 2 + 0) / 2, 0.0, 1.0])


def scores_of(category: list[int], iou: list[float], right: list[list[int]]) -> PartScores:
    truth = torch.ones(len(iou), len(right[0]), dtype=torch.int16)
    return PartScores(
        torch.arange(len(iou)),
        torch.tensor(category),
        truth,
        torch.tensor(right, dtype=torch.int16),
        torch.tensor(iou, dtype=torch.float64),
        torch.tensor([1.0] * (len(iou) - 1) + [4.0]),
    )


def test_numbers_by_hand() -> None:
    scores = scores_of([0, 0, 0, 2], [0.9, 0.6, 0.3, 0.2], [[1, 1], [1, 0], [0, 0], [1, 0]])
    metrics = scores.metrics(num_classes=4)
    wanted = {"loss": 7 / 4, "point_accuracy": 4 / 8, "instance_miou": 2.0 / 4, "class_miou": (0.6 + 0.2) / 2}
    assert metrics == pytest.approx(wanted)
    found = scores.by_category(["a", "b", "c", "d"])
    assert list(found) == ["a", "c"]
    assert [count for count, _ in found.values()] == [3, 1]
    assert [iou for _, iou in found.values()] == pytest.approx([0.6, 0.2])


class Process:
    """One of two processes as `Fabric` shows it: keeps what it sends, and adds what the other one has sent."""

    world_size, device = 2, "cpu"

    def __init__(self, received: torch.Tensor | None = None) -> None:
        self.received = received
        self.sent: list[torch.Tensor] = []

    def all_reduce(self, data: torch.Tensor, reduce_op: str) -> torch.Tensor:
        assert reduce_op == "sum"
        self.sent.append(data.clone())
        return data if self.received is None else data + self.received


def test_processes_add_up_to_the_whole() -> None:
    whole = scores_of([0, 0, 1], [0.5, 1.0, 0.25], [[1, 1], [1, 0], [0, 0]])
    first, second = (_part(whole, slice(*span)) for span in ((0, 2), (2, 3)))
    other = Process()
    second.metrics(2, other)
    assert first.metrics(2, Process(other.sent[0])) == pytest.approx(whole.metrics(2))


def _part(scores: PartScores, which: slice) -> PartScores:
    return PartScores(*(getattr(scores, field.name)[which] for field in dataclasses.fields(scores)))
