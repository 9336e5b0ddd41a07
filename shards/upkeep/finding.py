"""One thing that is wrong with a set: which file, which member, what, and how it shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

What: TypeAlias = Literal[
    "missing", "damaged", "truncated", "foreign", "doubled", "displaced", "unfinished", "contradiction"
]
"""Not there; other bytes than were written; fewer bytes; not of this set; there twice; elsewhere than the index says; not
done yet; two places that say different things of one fact."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        file: name of the file in the set's folder.
        member: name of the member, or key of the sample, that is hit; None where it is the file as a whole, or unknown.
        what: kind of damage.
        detail: how it shows, in a few words.
    """

    file: str
    member: str | None
    what: What
    detail: str

    def line(self) -> str:
        """The finding as one line: `train-000003.tar: chair_1.view00.png: damaged: ...`."""
        member = "" if self.member is None else f"{self.member}: "
        text = f"{self.file}: {member}{self.what}: {self.detail}"
        # A name in a foreign tar may hold anything, a terminal's control codes too.
        return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
