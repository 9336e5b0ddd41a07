"""The model card of an export: what it is, how to load it, what it was trained on and how well."""

from collections.abc import Mapping
from typing import Any

PICTURE = "views.png"


def write_card(facts: Mapping[str, Any], num_numbers: int, license_name: str | None, has_picture: bool) -> str:
    """The text of ``README.md``, with the header that the Hugging Face Hub reads.

    Args:
        facts: of ``config.json``.
        num_numbers: parameters and buffers that the folder holds.
        license_name: a name that the Hub knows, or None: the line is left out.
        has_picture: whether `PICTURE` lies beside it.
    """
    config = facts["config"]
    name = config.get("model", config)["backbone"]["name"]
    tags = ["point-cloud", "3d", "pre-training", "take-a-photo", name.replace(":", "-")]
    header = ["---", "library_name: tap3d", "pipeline_tag: feature-extraction"]
    header += [f"license: {license_name}"] if license_name else []
    header += ["tags:", *(f"- {tag}" for tag in tags), "---"]
    sections = [_title(facts, name, num_numbers), _use(facts), _training(facts)]
    if has_picture:
        sections.append(f"![views that the model drew, beside the true ones]({PICTURE})\n")
    return "\n".join([*header, "", *sections])


def _title(facts: Mapping[str, Any], name: str, num_numbers: int) -> str:
    parts = {"pretrain": "backbone with photograph module and generator", "classification": "classifier"}
    tokens = f"{facts['num_tokens']} tokens" if facts["num_tokens"] else "tokens, their number following its size,"
    return (
        f"# {name}: a point cloud {parts.get(facts['task'], 'backbone')}\n\n"
        f"{num_numbers / 1e6:.2f} M numbers. A cloud becomes {tokens} of {facts['channels']} channels"
        f"{', and a class token' if facts['has_class_token'] else ''}. Pre-training as in *Take-A-Photo: 3D-to-2D "
        "Generative Pre-training of Point Cloud Models* (ICCV 2023).\n"
    )


def _use(facts: Mapping[str, Any]) -> str:
    inputs = facts["inputs"]
    return (
        "## Use\n\n"
        "```python\n"
        "import tap\n"
        'backbone = tap.load_backbone("path or user/name of this folder")\n'
        "encoded = backbone(tap.PointBatch(points))  # points (B, N, 3) float32\n"
        "```\n\n"
        f"Clouds: {inputs['frame']}, {inputs['up_axis']} up"
        f"{', ' + str(inputs['num_points']) + ' points in training' if 'num_points' in inputs else ''}. "
        "`encoded.tokens` (B, G, C), `encoded.centers` (B, G, 3). To fine-tune: "
        "`tap finetune classification SHARDS --init THIS_FOLDER --out RUN`.\n"
    )


def _training(facts: Mapping[str, Any]) -> str:
    source, metrics = facts["source"], facts["metrics"]
    samples = source.get("num_samples") or {}
    rows = [("task", source.get("task")), ("epochs", source.get("epochs"))]
    rows += [(f"samples in {split}", number) for split, number in sorted(samples.items())]
    rows += [(key.replace("_", " "), _number(value)) for key, value in sorted(metrics.items())]
    rows += [("package", f"tap3d {source.get('package_version')}")]
    lines = [f"| {key} | {value} |" for key, value in rows if value is not None]
    return "\n".join(["## Training", "", "| what | value |", "|---|---|", *lines, ""])


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
