"""Which views are drawn together: every view once, within memory, and no list shorter than its meshes."""

import itertools

import numpy as np
import pytest

from render.backends.batch_plan import BINNED_FACES, BINNED_VIEWS, BINS, Chunk, Size, plan_chunks, smaller_chunks


def views_of(chunks: list[Chunk]) -> list[tuple[int, int]]:
    return sorted((piece.request, view) for chunk in chunks for piece in chunk.pieces for view in piece.views)


def random_sizes(seed: int, count: int) -> list[Size]:
    generator = np.random.default_rng(seed)
    return [
        Size(
            num_vertices=int(faces), num_faces=int(faces), num_views=int(generator.integers(1, 90)),
            image_size=int(generator.choice([32, 224])), parallel=bool(generator.integers(2)),
        )
        for faces in np.exp(generator.uniform(0, 13, count))
    ]  # fmt: skip


@pytest.mark.parametrize("can_bin", [False, True])
@pytest.mark.parametrize("budget", [1, 10**7, 10**9, 10**12])
def test_every_view_is_drawn_once_and_every_list_holds_every_face(budget: int, can_bin: bool) -> None:
    sizes = random_sizes(0, 30)
    chunks = plan_chunks(sizes, budget, can_bin)
    assert views_of(chunks) == [(i, view) for i, size in enumerate(sizes) for view in range(size.num_views)]
    for chunk in chunks:
        mine = [sizes[piece.request] for piece in chunk.pieces]
        assert {(size.image_size, size.parallel) for size in mine} == {(chunk.image_size, chunk.parallel)}
        assert chunk.max_faces_per_bin == max(size.num_faces for size in mine)
        if chunk.bin_size:
            assert can_bin
            assert min(size.num_faces for size in mine) >= BINNED_FACES
            assert 1 + (chunk.image_size - 1) // chunk.bin_size <= BINS <= 21
            assert chunk.num_views <= BINNED_VIEWS


def test_memory_is_kept_to_unless_a_single_view_exceeds_it() -> None:
    """By hand: a view of 224 px takes 64 bytes a pixel, 3.2 MB; at 10 MB three go into a call, at 100 MB thirty-one."""
    sizes = [Size(3, 1, 12, 224, True)] * 5
    assert [chunk.num_views for chunk in plan_chunks(sizes, 10**7, False)] == [3] * 20
    assert [chunk.num_views for chunk in plan_chunks(sizes, 10**8, False)] == [31, 29]
    assert [chunk.num_views for chunk in plan_chunks(sizes, 1, False)] == [1] * 60


def test_a_mesh_too_large_for_bins_is_drawn_without_them() -> None:
    huge = Size(2_500_000, 5_000_000, 2, 64, True)  # its lists alone: 64 bins x 5 M x 4 bytes = 1.28 GB a view
    assert {chunk.bin_size for chunk in plan_chunks([huge], 10**9, True)} == {0}
    assert {chunk.bin_size for chunk in plan_chunks([huge], 10**10, True)} == {8}
    beyond = Size(2_500_000, 40_000_000, 1, 64, True)  # 64 x 40 M entries: more than the kernel can count
    assert {chunk.bin_size for chunk in plan_chunks([beyond], 10**15, True)} == {0}


def test_meshes_of_like_size_go_together() -> None:
    sizes = [Size(9, faces, 12, 64, True) for faces in (5000, 300, 5000, 300, 5000, 300, 5000, 300)]
    chunks = plan_chunks(sizes, 10**12, True)
    assert [(chunk.max_faces_per_bin, chunk.num_views) for chunk in chunks] == [(300, 48), (5000, 48)]


def test_what_has_no_face_is_not_drawn() -> None:
    assert plan_chunks([Size(0, 0, 3, 64, True)], 10**9, True) == []
    assert plan_chunks([], 10**9, True) == []


def test_a_call_that_lacked_memory_is_made_in_halves_then_without_bins_then_not_at_all() -> None:
    sizes = [Size(9, 300, 3, 64, True), Size(9, 500, 4, 64, True)]
    (chunk,) = plan_chunks(sizes, 10**12, True)
    halves = smaller_chunks(chunk)
    assert [half.num_views for half in halves] == [3, 4]
    assert [half.max_faces_per_bin for half in halves] == [300, 500]
    assert views_of(halves) == views_of([chunk])
    quarters = list(itertools.chain.from_iterable(smaller_chunks(half) for half in halves))
    assert [quarter.num_views for quarter in quarters] == [1, 2, 2, 2]
    assert views_of(quarters) == views_of([chunk])
    (naive,) = smaller_chunks(quarters[0])
    assert (quarters[0].bin_size, naive.bin_size) == (8, 0)
    assert naive.pieces == quarters[0].pieces
    assert smaller_chunks(naive) == []
