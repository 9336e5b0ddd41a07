"""The one exception of the rendering package."""


class RenderError(Exception):
    """A mesh, rig or setting that cannot be rendered; the message says where, what, and what to do."""
