"""A shard's tries: which of its sources are suspected of killing their worker, and which are known to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from shards.plan import ShardPlan, Source


@dataclass(frozen=True)
class Cause:
    """How a worker came to its end.

    Attributes:
        deed: what the source that it was at did, for instance "killed its worker".
        detail: what is known besides, for instance the signal's name; may be empty.
    """

    deed: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.deed} ({self.detail})" if self.detail else self.deed


@dataclass(frozen=True)
class Attempt:
    """One try at writing a shard, with what earlier tries have taught.

    Attributes:
        plan: the shard.
        known_failures: relative path to reason, of sources that are not tried any more.
        suspects: relative path to cause, of sources at which a worker ended once. They are tried once more, before the
            others and while nothing else runs.
    """

    plan: ShardPlan
    known_failures: Mapping[str, str] = field(default_factory=dict)
    suspects: Mapping[str, Cause] = field(default_factory=dict)

    def after_death(self, source: Source, cause: Cause) -> Attempt:
        """The next try, after the worker came to its end at this source: it is a suspect, or if it was one, a failure."""
        suspects = dict(self.suspects)
        if source.relative not in suspects:
            return replace(self, suspects={**suspects, source.relative: cause})
        reason = f"{source.relative}: {told_twice(suspects.pop(source.relative), cause)}"
        return replace(self, suspects=suspects, known_failures={**self.known_failures, source.relative: reason})


def told_twice(first: Cause, second: Cause) -> str:
    """Two ends of a worker in one line: "killed its worker twice (SIGSEGV)"."""
    if first.deed != second.deed:
        return f"{first}, then {second}"
    detail = first.detail if first.detail == second.detail else f"{first.detail}, then {second.detail}"
    return str(Cause(f"{first.deed} twice", detail))
