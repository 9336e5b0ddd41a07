"""Where a set lies: folders, object stores, and copies of remote tars on this machine."""
