"""The one exception of the training package, and how its messages count."""

NUM_NAMED = 2  # of a kind that are named in a message; the rest are counted


class TapError(Exception):
    """A config, checkpoint or data set that cannot be trained on; the message says where, what, and what to do."""


def some(*kinds: list[str], most: int = NUM_NAMED) -> str:
    """The first few texts of each kind, and how many more there are."""
    named = [text for kind in kinds for text in kind[:most]]
    more = sum(map(len, kinds)) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")
