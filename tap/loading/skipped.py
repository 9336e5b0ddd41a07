"""What became of damaged samples that a run left out: how many there were, and the first few of them said once each."""

import logging
from collections.abc import Sequence

NUM_TOLD = 5  # damaged samples named in the log; further ones are only counted

logger = logging.getLogger(__name__)


class Skipped:
    """Damaged samples that this process met in the batches of a data set and left out (`DataConfig.on_error`).

    Attributes:
        count: how often one was left out; a sample that is met in three epochs counts three times.
        messages: what was wrong with the first `NUM_TOLD` of them.
    """

    def __init__(self) -> None:
        self.count = 0
        self.messages: list[str] = []
        self._silent = False

    def note(self, problems: Sequence[str]) -> None:
        """Counts the damaged samples of a batch, and logs those that are new."""
        self.count += len(problems)
        for problem in problems:
            if problem in self.messages or self._silent:
                continue
            if len(self.messages) < NUM_TOLD:
                self.messages.append(problem)
                logger.warning("left out, since data.on_error is skip: %s", problem)
            else:
                self._silent = True
                logger.warning("more than %d samples are damaged; further ones are left out without a word", NUM_TOLD)
