import multiprocessing
from collections.abc import Iterator

import pytest
import torch

from tap.ops import ball_query, farthest_point_sampling, gather, interpolate, nearest_neighbors, three_nearest
from tap.ops.threads import share_out


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("num_threads", [1, 2, 3, 8])
def test_every_piece_is_done_once(num_threads: int) -> None:
    torch.set_num_threads(num_threads)
    for count in (0, 1, 2, 7):
        done = [0] * count

        def work(part: slice, done: list[int] = done) -> None:
            for place in range(len(done))[part]:
                done[place] += 1

        share_out(count, work)
        assert done == [1] * count


def test_an_error_in_a_thread_is_raised() -> None:
    torch.set_num_threads(2)

    def work(part: slice) -> None:
        if part.start > 0:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        share_out(4, work)


def results() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    points, features = torch.randn(5, 100, 3, generator=generator), torch.randn(5, 100, 7, generator=generator)
    features.requires_grad_()
    samples = farthest_point_sampling(points, 30)
    centers = gather(points, samples)
    near, ball = nearest_neighbors(points, centers, 9), ball_query(points, centers, 0.6, 9)
    mixed = interpolate(gather(features, near).amax(2) + gather(features, ball).sum(2), *three_nearest(points, centers))
    (gradient,) = torch.autograd.grad(mixed.square().sum(), features)
    return [samples, near, ball, nearest_neighbors(features, features, 9), mixed.detach(), gradient]


def test_results_do_not_depend_on_the_number_of_threads() -> None:
    torch.set_num_threads(1)
    expected = results()
    for num_threads in (2, 3, 8):
        torch.set_num_threads(num_threads)
        assert all(torch.equal(found, wanted) for found, wanted in zip(results(), expected, strict=True))


def sample_in_child() -> None:
    torch.set_num_threads(2)
    farthest_point_sampling(torch.randn(4, 20, 3), 5)


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
def test_a_forked_process_has_threads_of_its_own() -> None:
    sample_in_child()
    child = multiprocessing.get_context("fork").Process(target=sample_in_child)
    child.start()
    child.join(60)
    assert child.exitcode == 0
