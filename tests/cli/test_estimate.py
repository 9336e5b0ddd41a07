import pytest

from cli.estimate import Estimate, Probe, parallel_seconds, probe_places, total_bytes, total_seconds


def test_probes_are_the_middles_of_equal_groups_by_size() -> None:
    sizes = [(7 * number) % 16 for number in range(16)]  # every size from 0 to 15 once
    assert [sizes[place] for place in probe_places(sizes, 4)] == [2, 6, 10, 14]
    assert [sizes[place] for place in probe_places(sizes, 8)] == [1, 3, 5, 7, 9, 11, 13, 15]


def test_few_files_are_all_tried() -> None:
    assert probe_places([30, 10, 20]) == [1, 2, 0]
    assert probe_places([]) == []


def test_time_follows_the_line_through_the_probes() -> None:
    sizes = [100, 200, 300, 1_000_000]
    probes = [Probe(size, 2 + 0.01 * size, 1) for size in (100, 200, 300)]
    assert total_seconds(probes, sizes).middle == pytest.approx(4 * 2 + 0.01 * sum(sizes))


def test_the_line_never_goes_below_zero() -> None:
    falling = [Probe(100, 3.0, 1), Probe(200, 1.0, 1)]
    assert total_seconds(falling, [100, 10_000]).middle == pytest.approx(2 * 2.0)
    steep = [Probe(10, 0.0, 1), Probe(20, 5.0, 1)]
    assert total_seconds(steep, [10]).middle == pytest.approx(10 * (20 * 5.0) / (10**2 + 20**2))
    assert total_seconds([Probe(10, 3.0, 1)], [10, 50]).middle == pytest.approx(6.0)


def test_size_and_its_range() -> None:
    # Leaving one of two values out gives totals 0 and 400: two standard errors are 2 * sqrt(1/2 * 2 * 200**2) = 400.
    estimate = total_bytes([Probe(1, 1.0, 0), Probe(1, 1.0, 40)], 10)
    assert (estimate.low, estimate.middle, estimate.high) == pytest.approx((50, 200, 600))
    alike = total_bytes([Probe(1, 1.0, 20)] * 5, 10)
    assert (alike.low, alike.middle, alike.high) == pytest.approx((180, 200, 220))


def test_workers_help_as_far_as_cores_and_shards_go() -> None:
    one = Estimate(90, 100, 110)
    assert parallel_seconds(one, 1, 8, 10) == one
    assert parallel_seconds(one, 4, 1, 10) == one
    assert parallel_seconds(one, 2, 8, 10).middle == pytest.approx(100 / 1.8)
    assert parallel_seconds(one, 8, 2, 10).middle == pytest.approx(100 / 1.8)
    assert parallel_seconds(one, 4, 8, 5).middle == pytest.approx(100 / (5 / 2 * 0.9))
    assert parallel_seconds(one, 4, 8, 1) == one
