"""Lightning Fabric, set up for our records of tensors: devices, processes and precision, nothing else."""

from typing import Any, Literal

from lightning.fabric import Fabric
from lightning.fabric.plugins.precision import MixedPrecision, Precision

from tap.errors import TapError


class _Float32(Precision):  # type: ignore[misc]
    """Fabric rebuilds every dataclass that a forward pass is given to convert its tensors; ours are frozen and float32."""

    def convert_input(self, data: Any) -> Any:
        return data


class _BFloat16(MixedPrecision):  # type: ignore[misc]
    """The same under autocast, which converts inside the model."""

    def convert_input(self, data: Any) -> Any:
        return data


def build_fabric(accelerator: str, devices: int, precision: Literal["32-true", "bf16-mixed"]) -> Fabric:
    """Fabric for the wanted devices, launched.

    Args:
        accelerator: Fabric's name of the kind of device: auto, cpu, cuda, mps.
        devices: how many, one process each.
        precision: of the forward pass.

    Raises:
        TapError: the machine has no such devices.
    """
    try:
        fabric = Fabric(accelerator=accelerator, devices=devices)
        device = fabric.device.type
        plugin = _Float32() if precision == "32-true" else _BFloat16("bf16-mixed", device)
        fabric = Fabric(accelerator=accelerator, devices=devices, plugins=[plugin])
    except (ValueError, RuntimeError) as error:  # Fabric's MisconfigurationException is a ValueError or RuntimeError
        raise TapError(f"train.accelerator={accelerator}, train.devices={devices}: {error}") from error
    if devices > 1:
        fabric.launch()
    return fabric
