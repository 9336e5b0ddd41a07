"""Imports of others' checkpoints, against what their own modules gave.

The arrays in ``data`` were computed with the public code of Take-A-Photo, Point-BERT and Point-MAE at small sizes, their
CUDA operations replaced by plain ones, with the weights that `drawn_weights` draws here once more.
"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tap.batch import PointBatch
from tap.errors import TapError
from tap.interchange.hub import load_backbone
from tap.interchange.importing import ACCOUNT, import_weights
from tap.network.model import ModelConfig, build_model
from tap.network.query import authors_views
from tap.training.checkpoint import CONFIG, load_record, load_weights

Load = Callable[[str], tuple[dict[str, Tensor], dict[str, object]]]
CONV = ["num_neighbors=[8,8,8,8]"]
SETTINGS = {
    "pointnet2": ["mlps=[[8,8,16],[16,16,32],[16,32,64]]", "num_neighbors=[8,8,8]"],
    "dgcnn": ["widths=[8,8,16,32]", "channels=32", "num_neighbors=8"],
    "pointmlp": [*CONV, "embed_channels=8"],
    "pointmlp_elite": [*CONV, "embed_channels=8"],
    "transformer": ["num_groups=16", "group_size=8", "radius=0.4"],
}
GROUPS = ["num_groups=16", "group_size=8"]


def overrides(settings: list[str]) -> list[str]:
    return [f"backbone.settings.{setting}" for setting in settings]


def tensor(array: object) -> Tensor:
    return torch.as_tensor(array)


@pytest.mark.parametrize("backbone", sorted(SETTINGS))
def test_backbones_of_the_authors_give_their_outputs(tmp_path: Path, load_case: Load, backbone: str) -> None:
    weights, case = load_case(backbone)
    torch.save({"model": {f"module.{name}": value for name, value in weights.items()}}, tmp_path / "w.pth")
    account = import_weights(tmp_path / "w.pth", backbone, tmp_path / "out", overrides=overrides(SETTINGS[backbone]))
    assert set(account.taken) == set(weights)
    with torch.no_grad():
        encoded = load_backbone(tmp_path / "out")(PointBatch(tensor(case["points"])))
    stored = tensor(case["tokens"])
    found = encoded.tokens[:, :: encoded.tokens.shape[1] // stored.shape[1]]
    assert torch.equal(encoded.centers, tensor(case["centers"]))
    assert (found - stored).abs().max() < 1e-5


def test_a_whole_model_of_the_authors_draws_their_images(tmp_path: Path, load_case: Load) -> None:
    weights, case = load_case("whole")
    torch.save({"model": weights, "optimizer": {"state": {}}, "epoch": 7}, tmp_path / "w.pth")
    photograph = ["channels=32", "layers=2", "num_heads=4", "head_width=4"]
    changes = overrides(SETTINGS["dgcnn"]) + [f"photograph.{change}" for change in photograph]
    changes.append("photograph.memory_hidden=35")
    account = import_weights(tmp_path / "w.pth", "dgcnn", tmp_path / "out", overrides=changes)
    assert account.left_out == {
        "generator.pad_memory": "the pad token: created and never used by the authors' code",
        "optimizer": "state of that training",
        "epoch": "state of that training",
    }
    assert set(account.taken) | {"generator.pad_memory"} == set(weights)
    written = json.loads((tmp_path / "out" / ACCOUNT).read_text())
    assert written["taken"] == account.taken
    config = ModelConfig.model_validate(load_record(tmp_path / "out")["config"]["model"])
    model = build_model(config).eval()
    assert load_weights(model, tmp_path / "out") == []
    views = authors_views(*(tensor(case[name]) for name in ("rotation", "scale", "bias")))
    with torch.no_grad():
        encoded = model.backbone(PointBatch(tensor(case["points"])))
        features = model.photograph(encoded, views)
        images = model.generator(features)
    assert (features[..., ::2, ::3] - tensor(case["features"])).abs().max() < 1e-5
    assert (images[..., 5::37, 3::41] - tensor(case["images"])).abs().max() < 1e-5


@pytest.mark.parametrize("code", ["bert", "mae"])
def test_point_bert_and_point_mae_give_their_outputs(tmp_path: Path, load_case: Load, code: str) -> None:
    weights, case = load_case(f"{code}_fine_tuned")
    torch.save({"base_model": weights, "metrics": {"acc": 1.0}}, tmp_path / "w.pth")
    account = import_weights(tmp_path / "w.pth", "transformer", tmp_path / "out", overrides=overrides(GROUPS))
    assert {reason for name, reason in account.left_out.items() if name.startswith("cls_head")} == {
        "a task head, which `tap finetune` makes anew"
    }
    assert list(account.made) == (["backbone.widen.weight", "backbone.widen.bias"] if code == "mae" else [])
    with torch.no_grad():
        encoded = load_backbone(tmp_path / "out")(PointBatch(tensor(case["points"])))
    pooled = torch.cat([encoded.class_token, encoded.tokens.amax(1)], dim=-1)
    assert (pooled - tensor(case["pooled"])).abs().max() < 1e-5


def test_a_point_bert_without_its_widening_is_refused(tmp_path: Path, load_case: Load) -> None:
    weights = {name: value for name, value in load_case("bert_fine_tuned")[0].items() if "reduce_dim" not in name}
    torch.save({"base_model": weights}, tmp_path / "w.pth")
    with pytest.raises(TapError, match=r"backbone\.widen\.weight is missing"):
        import_weights(tmp_path / "w.pth", "transformer", tmp_path / "out", overrides=overrides(GROUPS))


def test_point_mae_pre_trained_is_taken_without_its_decoder(tmp_path: Path, load_case: Load) -> None:
    weights = load_case("mae_fine_tuned")[0]  # for its names below the prefix
    shapes = json.loads((Path(__file__).parent / "data" / "shapes.json").read_text())["mae_pretrained"]
    pretrained = {name: torch.ones(shape) for name, shape in shapes.items()}
    torch.save({"base_model": {f"module.{name}": value for name, value in pretrained.items()}}, tmp_path / "w.pth")
    account = import_weights(tmp_path / "w.pth", "transformer", tmp_path / "out", overrides=overrides(GROUPS))
    own = {name.removeprefix("MAE_encoder.") for name in account.taken}
    assert own == {name for name in weights if not name.startswith(("cls_", "cls_head"))}
    assert set(account.left_out.values()) == {"the decoder of Point-MAE"}
    assert set(account.taken) | set(account.left_out) == set(pretrained)
    backbone = load_backbone(tmp_path / "out").state_dict()
    assert not backbone["class_token"].any()
    assert torch.equal(backbone["widen.weight"], torch.eye(24))


def test_point_bert_pre_trained_is_taken_from_its_query_model(tmp_path: Path) -> None:
    shapes = json.loads((Path(__file__).parent / "data" / "shapes.json").read_text())["bert_pretrained"]
    pretrained = {name: torch.full(shape, 2.0 if "transformer_k" in name else 1.0) for name, shape in shapes.items()}
    torch.save({"base_model": pretrained}, tmp_path / "w.pth")
    account = import_weights(tmp_path / "w.pth", "transformer", tmp_path / "out", overrides=overrides(GROUPS))
    assert all(name.startswith("transformer_q.") for name in account.taken)
    assert set(account.taken) | set(account.left_out) == set(pretrained)
    assert load_backbone(tmp_path / "out").state_dict()["class_token"].tolist() == [1.0] * 24


def test_a_fine_tuned_backbone_is_taken_without_its_head(tmp_path: Path, load_case: Load) -> None:
    shapes = json.loads((Path(__file__).parent / "data" / "shapes.json").read_text())["fine_tuned"]
    torch.save({"model": {name: torch.ones(shape) for name, shape in shapes.items()}}, tmp_path / "w.pth")
    account = import_weights(tmp_path / "w.pth", "dgcnn", tmp_path / "out", overrides=overrides(SETTINGS["dgcnn"]))
    assert set(account.taken) | set(account.left_out) == set(shapes)
    assert all(name.startswith("prediction.") for name in account.left_out)
    assert load_record(tmp_path / "out")["inputs"]["up_axis"] == "y"


def test_the_inputs_are_read_from_the_first_layer(tmp_path: Path, load_case: Load) -> None:
    weights = load_case("pointmlp")[0]
    weights["embedding.net.0.weight"] = torch.ones(8, 6, 1)
    torch.save(weights, tmp_path / "w.pth")
    import_weights(tmp_path / "w.pth", "pointmlp", tmp_path / "out", overrides=overrides(SETTINGS["pointmlp"]))
    config = json.loads((tmp_path / "out" / CONFIG).read_text())["config"]
    assert config["backbone"]["settings"]["inputs"] == "xyz_normal"


def test_a_part_is_taken_by_its_prefix(tmp_path: Path, load_case: Load) -> None:
    weights = load_case("dgcnn")[0]
    renamed = {f"student.{name}": value for name, value in weights.items()} | {"teacher.weight": torch.ones(2)}
    torch.save({"state_dict": renamed}, tmp_path / "w.pth")
    changes = overrides(SETTINGS["dgcnn"])
    with pytest.raises(TapError, match=r"none of its .* tensors is of a dgcnn"):
        import_weights(tmp_path / "w.pth", "dgcnn", tmp_path / "out", overrides=changes)
    account = import_weights(tmp_path / "w.pth", "dgcnn", tmp_path / "out", "student.", changes)
    assert account.left_out == {"teacher.weight": "does not start with student."}
    with pytest.raises(TapError, match=r"holds no tensor whose name starts with 'tutor.'"):
        import_weights(tmp_path / "w.pth", "dgcnn", tmp_path / "other", "tutor.", changes)


def test_bad_input_is_one_line_and_leaves_nothing(tmp_path: Path, load_case: Load) -> None:
    weights = load_case("dgcnn")[0]
    torch.save({"model": weights}, tmp_path / "w.pth")
    changes = overrides(SETTINGS["dgcnn"])
    out = tmp_path / "out"
    with pytest.raises(TapError, match="backbone 'resnet': weights of pointnet2, dgcnn"):
        import_weights(tmp_path / "w.pth", "resnet", out)
    with pytest.raises(TapError, match=r"a dgcnn, not of a pointmlp, such as \S+; give --backbone dgcnn"):
        import_weights(tmp_path / "w.pth", "pointmlp", out)
    with pytest.raises(TapError, match=r"backbone.fusion.linear.weight is \(32, 64, 1\) where the model has"):
        import_weights(tmp_path / "w.pth", "dgcnn", out, overrides=changes[:1])
    with pytest.raises(TapError, match=r"unknown key 'backbone.settings.width'; the nearest"):
        import_weights(tmp_path / "w.pth", "dgcnn", out, overrides=["backbone.settings.width=3"])
    torch.save({"backbone.blocks.0.weight": torch.ones(1)}, tmp_path / "ours.pth")
    with pytest.raises(TapError, match="looks like weights of tap's own, which need no import; give the folder"):
        import_weights(tmp_path / "ours.pth", "dgcnn", out)
    torch.save({"model": weights | {"adapter.weight": torch.ones(1)}}, tmp_path / "more.pth")
    with pytest.raises(TapError, match=r"adapter.weight has no place"):
        import_weights(tmp_path / "more.pth", "dgcnn", out, overrides=changes)
    del weights["fusion_block.0.weight"]
    torch.save({"model": weights}, tmp_path / "less.pth")
    with pytest.raises(TapError, match=r"backbone.fusion.linear.weight is missing"):
        import_weights(tmp_path / "less.pth", "dgcnn", out, overrides=changes)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["less.pth", "more.pth", "ours.pth", "w.pth"]
    out.mkdir()
    (out / "mine").touch()
    with pytest.raises(TapError, match="exists; choose another --out"):
        import_weights(tmp_path / "w.pth", "dgcnn", out, overrides=changes)
