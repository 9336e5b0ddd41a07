"""Parametric shapes as meshes and files: what the demo and the tests render."""
