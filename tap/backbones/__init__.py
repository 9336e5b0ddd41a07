"""Backbones: from a batch of point clouds to tokens with places. Known ones are in `BACKBONES`.

A backbone is an `nn.Module` class with a pydantic `config_class` and a constructor that takes one such config. A user's
own goes in under ``package.module:Name`` and needs nothing else. One class serves pre-training and every task; pooling
and heads belong to the task.
"""

import difflib
import importlib
from collections.abc import Iterator
from typing import Any, Protocol

from pydantic import BaseModel, Field, ValidationError, model_validator
from torch import nn

from tap.backbones.dgcnn import DGCNN
from tap.backbones.pointmlp import PointMLP, PointMLPElite
from tap.backbones.pointnet2 import PointNet2
from tap.backbones.transformer import Transformer, TransformerConfig
from tap.batch import Encoded, PointBatch
from tap.errors import TapError

__all__ = [
    "BACKBONES",
    "DGCNN",
    "Backbone",
    "BackboneClass",
    "BackboneConfig",
    "PointMLP",
    "PointMLPElite",
    "PointNet2",
    "Transformer",
    "TransformerConfig",
    "build_backbone",
    "find_backbone",
]


class Backbone(Protocol):
    """What the photograph module and the heads may ask of a backbone; at run time it is an `nn.Module`.

    Attributes:
        channels: C, the width of a token.
        num_tokens: G, or None where it follows the size of the cloud.
        has_class_token: whether `Encoded.class_token` is there.
    """

    channels: int
    num_tokens: int | None
    has_class_token: bool

    def __call__(self, batch: PointBatch, /) -> Encoded:
        """Encode (B, N, 3) points as (B, G, C) tokens at (B, G, 3) centers; points outside the mask change nothing."""
        ...

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]:
        """As of `nn.Module`."""
        ...


class BackboneClass(Protocol):
    """What stands behind a name: a class with a `config_class`, built from one such config."""

    @property
    def config_class(self) -> type[BaseModel]:
        """Pydantic model of the settings."""
        ...

    def __call__(self, config: Any, /) -> Backbone:
        """A fresh backbone."""
        ...


BACKBONES: dict[str, BackboneClass] = {
    "pointnet2": PointNet2,
    "dgcnn": DGCNN,
    "pointmlp": PointMLP,
    "pointmlp_elite": PointMLPElite,
    "transformer": Transformer,
}


class BackboneConfig(BaseModel, frozen=True, extra="forbid"):
    """Which backbone, and its settings, checked and completed by that backbone's own config class."""

    name: str = Field(default="transformer", description="a known backbone, or package.module:Name of your own")
    settings: dict[str, Any] = Field(default_factory=dict, description="the backbone's own settings")

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        name, settings = values.get("name", "transformer"), values.get("settings", {})
        if isinstance(name, str) and isinstance(settings, dict):
            return {**values, "settings": _complete_settings(name, settings)}
        return values


def find_backbone(name: str) -> BackboneClass:
    """The class behind a name.

    Args:
        name: a key of `BACKBONES`, or ``package.module:Name``.

    Raises:
        TapError: no such backbone, or a class without the two things that a backbone class has.
    """
    if name in BACKBONES:
        return BACKBONES[name]
    known = ", ".join(sorted(BACKBONES))
    if ":" not in name:
        raise TapError(f"backbone {name!r} is unknown; name one of {known}, or package.module:Name of your own")
    module_name, _, class_name = name.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError, ValueError) as error:
        raise TapError(f"backbone {name!r}: {error}; it must be importable as package.module:Name") from error
    config_class = getattr(found, "config_class", None)
    is_module = isinstance(found, type) and issubclass(found, nn.Module)
    if not (is_module and isinstance(config_class, type) and issubclass(config_class, BaseModel)):
        raise TapError(f"backbone {name!r}: it must be an nn.Module class with a pydantic model as its config_class")
    own: BackboneClass = found
    return own


def build_backbone(config: BackboneConfig) -> Backbone:
    """A fresh backbone from its config.

    Raises:
        TapError: an unknown name, or a module without the attributes of `Backbone`.
    """
    backbone_class = find_backbone(config.name)
    backbone = backbone_class(backbone_class.config_class.model_validate(config.settings))
    missing = [name for name in ("channels", "num_tokens", "has_class_token") if not hasattr(backbone, name)]
    if missing:
        raise TapError(f"backbone {config.name!r}: has no {', '.join(missing)}; see tap.backbones.Backbone")
    return backbone


def _complete_settings(name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """All settings of the named backbone, as plain JSON values so that a stored config equals the one read back."""
    config_class = find_backbone(name).config_class
    try:
        return config_class.model_validate(settings).model_dump(mode="json")
    except ValidationError as error:
        # pydantic keeps only the text of an error raised inside a validator, so the key goes into the text.
        raise ValueError("; ".join(_explain(problem, name, config_class) for problem in error.errors())) from error


def _explain(problem: Any, name: str, config_class: type[BaseModel]) -> str:
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] != "extra_forbidden":
        return f"settings.{key} of backbone {name}: {problem['msg']}" if key else f"backbone {name}: {problem['msg']}"
    nearest = difflib.get_close_matches(key, config_class.model_fields, n=1, cutoff=0.0)
    return f"settings.{key} of backbone {name} is unknown; the nearest known one is {nearest[0] if nearest else 'none'}"
