"""The named rigs, rigs from files, jitter, roll and framing, and pictures of rigs. `render.rig` is the door."""
