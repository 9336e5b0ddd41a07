"""One picture of a set: some samples of every class, some views of each. For looking, not for measuring."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from shards.errors import ShardError
from shards.pages.choice import evenly, spread
from shards.pages.preview import drawn_points
from shards.reader import ShardReader
from shards.schema import Sample, image_name
from shards.stores.store import LocationT, folder_name, write_file

CELL_PIXELS = 112
"""Side of one view on the sheet."""

STRIP_VIEWS = 4
"""Views of a sample where none are named."""

_MARGIN = 28
_GUTTER = 20
_LINE = 15
_FONT_SIZE = 12
_PAPER = (255, 255, 255)
_FRAME = (226, 228, 232)
_INK = (32, 36, 44)
_PALE_INK = (128, 134, 146)


def contact_sheet(
    reader: ShardReader,
    path: LocationT,
    num_samples: int = 24,
    views: Sequence[int] | None = None,
    num_columns: int = 3,
) -> LocationT:
    """Writes a PNG that shows samples spread over the classes, each as a strip of views with category and key below.

    The choice depends only on the set: classes take turns, and within a class the picks are evenly spaced.

    Args:
        reader: the samples to choose from.
        path: where the PNG goes; its folder exists.
        num_samples: at most so many.
        views: view numbers; those that a sample lacks are left out. None for four of its views, evenly spaced, or
            for drawings of its points if it has no views.
        num_columns: strips side by side.

    Returns:
        `path`.

    Raises:
        ShardError: the reader is empty, no chosen sample has one of these views, or the file cannot be written.
    """
    chosen = [index for index in spread(reader, num_samples) if _has_one(reader, index, views)]
    if not chosen:
        wanted = f" with one of the views {', '.join(map(str, views))}" if views is not None else ""
        raise ShardError(f"{reader.store.location}: no sample{wanted} to show")
    strips = [_strip(reader, index, views) for index in chosen]
    title = f"{folder_name(reader.store.location)}   {len(reader):,} samples   {len(reader.classes)} classes"
    stream = BytesIO()
    _draw(strips, min(num_columns, len(strips)), title).save(stream, "PNG", optimize=True)
    return write_file(path, stream.getvalue())


def _has_one(reader: ShardReader, index: int, views: Sequence[int] | None) -> bool:
    """Whether a sample has something to show."""
    return views is None or any(number < reader.num_views(index) for number in views)


def _strip(reader: ShardReader, index: int, views: Sequence[int] | None) -> tuple[Sample, list[NDArray[Any] | None]]:
    """A sample and its pictures, one a cell; None where it lacks the view."""
    num_views = reader.num_views(index)
    if views is None:
        views = evenly(range(num_views), STRIP_VIEWS)
    if not num_views:
        sample = reader.read(index, arrays=("points",), views=())
        turns = [np.pi / 5 + place * 2 * np.pi / STRIP_VIEWS for place in range(STRIP_VIEWS)]
        return sample, [drawn_points(sample.arrays["points"], turn, CELL_PIXELS) for turn in turns]
    sample = reader.read(index, arrays=(), views=[number for number in views if number < num_views])
    return sample, [sample.images.get(image_name("view", number)) for number in views]


def _draw(strips: Sequence[tuple[Sample, Sequence[NDArray[Any] | None]]], num_columns: int, title: str) -> Image.Image:
    """The sheet: title line, then strips in reading order."""
    strip_width = max(len(images) for _, images in strips) * CELL_PIXELS
    strip_height = CELL_PIXELS + 2 * _LINE + 6
    num_rows = -(-len(strips) // num_columns)
    width = 2 * _MARGIN + num_columns * strip_width + (num_columns - 1) * _GUTTER
    height = 2 * _MARGIN + 2 * _LINE + num_rows * strip_height + (num_rows - 1) * _GUTTER
    sheet = Image.new("RGB", (width, height), _PAPER)
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(_FONT_SIZE)
    pen.text((_MARGIN, _MARGIN - 8), title, fill=_PALE_INK, font=font)
    for place, (sample, images) in enumerate(strips):
        row, column = divmod(place, num_columns)
        left = _MARGIN + column * (strip_width + _GUTTER)
        top = _MARGIN + 2 * _LINE + row * (strip_height + _GUTTER)
        for slot, image in enumerate(images):
            if image is not None:
                sheet.paste(_cell(image), (left + slot * CELL_PIXELS, top))
        pen.rectangle((left - 1, top - 1, left + strip_width, top + CELL_PIXELS), outline=_FRAME)
        below = top + CELL_PIXELS + 4
        pen.text((left, below), _fitted(str(sample.meta["category"]), font, strip_width), fill=_INK, font=font)
        pen.text((left, below + _LINE), _fitted(sample.key, font, strip_width), fill=_PALE_INK, font=font)
    return sheet


def _cell(image: NDArray[Any]) -> Image.Image:
    """One view on white, scaled to fit the cell.

    Args:
        image: (H, W, 2) grey and alpha or (H, W, 4) RGBA, uint8.

    Returns:
        An RGB picture of CELL_PIXELS squared.
    """
    alpha = image[..., -1:].astype(np.float32) / 255
    color = image[..., :-1] * alpha + 255 * (1 - alpha)  # (H, W, 1) or (H, W, 3)
    rgb = np.broadcast_to(np.rint(color).astype(np.uint8), (*image.shape[:2], 3))
    picture = Image.fromarray(np.ascontiguousarray(rgb))
    picture.thumbnail((CELL_PIXELS, CELL_PIXELS), Image.Resampling.LANCZOS)
    cell = Image.new("RGB", (CELL_PIXELS, CELL_PIXELS), _PAPER)
    cell.paste(picture, ((CELL_PIXELS - picture.width) // 2, (CELL_PIXELS - picture.height) // 2))
    return cell


def _fitted(text: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, width: int) -> str:
    """The text, shortened in front with `...` until it fits: the end of a key is what tells samples apart."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"...{text}") > width:
        text = text[1:]
    return f"...{text}"
