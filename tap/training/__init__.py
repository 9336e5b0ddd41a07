"""How a run goes: the one training loop, its processes, checkpoints, tables, trackers and report."""
