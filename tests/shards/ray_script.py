"""A run by Ray in a process of its own, for tests that kill it: python -m tests.shards.ray_script FOLDER [ADDRESS].

It prints one line when the first shard is done.
"""

from __future__ import annotations

import sys
from pathlib import Path

from shards.build import BuildOptions, build_shards
from shards.progress import Progress
from tests.shards.synthetic import make_sources, slow_sample

CONFIG = {"rig": "mvcnn12"}
NUM_SOURCES = (40, 8)


def main() -> None:
    folder, address = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None

    def on_progress(progress: Progress) -> None:
        if progress.num_shards:
            print("working", flush=True)

    build_shards(
        make_sources(*NUM_SOURCES),
        slow_sample,
        Path(folder),
        CONFIG,
        BuildOptions(samples_per_shard=6, num_workers=2, resume=True, engine="ray", address=address),
        on_progress,
    )


if __name__ == "__main__":
    main()
