"""Voting: the scores of a classifier averaged over several draws of each cloud.

A vote here is one average over a stated number of draws. Papers that vote often repeat it and report the best of the
repetitions on test; that is not done here. Legend: K classes.
"""

from pathlib import Path

import numpy as np
import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from shards.stream import IntArray
from tap.loading.collate import collate
from tap.loading.moves import MovesConfig, move
from tap.loading.samples import Samples
from tap.loading.sampling import EpochBatches, make_loader
from tap.tasks.classes.scores import Scores, score
from tap.training.checkpoint import read_json
from tap.training.report.sections import Section, Table, Text, words
from tap.training.train_config import TrainConfig

VOTE = 0x707E  # sets the seeds of a vote apart from those of training steps


def vote(
    model: nn.Module,
    data: Samples,
    indices: IntArray,
    num_draws: int,
    moves: MovesConfig,
    train: TrainConfig,
    fabric: Fabric,
) -> Scores:
    """Scores of samples, each the mean over draws of its points of what the model says before softmax.

    Args:
        model: clouds to class scores, in evaluation mode, on Fabric's device.
        data: where the samples come from; a draw takes other points and moves them by the data's own augmentation.
        indices: which ones; all can be read.
        num_draws: at least 1.
        moves: how a draw is moved further.
        train: seed, batch size and workers.
        fabric: its device; this process takes all samples.

    Raises:
        TapError: scores that are not finite.
    Source: Point-BERT (CVPR 2022), whose vote averages 10 random subsets with scale and translation.
    """
    order = np.asarray(indices, np.int64)
    batches = EpochBatches(lambda _: order, len(order), train.batch_size, drop_last=False, reader=data.reader)
    loader = make_loader(data, batches, collate, train.num_workers)
    place = {index: number for number, index in enumerate(order.tolist())}
    labels = torch.full((len(order),), -1)
    total: Tensor | None = None
    for draw in range(num_draws):
        batches.set_position(draw)  # any epoch but that of evaluation draws points anew
        for number, batch in enumerate(loader):
            seed = int(np.random.SeedSequence((train.seed, VOTE, draw, number)).generate_state(1, np.uint64)[0])
            moved = move(batch.to(fabric.device), moves, seed)
            scores = model(moved.point_batch()).double().cpu()[batch.valid]  # (S, K)
            total = scores.new_zeros(len(order), scores.shape[1]) if total is None else total
            rows = torch.tensor([place[index] for index in batch.index[batch.valid].tolist()])
            total[rows] += scores
            labels[rows] = batch.labels[batch.valid]
    if total is None:
        raise ValueError("a vote needs a draw and a sample")
    return score(torch.from_numpy(order), labels, (total / num_draws).float())


def vote_section(result_file: Path) -> list[Section]:
    """Single pass beside vote, for the report; empty where the result tells of no vote."""
    result = read_json(result_file) if result_file.exists() else {}
    if not result.get("num_votes"):
        return []
    rows = [
        [split, way, *numbers.values()]
        for split in ("validation", "test")
        for way, numbers in _ways(result.get(split) or {})
    ]
    columns = ["", "best checkpoint", *map(words, next(iter((result["test"] or result["validation"]).values())))]
    text = (
        f"Single pass: each cloud once, with fixed points. Vote: the mean of the scores of {result['num_votes']} draws of its "
        "points, moved as training moves them unless vote_moves says otherwise; one average, not the best of several."
    )
    return [Section("Vote", [Text(text), Table(columns, rows)])]


def _ways(numbers: dict[str, dict[str, float]]) -> list[tuple[str, dict[str, float]]]:
    return [(told, numbers[name]) for name, told in (("best", "single pass"), ("vote", "vote")) if name in numbers]
