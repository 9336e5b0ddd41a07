from shards.engines.attempt import Attempt, Cause, told_twice
from shards.plan import plan_shards
from tests.shards.synthetic import make_sources

SEGFAULT = Cause("killed its worker", "SIGSEGV")
ABORT = Cause("killed its worker", "SIGABRT")
SLOW = Cause("outlasted the time limit of 60 s")


def test_a_source_is_a_suspect_first_and_a_failure_then() -> None:
    plan = plan_shards(make_sources(4, 0), 4)[0]
    first, second = plan.sources[0], plan.sources[2]
    attempt = Attempt(plan).after_death(first, SEGFAULT)
    assert (dict(attempt.suspects), attempt.known_failures) == ({first.relative: SEGFAULT}, {})
    attempt = attempt.after_death(second, SLOW)
    assert list(attempt.suspects) == [first.relative, second.relative]
    attempt = attempt.after_death(first, SEGFAULT)
    assert list(attempt.suspects) == [second.relative]
    assert attempt.known_failures == {first.relative: f"{first.relative}: killed its worker twice (SIGSEGV)"}
    assert attempt.plan == plan


def test_two_ends_in_one_line() -> None:
    assert told_twice(SLOW, SLOW) == "outlasted the time limit of 60 s twice"
    assert told_twice(SEGFAULT, ABORT) == "killed its worker twice (SIGSEGV, then SIGABRT)"
    assert told_twice(SLOW, SEGFAULT) == "outlasted the time limit of 60 s, then killed its worker (SIGSEGV)"
