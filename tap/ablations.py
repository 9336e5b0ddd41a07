"""Every row of the paper's ablation tables as a few settings that change, with the accuracy that it reached there.

An ablation is applied to any preset of any backbone: what it names is set to the paper's value, all else stays.
"""

import dataclasses
import difflib
from typing import TypeVar

from pydantic import BaseModel

from tap.config import apply_overrides
from tap.errors import TapError

Config = TypeVar("Config", bound=BaseModel)

FULL_MODEL = 88.5
MEASURED_ON = "ScanObjectNN PB_T50_RS, PointMLP pre-trained on ShapeNet"
_HEAD_WIDTH = 32  # heads follow the channels, so that heads x width stays the channels
_PHOTOGRAPH = "model.photograph."


@dataclasses.dataclass(frozen=True)
class Ablation:
    """One row.

    Attributes:
        name: of the row; of the layers x channels table as ``L2C128``.
        title: one sentence, what changes from the full model.
        changes: ``key=value`` overrides of `tap.tasks.pretraining.pretrain.PretrainConfig`.
        accuracy: published, percent; the full model has `FULL_MODEL`. Measured on `MEASURED_ON`.
        table: where it stands in the paper.
    """

    name: str
    title: str
    changes: tuple[str, ...]
    accuracy: float
    table: str

    @property
    def source(self) -> str:
        """The publication and its table."""
        return f"Take-A-Photo (ICCV 2023), table {self.table}"

    @property
    def is_full_model(self) -> bool:
        """Whether the row is the full model itself."""
        return self.name in ("L6C256", "G4")


def apply_ablation(config: Config, name: str) -> Config:
    """A changed copy of a pre-training config.

    Args:
        config: any `tap.tasks.pretraining.pretrain.PretrainConfig`.
        name: a key of `ABLATIONS`.

    Raises:
        TapError: an unknown name, or changes that do not fit the config.
    """
    if name not in ABLATIONS:
        same_group = [known for known in ABLATIONS if known[0] == name[:1].upper()]
        nearest = difflib.get_close_matches(name.upper(), same_group or ABLATIONS, n=1, cutoff=0.0)[0]
        raise TapError(
            f"ablation {name!r} is unknown; the nearest known one is {nearest}; tap ablations lists them all"
        )
    try:
        return apply_overrides(config, ABLATIONS[name].changes)
    except TapError as error:
        raise TapError(f"ablation {name} does not fit this run: {error}") from error


def _module_rows() -> list[Ablation]:
    def row(name: str, title: str, accuracy: float, *changes: str) -> Ablation:
        return Ablation(name, title, tuple(_PHOTOGRAPH + change for change in changes), accuracy, "6 (a)")

    return [
        row("A1", "No attention: a cell is the mean of the tokens whose centers project into it.", 87.6,
            "kind=projection", "pad_token=false"),
        row("A2", "Tokens projected into cells, then 6 layers of self-attention with a token of the pose.", 87.8,
            "kind=projected_self_attention", "layers=6", "pad_token=false"),
        row("B", "2 layers of cross-attention in place of 6.", 87.9, "layers=2"),
        row("C", "512 channels in place of 256.", 87.8, *_channels(512)),
        row("D", "No pad token for the background.", 88.3, "pad_token=false"),
    ]  # fmt: skip


def _query_rows() -> list[Ablation]:
    def row(name: str, title: str, accuracy: float, *changes: str) -> Ablation:
        return Ablation(name, title, tuple(_PHOTOGRAPH + change for change in changes), accuracy, "6 (b)")

    return [
        row("E", "Queries by an MLP from the pose matrix in place of optical lines.", 87.5, "query=learned"),
        row("F1", "Queries without the line's origin.", 86.5, "query_origin=false"),
        row("F2", "Queries of the line's origin only.", 87.8, "query_direction=false", "query_position=false"),
        row("F3", "Queries without the cell's position.", 88.0, "query_position=false"),
        row("F4", "Queries without the line's direction.", 88.1, "query_direction=false"),
    ]


def _size_rows() -> list[Ablation]:
    published = {2: (89.1, 87.9, 86.3), 4: (88.7, 88.0, 85.9), 6: (88.3, 88.5, 85.3), 8: (87.7, 88.1, 85.8)}
    return [
        Ablation(
            f"L{layers}C{channels}",
            f"{layers} layers of {channels} channels"
            + (": the full model." if (layers, channels) == (6, 256) else "."),
            tuple(_PHOTOGRAPH + change for change in (f"layers={layers}", *_channels(channels))),
            accuracy,
            "7 (a)",
        )
        for layers, accuracies in published.items()
        for channels, accuracy in zip((128, 256, 1024), accuracies, strict=True)
    ]


def _loss_rows() -> list[Ablation]:
    def row(name: str, title: str, weights: tuple[int, int, int], accuracy: float) -> Ablation:
        names = ("foreground_weight", "background_weight", "perceptual_weight")
        changes = tuple(f"loss.{name}={weight}" for name, weight in zip(names, weights, strict=True))
        return Ablation(name, title, changes, accuracy, "7 (b)")

    weighted = {
        "G1": (2, 87.1),
        "G2": (5, 87.2),
        "G3": (10, 88.0),
        "G4": (20, 88.5),
        "G5": (30, 88.0),
        "G6": (50, 86.8),
    }
    return [
        *(
            row(name, f"Foreground {weight}:1 against background" + (": the full model." if name == "G4" else "."),
                (weight, 1, 0), accuracy)
            for name, (weight, accuracy) in weighted.items()
        ),
        row("H1", "The perceptual loss alone, weight 2.", (0, 0, 2), 86.3),
        row("H2", "The perceptual loss, weight 2, added to the full model's.", (20, 1, 2), 87.8),
    ]  # fmt: skip


def _channels(channels: int) -> tuple[str, str]:
    return f"channels={channels}", f"num_heads={channels // _HEAD_WIDTH}"


ABLATIONS: dict[str, Ablation] = {
    row.name: row for row in (*_module_rows(), *_query_rows(), *_size_rows(), *_loss_rows())
}
