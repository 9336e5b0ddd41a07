"""The tables: names of the tensors of public checkpoints and where they go in ours.

Read in the public code of Take-A-Photo (wangzy22/TAP), Point-BERT (Julie-tang00/Point-BERT) and Point-MAE
(Pang-Yatian/Point-MAE). Our linear layers on rows of points are their 1 x 1 convolutions.
"""

import re

from tap.interchange.translation import Rule

_ANY = r"(weight|bias|running_mean|running_var|num_batches_tracked)"

TRANSFORMER = (
    Rule(r"encoder\.first_conv\.0\.(weight|bias)", r"backbone.embed.first.\1"),
    Rule(rf"encoder\.first_conv\.1\.{_ANY}", r"backbone.embed.first_norm.\1"),
    Rule(r"encoder\.first_conv\.3\.(weight|bias)", r"backbone.embed.second.\1"),
    Rule(r"encoder\.second_conv\.0\.(weight|bias)", r"backbone.embed.third.\1"),
    Rule(rf"encoder\.second_conv\.1\.{_ANY}", r"backbone.embed.third_norm.\1"),
    Rule(r"encoder\.second_conv\.3\.(weight|bias)", r"backbone.embed.fourth.\1"),
    Rule(r"reduce_dim\.(weight|bias)", r"backbone.widen.\1"),
    Rule(r"cls_token", "backbone.class_token"),
    Rule(r"cls_pos", "backbone.class_position"),
    Rule(r"pos_embed\.(0|2)\.(weight|bias)", r"backbone.position.\1.\2"),
    Rule(r"blocks\.blocks\.(\d+)\.norm1\.(weight|bias)", r"backbone.blocks.\1.attention_norm.\2"),
    Rule(r"blocks\.blocks\.(\d+)\.norm2\.(weight|bias)", r"backbone.blocks.\1.mlp_norm.\2"),
    Rule(r"blocks\.blocks\.(\d+)\.attn\.qkv\.weight", r"backbone.blocks.\1.attention.to_query_key_value.weight"),
    Rule(r"blocks\.blocks\.(\d+)\.attn\.proj\.(weight|bias)", r"backbone.blocks.\1.attention.to_output.\2"),
    Rule(r"blocks\.blocks\.(\d+)\.mlp\.fc1\.(weight|bias)", r"backbone.blocks.\1.mlp.expand.\2"),
    Rule(r"blocks\.blocks\.(\d+)\.mlp\.fc2\.(weight|bias)", r"backbone.blocks.\1.mlp.contract.\2"),
    Rule(r"norm\.(weight|bias)", r"backbone.norm.\1"),
)


def _edge_convolution(match: re.Match[str]) -> str:
    """Their first edge convolution stands apart from the others."""
    return f"backbone.convolutions.{int(match[1]) + 1}.layer.{_layer(match[2])}.{match[3]}"


def _layer(index: str) -> str:
    return "linear" if index == "0" else "norm"


def _residual(match: re.Match[str]) -> str:
    stage, block, half = match["stage"], match["block"], "expand" if match["half"] == "1" else "contract"
    return f"backbone.stages.{stage}.{match['kind']}.{block}.{half}.{_layer(match['layer'])}.{match['name']}"


_NAME = _ANY.replace("(", "(?P<name>", 1)

POINTNET2 = (
    Rule(
        rf"SA_modules\.(\d+)\.local_aggregations\.0\.SA_CONFIG_operator\.convs\.(\d+)\.(0|1)\.{_ANY}",
        lambda match: f"backbone.stages.{match[1]}.layers.{match[2]}.{_layer(match[3])}.{match[4]}",
    ),
)

DGCNN = (
    Rule(
        rf"head\.gconv\.nn\.(0|1)\.{_ANY}", lambda match: f"backbone.convolutions.0.layer.{_layer(match[1])}.{match[2]}"
    ),
    Rule(rf"backbone\.(\d+)\.gconv\.nn\.(0|1)\.{_ANY}", _edge_convolution),
    Rule(rf"fusion_block\.(0|1)\.{_ANY}", lambda match: f"backbone.fusion.{_layer(match[1])}.{match[2]}"),
)

POINTMLP = (
    Rule(rf"embedding\.net\.(0|1)\.{_ANY}", lambda match: f"backbone.embed.{_layer(match[1])}.{match[2]}"),
    Rule(r"local_grouper_list\.(\d+)\.affine_alpha", r"backbone.stages.\1.affine_scale"),
    Rule(r"local_grouper_list\.(\d+)\.affine_beta", r"backbone.stages.\1.affine_shift"),
    Rule(
        rf"pre_blocks_list\.(\d+)\.transfer\.net\.(0|1)\.{_ANY}",
        lambda match: f"backbone.stages.{match[1]}.transfer.{_layer(match[2])}.{match[3]}",
    ),
    Rule(
        r"(?P<kind>pre|pos)_blocks_list\.(?P<stage>\d+)\.operation\.(?P<block>\d+)\.net(?P<half>1|2)\.(?P<layer>0|1)\."
        + _NAME,
        _residual,
    ),
)

BACKBONE_RULES: dict[str, tuple[Rule, ...]] = {
    "pointnet2": POINTNET2,
    "dgcnn": DGCNN,
    "pointmlp": POINTMLP,
    "pointmlp_elite": POINTMLP,
    "transformer": TRANSFORMER,
}

_BLOCK, _OURS = r"generator\.transformer\.(\d+)", r"photograph.blocks.\1"
_SELF, _CROSS = _OURS + ".self_attention", _OURS + ".cross_attention"

PHOTOGRAPH = (
    Rule(r"generator\.pad_memory", reason="the pad token: created and never used by the authors' code"),
    Rule(r"generator\.feat_mlp\.fc1\.(weight|bias)", r"photograph.memory.mlp.0.\1"),
    Rule(r"generator\.feat_mlp\.fc2\.(weight|bias)", r"photograph.memory.mlp.2.\1"),
    Rule(r"generator\.query_mlp\.fc1\.(weight|bias)", r"photograph.query.mlp.0.\1"),
    Rule(r"generator\.query_mlp\.fc2\.(weight|bias)", r"photograph.query.mlp.2.\1"),
    *(
        Rule(rf"{_BLOCK}\.attn1\.to_{letter}\.weight", f"{_SELF}.to_query_key_value.weight", part=(index, 3))
        for index, letter in enumerate("qkv")
    ),
    Rule(rf"{_BLOCK}\.attn1\.to_out\.0\.(weight|bias)", rf"{_SELF}.to_output.\2"),
    Rule(rf"{_BLOCK}\.attn2\.to_q\.weight", f"{_CROSS}.to_query.weight"),
    *(
        Rule(rf"{_BLOCK}\.attn2\.to_{letter}\.weight", f"{_CROSS}.to_key_value.weight", part=(index, 2))
        for index, letter in enumerate("kv")
    ),
    Rule(rf"{_BLOCK}\.attn2\.to_out\.0\.(weight|bias)", rf"{_CROSS}.to_output.\2"),
    Rule(rf"{_BLOCK}\.ff\.net\.0\.proj\.(weight|bias)", rf"{_OURS}.mlp.expand.\2"),
    Rule(rf"{_BLOCK}\.ff\.net\.2\.(weight|bias)", rf"{_OURS}.mlp.contract.\2"),
    Rule(rf"{_BLOCK}\.norm1\.(weight|bias)", rf"{_OURS}.self_norm.\2"),
    Rule(rf"{_BLOCK}\.norm2\.(weight|bias)", rf"{_OURS}.cross_norm.\2"),
    Rule(rf"{_BLOCK}\.norm3\.(weight|bias)", rf"{_OURS}.mlp_norm.\2"),
)

GENERATOR = (
    Rule(
        r"decoder\.layer(\d+)\.0\.(weight|bias)",
        lambda match: f"generator.layers.{2 * (int(match[1]) - 1)}.{match[2]}",  # an activation after each layer
    ),
)
