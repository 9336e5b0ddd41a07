from pathlib import Path

import pytest

from tap.errors import TapError
from tap.training.run_folder import Table, draw_curves, picture_of


def test_rows_are_appended_and_cut(tmp_path: Path) -> None:
    for step in range(4):
        Table(tmp_path / "metrics.csv").append({"step": step, "loss": step / 2})
    table = Table(tmp_path / "metrics.csv")
    table.cut("step", 2)
    table.append({"step": 3, "loss": 9.0})
    assert [(row["step"], row["loss"]) for row in table.rows()] == [
        ("0", "0.0"),
        ("1", "0.5"),
        ("2", "1.0"),
        ("3", "9.0"),
    ]


def test_a_column_is_added_to_an_older_table(tmp_path: Path) -> None:
    table = Table(tmp_path / "metrics.csv")
    table.widen("skipped", "0")
    assert not table.file.exists()
    table.append({"step": 1, "loss": 0.5})
    for _ in range(2):
        Table(table.file).widen("skipped", "0")
    assert table.file.read_text().split() == ["step,loss,skipped", "1,0.5,0"]


def test_a_half_written_row_is_dropped(tmp_path: Path) -> None:
    table = Table(tmp_path / "metrics.csv")
    table.append({"step": 1, "loss": 0.5})
    with table.file.open("a") as stream:
        stream.write("2")
    Table(table.file).cut("step", 9)
    assert [row["step"] for row in Table(table.file).rows()] == ["1"]


def test_an_empty_file_gets_its_header(tmp_path: Path) -> None:
    table = Table(tmp_path / "metrics.csv")
    table.file.touch()
    table.cut("step", 3)
    assert table.rows() == []
    table.append({"step": 1, "loss": 0.5})
    assert table.file.read_text().split() == ["step,loss", "1,0.5"]


@pytest.mark.parametrize("content", [b"name,size\na,1\n", b"step,loss\n\xff\xfe,1\n"])
def test_a_foreign_table_is_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_bytes(content)
    with pytest.raises(TapError, match=r"metrics\.csv: .*move it away"):
        Table(tmp_path / "metrics.csv").cut("step", 1)


def test_a_row_with_too_many_values_is_dropped(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("step,loss\n1,2\n2,3,4\n")
    table = Table(tmp_path / "metrics.csv")
    table.cut("step", 9)
    assert table.rows() == [{"step": "1", "loss": "2"}]


def test_other_columns_are_refused(tmp_path: Path) -> None:
    table = Table(tmp_path / "metrics.csv")
    table.append({"step": 1})
    with pytest.raises(TapError, match="has the columns"):
        table.append({"step": 2, "loss": 1.0})


def test_empty_curves(tmp_path: Path) -> None:
    draw_curves(tmp_path)
    assert (tmp_path / "curves.png").stat().st_size > 0


def test_the_picture_of_an_epoch_and_the_last_one(tmp_path: Path) -> None:
    assert picture_of(tmp_path) is None
    (tmp_path / "pictures").mkdir()
    for epoch in (2, 30, 1000):
        (tmp_path / "pictures" / f"epoch{epoch:03d}.png").touch()
    assert [picture_of(tmp_path, epoch) for epoch in (2, 3)] == [tmp_path / "pictures" / "epoch002.png", None]
    assert picture_of(tmp_path) == tmp_path / "pictures" / "epoch1000.png"
