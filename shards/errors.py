"""The one exception of the shards package."""


class ShardError(Exception):
    """A shard, manifest or folder that cannot be written or trusted; the message says where, what, and what to do."""
