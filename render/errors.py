"""The one exception of the rendering package, and the kind of it that no caller may take for a missing file."""


class RenderError(Exception):
    """A mesh, rig or setting that cannot be rendered; the message says where, what, and what to do."""


class UnreachableError(RenderError):
    """A file that a mesh names is behind a URL, and its store did not say whether it is there."""
