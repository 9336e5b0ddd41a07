"""Sets into other sets and into loose files: merge, split, export, import."""
