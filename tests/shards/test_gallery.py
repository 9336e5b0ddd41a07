import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest

from shards.errors import ShardError
from shards.pages.gallery import MAX_VIEWS, gallery_page
from shards.reader import ShardReader
from tests.shards.showcase import EVIL, NUM_POINTS, build_showcase


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_showcase(tmp_path_factory.mktemp("gallery") / "set")


def blocks(page: str) -> dict[str, Any]:
    """The page's data blocks by id, read as a browser does: up to the first end of the element."""
    found = re.findall(r'<script type="application/json" id="([^"]+)">(.*?)</script', page, re.DOTALL)
    return {name: json.loads(text) for name, text in found}


def test_page_holds_every_sample(folder: Path, tmp_path: Path) -> None:
    path = gallery_page(ShardReader(folder), tmp_path / "gallery.html")
    data = blocks(path.read_text(encoding="utf-8"))
    assert len(data) == 1 + 39
    cards = data["set"]["cards"]
    assert data["set"]["total"] == 39
    assert data["set"]["exact"] is True
    assert {card["key"] for card in cards} == {f"thing_{number:02d}" for number in range(39)}
    assert [bool(card["flags"]) for card in cards] == [True] * 5 + [False] * 34  # flagged samples come first
    assert [card["category"] for card in cards[5:]] == sorted(card["category"] for card in cards[5:])
    assert all(data[f"sample-{place}"]["meta"]["key"] == card["key"] for place, card in enumerate(cards))
    first = path.read_bytes()
    assert gallery_page(ShardReader(folder), path).read_bytes() == first


def test_views_are_the_tars_own_bytes(folder: Path, tmp_path: Path) -> None:
    path = gallery_page(ShardReader(folder, "train"), tmp_path / "gallery.html")
    data = blocks(path.read_text(encoding="utf-8"))
    place = next(place for place, card in enumerate(data["set"]["cards"]) if card["key"] == "thing_09")
    sample = data[f"sample-{place}"]
    with ShardReader(folder, "train") as reader:
        index = next(index for index in range(len(reader)) if reader.key(index) == "thing_09")
        views = [reader.raw(index, f"view{number:02d}.png") for number in range(2)]
    assert [base64.b64decode(url.removeprefix("data:image/png;base64,")) for url in sample["pictures"]["view"]] == views
    assert {kind: len(pictures) for kind, pictures in sample["pictures"].items()} == {
        "view": 2,
        "depth": 2,
        "normal": 2,
    }
    assert [layer[0] for layer in sample["cloud"]["layers"]] == ["Colours", "Parts"]
    assert (sample["cloud"]["count"], sample["cloud"]["total"]) == (2048, NUM_POINTS)
    assert all(card["split"] == "train" for card in data["set"]["cards"])


def test_samples_without_views(folder: Path, tmp_path: Path) -> None:
    data = blocks(gallery_page(ShardReader(folder), tmp_path / "g.html").read_text(encoding="utf-8"))
    clouds = [data[f"sample-{place}"] for place, card in enumerate(data["set"]["cards"]) if card["category"] == "cloud"]
    assert len(clouds) == 10
    assert all(cloud["pictures"] == {"view": []} and cloud["angles"] == [] for cloud in clouds)


def test_text_from_shards_cannot_break_out(folder: Path, tmp_path: Path) -> None:
    page = gallery_page(ShardReader(folder), tmp_path / "gallery.html").read_text(encoding="utf-8")
    assert "window.evil" in page
    assert "<script>window.evil" not in page
    assert "<i>own flag" not in page
    assert any(card["category"] == EVIL for card in blocks(page)["set"]["cards"])


def test_nothing_is_loaded_from_elsewhere(folder: Path, tmp_path: Path) -> None:
    page = gallery_page(ShardReader(folder), tmp_path / "gallery.html").read_text(encoding="utf-8")
    assert not re.search(r"https?:|//[a-z]+\.|@import|url\(", page)
    assert "default-src 'none'" in page


def test_left_out_samples_are_counted(folder: Path, tmp_path: Path) -> None:
    data = blocks(gallery_page(ShardReader(folder), tmp_path / "g.html", num_samples=6).read_text(encoding="utf-8"))
    cards = data["set"]["cards"]
    assert (len(cards), data["set"]["total"]) == (6, 39)
    assert [bool(card["flags"]) for card in cards] == [True, True, True, False, False, False]  # flagged: half at most
    assert len({flag for card in cards for flag in card["flags"]}) == 3  # and each flag in turn


def test_large_views_are_made_smaller(folder: Path, tmp_path: Path) -> None:
    path = gallery_page(ShardReader(folder), tmp_path / "g.html", max_exact_bytes=100)
    data = blocks(path.read_text(encoding="utf-8"))
    assert data["set"]["exact"] is False
    views = [url for name, sample in data.items() if name != "set" for url in sample["pictures"]["view"]]
    assert views
    assert all(url.startswith("data:image/webp;base64,") for url in views)


def test_many_views_are_thinned_out(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_VIEWS >= 12
    monkeypatch.setattr("shards.pages.gallery.MAX_VIEWS", 2)
    data = blocks(gallery_page(ShardReader(folder), tmp_path / "g.html").read_text(encoding="utf-8"))
    sample = next(one for name, one in data.items() if name != "set" and one["num_views"] == 4)
    assert sample["numbers"] == [0, 2]
    assert len(sample["pictures"]["view"]) == len(sample["angles"]) == 2


def test_nothing_asked_for_is_an_error(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="no sample to show; it holds 39, 0 were asked for"):
        gallery_page(ShardReader(folder), tmp_path / "g.html", num_samples=0)
