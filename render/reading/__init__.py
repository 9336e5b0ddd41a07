"""Mesh files to triangles: one reader a format, materials and textures, polygons split. `render.mesh.read_mesh` is the door."""
