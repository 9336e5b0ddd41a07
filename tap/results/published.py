"""The result tables of the paper as plain data: what was published, of which backbone, on which data set."""

import dataclasses
from collections.abc import Iterator, Mapping

from tap.ablations import ABLATIONS, FULL_MODEL

PAPER = "Take-A-Photo (ICCV 2023, arXiv 2307.14971)"
SCENES = "scene-level tasks are not there yet"
CATEGORY = "category "
CATEGORIES = (
    "Airplane", "Bag", "Cap", "Car", "Chair", "Earphone", "Guitar", "Knife", "Lamp", "Laptop", "Motorbike", "Mug",
    "Pistol", "Rocket", "Skateboard", "Table",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Column:
    """One kind of number.

    Attributes:
        name: as the paper's table says.
        task: a fine-tuning task of this package; empty where there is none for it.
        data: the data set, as `DATA_NAMES` calls it.
        metric: name of the number among those of a checkpoint in ``result.json``, or `CATEGORY` and a category's name.
    """

    name: str
    task: str
    data: str
    metric: str


@dataclasses.dataclass(frozen=True)
class Row:
    """One method.

    Attributes:
        name: as the paper's table says.
        values: percent, one a column; None where the table has none, or it is left out here.
        backbone: of this package; None for the methods of others, which are not run.
        pretrained: whether it starts from our pre-training, else from scratch.
        ablation: of the pre-training, a key of `tap.ablations.ABLATIONS`.
        deviations: over folds, percent, one a column; empty where none were published.
    """

    name: str
    values: tuple[float | None, ...]
    backbone: str | None = None
    pretrained: bool = False
    ablation: str | None = None
    deviations: tuple[float, ...] = ()


@dataclasses.dataclass(frozen=True)
class PublishedTable:
    """One table.

    Attributes:
        title: what it shows.
        source: where the numbers are from.
        columns: kinds of numbers.
        rows: methods.
        why_not: why none of it can be run; empty where it can.
    """

    title: str
    source: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    why_not: str = ""


def published(task: str, data: str, backbone: str, pretrained: bool) -> Iterator[tuple[str, Column, float]]:
    """The numbers of the paper for a backbone on a data set.

    Args:
        task: fine-tuning task.
        data: see `Column.data`.
        backbone: its name; whether its settings are the paper's is the caller's to know.
        pretrained: by the full model, or from scratch.

    Yields:
        Name of the table, column and value in percent; the same number may stand in two tables.
    """
    for name, table in TABLES.items():
        for row in table.rows:
            if (row.backbone, row.pretrained, row.ablation) == (backbone, pretrained, None):
                for column, value in zip(table.columns, row.values, strict=True):
                    if (column.task, column.data) == (task, data) and value is not None:
                        yield name, column, value


def _classified(name: str, data: str) -> Column:
    return Column(name, "classification", data, "accuracy")


def _segmented(name: str, metric: str) -> Column:
    return Column(name, "partseg", "shapenetpart", metric)


_PB = "scanobjectnn/pb_t50_rs"

_TABLE_1 = PublishedTable(
    "Accuracy on ScanObjectNN",
    f"{PAPER}, table 1; scratch rows of DGCNN, PointNet++ and PointMLP as the authors reproduced them",
    (
        _classified("OBJ_BG", "scanobjectnn/obj_bg"),
        _classified("OBJ_ONLY", "scanobjectnn/obj_only"),
        _classified("PB_T50_RS", _PB),
    ),
    (
        Row("DGCNN", (None, None, 86.1), "dgcnn"),
        Row("DGCNN + TAP", (None, None, 86.6), "dgcnn", True),
        Row("PointNet++", (None, None, 86.2), "pointnet2"),
        Row("PointNet++ + TAP", (None, None, 86.8), "pointnet2", True),
        Row("PointMLP", (None, None, 87.4), "pointmlp"),
        Row("PointMLP + TAP", (None, None, 88.5), "pointmlp", True),
        Row("Transformer", (79.86, 80.55, 77.24), "transformer"),
        Row("OcCo", (84.85, 85.54, 78.79)),
        Row("Point-BERT", (87.43, 88.12, 83.07)),
        Row("MaskPoint", (89.30, 88.10, 84.30)),
        Row("Point-MAE", (90.02, 88.29, 85.18)),
        Row("Transformer + TAP", (90.36, 89.50, 85.67), "transformer", True),
    ),
)

_TABLE_2 = PublishedTable(
    "Accuracy on ScanObjectNN (PB_T50_RS) and ModelNet40",
    f"{PAPER}, table 2",
    (_classified("ScanObjectNN", _PB), _classified("ModelNet40", "modelnet40")),
    (
        Row("PointNet", (68.0, 89.2)),
        Row("PointNet++", (77.9, 90.7)),
        Row("Transformer", (77.24, 91.4)),
        Row("DGCNN", (78.1, 92.9)),
        Row("PointCNN", (78.5, 92.2)),
        Row("DRNet", (80.3, 93.1)),
        Row("SimpleView", (80.5, 93.9)),
        Row("GBNet", (81.0, 93.8)),
        Row("PRA-Net", (81.0, 93.7)),
        Row("MVTN", (82.8, 93.8)),
        Row("RepSurf-U", (84.3, 94.4)),
        Row("PointMLP as first published", (85.4, 94.1)),
        Row("PointNeXt", (87.7, 93.7)),
        Row("OcCo", (78.8, 92.1)),
        Row("Point-BERT", (83.1, 93.2)),
        Row("MaskPoint", (84.3, 93.8)),
        Row("Point-MAE", (85.2, 93.8)),
        Row("Point-M2AE", (86.4, 94.0)),
        Row("ACT, with an image model", (88.2, 93.7)),
        Row("I2P-MAE, with an image model", (90.1, 93.7)),
        Row("ReCon, with image and text models", (90.6, 94.1)),
        Row("PointMLP (reproduced)", (87.4, 93.7), "pointmlp"),
        Row("PointMLP + TAP", (88.5, 94.0), "pointmlp", True),
    ),
)


def _without_categories(name: str, class_miou: float, instance_miou: float) -> Row:
    return Row(name, (class_miou, instance_miou, *(None for _ in CATEGORIES)))


_TABLE_3 = PublishedTable(
    "Part segmentation of ShapeNetPart, mean IoU",
    f"{PAPER}, table 3",
    (
        _segmented("class mIoU", "class_miou"),
        _segmented("instance mIoU", "instance_miou"),
        *(_segmented(name, f"{CATEGORY}{name}") for name in CATEGORIES),
    ),
    (
        _without_categories("PointNet", 80.4, 83.7),
        _without_categories("PointNet++", 81.9, 85.1),
        _without_categories("DGCNN", 82.3, 85.2),
        Row(
            "PointMLP",
            (84.6, 86.1, 83.5, 83.4, 87.5, 80.5, 90.3, 78.2, 92.2, 88.1, 82.6, 96.2, 77.5, 95.8, 85.4, 64.6, 83.3, 84.3),
            "pointmlp",
        ),
        _without_categories("KPConv", 85.1, 86.4),
        _without_categories("Point-BERT", 84.1, 85.6),
        _without_categories("Point-MAE", 84.2, 86.1),
        _without_categories("MaskPoint", 84.4, 86.0),
        _without_categories("Point-M2AE", 84.9, 86.5),
        Row(
            "PointMLP + TAP",
            (85.2, 86.9, 84.8, 86.1, 89.5, 82.5, 92.1, 75.9, 92.3, 88.7, 85.6, 96.5, 79.8, 96.0, 85.9, 66.2, 78.1, 83.2),
            "pointmlp",
            True,
        ),
    ),
)  # fmt: skip

SETTINGS_OF_FEW = ((5, 10), (5, 20), (10, 10), (10, 20))
"""Ways and shots of table 4."""

_TABLE_4 = PublishedTable(
    "Few-shot accuracy on ModelNet40, mean and standard deviation over 10 folds",
    f"{PAPER}, table 4, second-hand; its rows of other methods and of the transformer from scratch are not at hand",
    tuple(
        Column(f"{way}-way {shot}-shot", "fewshot", f"modelnet40-fewshot/{way}way_{shot}shot", "accuracy")
        for way, shot in SETTINGS_OF_FEW
    ),
    (
        Row("Transformer", (None, None, None, None), "transformer"),
        Row("Transformer + TAP", (97.3, 97.8, 93.1, 95.8), "transformer", True, deviations=(1.8, 1.9, 2.6, 1.0)),
    ),
)

_TABLE_5 = PublishedTable(
    "Object detection (AP at IoU .25 and .5) and semantic segmentation (mIoU) on ScanNetV2",
    f"{PAPER}, table 5, second-hand",
    (
        Column("AP25", "", "scannet", "ap25"),
        Column("AP50", "", "scannet", "ap50"),
        Column("mIoU", "", "scannet", "miou"),
    ),
    (
        Row("3DETR", (62.1, 37.9, None)),
        Row("3DETR + TAP", (63.0, 41.4, None)),
        Row("PTv2", (None, None, 72.4)),
        Row("PTv2 + TAP", (None, None, 72.6)),
    ),
    SCENES,
)

_ABLATIONS = PublishedTable(
    "Ablations: accuracy of PointMLP on ScanObjectNN (PB_T50_RS) after pre-training that was changed",
    f"{PAPER}, tables 6 and 7",
    (_classified("PB_T50_RS", _PB),),
    (
        Row("full model", (FULL_MODEL,), "pointmlp", True),
        *(
            Row(f"{name}: {row.title}", (row.accuracy,), "pointmlp", True, None if row.is_full_model else name)
            for name, row in ABLATIONS.items()
        ),
    ),
)

TABLES: Mapping[str, PublishedTable] = {
    "table1": _TABLE_1,
    "table2": _TABLE_2,
    "table3": _TABLE_3,
    "table4": _TABLE_4,
    "table5": _TABLE_5,
    "ablations": _ABLATIONS,
}
