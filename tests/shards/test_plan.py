from dataclasses import replace

import pytest

from shards.errors import ShardError
from shards.plan import Source, plan_shards
from tests.shards.synthetic import make_sources


def letters(text: str, split: str = "train") -> list[Source]:
    return [Source(f"/x/{letter}.off", f"{letter}.off", "c", split, letter) for letter in text]


def test_sources_are_dealt_like_cards() -> None:
    plans = plan_shards(letters("gfedcba"), 3)
    assert [(plan.name, "".join(source.key for source in plan.sources)) for plan in plans] == [
        ("train-000000", "adg"),
        ("train-000001", "be"),
        ("train-000002", "cf"),
    ]


def test_splits_have_shards_of_their_own() -> None:
    plans = plan_shards(letters("ab") + letters("xyz", "test"), 2)
    assert [(plan.split, plan.name, len(plan.sources)) for plan in plans] == [
        ("test", "test-000000", 2),
        ("test", "test-000001", 1),
        ("train", "train-000000", 2),
    ]


def test_order_of_the_sources_does_not_matter() -> None:
    sources = make_sources()
    assert plan_shards(sources, 4) == plan_shards(sources[::-1], 4)


def test_hash_follows_what_is_stored_and_not_the_machine() -> None:
    sources = letters("abc")
    before = plan_shards(sources, 3)[0].sources_hash
    assert plan_shards([replace(source, path=f"/y{source.path}") for source in sources], 3)[0].sources_hash == before
    assert plan_shards([replace(source, category="d") for source in sources], 3)[0].sources_hash != before


@pytest.mark.parametrize(
    ("sources", "size", "message"),
    [
        ([], 2, "no sources"),
        (letters("ab"), 0, "at least 1"),
        (letters("aa"), 2, "this relative"),
        ([*letters("a"), replace(letters("a")[0], relative="b.off")], 2, "this key"),
        (letters("a", "../up"), 2, "split"),
        ([replace(letters("a")[0], relative="\udcff.off")], 2, "UTF-8"),
    ],
)
def test_refused(sources: list[Source], size: int, message: str) -> None:
    with pytest.raises(ShardError, match=message):
        plan_shards(sources, size)
