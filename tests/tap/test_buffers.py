import copy
import os
import pickle
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import numpy as np
import pytest
import torch

from shards.reader import ShardReader
from shards.stream import Address
from tap.loading.buffers import NUM_BUFFERS, Buffers, Lent, shared_room
from tap.loading.collate import LENT, Batch, collate
from tap.loading.data import DataConfig, SampleData
from tap.loading.sampling import make_loader


def test_a_block_is_used_again_when_its_mark_is_off() -> None:
    buffers = Buffers()
    taken = [buffers.take((2, 3)) for _ in range(NUM_BUFFERS + 1)]
    assert len({pictures.data_ptr() for pictures, _ in taken}) == NUM_BUFFERS + 1
    assert [mark is None for _, mark in taken] == [False] * NUM_BUFFERS + [True]
    assert all(pictures.untyped_storage().is_shared() and pictures.shape == (2, 3) for pictures, _ in taken)
    mark = taken[1][1]
    assert mark is not None
    mark.zero_()
    again, _ = buffers.take((6,))
    assert again.data_ptr() == taken[1][0].data_ptr()
    mark.zero_()
    larger, _ = buffers.take((7,))
    assert larger.shape == (7,)
    assert larger.untyped_storage().nbytes() >= 7


def test_a_block_is_given_back_when_no_tensor_shares_its_memory() -> None:
    lent = Lent()
    pictures, mark = Buffers().take((8,))
    assert mark is not None
    received = shared_room(8)
    lent.receive(received, mark)
    view = received.view(2, 4)[1:]
    del received
    lent.give_back()
    assert mark.item() == 1
    del view
    lent.give_back()
    assert mark.item() == 0
    assert len(pictures) == 8


@pytest.mark.parametrize("held", [1, 3, 100])
def test_pictures_that_are_held_are_never_written_over(shards: Path, held: int) -> None:
    data = SampleData(ShardReader(shards, "train"), DataConfig(num_points=16, num_views=2), seed=0)
    plan = [[Address(epoch, index) for index in (0, 1)] for epoch in range(20)]
    expected = [
        torch.stack([torch.from_numpy(np.stack(data[place].images or ())) for place in batch]) for batch in plan
    ]
    loader = make_loader(data, plan, collate, 1)
    marked = 0
    for _ in range(2):  # the loader's process stays, and with it its blocks
        kept: list[tuple[int, Batch]] = []
        for number, batch in enumerate(loader):
            kept = [*kept, (number, batch)][-held:]
            marked += batch.mark is not None
            for place, earlier in kept:
                assert earlier.images is not None
                assert torch.equal(earlier.images, expected[place])
    if held <= 3:
        assert marked == 40
    else:
        assert marked < 40
    del kept, batch
    LENT.give_back()


def test_blocks_are_used_again_after_all_were_held_for_a_while(shards: Path) -> None:
    data = SampleData(ShardReader(shards, "train"), DataConfig(num_points=16, num_views=2), seed=0)
    loader = make_loader(data, [[Address(epoch, 0)] for epoch in range(30)], collate, 1)
    kept = [batch for number, batch in enumerate(loader) if number < NUM_BUFFERS + 4]
    assert kept[-1].mark is None
    del kept
    assert [batch.mark is not None for batch in loader][10:] == [True] * 20


def test_a_batch_that_is_copied_or_sent_on_has_pictures_of_its_own(shards: Path) -> None:
    data = SampleData(ShardReader(shards, "train"), DataConfig(num_points=16, num_views=2), seed=0)
    batch = next(iter(make_loader(data, [[Address(0, 0)]], collate, 1)))
    assert batch.mark is not None
    assert batch.mark.item() == 1
    sent = ForkingPickler.loads(ForkingPickler.dumps(batch))  # as a queue to a third process does
    for other in (copy.copy(batch), pickle.loads(pickle.dumps(batch)), sent):
        assert other.mark is None
        assert other.images.data_ptr() != batch.images.data_ptr()
        assert torch.equal(other.images, batch.images)


def test_a_forked_process_gives_nothing_back_that_its_parent_received() -> None:
    lent, (_, mark) = Lent(), Buffers().take((8,))
    assert mark is not None
    lent.receive(shared_room(8), mark)  # not used any more, but the parent has not noticed
    process_id = os.fork()
    if process_id == 0:
        lent.give_back()
        os._exit(0)
    assert os.waitpid(process_id, 0)[1] == 0
    assert mark.item() == 1
    lent.give_back()
    assert mark.item() == 0
