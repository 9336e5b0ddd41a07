import json
import re
from pathlib import Path

import pytest

from shards.build import BuildOptions, build_shards
from shards.errors import ShardError
from shards.pages.quality import quality_page
from tests.shards.showcase import build_showcase
from tests.shards.showcase import make_sample as make_shown
from tests.shards.showcase import make_sources as make_shown_sources
from tests.shards.synthetic import SourceError, bad_sample, change_manifest, make_sample, make_sources


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_showcase(tmp_path_factory.mktemp("quality") / "set")


def sections(page: str) -> dict[str, str]:
    """Title to text of each section, in the order of the page."""
    return dict(re.findall(r"<h2>(.*?)</h2>(.*?)</section>", page, re.DOTALL))


def test_flags_and_failures(folder: Path, tmp_path: Path) -> None:
    page = quality_page(folder, tmp_path / "quality.html").read_text(encoding="utf-8")
    found = sections(page)
    own = "&lt;i&gt;own flag&lt;/i&gt;"
    assert list(found) == ["Blank view", "Cut by frame", "Small silhouette", own, "Failed sources"]
    assert "<b>39</b><span>Samples" in page
    assert "<b>1</b><span>Failed" in page
    assert "lamp/39.off: &lt;u&gt;no faces&lt;/u&gt;" in found["Failed sources"]
    assert "2 samples, the worst first" in found["Small silhouette"]
    assert re.findall(r"thing_\d+", found["Small silhouette"]) == ["thing_09", "thing_05"]
    assert "covers 1 %" in found["Small silhouette"]
    assert re.search(r"thing_05.*covers 3 %", found["Small silhouette"])
    assert "view 2 of 3" in found["Blank view"]  # the blank one; nothing was measured
    assert "view 2 of 3 · 1 cut" in found["Cut by frame"]
    assert "thing_12" in found[own]
    assert "window.evil" in page
    assert "<script" not in page


def test_bytes_depend_only_on_the_set(folder: Path, tmp_path: Path) -> None:
    other = build_showcase(tmp_path / "another name")
    first = quality_page(other, tmp_path / "a.html").read_bytes()
    assert quality_page(folder, tmp_path / "b.html").read_bytes() == first


def test_one_split(folder: Path, tmp_path: Path) -> None:
    page = quality_page(folder, tmp_path / "quality.html", split="test").read_text(encoding="utf-8")
    assert "<b>4</b><span>Samples" in page
    assert not sections(page)
    with pytest.raises(ShardError, match="no split 'val'"):
        quality_page(folder, tmp_path / "quality.html", split="val")


def test_limit_of_thumbnails(folder: Path, tmp_path: Path) -> None:
    page = quality_page(folder, tmp_path / "quality.html", max_thumbnails=1).read_text(encoding="utf-8")
    assert "1 of 2 samples" in sections(page)["Small silhouette"]
    assert re.findall(r"thing_\d+", sections(page)["Small silhouette"]) == ["thing_09"]


def test_limit_of_shards_is_said(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shards.pages.choice.MAX_SHARDS_OPENED", 2)
    page = quality_page(folder, tmp_path / "quality.html").read_text(encoding="utf-8")
    flagged = sum(bool(json.loads(path.read_text())["flags"]) for path in folder.glob("t*-*.json"))
    assert flagged > 2
    assert f"Looked into 2 of {flagged} shards" in page


def test_all_is_well(tmp_path: Path) -> None:
    sources = [source for source in make_sources() if not source.key.endswith(("1", "4"))]
    build_shards(sources, make_sample, tmp_path / "set", {}, BuildOptions(num_workers=0))
    page = quality_page(tmp_path / "set", tmp_path / "quality.html").read_text(encoding="utf-8")
    assert "All is well" in page
    assert not sections(page)


def test_long_lists_of_failures_are_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shards.pages.quality.MAX_FAILURES", 3)
    build_shards(
        make_sources(10, 0), bad_sample, tmp_path / "set", {}, BuildOptions(num_workers=0), failure_types=(SourceError,)
    )
    page = quality_page(tmp_path / "set", tmp_path / "quality.html").read_text(encoding="utf-8")
    assert page.count("<tr><td>") == 3
    assert "And 7 more; the shards' records list all." in page
    assert "<b>0</b><span>Samples" in page


def test_unfinished_set(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match=r"no manifest\.json here"):
        quality_page(tmp_path, tmp_path / "quality.html")
    build_shards(
        make_shown_sources(),
        make_shown,
        tmp_path / "set",
        {},
        BuildOptions(num_workers=0),
        failure_types=(SourceError,),
    )
    change_manifest(tmp_path / "set", shards=())
    with pytest.raises(ShardError, match="has not finished"):
        quality_page(tmp_path / "set", tmp_path / "quality.html")
