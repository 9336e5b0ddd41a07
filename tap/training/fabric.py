"""Lightning Fabric, set up for our records of tensors: devices, processes and precision, nothing else."""

import contextlib
import datetime
import logging
import os
from collections.abc import Iterator
from typing import Any, Literal

from lightning.fabric import Fabric
from lightning.fabric.plugins.precision import MixedPrecision, Precision
from lightning.fabric.strategies import DDPStrategy
from torch import nn

from tap.errors import TapError
from tap.training.ranks import join, num_launched

# The first process alone computes mean images and final scores; a dead process is noticed long before (`tap.training.ranks`).
PATIENCE = datetime.timedelta(hours=6)


class _Float32(Precision):  # type: ignore[misc]
    """Fabric rebuilds every dataclass that a forward pass is given to convert its tensors; ours are frozen and float32."""

    def convert_input(self, data: Any) -> Any:
        return data


class _BFloat16(MixedPrecision):  # type: ignore[misc]
    """The same under autocast, which converts inside the model."""

    def convert_input(self, data: Any) -> Any:
        return data


class Processes(DDPStrategy):  # type: ignore[misc]
    """One process a device, gradients averaged; parameters without a gradient are looked for only where there are any.

    Attributes:
        has_unused_parameters: whether a training step leaves some without one; set before the model is set up. DDP would
            wait for their gradients, and looking in vain costs a walk over the graph in each step and a warning.
    """

    has_unused_parameters = False

    def setup_module(self, module: nn.Module) -> Any:
        """The module as DDP wraps it."""
        self._ddp_kwargs["find_unused_parameters"] = self.has_unused_parameters
        return super().setup_module(module)


def build_fabric(accelerator: str, devices: int, precision: Literal["32-true", "bf16-mixed"]) -> Fabric:
    """Fabric for the wanted devices, launched.

    Args:
        accelerator: Fabric's name of the kind of device: auto, cpu, cuda, mps.
        devices: how many, one process each. They are started here, as copies of this one's command line, unless torchrun
            has started as many.
        precision: of the forward pass.

    Raises:
        TapError: the machine has no such devices, or torchrun has started another number of processes.
    """
    launched, here = num_launched(), devices
    if launched is not None:
        if launched != devices:
            raise TapError(
                f"train.devices is {devices}, but torchrun has started {launched} processes; set train.devices={launched}"
            )
        here = int(os.environ["LOCAL_WORLD_SIZE"])
    place: dict[str, Any] = {"accelerator": accelerator, "devices": here, "num_nodes": devices // here}
    if devices > 1:
        place["strategy"] = Processes(timeout=PATIENCE)
    try:
        kind = Fabric(accelerator=accelerator, devices=1).device.type
        plugin = _Float32() if precision == "32-true" else _BFloat16("bf16-mixed", kind)
        fabric = Fabric(**place, plugins=[plugin])
    except (ValueError, RuntimeError) as error:  # Fabric's MisconfigurationException is a ValueError or RuntimeError
        raise TapError(f"train.accelerator={accelerator}, train.devices={devices}: {error}") from error
    if devices > 1:
        with _quiet():
            fabric.launch()
    join(fabric)
    return fabric


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without Fabric's account of how its processes find each other, which each of them would print."""
    before = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(before)
