"""Pictures of photos: what is in them, and that equal input gives equal bytes."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tap.photos.pictures import Look, LookedView, draw_attention, draw_photos


def flat(number: int, value: float, channels: int = 3, size: int = 16) -> np.ndarray:
    return np.full((number, channels, size, size), value, np.float32)


@pytest.mark.parametrize("channels", [1, 3])
def test_rows_of_views_stand_below_each_other(tmp_path: Path, channels: int) -> None:
    file = tmp_path / "new" / "views.png"
    rows = {"generated": flat(2, 0.2, channels), "true": flat(2, 0.6, channels)}
    draw_photos(file, rows, ["0°", "30°"], "a title")
    pixels = np.asarray(Image.open(file).convert("RGB")).astype(int)
    upper, lower = (np.argwhere((abs(pixels - 255 * value) <= 1).all(2)) for value in (0.2, 0.6))
    assert len(upper) > 1000
    assert len(lower) > 1000
    assert upper[:, 0].mean() < lower[:, 0].mean()
    first = file.read_bytes()
    draw_photos(file, rows, ["0°", "30°"], "a title")
    assert file.read_bytes() == first
    assert b"matplotlib" not in first.lower()


def test_of_very_many_views_some_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tap.photos.pictures.MOST_SHOWN", 4)
    for name, number in (("many", 12), ("four", 4)):
        draw_photos(tmp_path / f"{name}.png", {"generated": flat(number, 0.5)}, ["x"] * number, "")
    assert Image.open(tmp_path / "many.png").size == Image.open(tmp_path / "four.png").size


def test_the_points_that_were_looked_at_are_dark(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).uniform(2, 14, (200, 2)).astype(np.float32)
    depth = np.ones(200, np.float32)

    def picture(spread: np.ndarray) -> np.ndarray:
        looks = [Look((1, 2), spread.astype(np.float32), 0.75)]
        view = LookedView(flat(1, 1.0)[0], pixels, depth, 4, looks)
        other = LookedView(flat(1, 1.0)[0], pixels, depth, 4, [*looks, *looks])
        draw_attention(tmp_path / "a.png", {"one": view, "two": other}, "a title")
        return np.asarray(Image.open(tmp_path / "a.png").convert("L")).astype(float)

    assert picture(np.ones(200)).mean() < picture(np.zeros(200)).mean() - 1
