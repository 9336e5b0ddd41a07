"""A run in a process of its own, for tests that kill it: python -m tests.shards.build_script FOLDER WORKERS CALLABLE.

It prints one line when the first sample is done.
"""

from __future__ import annotations

import sys
from pathlib import Path

from shards.build import BuildOptions, build_shards
from shards.progress import Progress
from tests.shards import synthetic


def main() -> None:
    folder, num_workers, name = sys.argv[1:]
    total = Progress()

    def on_progress(progress: Progress) -> None:
        nonlocal total
        if not total.num_samples and progress.num_samples:
            print("working", flush=True)
        total += progress

    build_shards(
        synthetic.make_sources(60, 8),
        getattr(synthetic, name),
        Path(folder),
        {"rig": "mvcnn12"},
        BuildOptions(samples_per_shard=6, num_workers=int(num_workers), resume=True),
        on_progress,
        (synthetic.SourceError,),
    )


if __name__ == "__main__":
    main()
