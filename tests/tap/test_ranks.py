import atexit
import os
from pathlib import Path

import pytest
from lightning.fabric import Fabric

from tap.errors import TapError
from tap.training import ranks
from tap.training.ranks import (
    Fate,
    PeerError,
    end,
    is_first_process,
    join,
    num_launched,
    one_fate,
    speaks_for_its_machine,
)

CUT_OFF = "[pair.cc:537] Connection closed by peer [127.0.0.1]:9999. This may indicate a remote failure of gloo"


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Fate, Fate]:
    """The fates of two processes, of which the test is the second."""
    fates = Fate(tmp_path / "fate", 0), Fate(tmp_path / "fate", 1)
    monkeypatch.setattr(ranks, "_fates", [fates[1]])
    monkeypatch.setattr(ranks, "CLAIM_SECONDS", 0.1)
    return fates


def fail(error: BaseException) -> None:
    with one_fate():
        raise error


def test_a_process_alone_raises_what_it_raises() -> None:
    with pytest.raises(TapError, match=r"^alone$"):
        fail(TapError("alone"))


def test_the_first_error_is_everyones(two: tuple[Fate, Fate]) -> None:
    assert two[0].claim(TapError("of the first"))
    assert not two[1].claim(TapError("of the second"))
    assert (two[0].first_error(), two[1].first_error()) == (None, "of the first")
    for error in (RuntimeError(CUT_OFF), TapError("of the second"), ValueError("a bug")):
        with pytest.raises(PeerError, match=r"^of the first$"):
            fail(error)


def test_who_fails_first_keeps_its_error(two: tuple[Fate, Fate]) -> None:
    with pytest.raises(ValueError, match=r"^a bug$"):
        fail(ValueError("a bug"))
    assert two[0].first_error() == "a bug"


def test_a_process_that_was_killed_is_told(two: tuple[Fate, Fate]) -> None:
    with pytest.raises(TapError, match="another process of this run has ended without a word") as caught:
        fail(RuntimeError(CUT_OFF))
    assert not isinstance(caught.value, PeerError)
    assert two[0].first_error() == str(caught.value)


def test_ctrl_c_stays_ctrl_c(two: tuple[Fate, Fate]) -> None:
    two[0].claim(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        fail(KeyboardInterrupt())


def test_the_last_process_removes_the_folder(two: tuple[Fate, Fate]) -> None:
    two[1].leave()
    assert two[0].folder.exists()
    two[0].leave()
    assert not two[0].folder.exists()


def test_one_process_joins_nothing() -> None:
    join(Fabric(accelerator="cpu", devices=1))
    assert ranks._fates == []


@pytest.mark.parametrize(
    ("environment", "first", "launched", "speaks"),
    [
        ({}, True, None, True),
        ({"RANK": "1"}, True, None, True),  # of somebody else
        ({"NODE_RANK": "0", "LOCAL_RANK": "1", "WORLD_SIZE": "2"}, False, None, True),
        ({"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "4", "TORCHELASTIC_RUN_ID": "none"}, True, 4, True),
        ({"RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "4", "TORCHELASTIC_RUN_ID": "none"}, False, 4, False),
        ({"RANK": "2", "LOCAL_RANK": "0", "WORLD_SIZE": "4", "TORCHELASTIC_RUN_ID": "none"}, False, 4, True),
    ],
)
def test_the_environment_tells_which_process_this_is(
    environment: dict[str, str], first: bool, launched: int | None, speaks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RANK", "NODE_RANK", "LOCAL_RANK", "WORLD_SIZE", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert (is_first_process(), num_launched(), speaks_for_its_machine()) == (first, launched, speaks)


def test_a_process_that_does_not_notice_is_ended(two: tuple[Fate, Fate], monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []

    def end(code: int) -> None:
        ended.append(code)
        raise SystemExit  # the thread ends here, as the process would

    monkeypatch.setattr(os, "_exit", end)
    monkeypatch.setattr(ranks, "WATCH_SECONDS", 0.01)
    monkeypatch.setattr(ranks, "GRACE_SECONDS", 0.01)
    two[0].claim(TapError("of the first"))
    with pytest.raises(SystemExit):
        two[1]._watch(os.getppid())
    assert ended == [1]


def test_one_of_several_that_has_failed_ends_after_its_exit_handlers(
    two: tuple[Fate, Fate], monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[object] = []
    monkeypatch.setattr(os, "_exit", happened.append)
    monkeypatch.setattr(atexit, "_run_exitfuncs", lambda: happened.append("handlers"))
    end(130)
    assert happened == ["handlers", 130]
    monkeypatch.setattr(ranks, "_fates", [])
    end(1)  # alone, it returns
    assert happened == ["handlers", 130]
