"""The tasks that a run can learn: their configs, presets and entry points, by name."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel

from tap.tasks.classes.classification import finetune_classification
from tap.tasks.classes.classification_config import ClassificationConfig
from tap.tasks.classes.classification_presets import CLASSIFICATION_PRESETS, FEWSHOT_PRESETS
from tap.tasks.classes.fewshot import finetune_fewshot
from tap.tasks.classes.fewshot_folds import FewShotConfig
from tap.tasks.parts.part_config import PartSegConfig
from tap.tasks.parts.partseg import finetune_partseg
from tap.tasks.parts.partseg_presets import PARTSEG_PRESETS
from tap.tasks.pretraining.pretrain import pretrain
from tap.tasks.pretraining.pretrain_config import PretrainConfig
from tap.tasks.pretraining.pretrain_presets import PRETRAIN_PRESETS

__all__ = [
    "CLASSIFICATION_PRESETS",
    "FEWSHOT_PRESETS",
    "PARTSEG_PRESETS",
    "PRETRAIN_PRESETS",
    "TASKS",
    "ClassificationConfig",
    "FewShotConfig",
    "PartSegConfig",
    "PretrainConfig",
    "TaskEntry",
    "finetune_classification",
    "finetune_fewshot",
    "finetune_partseg",
    "pretrain",
]


@dataclasses.dataclass(frozen=True)
class TaskEntry:
    """One task.

    Attributes:
        config_class: its config.
        presets: name -> function that returns a whole config.
        run: the function that does it, called as (shards, out, config, ...); fine-tuning tasks also take ``init``.
    """

    config_class: type[BaseModel]
    presets: Mapping[str, Callable[[], BaseModel]]
    run: Callable[..., dict[str, Any]]


TASKS: dict[str, TaskEntry] = {
    "pretrain": TaskEntry(PretrainConfig, PRETRAIN_PRESETS, pretrain),
    "classification": TaskEntry(ClassificationConfig, CLASSIFICATION_PRESETS, finetune_classification),
    "fewshot": TaskEntry(FewShotConfig, FEWSHOT_PRESETS, finetune_fewshot),
    "partseg": TaskEntry(PartSegConfig, PARTSEG_PRESETS, finetune_partseg),
}
