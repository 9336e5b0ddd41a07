"""What a file's content says about its format, against what its suffix says."""

from pathlib import Path

import pytest

from render.errors import RenderError
from render.mesh import MESH_SUFFIXES, read_mesh
from render.reading.readers import READERS, told_format
from tests.render.files import write_specimens


def test_every_suffix_has_a_reader() -> None:
    assert tuple(READERS) == MESH_SUFFIXES


def test_every_format_is_told_by_its_content(tmp_path: Path) -> None:
    for path in write_specimens(tmp_path):
        assert told_format(path.read_bytes()) == path.suffix, path.name


def test_a_wrong_suffix_is_told_and_not_read(tmp_path: Path) -> None:
    for path in write_specimens(tmp_path):
        for suffix in set(MESH_SUFFIXES) - {path.suffix}:
            with pytest.raises(
                RenderError, match=f"is {path.suffix[1:].upper()} content under the name {suffix}; rename it"
            ):
                read_mesh(Path(f"a{suffix}"), path.read_bytes())


@pytest.mark.parametrize("suffix", MESH_SUFFIXES)
@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "a Git LFS pointer"),
        (b"PK\x03\x04" + bytes(50), "a ZIP archive"),
        (b"\x1f\x8b\x08" + bytes(50), "a gzip file"),
        (b"\n<!doctype html><html></html>", "a web page"),
        (b"<?xml version='1.0'?><COLLADA/>", "an XML file"),
        (b"Kaydara FBX Binary  \x00", "an FBX file"),
    ],
)
def test_other_files_are_named(suffix: str, content: bytes, told: str) -> None:
    with pytest.raises(RenderError, match=f"a{suffix}: is {told}"):
        read_mesh(Path(f"a{suffix}"), content)


def test_hostile_beginnings_are_looked_at_quickly() -> None:
    for content in (
        b" " * 100_000,
        b"#" * 100_000,
        b"#\n" * 50_000,
        b"# #\n " * 20_000,
        b"{" * 100_000,
        b"solid " * 20_000,
    ):
        assert told_format(content) is None
