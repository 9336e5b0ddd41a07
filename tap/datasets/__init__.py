"""Labelled data sets that tasks train and are judged on: shard sets, and the layouts in which public ones are given away.

All clouds arrive in one frame: +z up, the mean of the points at the origin, the farthest point at distance 1.
"""

from tap.datasets.layouts import LAYOUTS, open_source
from tap.datasets.shard_source import ShardSource
from tap.datasets.source import DatasetConfig, PartSource, Source

__all__ = ["LAYOUTS", "DatasetConfig", "PartSource", "ShardSource", "Source", "open_source"]
