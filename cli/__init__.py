"""The command line: the join of render, shards and tap."""
