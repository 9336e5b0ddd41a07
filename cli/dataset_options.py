"""The options of every command that reads a labelled data set: how it is stored, and what its classes are called."""

from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

import typer
from pydantic import BaseModel

Layout = Annotated[
    str | None,
    typer.Option(
        "--layout",
        help="How the data set is stored: shards, scanobjectnn/obj_bg, scanobjectnn/obj_only, scanobjectnn/pb_t50_rs, "
        "modelnet40-h5, modelnet40-txt, modelnet10-txt, shapenetpart or folder.  (default: what stands in it)",
    ),
]
LabelMap = Annotated[
    list[str] | None,
    typer.Option("--label-map", metavar="OLD=NEW", help="Call a class of the data set otherwise; may be repeated."),
]
Config = TypeVar("Config", bound=BaseModel)


def label_pairs(texts: Sequence[str] | None) -> dict[str, str]:
    """Old name to new name; wrong usage where one is no OLD=NEW, or a class is named twice."""
    pairs: dict[str, str] = {}
    for text in texts or ():
        old, equals, new = (part.strip() for part in text.partition("="))
        if not (old and equals and new) or old in pairs:
            raise typer.BadParameter(f"{text!r} is no OLD=NEW of a class not yet named", param_hint="--label-map")
        pairs[old] = new
    return pairs


def with_dataset(config: Config, layout: str | None, label_map: Sequence[str] | None) -> Config:
    """A config with what the options say of the data set.

    Args:
        config: a `tap.datasets.DatasetConfig`, or a run's config that has one as ``dataset``.
        layout: of ``--layout``; None keeps that of the config.
        label_map: of ``--label-map``; added to that of the config.

    Returns:
        The config, changed.
    """
    inner: Any = getattr(config, "dataset", config)
    changes: dict[str, object] = {"label_map": inner.label_map | label_pairs(label_map)}
    if layout is not None:
        changes["layout"] = layout
    changed = inner.model_copy(update=changes)
    result: Config = changed if inner is config else config.model_copy(update={"dataset": changed})
    return result
