"""Which meshes a folder or a manifest holds, with class and split. `render.sources.find_meshes` is the door."""
