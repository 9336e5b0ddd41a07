"""A run in a process of its own, for tests that kill it: python -m tests.shards.build_script FOLDER WORKERS CALLABLE [options].

It prints one line when the first sample is done. CALLABLE is a function of `tests.shards.synthetic`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from shards.build import BuildOptions, build_shards
from shards.plan import Source
from shards.progress import Progress
from shards.schema import Sample
from tests.shards import synthetic

CONFIG = {"rig": "mvcnn12"}


@dataclass(frozen=True)
class FailsOnce:
    """Makes samples, but at its first call every source whose number ends in 2 fails.

    Attributes:
        marks: folder with a file for each source that was tried, one byte for each try.
        make_sample: what makes the sample.
    """

    marks: Path
    make_sample: Callable[[Source], Sample] = synthetic.make_sample

    def __call__(self, source: Source) -> Sample:
        tries = self.marks / source.key
        is_first = not tries.exists()
        with tries.open("ab") as stream:
            stream.write(b".")
        if is_first and source.key.endswith("2"):
            raise synthetic.SourceError(f"{source.path}: not now")
        return self.make_sample(source)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", help="or URL")
    parser.add_argument("workers", type=int)
    parser.add_argument("callable")
    parser.add_argument("--sources", type=int, default=60, help="of the split train; test has 8")
    parser.add_argument("--per-shard", type=int, default=6)
    parser.add_argument("--retry-failed", action="store_true")
    parser.add_argument("--marks", type=Path, help="the callable is FailsOnce over the named one, with this folder")
    arguments = parser.parse_args()
    make_sample = getattr(synthetic, arguments.callable)
    total = Progress()

    def on_progress(progress: Progress) -> None:
        nonlocal total
        if not total.num_samples and progress.num_samples:
            print("working", flush=True)
        total += progress

    build_shards(
        synthetic.make_sources(arguments.sources, 8),
        FailsOnce(arguments.marks, make_sample) if arguments.marks else make_sample,
        arguments.folder,
        CONFIG,
        BuildOptions(
            samples_per_shard=arguments.per_shard,
            num_workers=arguments.workers,
            resume=True,
            retry_failed=arguments.retry_failed,
        ),
        on_progress,
        (synthetic.SourceError,),
    )


if __name__ == "__main__":
    main()
