"""Rasterizers behind one protocol, and the server that shares a GPU among workers. `render.rasterizers` is the door."""
