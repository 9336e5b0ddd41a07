import pytest
import torch

from render.rig import Viewpoint, mvcnn12
from tap.batch import PointBatch, ViewBatch
from tap.network.model import ModelConfig, build_model
from tap.presets import MODEL_PRESETS


@pytest.mark.parametrize("name", sorted(MODEL_PRESETS))
def test_presets_build_and_take_pictures(name: str) -> None:
    config = MODEL_PRESETS[name]()
    assert ModelConfig.model_validate_json(config.model_dump_json()) == config
    model = build_model(config).eval()
    rig = mvcnn12(Viewpoint(config.image_size, "perspective"))
    views = ViewBatch(
        torch.from_numpy(rig.world_to_camera[None, :2]),
        torch.from_numpy(rig.intrinsics[None, :2]),
        torch.tensor([False]),
    )
    with torch.no_grad():
        images = model(PointBatch(torch.randn(1, 1024, 3)), views)
    assert images.shape == (1, 2, 3, config.image_size, config.image_size)


def test_what_the_presets_promise() -> None:
    paper, reference, small = (MODEL_PRESETS[f"{kind}/transformer"]() for kind in ("paper", "reference", "small"))
    assert paper.photograph.pad_token
    assert not reference.photograph.pad_token
    assert paper.photograph.query_octaves == reference.photograph.query_octaves == 0
    assert (reference.image_size, reference.photograph.layers, reference.photograph.channels) == (224, 6, 256)
    assert (reference.photograph.num_heads, reference.photograph.head_width) == (32, 32)
    assert (small.image_size, small.photograph.query_octaves, small.photograph.memory_octaves) == (112, 4, 4)
