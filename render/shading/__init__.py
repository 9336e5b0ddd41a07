"""From fragments to pictures: light, materials, textures, smooth normals, and the further channels of a view."""
