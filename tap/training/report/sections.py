"""Sections of a report as plain records, and the HTML that they become. All text is escaped here and nowhere else."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from shards.pages.page import data_url, escaped


@dataclasses.dataclass(frozen=True)
class Text:
    """A paragraph, or lines of code.

    Attributes:
        text: what it says.
        code: whether it is to be typed in; line breaks are kept then.
    """

    text: str
    code: bool = False

    def html(self) -> str:
        """As an element."""
        return f"<pre>{escaped(self.text)}</pre>" if self.code else f'<p class="soft">{escaped(self.text)}</p>'


@dataclasses.dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        columns: heads; none where the rows are names with values.
        rows: cells as text or numbers; the first of each row names it.
        marked: the row that stands out, by number.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    marked: int | None = None

    def html(self) -> str:
        """As an element that scrolls where it is too large."""
        head = "".join(f"<th>{escaped(name)}</th>" for name in self.columns)
        body = "".join(self._row(row, number == self.marked) for number, row in enumerate(self.rows))
        kind = "grid" if self.columns else "facts"
        head = f"<thead><tr>{head}</tr></thead>" if head else ""
        return f'<div class="scroll"><table class="{kind}">{head}<tbody>{body}</tbody></table></div>'

    def _row(self, row: Sequence[object], marked: bool) -> str:
        first, *rest = row
        cells = "".join(f"<td{NUMBER * isinstance(cell, int | float)}>{escaped(told(cell))}</td>" for cell in rest)
        return f'<tr{MARKED * marked}><th scope="row">{escaped(told(first))}</th>{cells}</tr>'


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture, which the page then holds itself.

    Attributes:
        file: PNG.
        caption: what is to be seen.
    """

    file: Path
    caption: str

    def html(self) -> str:
        """As an element."""
        source = data_url("image/png", self.file.read_bytes())
        caption = escaped(self.caption)
        return f'<figure><img src="{source}" alt="{caption}"><figcaption>{caption}</figcaption></figure>'


@dataclasses.dataclass(frozen=True)
class Charts:
    """Curves side by side, see `tap.training.report.charts`.

    Attributes:
        charts: SVG elements, safe as they are.
    """

    charts: Sequence[str]

    def html(self) -> str:
        """As an element."""
        return f'<div class="charts">{"".join(f"<div>{chart}</div>" for chart in self.charts)}</div>'


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of the page under a heading.

    Attributes:
        title: the heading.
        blocks: what stands under it.
        folded: shown only when it is clicked.
    """

    title: str
    blocks: Sequence[Text | Table | Picture | Charts]
    folded: bool = False

    def html(self) -> str:
        """As an element."""
        inside = "".join(block.html() for block in self.blocks)
        title = f"<h2>{escaped(self.title)}</h2>"
        if self.folded:
            return f"<section><details><summary>{title}</summary>{inside}</details></section>"
        return f"<section>{title}{inside}</section>"


NUMBER, MARKED = ' class="number"', ' class="marked"'


def told(value: object) -> str:
    """A value for a reader: four digits of a number that is not whole, nothing for what is missing."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def words(name: str) -> str:
    """A name of a column or key as a reader says it."""
    return {"lr": "learning rate"}.get(name, name.replace("_", " "))
