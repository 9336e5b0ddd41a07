import pytest

from shards.pages.flags import FLAGS, Measure, flag_title, known_flag, page_order, percent


def test_the_larger_the_worse() -> None:
    small = Measure("share", "covers {}", is_share=True, sign=-1)
    badness = [small.badness({"share": value}) for value in (0.03, 0.001)]
    assert badness == [-0.03, -0.001]
    assert [small.words(value) for value in badness if value is not None] == ["covers 3 %", "covers 0.1 %"]
    many = Measure("views", "{} blank")
    assert many.badness({"views": 3}) == 3
    assert many.words(3.0) == "3 blank"


@pytest.mark.parametrize("quality", [{}, {"views": None}, {"views": "3"}, {"views": float("nan")}])
def test_what_was_not_measured(quality: dict[str, object]) -> None:
    assert Measure("views", "{}").badness(quality) is None


def test_unknown_flags_come_last_under_their_own_name() -> None:
    assert sorted(["a", "missing_texture", "Z", "blank_view"], key=page_order) == [
        "blank_view", "missing_texture", "Z", "a",
    ]  # fmt: skip
    assert known_flag("a").measures == ()
    assert flag_title("small_silhouette") == "Small silhouette"
    assert flag_title("_") == "_"
    assert all(flag.meaning.endswith(".") for flag in FLAGS.values())


@pytest.mark.parametrize(
    ("share", "text"), [(0, "0.0 %"), (1, "100.0 %"), (0.1, "10.0 %"), (0.01234, "1.2 %"), (0.00005, "0.005 %")]
)
def test_percent(share: float, text: str) -> None:
    assert percent(share) == text
