"""Where metrics go beside metrics.csv: TensorBoard and Weights & Biases, each an extra of the package."""

import importlib
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from tap.errors import TapError
from tap.training.checkpoint import read_json, write_json
from tap.training.run import Run


class Tracker(Protocol):
    """Who gets the metrics of a run, on its first process."""

    def log(self, numbers: Mapping[str, Any], step: int) -> None:
        """Numbers by name, after so many optimizer steps."""
        ...

    def image(self, name: str, file: Path, step: int) -> None:
        """A picture (PNG), after so many optimizer steps."""
        ...

    def close(self) -> None:
        """Nothing more comes, the run has ended or stopped."""
        ...


class TensorBoard:
    """Event files in ``tensorboard/`` of the run folder; `tensorboard --logdir RUN` shows them.

    Args:
        run: the open run.
        step: optimizer steps done; what an earlier process wrote beyond them is shown no more.

    Raises:
        TapError: the package is not installed.
    """

    def __init__(self, run: Run, step: int) -> None:
        writer = _package("tensorboard").SummaryWriter
        purge = step + 1 if run.resumed is not None else None
        self._writer: Any = writer(str(run.out / "tensorboard"), purge_step=purge)

    def log(self, numbers: Mapping[str, Any], step: int) -> None:
        """One point of each curve."""
        for name, value in numbers.items():
            self._writer.add_scalar(name, value, step)

    def image(self, name: str, file: Path, step: int) -> None:
        """The picture, as it is."""
        with Image.open(file) as picture:
            self._writer.add_image(name, np.asarray(picture.convert("RGB")), step, dataformats="HWC")

    def close(self) -> None:
        """Writes what is left."""
        self._writer.close()


class WandB:
    """A run of Weights & Biases, named by the run folder and its parent; a continuation goes on with the same one.

    It stays on this machine (``wandb sync`` sends it) unless the variable ``WANDB_MODE`` says ``online``: no training run
    should wait for a network or ask for a key that nobody is there to type.

    Args:
        run: the open run.
        step: optimizer steps done; not asked for here.

    Raises:
        TapError: the package is not installed, or does not start.
    """

    def __init__(self, run: Run, step: int) -> None:
        wandb = _package("wandb")
        out = run.out.resolve()
        try:
            self._wandb: Any = wandb
            self._run: Any = wandb.init(
                id=_identity(run.out / "wandb.json", run.resumed is not None),
                project=os.environ.get("WANDB_PROJECT") or out.parent.name or "tap",
                name=out.name,
                dir=str(out),
                config=dict(run.record),
                resume="allow",
                mode=os.environ.get("WANDB_MODE") or "offline",
            )
        except Exception as error:  # its own classes, which differ between its releases
            raise TapError(f"wandb: {' '.join(str(error).split())}; or leave it out of train.trackers") from error
        # Its own counter refuses to go back, as it must after a crash; so the step is a number like the others.
        self._run.define_metric("*", step_metric="step")

    def log(self, numbers: Mapping[str, Any], step: int) -> None:
        """One point of each curve."""
        self._run.log({**numbers, "step": step})

    def image(self, name: str, file: Path, step: int) -> None:
        """The picture, as it is."""
        self._run.log({name: self._wandb.Image(str(file)), "step": step})

    def close(self) -> None:
        """Ends its run, which may be continued."""
        self._run.finish()


TRACKERS: dict[str, Callable[[Run, int], Tracker]] = {"tensorboard": TensorBoard, "wandb": WandB}

_MODULES = {"tensorboard": "torch.utils.tensorboard", "wandb": "wandb"}


def check_trackers(names: Sequence[str]) -> None:
    """`TapError` where the package of a tracker, a key of `TRACKERS`, is not installed."""
    for name in names:
        _package(name)


def start_trackers(names: Sequence[str], run: Run, step: int) -> list[Tracker]:
    """The trackers of a run.

    Args:
        names: keys of `TRACKERS`.
        run: the open run.
        step: optimizer steps done.

    Raises:
        TapError: one is not installed, or does not start; those before it are closed.
    """
    started: list[Tracker] = []
    try:
        for name in names:
            started.append(TRACKERS[name](run, step))  # noqa: PERF401 - what was started has to be closed
    except TapError:
        for tracker in started:
            tracker.close()
        raise
    return started


def _identity(file: Path, resumed: bool) -> str:
    """The name by which W&B knows the run: a new one, or that of the run that goes on."""
    if resumed and file.exists():
        return str(read_json(file).get("id"))
    identity = secrets.token_hex(4)
    write_json(file, {"id": identity})
    return identity


def _package(name: str) -> Any:
    try:
        return importlib.import_module(_MODULES[name])
    except ImportError as error:
        raise TapError(
            f'train.trackers: {name} is not installed; pip install "tap3d[{name}]", or leave it out'
        ) from error
