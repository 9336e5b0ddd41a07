"""Drawing many meshes at once: what a backend offers for it, what is taken into a batch, and how a failure stays alone."""

import queue
from collections.abc import Sequence
from typing import Protocol, TypeVar

import numpy as np

from render.camera import Cameras
from render.errors import RenderError
from render.fragments import Fragments
from render.mesh import Mesh

Job = TypeVar("Job")


class DrawBatch(Protocol):
    """Draws many meshes, each in views of its own, for a device that is quick only at many."""

    def __call__(self, requests: Sequence[tuple[Mesh, Cameras]], /) -> list[Fragments]:
        """Fragments in the order of the requests. Raises RenderError or MemoryError if any of them cannot be drawn."""
        ...


def gathered(jobs: "queue.SimpleQueue[Job | None]", max_batch: int) -> list[Job]:
    """What waits in the queue now: at least one job, for which it waits, and at most ``max_batch``.

    None in the queue says that nothing follows; it stays there, and what comes before it is handed out first. After that
    the batch is empty.
    """
    batch: list[Job] = []
    while len(batch) < max_batch:
        try:
            job = jobs.get(block=not batch)
        except queue.Empty:
            break
        if job is None:
            jobs.put(None)
            break
        batch.append(job)
    return batch


def drawn(draw: DrawBatch, requests: Sequence[tuple[Mesh, Cameras]]) -> list[Fragments | RenderError]:
    """What a batch gives, each failure alone: a batch that fails or lacks memory is drawn again in halves.

    Args:
        draw: may raise RenderError or MemoryError for the whole batch.
        requests: at least one.

    Returns:
        For each request its fragments, or why it cannot be drawn.

    Raises:
        TypeError: the drawing function returned what are no fragments of these requests. Whatever else it raises, too.
    """
    try:
        results = draw(requests)
    except RenderError as error:
        failure = error
    except MemoryError:
        failure = RenderError("draw server: out of memory, even with this mesh alone; use --backend cpu")
    else:
        _check(requests, results)
        return list(results)
    if len(requests) == 1:
        return [failure]
    half = len(requests) // 2
    return drawn(draw, requests[:half]) + drawn(draw, requests[half:])


def _check(requests: Sequence[tuple[Mesh, Cameras]], results: Sequence[Fragments]) -> None:
    if len(results) != len(requests):
        raise TypeError(f"the drawing function returned {len(results)} results for {len(requests)} requests")
    for (_, cameras), fragments in zip(requests, results, strict=True):
        shape = (cameras.num_views, cameras.image_size, cameras.image_size)
        for array, dtype in ((fragments.face, np.int32), (fragments.depth, np.float32)):
            if array.shape != shape or array.dtype != dtype:
                raise TypeError(f"the drawing function returned {array.dtype} {array.shape}, not {dtype} {shape}")
