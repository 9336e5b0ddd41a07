import pytest

from tap.datasets.classes import match_classes
from tap.errors import TapError


def test_classes_match_by_name_and_not_by_place() -> None:
    classes, labels = match_classes("d", ["sofa", "bed"], {}, ["bed", "chair", "sofa"])
    assert classes == ("bed", "chair", "sofa")
    assert labels == {"sofa": 2, "bed": 0}


def test_a_map_renames_and_joins_classes() -> None:
    classes, labels = match_classes("d", ["couch", "bed", "sofa"], {"couch": "sofa"})
    assert classes == ("sofa", "bed")
    assert labels == {"couch": 0, "bed": 1, "sofa": 0}


def test_what_does_not_match_names_the_nearest() -> None:
    with pytest.raises(TapError, match=r"d: the class 'sofas' is unknown to the model.*--label-map sofas=sofa"):
        match_classes("d", ["sofas"], {}, ["bed", "sofa"])
    with pytest.raises(
        TapError, match=r"the class 'fowl' is .*--label-map fowl=bird"
    ):  # and not one that is there already
        match_classes("d", ["tool", "fowl"], {}, ["bird", "tool"])
    with pytest.raises(TapError, match=r"d: the classes 'c0', .*'c7' and 2 more are unknown to the model"):
        match_classes("d", [f"c{number}" for number in range(10)], {}, ["bed"])
    with pytest.raises(
        TapError, match=r"--label-map names the class 'soaf', which is not there; the nearest is 'sofa'"
    ):
        match_classes("d", ["bed", "sofa"], {"soaf": "bed"})
