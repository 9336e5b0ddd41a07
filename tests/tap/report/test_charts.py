import re

import pytest

from tap.training.report.charts import Series, chart


def points(svg: str) -> list[tuple[float, float]]:
    """Of the first curve."""
    (path, *_) = re.findall(r'<path class="\w+" d="([^"]+)"', svg)
    return [(float(x), float(y)) for x, y in re.findall(r"[ML]([\d.]+) ([\d.]+)", path)]


def labels(svg: str) -> list[str]:
    return re.findall(r'<text class="axis[^>]*>([^<]+)<', svg)


def test_a_line_goes_from_corner_to_corner() -> None:
    svg = chart("loss", "epoch", [Series("loss", [0, 1, 2], [0, 1, 2])])
    assert points(svg) == [(58.0, 216.0), (252.0, 125.0), (446.0, 34.0)]  # up is less in SVG
    assert labels(svg) == ["0", "0.5", "1", "1.5", "2", "0", "0.5", "1", "1.5", "2", "epoch"]


def test_equal_factors_are_equal_steps_on_a_logarithmic_axis() -> None:
    svg = chart("loss", "step", [Series("loss", [1, 2, 3], [0.01, 0.1, 1.0])], log=True)
    (_, low), (_, middle), (_, high) = points(svg)
    assert low - middle == pytest.approx(middle - high)
    assert labels(svg)[:3] == ["0.01", "0.02", "0.05"]


def test_a_narrow_range_and_one_below_zero_stay_linear() -> None:
    for values in ([1.0, 1.5, 2.0], [-1.0, 4.0, 9.0]):
        (_, low), (_, middle), (_, high) = points(chart("a", "b", [Series("c", [1, 2, 3], values)], log=True))
        assert low - middle == pytest.approx(middle - high, abs=0.11)


def test_one_value_is_in_the_middle() -> None:
    assert points(chart("a", "b", [Series("c", [3], [7.0])])) == [(252.0, 125.0)]


def test_long_curves_are_thinned_and_gaps_left_out() -> None:
    svg = chart("a", "b", [Series("c", range(10_000), [1.0, 3.0] * 5_000)])
    assert len(points(svg)) == 240
    assert len(points(chart("a", "b", [Series("c", [1, 2, 3], [1.0, float("nan"), 2.0])]))) == 2


def test_thousands_are_written_out() -> None:
    svg = chart("loss", "step", [Series("loss", [500, 1500, 2500], [1.0, 2.0, 3.0])])
    assert labels(svg)[-6:] == ["500", "1k", "1,500", "2k", "2,500", "step"]
    assert "2 at 1,500" in svg


def test_names_are_escaped_and_stand_in_a_legend() -> None:
    svg = chart("a<b", "x", [Series("a<b", [1, 2], [1.0, 2.0]), Series("base", [1, 2], [1.5, 1.5], dashed=True)])
    assert "a<b" not in svg
    assert "a&lt;b" in svg
    assert labels(svg)[0] == "base"
    assert 'class="base"' in svg


def test_a_long_legend_wraps() -> None:
    many = [Series(f"a rather long name {number}", [1, 2], [1.0, 2.0]) for number in range(7)]
    svg = chart("loss", "x", many)
    rows = set(re.findall(r'<text class="axis" x="[\d.]+" y="([\d.]+)"', svg))
    assert len(rows) > 1
    assert min(y for _, y in points(svg)) > max(map(float, rows))
