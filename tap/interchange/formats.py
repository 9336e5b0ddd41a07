"""The kinds of public checkpoints: how each is recognised, what it holds, and which settings its backbone has."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from tap.backbones.inputs import WIDTHS
from tap.errors import TapError
from tap.interchange.tables import BACKBONE_RULES, GENERATOR, PHOTOGRAPH
from tap.interchange.translation import Made, Rule, known_share

TAP, POINT_BERT, POINT_MAE = "Take-A-Photo", "Point-BERT", "Point-MAE"


@dataclasses.dataclass(frozen=True)
class Format:
    """One kind of checkpoint.

    Attributes:
        name: for people.
        sign: some name of its tensors starts so.
        prefix: of the backbone's tensors.
        rest: rules for what is not the backbone's.
        settings: of the backbone where they are not its defaults.
        made: our tensors that it may lack.
        whole: holds photograph module and generator too.
        up_axis: of the clouds that it was trained on.
    """

    name: str
    sign: str
    prefix: str = ""
    rest: tuple[Rule, ...] = ()
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    made: Mapping[str, Made] = dataclasses.field(default_factory=dict)
    whole: bool = False
    up_axis: str = "z"


_HEAD = "a task head, which `tap finetune` makes anew"
_MASKING = "for masking in that pre-training"
_NO_CLASS = Made(torch.zeros, "zeros: Point-MAE pre-trains without it and begins it anew at fine-tuning")
_NO_WIDENING = {  # Point-MAE embeds a group at the width of a token, Point-BERT does not
    "backbone.widen.weight": Made(
        lambda shape: torch.eye(shape[0]) if shape[0] == shape[1] else None, "identity: the format has no such layer"
    ),
    "backbone.widen.bias": Made(torch.zeros, "zeros: the format has no such layer"),
}
_NEAREST = {"num_groups": 64, "grouping": "nearest"}  # their groups are nearest neighbours, TAP's are balls

TRANSFORMER_FORMATS = (
    Format(
        f"{POINT_MAE}, pre-trained",
        "MAE_encoder.",
        "MAE_encoder.",
        (
            Rule(
                r"mask_token|decoder_pos_embed\..*|MAE_decoder\..*|increase_dim\..*", reason="the decoder of Point-MAE"
            ),
        ),
        _NEAREST,
        {"backbone.class_token": _NO_CLASS, "backbone.class_position": _NO_CLASS, **_NO_WIDENING},
        up_axis="y",
    ),
    Format(
        f"{POINT_BERT}, pre-trained",
        "transformer_q.",
        "transformer_q.",
        (
            Rule(r"transformer_q\.(mask_token|lm_head\..*)", reason=_MASKING),
            Rule(r"transformer_q\.cls_head\..*|queue|queue_ptr", reason="for contrast in that pre-training"),
            Rule(r"transformer_k\..*", reason="the slowly moving copy of the encoder"),
            Rule(r"dvae\..*", reason="the tokenizer of Point-BERT"),
        ),
        _NEAREST,
        up_axis="y",
    ),
    Format(
        f"{POINT_BERT} or {POINT_MAE}, fine-tuned",
        "cls_head_finetune.",
        rest=(Rule(r"cls_head_finetune\..*", reason=_HEAD),),
        settings=_NEAREST,
        made=_NO_WIDENING,
        up_axis="y",
    ),
)
TAP_FORMATS = (
    Format(f"{TAP}, pre-trained", "generator.", "encoder.", (*PHOTOGRAPH, *GENERATOR), whole=True),
    Format(f"{TAP}, fine-tuned", "prediction.", "encoder.", (Rule(r"prediction\..*", reason=_HEAD),), up_axis="y"),
    Format(f"{TAP}, the backbone alone", ""),
)


def recognise(tensors: Mapping[str, Tensor], backbone: str) -> Format:
    """The kind of checkpoint that these names are of, for the named backbone."""
    known: tuple[Format, ...] = (*(TRANSFORMER_FORMATS if backbone == "transformer" else ()), *TAP_FORMATS)
    return next(kind for kind in known if any(name.startswith(kind.sign) for name in tensors))


def all_rules(kind: Format, backbone: str) -> tuple[Rule, ...]:
    """The rules for every tensor of such a checkpoint; the backbone's come last, below their prefix."""
    prefix = kind.prefix.replace(".", r"\.")
    own = (dataclasses.replace(rule, pattern=f"{prefix}(?:{rule.pattern})") for rule in BACKBONE_RULES[backbone])
    return (*kind.rest, *own)


def check_backbone(where: str, tensors: Mapping[str, Tensor], backbone: str) -> None:
    """`TapError` where the tensors are clearly those of another backbone, which is then named."""
    shares = {name: _share(tensors, name) for name in BACKBONE_RULES}
    best = max(shares, key=lambda name: (shares[name], name == backbone))
    if shares[backbone] < 0.5 < shares[best]:
        raise TapError(
            f"{where}: holds the tensors of a {best}, not of a {backbone}, such as {_foreign(tensors, backbone)}; give "
            f"--backbone {best}"
        )
    if shares[backbone] == 0:
        example = next(iter(tensors), "nothing")
        if example.startswith("backbone."):  # as our own models call it
            raise TapError(
                f"{where}: looks like weights of tap's own, which need no import; give the folder of the run to --init of tap "
                "finetune, or to tap export"
            )
        raise TapError(
            f"{where}: none of its {len(tensors)} tensors is of a {backbone} of {TAP}, {POINT_BERT} or {POINT_MAE}; the "
            f"first is {example}; name the part to take with --prefix"
        )


def read_settings(kind: Format, backbone: str, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Settings of the backbone that the shapes of its tensors tell; the others are the format's, or the defaults."""
    shapes = {name.removeprefix(kind.prefix): tuple(tensor.shape) for name, tensor in tensors.items()}
    settings = dict(kind.settings)
    if (
        backbone == "pointnet2" and kind.name == f"{TAP}, fine-tuned"
    ):  # there its last stage looks at all points at once
        settings |= {"strides": (2, 4, 1), "radii": (0.2, 0.4, None)}
    if backbone == "transformer":
        depths = [int(name.split(".")[2]) for name in shapes if name.startswith("blocks.blocks.")]
        layers = ("first_conv.0", "first_conv.3", "second_conv.0", "second_conv.3")
        widths = [shapes[f"encoder.{layer}.weight"][0] for layer in layers if f"encoder.{layer}.weight" in shapes]
        if depths:
            settings["depth"] = max(depths) + 1
        if len(widths) == len(layers):
            settings |= {"embed_hidden": tuple(widths[:3]), "embed_channels": widths[3]}
        if "norm.weight" in shapes:
            settings["channels"] = shapes["norm.weight"][0]
        return settings
    first = {
        "pointnet2": ("SA_modules.0.local_aggregations.0.SA_CONFIG_operator.convs.0.0.weight", 1, 3),
        "dgcnn": ("head.gconv.nn.0.weight", 2, 0),  # own features and differences
    }
    name, times, more = first.get(backbone, ("embedding.net.0.weight", 1, 0))
    width = (shapes[name][1] - more) // times if len(shapes.get(name, ())) > 1 else 0
    return settings | next(({"inputs": inputs} for inputs, number in WIDTHS.items() if number == width), {})


def _foreign(tensors: Mapping[str, Tensor], backbone: str) -> str:
    """The first tensor of the part that holds a backbone that is none of this backbone's."""
    prefix = recognise(tensors, backbone).prefix
    own = (name.removeprefix(prefix) for name in tensors if name.startswith(prefix))
    return next((f"{prefix}{name}" for name in own if not known_share([name], BACKBONE_RULES[backbone])), "them all")


def _share(tensors: Mapping[str, Tensor], backbone: str) -> float:
    """Share of the tensors of the backbone's part that are such a backbone's; 0 where there is no such part."""
    prefix = recognise(tensors, backbone).prefix
    own = [name.removeprefix(prefix) for name in tensors if name.startswith(prefix)]
    return known_share(own, BACKBONE_RULES[backbone])
