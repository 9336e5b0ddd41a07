"""A run on two processes: python -m tests.tap.ddp_run TASK SHARDS OUT CONFIG.json [STEP].

Each process writes a hash of the parameters that it ends with to OUT.RANK; with STEP it stops there, as by Ctrl-C.
"""

import hashlib
import importlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tap.tasks.classes.classifier import ClassificationConfig, ClassificationTask
from tap.tasks.pretraining.pretrain import PretrainConfig, PretrainTask
from tap.training.task import Silent

MODELS: list[nn.Module] = []


class KeptPretrain(PretrainTask):
    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        MODELS.append(self.model)


class KeptClassification(ClassificationTask):
    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        MODELS.append(self.model)

    def evaluate(self, *args: object) -> dict[str, float | str]:
        metrics = super().evaluate(*args)  # type: ignore[arg-type]
        write_hash()  # the run ends with the weights of its best checkpoint, and on the first process alone
        return metrics


def write_hash() -> None:
    digest = hashlib.sha256()
    for name, tensor in MODELS[0].state_dict().items():
        if not name.endswith(("running_mean", "running_var", "num_batches_tracked")):  # the first process's are saved
            digest.update(name.encode() + tensor.numpy().tobytes())
    Path(f"{sys.argv[3]}.{os.environ.get('LOCAL_RANK', '0')}").write_text(digest.hexdigest())


MODULES = {"pretrain": "tap.tasks.pretraining.pretrain", "classification": "tap.tasks.classes.classification"}


class Stop(Silent):
    def on_step(self, numbers: Mapping[str, Any]) -> None:
        if len(sys.argv) > 5 and numbers["step"] == int(sys.argv[5]):
            raise KeyboardInterrupt


def main() -> None:
    task, shards, out, config = sys.argv[1], *map(Path, sys.argv[2:5])
    torch.set_num_threads(1)
    module = importlib.import_module(MODULES[task])
    if task == "pretrain":
        module.PretrainTask = KeptPretrain  # type: ignore[attr-defined]
        settings = PretrainConfig.model_validate_json(config.read_text())
        module.pretrain(shards, out, settings, resume=True, progress=Stop())
        write_hash()
    else:
        module.ClassificationTask = KeptClassification  # type: ignore[attr-defined]
        module.finetune_classification(shards, out, ClassificationConfig.model_validate_json(config.read_text()))


if __name__ == "__main__":
    main()
