"""One rank in a process of its own: python -m tests.tap.stream_rank FOLDER RANK OUT.

It reads the stream of that rank for every number of ranks above it and several numbers of loader workers, whole and from
a random step of the second epoch on, and writes what came as JSON.
"""

import dataclasses
import hashlib
import json
import random
import sys
from pathlib import Path
from typing import Any

import torch

from shards.plan import Source
from shards.reader import ShardReader
from shards.schema import Sample
from tap.loading.collate import Batch, collate
from tap.loading.data import DataConfig, SampleData
from tap.loading.sampling import EpochBatches, evaluation_batches, make_loader
from tests.shards import synthetic

SIZES = (8, 1, 5, 3, 7, 2, 6)  # of the shards, after the other sources of each have failed
BATCH_SIZE, SEED = 3, 5
RANKS, WORKERS = (1, 2, 3), (0, 1, 4)


def uneven_sources() -> list[Source]:
    """Eight for each shard, to which they are dealt in the order of their names."""
    sources = synthetic.make_sources(8 * len(SIZES), 0)
    return [dataclasses.replace(source, relative=f"{number:04d}.off") for number, source in enumerate(sources)]


def uneven_sample(source: Source) -> Sample:
    place, shard = divmod(int(source.relative[:4]), len(SIZES))
    if place >= SIZES[shard]:
        raise synthetic.SourceError("left out")
    return synthetic.make_sample(source)


def told(reader: ShardReader, batches: list[Batch]) -> list[list[Any]]:
    """For each batch its samples: key, whether it is valid, and a hash of all that was drawn for it."""
    result = []
    for batch in batches:
        rows = []
        for place, index in enumerate(batch.index.tolist()):
            assert batch.images is not None
            drawn = (batch.points[place], batch.world_to_camera[place], batch.images[place])
            digest = hashlib.sha256(b"".join(tensor.numpy().tobytes() for tensor in drawn)).hexdigest()
            rows.append([reader.key(index), bool(batch.valid[place]), digest])
        result.append(rows)
    return result


def streams(folder: Path, rank: int, num_ranks: int, num_workers: int) -> dict[str, Any]:
    reader = ShardReader(folder, "train")
    data = SampleData(reader, DataConfig(num_points=10, num_views=2), SEED)
    found: dict[str, Any] = {}
    for name, drop_last in (("filled", False), ("dropped", True)):
        place = (BATCH_SIZE, rank, num_ranks, drop_last)
        batches = EpochBatches(lambda epoch: reader.order(SEED, epoch, 3), len(reader), *place)
        loader = make_loader(data, batches, collate, num_workers)
        for epoch in (0, 1):
            batches.set_position(epoch)
            found[f"{name}{epoch}"] = told(reader, list(loader))
        fresh = make_loader(data, batches, collate, num_workers)  # as in a new process
        step = random.Random(f"{name} {num_ranks} {num_workers}").randrange(1, len(batches))  # the same on each rank
        batches.set_position(1, step)
        found[f"{name}_resumed"], found[f"{name}_step"] = told(reader, list(fresh)), step
    plan = evaluation_batches(range(len(reader)), BATCH_SIZE, rank, num_ranks)
    found["evaluated"] = told(reader, list(make_loader(data, plan, collate, num_workers)))
    return found


def main() -> None:
    folder, rank, out = Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    torch.set_num_threads(1)
    found = {
        f"{num_ranks}/{num_workers}": streams(folder, rank, num_ranks, num_workers)
        for num_ranks in RANKS
        if rank < num_ranks
        for num_workers in WORKERS
    }
    out.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
