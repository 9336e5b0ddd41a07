"""The commands that reproduce a table of the paper: a pre-training for each backbone, a fine-tuning for each cell."""

import dataclasses
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from tap.errors import TapError
from tap.results.published import TABLES, Column, Row

Size = Literal["paper", "reference", "small"]
SHAPENET = "shapenet55"
FOLDERS: Mapping[str, tuple[tuple[str, str], ...]] = {
    SHAPENET: (("ShapeNet55", "shards"),),
    "scanobjectnn/obj_bg": (("ScanObjectNN", "scanobjectnn/obj_bg"),),
    "scanobjectnn/obj_only": (("ScanObjectNN", "scanobjectnn/obj_only"),),
    "scanobjectnn/pb_t50_rs": (("ScanObjectNN", "scanobjectnn/pb_t50_rs"),),
    "modelnet40": (
        ("modelnet40_normal_resampled", "modelnet40-txt"),
        ("modelnet40_ply_hdf5_2048", "modelnet40-h5"),
    ),
    "shapenetpart": (("ShapeNetPart", "shapenetpart"),),
    "modelnet40-fewshot": (("ModelNetFewshot", ""),),
}
"""Data set to where it is looked for below the root, and its layout there; of several folders the first that is there."""


@dataclasses.dataclass(frozen=True)
class Step:
    """One command.

    Attributes:
        task: pretrain, or a fine-tuning task.
        out: its run folder.
        data: the data set that it reads, a path.
        layout: how that is stored; empty where the task has but one.
        arguments: of `tap`.
        needs: the pre-training that it starts from, or None.
    """

    task: str
    out: Path
    data: Path
    layout: str
    arguments: tuple[str, ...]
    needs: "Step | None" = None

    @property
    def command(self) -> str:
        """As it is typed into a shell."""
        return shlex.join(["tap", *self.arguments])


@dataclasses.dataclass(frozen=True)
class Cell:
    """A number of the table that a step measures.

    Attributes:
        row: the method.
        column: the kind of number.
        published: percent, None where the paper has none.
        deviation: of the published number over folds, or None.
        step: measures it.
    """

    row: Row
    column: Column
    published: float | None
    deviation: float | None
    step: Step


@dataclasses.dataclass(frozen=True)
class Planner:
    """Makes steps.

    Attributes:
        root: folder of the data sets.
        runs: folder of the run folders, one of each size in it; steps that several tables need are the same folder.
        size: whose presets: of the paper, of the authors' code (reference), or small.
    """

    root: Path
    runs: Path
    size: Size = "paper"

    def cells(self, table: str) -> list[Cell]:
        """The cells of a table that can be measured, in its order.

        Raises:
            TapError: no such table.
        """
        if table not in TABLES:
            raise TapError(f"{table!r} is no table; name one of {', '.join(TABLES)}")
        return list(self._cells(table))

    def pretraining(self, backbone: str, ablation: str | None = None) -> Step:
        """The pre-training of a backbone."""
        folder, layout = self._place(SHAPENET)
        out = self.runs / self.size / "-".join(("pretrain", backbone, *([ablation] if ablation else [])))
        changed = ("--ablation", ablation) if ablation else ()
        arguments = (
            "pretrain",
            str(folder),
            "--out",
            str(out),
            "--preset",
            self._preset(backbone),
            *changed,
            "--resume",
        )
        return Step("pretrain", out, folder, layout, arguments)

    def finetuning(self, row: Row, column: Column) -> Step:
        """The fine-tuning that measures a number of a row that has a backbone."""
        backbone = str(row.backbone)
        needs = self.pretraining(backbone, row.ablation) if row.pretrained else None
        start = "scratch" if needs is None else needs.out.name.removeprefix(f"pretrain-{backbone}").lstrip("-") or "tap"
        family, _, rest = column.data.partition("/")
        folder, layout = self._place(column.data if column.data in FOLDERS else family)
        out = self.runs / self.size / "-".join((column.task, backbone, start, *column.data.split("/")))
        given = ("--init", str(needs.out)) if needs is not None else ()
        special = _special(column.task, rest, row.pretrained and self.size != "small")
        told = ("--layout", layout) if column.task == "classification" else ()
        arguments = (
            "finetune", column.task, str(folder), *told, "--out", str(out), *given,
            "--preset", self._preset(backbone, column.task), *special, "--resume",
        )  # fmt: skip
        return Step(column.task, out, folder, layout, arguments, needs)

    def _cells(self, table: str) -> Iterator[Cell]:
        for row in TABLES[table].rows:
            if row.backbone is None:
                continue
            for place, (column, value) in enumerate(zip(TABLES[table].columns, row.values, strict=True)):
                if value is None and any(known is not None for known in row.values):
                    continue  # the paper's table has no such cell
                deviation = row.deviations[place] if row.deviations else None
                yield Cell(row, column, value, deviation, self.finetuning(row, column))

    def _preset(self, backbone: str, task: str = "pretrain") -> str:
        """The paper tells no settings of few-shot runs: those of its authors' code stand in."""
        size = "reference" if (task, self.size) == ("fewshot", "paper") else self.size
        return f"{size}/{backbone}"

    def _place(self, data: str) -> tuple[Path, str]:
        choices = [(self.root / folder, layout) for folder, layout in FOLDERS[data]]
        return next((choice for choice in choices if choice[0].exists()), choices[0])


def steps_of(cells: list[Cell]) -> list[Step]:
    """The steps of some cells, each once, a pre-training before what starts from it."""
    steps: dict[Path, Step] = {}
    for cell in cells:
        for step in (cell.step.needs, cell.step):
            if step is not None:
                steps.setdefault(step.out, step)
    return list(steps.values())


def _special(task: str, rest: str, has_fewer_inputs: bool) -> tuple[str, ...]:
    """What a task is told beside data, preset and start, which may have read fewer numbers of a point than parts do."""
    if task == "classification":
        return ("--select", "test")  # as the authors did
    if task == "partseg":  # selected as the authors did
        fresh = ("--reinit", "embedding") if has_fewer_inputs else ()
        return (*fresh, "--set", "train_split=trainval", "--select", "test")
    way, _, shot = rest.partition("way_")
    return ("--way", way, "--shot", shot.removesuffix("shot"), "--folds", "10")
