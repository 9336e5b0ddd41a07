import io
from pathlib import Path

import pytest
from rich.console import Console

from cli.dry_run import class_table, dry_run, format_bytes, format_seconds
from render.errors import RenderError
from render.sources import Listing, MeshSource, find_meshes
from shards import Sample, Source, pack_sample, unique_keys
from tests.shards.synthetic import make_sample


def make(folder: Path, num_meshes: int) -> tuple[Listing, list[Source]]:
    """Files of 1, 2, 3, ... bytes in two classes, and their sources."""
    for number in range(num_meshes):
        path = folder / f"class[{number % 2}]" / f"{number:03d}.off"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(number + 1))
    listing = find_meshes(folder)
    keys = unique_keys([source.relative for source in listing.sources])
    return listing, [
        Source(source.path, source.relative, source.category, source.split, key)
        for source, key in zip(listing.sources, keys, strict=True)
    ]


def snapshot(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}


def test_all_is_told_and_nothing_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    listing, sources = make(tmp_path / "src", 20)
    before = snapshot(tmp_path)
    tried = []

    def remembering(source: Source) -> Sample:
        tried.append(source.relative)
        return make_sample(source)

    dry_run(listing, sources, remembering, samples_per_shard=6, workers=1)
    assert snapshot(tmp_path) == before
    # File n has n + 1 bytes, and (2 i + 1) * 20 / 16 for i = 0 ... 7 is 1, 3, 6, 8, 11, 13, 16, 18.
    assert [int(name[-7:-4]) for name in sorted(set(tried), key=lambda name: name[-7:])] == [
        1, 3, 6, 8, 11, 13, 16, 18,
    ]  # fmt: skip
    lines = capsys.readouterr().out.splitlines()
    assert any("class[0]" in line and line.count("10") == 2 for line in lines)
    assert "tried 8 of 20 meshes, by size of file; 0 failed" in lines
    assert any(line.startswith("time: about ") and "with 1 worker(s)" in line for line in lines)
    assert any(line.startswith("memory: ") and "the largest has 20 B (class[1]/019.off)" in line for line in lines)
    assert lines[-1] == "nothing was written"


def test_size_is_that_of_the_members_in_a_tar(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listing, sources = make(tmp_path, 3)
    dry_run(listing, sources, make_sample, samples_per_shard=2, workers=2)
    blocks = sum(
        512 + -(-len(data) // 512) * 512 for source in sources for _, data in pack_sample(make_sample(source)).members
    )
    assert f"size: about {format_bytes(blocks)} (" in capsys.readouterr().out


def test_failures_are_named_and_the_rest_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listing, sources = make(tmp_path, 4)
    (tmp_path / "class[0]" / "002.off").unlink()

    def failing(source: Source) -> Sample:
        if source.relative.endswith("001.off"):
            raise RenderError(f"{source.path}: the mesh\nhas no faces")
        return make_sample(source)

    dry_run(listing, sources, failing, samples_per_shard=2, workers=1)
    output = capsys.readouterr().out
    assert "tried 3 of 4 meshes, by size of file; 1 failed" in output
    assert "  class[1]/001.off: the mesh has no faces\n" in output
    assert "1 files do not exist or cannot be seen, and will fail" in output


def test_no_estimate_from_failures_alone(tmp_path: Path) -> None:
    listing, sources = make(tmp_path, 2)

    def failing(source: Source) -> Sample:
        raise RenderError(f"{source.path}: the mesh has no faces")

    with pytest.raises(RenderError, match="none of the 2 meshes tried could be rendered"):
        dry_run(listing, sources, failing, samples_per_shard=2, workers=1)
    for source in sources:
        Path(source.path).unlink()
    with pytest.raises(RenderError, match="none of 2 files can be seen"):
        dry_run(listing, sources, make_sample, samples_per_shard=2, workers=1)


def test_classes_past_the_thirtieth_share_a_row() -> None:
    sources = tuple(
        MeshSource(f"{number}.off", f"{number}.off", f"class{number // 2:02d}", ("train", "test")[number % 2])
        for number in range(70)
    )
    stream = io.StringIO()
    Console(file=stream, width=100).print(class_table(Listing("modelnet", sources, 0)))
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in stream.getvalue().splitlines()]
    assert ["class29", "1", "1", "2"] in cells
    assert ["class30", "1", "1", "2"] not in cells
    assert ["... and 5 more", "5", "5", "10"] in cells
    assert ["all 35", "35", "35", "70"] in cells


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (4.24, "4.2 s"), (119.4, "119 s"), (120, "2.0 min"), (7200, "2.0 h"), (172800, "2.0 days")],
)
def test_spans(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


@pytest.mark.parametrize(
    ("num_bytes", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (314e6, "314 MB"), (4.1e15, "4,100 TB")]
)
def test_sizes(num_bytes: float, text: str) -> None:
    assert format_bytes(num_bytes) == text
