"""A set as one HTML file to look through: filter the samples, see all views of one, turn its points with the mouse.

The file holds all it shows, so it opens offline, and each sample's pictures are decoded only when they scroll into sight.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shards.codec import decode_member
from shards.errors import ShardError
from shards.pages.choice import evenly, flagged_first
from shards.pages.page import data_url, escaped, fill_page, script_json
from shards.pages.preview import camera_angles, packed_cloud, small_picture, visible_channel
from shards.reader import ShardReader
from shards.schema import image_name
from shards.stores.store import LocationT, folder_name, write_file

MAX_VIEWS = 24
"""Views of a sample on the page, evenly spaced where it has more."""

MAX_EXACT_BYTES = 32_000_000
"""Views are embedded as they are up to this total; beyond it they are made smaller, and the page says so."""

_LABELS = ("colors", "part", "semantic", "instance")


def gallery_page(
    reader: ShardReader, path: LocationT, num_samples: int = 200, max_exact_bytes: int = MAX_EXACT_BYTES
) -> LocationT:
    """Writes a gallery of the set: one HTML file that needs no network and no other file.

    Flagged samples come first and take up to half of the places; the others are spread over the classes. The choice and
    the bytes depend only on the set.

    Args:
        reader: the samples to choose from.
        path: where the page goes; its folder exists.
        num_samples: at most so many are shown; the page says how many were left out.
        max_exact_bytes: when the views are larger than this in all, they are made smaller for the page.

    Returns:
        `path`.

    Raises:
        ShardError: the reader is empty, a shard is damaged, or the file cannot be written.
    """
    if not len(reader) or num_samples < 1:
        raise ShardError(
            f"{reader.store.location}: no sample to show; it holds {len(reader)}, {num_samples} were asked for"
        )
    indices = flagged_first(reader, num_samples)
    exact = _view_bytes(reader, indices) <= max_exact_bytes
    cards, blocks = [], []
    for place, index in enumerate(indices):
        sample = _sample(reader, index, exact)
        meta = sample["meta"]
        cards.append({name: meta[name] for name in ("key", "category", "split", "source", "flags")})
        text = script_json(sample, f"sample {meta['key']}")
        blocks.append(f'<script type="application/json" id="sample-{place}">{text}</script>\n')
    name = folder_name(reader.store.location)
    content = {"name": name, "total": len(reader), "num_classes": len(reader.classes), "exact": exact, "cards": cards}
    parts = {"name": escaped(name), "set": script_json(content, reader.store.location), "samples": "".join(blocks)}
    page = fill_page(
        "gallery.html", ["page.css", "gallery.css", "detail.css"], ["cloud.js", "detail.js", "gallery.js"], parts
    )
    return write_file(path, page)


def _view_bytes(reader: ShardReader, indices: Sequence[int]) -> int:
    """Size of all views that the page shows, from the tars' indexes alone."""
    total = 0
    for index in indices:
        sizes = reader.fields(index)
        total += sum(sizes[f"{image_name('view', number)}.png"] for number in _shown(reader, index))
    return total


def _shown(reader: ShardReader, index: int) -> list[int]:
    """Numbers of the views that the page shows of a sample."""
    return evenly(reader.images(index).get("view", []), MAX_VIEWS)


def _sample(reader: ShardReader, index: int, exact: bool) -> dict[str, Any]:
    """What the page knows of a sample: its JSON, pictures by kind, camera angles and points."""
    images = reader.images(index)
    numbers = _shown(reader, index)
    fields = reader.fields(index)
    names = ("points", "world_to_camera", *(name for name in _LABELS if f"{name}.npy" in fields))
    sample = reader.read(index, arrays=names, views=())
    pictures = {"view": [_view(reader, index, number, exact) for number in numbers]}
    for kind in images:
        if kind != "view" and numbers:
            pictures[kind] = [_channel(reader, index, kind, number) for number in numbers if number in images[kind]]
    angles = camera_angles(sample.arrays["world_to_camera"])
    return {
        "meta": sample.meta,
        "pictures": pictures,
        "numbers": numbers,
        "num_views": len(images.get("view", [])),
        "angles": [angles[number] for number in numbers if number < len(angles)],
        "cloud": packed_cloud(sample.arrays),
    }


def _view(reader: ShardReader, index: int, number: int, exact: bool) -> str:
    """The address of a view: its own bytes, or a smaller picture of it."""
    field = f"{image_name('view', number)}.png"
    data = reader.raw(index, field)
    if exact:
        return data_url("image/png", data)
    return data_url("image/webp", small_picture(decode_member(f"{reader.key(index)}.{field}", data)))


def _channel(reader: ShardReader, index: int, kind: str, number: int) -> str:
    """The address of a picture of a further channel."""
    images = reader.read(index, arrays=(), views=(number,), kinds=("view", kind)).images
    picture = visible_channel(kind, images[image_name(kind, number)], images[image_name("view", number)])
    return data_url("image/webp", small_picture(picture))
