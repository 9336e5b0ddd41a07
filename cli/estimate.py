"""What a whole render will take, from a few meshes that were tried: arithmetic on sizes and seconds, no printing."""

import dataclasses
import math
from collections.abc import Callable, Sequence

NUM_PROBES = 8
_PARALLEL_EFFICIENCY = 0.9
_LEAST_ERROR = 0.1  # two runs of the same render differ by this share


@dataclasses.dataclass(frozen=True)
class Probe:
    """One mesh that was tried and rendered.

    Attributes:
        file_bytes: size of its file.
        seconds: to read, draw, sample, encode it.
        sample_bytes: what it adds to a shard, headers and padding included.
    """

    file_bytes: int
    seconds: float
    sample_bytes: int


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A value and the range that it probably lies in."""

    low: float
    middle: float
    high: float

    def __mul__(self, factor: float) -> "Estimate":
        return Estimate(self.low * factor, self.middle * factor, self.high * factor)


def probe_places(file_sizes: Sequence[int], num_probes: int = NUM_PROBES) -> list[int]:
    """Places of the files to try: the middles of as many groups, equal in number, of the files sorted by size.

    Args:
        file_sizes: bytes; files of equal size keep their order.
        num_probes: places wanted; all are given where there are no more files.
    """
    order = sorted(range(len(file_sizes)), key=lambda place: file_sizes[place])
    count = min(num_probes, len(order))
    return [order[(2 * group + 1) * len(order) // (2 * count)] for group in range(count)]


def total_seconds(probes: Sequence[Probe], file_sizes: Sequence[int]) -> Estimate:
    """Time of one process for all files, by the line seconds = a + b * bytes through the probes, neither below 0.

    Args:
        probes: at least one.
        file_sizes: bytes of every file.
    """
    num_files, num_bytes = len(file_sizes), sum(file_sizes)

    def total(some: Sequence[Probe]) -> float:
        start, slope = _line([probe.file_bytes for probe in some], [probe.seconds for probe in some])
        return start * num_files + slope * num_bytes

    return _jackknife(total, probes)


def total_bytes(probes: Sequence[Probe], num_files: int) -> Estimate:
    """Size of the samples of all files: the mean of the probes, which stand for groups equal in number."""
    return _jackknife(lambda some: num_files * sum(probe.sample_bytes for probe in some) / len(some), probes)


def parallel_seconds(one_process: Estimate, num_workers: int, num_cores: int, num_shards: int) -> Estimate:
    """Time on several workers: never more than the cores allow, and the one with the most shards ends last."""
    busy = min(num_workers, num_cores)
    if busy <= 1:
        return one_process
    speedup = num_shards / math.ceil(num_shards / busy)
    return one_process * (1 / max(speedup * _PARALLEL_EFFICIENCY, 1.0))


def _line(sizes: Sequence[float], seconds: Sequence[float]) -> tuple[float, float]:
    """Start and slope of the least squares line with both at least 0."""
    mean_size, mean_seconds = sum(sizes) / len(sizes), sum(seconds) / len(seconds)
    spread = sum((size - mean_size) ** 2 for size in sizes)
    if not spread:
        return mean_seconds, 0.0
    together = sum((size - mean_size) * (value - mean_seconds) for size, value in zip(sizes, seconds, strict=True))
    slope = together / spread
    start = mean_seconds - slope * mean_size
    if slope < 0:
        return mean_seconds, 0.0
    if start < 0:
        products = sum(size * value for size, value in zip(sizes, seconds, strict=True))
        return 0.0, products / sum(size**2 for size in sizes)
    return start, slope


def _jackknife(total: Callable[[Sequence[Probe]], float], probes: Sequence[Probe]) -> Estimate:
    """The total, give or take two standard errors as seen by leaving out one probe at a time."""
    middle, count = total(probes), len(probes)
    error = 0.0
    if count > 1:
        partial = [total([*probes[:place], *probes[place + 1 :]]) for place in range(count)]
        mean = sum(partial) / count
        error = 2 * math.sqrt((count - 1) / count * sum((value - mean) ** 2 for value in partial))
    error = max(error, _LEAST_ERROR * middle)
    return Estimate(max(middle - error, middle / 4), middle, middle + error)
