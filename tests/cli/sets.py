"""Small sets of shards for the tests of commands that need no mesh."""

from pathlib import Path

from shards.build import BuildOptions, build_shards
from tests.shards import synthetic


def write_set(folder: Path) -> Path:
    """A set of 9 train and 2 test samples of three classes; one source of each split failed."""
    build_shards(
        synthetic.make_sources(10, 3),
        synthetic.failing_sample,
        folder,
        {"rig": "mvcnn12"},
        BuildOptions(num_workers=0, samples_per_shard=8),
        failure_types=(synthetic.SourceError,),
    )
    return folder
