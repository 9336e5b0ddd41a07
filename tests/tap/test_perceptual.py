from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from tap.batch import ViewBatch
from tap.errors import TapError
from tap.perceptual import PerceptualLoss, VGG16Features, load_vgg16


@pytest.fixture(scope="module")
def tensors() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return VGG16Features().state_dict()


@pytest.fixture(scope="module")
def weights(tensors: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as torchvision's, of torch's first format and with a classifier, and random numbers."""
    file = tmp_path_factory.mktemp("weights") / "vgg16.pth"
    torch.save(tensors | {"classifier.0.weight": torch.zeros(2, 2)}, file, _use_new_zipfile_serialization=False)
    return file


def pictures(images: Tensor, valid: Tensor | None = None) -> ViewBatch:
    poses = torch.eye(4).expand(*images.shape[:2], 4, 4)
    return ViewBatch(
        poses, torch.eye(3).expand(*images.shape[:2], 3, 3), torch.ones(len(images)).bool(), images, None, valid
    )


def test_the_layers_are_torchvisions(tensors: dict[str, Tensor]) -> None:
    convolutions = [int(name.split(".")[1]) for name in tensors if name.endswith("weight")]
    assert convolutions == [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]
    assert sum(tensor.numel() for tensor in tensors.values()) == 14_714_688
    maps = VGG16Features()(torch.rand(1, 3, 32, 32))
    assert [len(values[0]) for values in maps] == [64] * 2 + [128] * 2 + [256] * 3 + [512] * 6
    assert [values.shape[-1] for values in maps] == [32] * 2 + [16] * 2 + [8] * 3 + [4] * 3 + [2] * 3


def test_the_first_layer_by_hand(weights: Path, tensors: dict[str, Tensor]) -> None:
    images = torch.rand(1, 3, 16, 16)
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    values = (images - mean[:, None, None]) / deviation[:, None, None]
    first = F.relu(F.conv2d(values, tensors["features.0.weight"], tensors["features.0.bias"], padding=1))
    torch.testing.assert_close(load_vgg16(weights)(images)[0], first)


def test_loss_is_the_mean_over_valid_views_of_summed_mean_squares(weights: Path) -> None:
    torch.manual_seed(0)
    loss = PerceptualLoss(weights)
    generated, images = torch.rand(2, 2, 3, 16, 16), torch.rand(2, 2, 3, 16, 16)
    network = load_vgg16(weights)
    expected = [
        sum(
            F.mse_loss(ours, theirs)
            for ours, theirs in zip(network(generated[0, [view]]), network(images[0, [view]]), strict=True)
        )
        for view in range(2)
    ]
    found = loss(generated, pictures(images, torch.tensor([True, False])))
    torch.testing.assert_close(found, torch.stack([torch.as_tensor(value) for value in expected]).mean())
    assert loss(images, pictures(images)) == 0
    assert loss(generated, pictures(images, torch.tensor([False, False]))) == 0


def test_the_network_is_frozen_and_hidden_but_pictures_get_gradients(weights: Path) -> None:
    loss = PerceptualLoss(weights)
    assert not loss.state_dict()
    assert not list(loss.parameters())
    generated = torch.rand(1, 1, 3, 16, 16, requires_grad=True)
    loss(generated, pictures(torch.rand(1, 1, 3, 16, 16))).backward()
    assert generated.grad is not None
    assert generated.grad.any()


def test_safetensors_and_the_cache_of_torch_hub_are_read(
    weights: Path, tensors: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_file(tensors, tmp_path / "vgg16.safetensors")
    cached = tmp_path / "hub" / "checkpoints" / "vgg16-397923af.pth"
    cached.parent.mkdir(parents=True)
    cached.symlink_to(weights)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for network in (load_vgg16(tmp_path / "vgg16.safetensors"), load_vgg16()):
        assert all(torch.equal(tensors[name], value) for name, value in network.state_dict().items())


def test_what_is_missing_or_wrong_is_told(
    tensors: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "nothing"))
    with pytest.raises(TapError, match=r"vgg16-397923af.pth: no such file.*tap3d\[perceptual\].*IMAGENET1K_V1"):
        PerceptualLoss()
    first = {name: tensors[name] for name in ("features.0.weight", "features.0.bias")}
    torch.save(first, tmp_path / "few.pth")
    with pytest.raises(TapError, match=r"24 tensors differ, the first is features.10.bias.*missing where \(256,\)"):
        PerceptualLoss(tmp_path / "few.pth")
    torch.save({"state": first}, tmp_path / "nested.pth")
    with pytest.raises(TapError, match="no plain table of tensors"):
        PerceptualLoss(tmp_path / "nested.pth")
    torch.save({"features.0.weight": tmp_path}, tmp_path / "object.pth")  # a pickle that holds more than tensors
    for name in ("text.pth", "text.safetensors"):
        (tmp_path / name).write_text("hello")
    for name in ("text.pth", "text.safetensors", "object.pth"):
        with pytest.raises(TapError, match=f"{name}: cannot be read as weights"):
            PerceptualLoss(tmp_path / name)


def test_pictures_that_do_not_fit_are_refused(weights: Path) -> None:
    loss = PerceptualLoss(weights)
    with pytest.raises(TapError, match="red, green and blue"):
        loss(torch.rand(1, 1, 4, 16, 16), pictures(torch.rand(1, 1, 4, 16, 16)))
    with pytest.raises(TapError, match="against images"):
        loss(torch.rand(1, 1, 3, 16, 16), pictures(torch.rand(1, 1, 3, 32, 32)))
    with pytest.raises(TapError, match="8 px pictures, it needs at least 16"):
        loss(torch.rand(1, 1, 3, 8, 8), pictures(torch.rand(1, 1, 3, 8, 8)))
