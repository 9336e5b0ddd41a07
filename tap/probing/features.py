"""Pooled features of clouds by a frozen backbone, and the backbones that they are made with.

Legend: S samples, D channels of the pooled vector.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from shards.stream import IntArray
from tap.backbones import BackboneConfig, build_backbone
from tap.batch import Encoded
from tap.errors import TapError
from tap.loading.collate import collate
from tap.loading.samples import Samples
from tap.loading.sampling import evaluation_batches, make_loader
from tap.network.heads import Pooling, pool
from tap.training.checkpoint import load_weights
from tap.training.train_config import TrainConfig


@dataclasses.dataclass(frozen=True, eq=False)
class Features:
    """Vectors of the samples of a set.

    Attributes:
        index: (S,) int64, place in the set.
        label: (S,) int64, `tap.loading.samples.UNLABELLED` where there is none.
        vectors: (S, D) float32.
    """

    index: IntArray
    label: IntArray
    vectors: npt.NDArray[np.float32]

    def of(self, members: Sequence[int] | IntArray) -> "Features":
        """Those of some samples, by their place in the set and in that order.

        Raises:
            TapError: one is not here, as of a damaged sample that was skipped.
        """
        row = {int(index): place for place, index in enumerate(self.index)}
        lacking = [int(index) for index in members if int(index) not in row]
        if lacking:
            raise TapError(f"no features of {len(lacking)} samples, the first is number {lacking[0]}; they are damaged")
        rows = np.asarray([row[int(index)] for index in members], np.int64)
        return Features(self.index[rows], self.label[rows], self.vectors[rows])


def frozen_backbone(config: BackboneConfig, init: Path | None, seed: int) -> nn.Module:
    """A backbone that is not trained: that of a run or export, or a random one.

    Args:
        config: of the backbone.
        init: folder with its weights, or None.
        seed: draws the weights of a random one.

    Returns:
        In evaluation mode, on the CPU.
    """
    torch.manual_seed(seed)
    backbone: nn.Module = build_backbone(config)  # type: ignore[assignment]
    if init is not None:
        load_weights(backbone, init, "backbone.")
    for parameter in backbone.parameters():
        parameter.requires_grad_(False)
    return backbone.eval()


def calibrate_norms(backbone: nn.Module, data: Samples, indices: IntArray, config: TrainConfig, fabric: Fabric) -> None:
    """Gives the batch norms of a random backbone the statistics of some samples: plain means over their batches.

    Fresh ones take every layer's output as normalised already; what follows sees numbers of another size then, and a random
    backbone looks worse than it is.

    Args:
        backbone: changed in place; the other layers stay in evaluation mode.
        data: where the samples come from.
        indices: which ones; those beyond the last whole batch are left out where there is one.
        config: batch size and workers.
        fabric: device.
    """
    norms = [module for module in backbone.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean of all batches
        norm.train()
    whole = len(indices) // config.batch_size * config.batch_size or len(indices)
    _encode(backbone, data, indices[:whole], None, config, fabric)
    backbone.eval()


def embed(
    backbone: nn.Module, data: Samples, indices: IntArray, pooling: Pooling, config: TrainConfig, fabric: Fabric
) -> Features:
    """One vector of each sample, from its fixed evaluation draw of points.

    Args:
        backbone: in evaluation mode, on Fabric's device.
        data: where the samples come from.
        indices: which ones.
        pooling: see `tap.network.heads.pool`.
        config: batch size and workers.
        fabric: device and precision; one process.

    Returns:
        Features of the samples; damaged ones are missing where damaged samples are skipped.

    Raises:
        TapError: features that are not finite.
    """
    found = _encode(backbone, data, indices, pooling, config, fabric)
    vectors = torch.cat([vector for _, _, vector in found]).numpy()
    if not np.isfinite(vectors).all():
        raise TapError("the backbone's features are not finite; its training has diverged")
    index, label = (torch.cat([row[column] for row in found]).numpy() for column in (0, 1))
    return Features(index, label, vectors)


def _encode(
    backbone: nn.Module,
    data: Samples,
    indices: IntArray,
    pooling: Pooling | None,
    config: TrainConfig,
    fabric: Fabric,
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Index, label and pooled vector of each batch; no vector without a pooling."""
    found = []
    plan = evaluation_batches(indices, config.batch_size, reader=data.reader)
    with torch.no_grad(), fabric.autocast():
        for batch in make_loader(data, plan, collate, config.num_workers):
            data.skipped.note(batch.problems)
            encoded: Encoded = backbone(batch.point_batch().to(fabric.device))
            vectors = torch.zeros(len(batch.index), 0) if pooling is None else pool(encoded, pooling).float().cpu()
            found.append((batch.index[batch.valid], batch.labels[batch.valid], vectors[batch.valid]))
    return found
