"""Shared memory for pictures on their way from a loader's process to the training process, used again and again.

A batch of pictures is tens of megabytes. In fresh shared memory each of its pages is first cleared by the system, which takes
longer than decoding the pictures; so a loader's process keeps a few blocks, and writes into one again when the training
process has let go of it. Where none is free, it takes fresh memory as any loader does: slower, and as right.
"""

import math
import os
import threading

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

NUM_BUFFERS = 6
"""Blocks of a loader's process: one is written, two wait to be received, the training process has its last and its next, and
one is to spare."""


class Buffers:
    """The blocks of this process; `collate` has one for each loader's process."""

    def __init__(self) -> None:
        self._taken = torch.zeros(NUM_BUFFERS, dtype=torch.uint8).share_memory_()  # type: ignore[no-untyped-call]
        self._blocks: list[Tensor | None] = [None] * NUM_BUFFERS

    def take(self, shape: tuple[int, ...]) -> tuple[Tensor, Tensor | None]:
        """Room for a batch.

        Args:
            shape: of the uint8 tensor that is wanted.

        Returns:
            The tensor, uninitialised, in shared memory; and the mark of its block, (1,) uint8 in shared memory, which is 1
            until somebody sets it to 0. None where all blocks are taken: then the memory is fresh.
        """
        num_bytes = math.prod(shape)
        for number, block in enumerate(self._blocks):
            mark = self._taken[number : number + 1]
            if mark.item():
                continue
            if block is None or len(block) < num_bytes:
                block = self._blocks[number] = shared_room(num_bytes)
            mark.fill_(1)
            return block[:num_bytes].view(shape), mark
        return shared_room(num_bytes).view(shape), None


class Lent:
    """Blocks that this process has received, given back when nothing here uses their memory any more."""

    def __init__(self) -> None:
        self._process_id = os.getpid()
        self._lock = threading.Lock()  # batches for a GPU are received in a thread of the loader
        self._lent: list[tuple[StorageWeakRef, Tensor]] = []

    def receive(self, pictures: Tensor, mark: Tensor | None) -> None:
        """Notes a tensor that has come, and gives back what is not used any more.

        Args:
            pictures: as it came; whatever shares its memory counts as its use.
            mark: of its block, see `Buffers.take`; None where it lies in none. Such a one is to be told too: when all
                blocks are taken no other comes.
        """
        self.give_back()
        if mark is not None:
            with self._lock:
                self._lent.append((StorageWeakRef(pictures.untyped_storage()), mark))  # type: ignore[no-untyped-call]

    def give_back(self) -> None:
        """Sets the marks of all blocks whose memory is not used here any more."""
        if self._process_id != os.getpid():  # forked: what the parent has received is the parent's to give back
            self._process_id, self._lock, self._lent = os.getpid(), threading.Lock(), []
        with self._lock:
            unused = {number for number, (storage, _) in enumerate(self._lent) if storage.expired()}  # type: ignore[no-untyped-call]
            marks = [self._lent[number][1] for number in unused]
            # Forgotten before they are given back: Ctrl-C in between may lose a block, but never gives one back twice.
            self._lent = [lent for number, lent in enumerate(self._lent) if number not in unused]
            for mark in marks:
                mark.zero_()


def shared_room(num_bytes: int) -> Tensor:
    """Fresh shared memory: (num_bytes,) uint8, uninitialised."""
    storage = torch.UntypedStorage._new_shared(num_bytes)  # type: ignore[no-untyped-call]
    return torch.empty(0, dtype=torch.uint8).set_(storage)
