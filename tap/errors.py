"""The one exception of the training package."""


class TapError(Exception):
    """A config, checkpoint or data set that cannot be trained on; the message says where, what, and what to do."""
