"""Perceptual loss: how far generated pictures are from the true ones in the features of a VGG-16 trained on ImageNet.

Off by default; the paper finds that it does not help (models H1 and H2). The network's 13 convolutions stand here, so
torchvision is needed only to get their weights. Legend: B batch, V views, C channels, H W pixels.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from tap.batch import ViewBatch
from tap.errors import TapError

WEIGHTS_NAME = "vgg16-397923af.pth"
BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))  # a max pool between two
SMALLEST_SIDE = 16  # the four pools leave one pixel
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pixels in [0, 1]


class VGG16Features(nn.Module):
    """The convolutions of VGG-16; parameters are named as in torchvision, ``features.0.weight`` and so on.

    Source: Very Deep Convolutional Networks for Large-Scale Image Recognition (arXiv 1409.1556), configuration D.
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for number, block in enumerate(BLOCKS):
            layers += [nn.MaxPool2d(2)] * (number > 0)
            for width in block:
                layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU()]
                inputs = width
        self.features = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> list[Tensor]:
        """(B, 3, H, W) in [0, 1] to the 13 feature maps after each ReLU, (B, c, h, w) each, full size first."""
        mean, deviation = (images.new_tensor(numbers)[:, None, None] for numbers in (_MEAN, _DEVIATION))
        values = (images - mean) / deviation
        maps = []
        for layer in self.features:
            values = layer(values)
            if isinstance(layer, nn.ReLU):
                maps.append(values)
        return maps


class PerceptualLoss(nn.Module):
    """Sum over VGG-16's layers of the squared distance of features over their number c h w.

    The network is frozen, follows the device of the pictures at first use, and is hidden from `state_dict` and
    `parameters`: it enters no checkpoint and no optimizer.

    Args:
        weights: file of torchvision's ``vgg16`` (.pth) or of the same tensors (.safetensors); None for the one that
            torchvision leaves in torch hub's cache.
    Source: Take-A-Photo, equation 11, after Perceptual Losses (ECCV 2016), whose distance is squared. The paper sums
        over the layers of the network and picks none out, so all 13 that keep a picture's layout are taken, after
        their ReLU.

    Raises:
        TapError: no such file, or not these tensors.
    """

    def __init__(self, weights: Path | None = None) -> None:
        super().__init__()
        self._hidden = (load_vgg16(weights),)  # in a tuple, where nn.Module does not look for submodules

    def forward(self, generated: Tensor, views: ViewBatch) -> Tensor:
        """() float32, the mean over all views of valid samples; 0 where none is valid.

        Args:
            generated: (B, V, 3, H, W) in [0, 1].
            views: with images of the same shape.

        Raises:
            TapError: no images, other shapes, or pictures that are too small for the network.
        """
        if views.images is None or views.images.shape != generated.shape or generated.shape[2] != 3:
            true = None if views.images is None else tuple(views.images.shape)
            raise TapError(
                f"perceptual loss: generated {tuple(generated.shape)} against images {true}; both must be "
                "(B, V, 3, H, W), the red, green and blue channels alone"
            )
        if min(generated.shape[-2:]) < SMALLEST_SIDE:
            raise TapError(f"perceptual loss: {generated.shape[-1]} px pictures, it needs at least {SMALLEST_SIDE}")
        network = self._hidden[0].to(generated.device)
        drawn = network(generated.flatten(0, 1))  # 13 x (B V, c, h, w)
        with torch.no_grad():
            wanted = network(views.images.flatten(0, 1).to(generated.dtype))
        distance = torch.stack(
            [
                F.mse_loss(ours.float(), theirs.float(), reduction="none").mean((1, 2, 3))
                for ours, theirs in zip(drawn, wanted, strict=True)
            ]
        ).sum(0)  # (B V,)
        valid = distance.new_ones(len(generated)) if views.valid is None else views.valid.to(distance.dtype)
        counts = valid.repeat_interleave(generated.shape[1])  # (B V,)
        return torch.where(counts > 0, distance, 0).sum() / counts.sum().clamp(min=1)


def load_vgg16(weights: Path | None = None) -> VGG16Features:
    """The frozen network on the CPU, every one of its 26 tensors read and checked.

    Args:
        weights: as of `PerceptualLoss`.

    Raises:
        TapError: no such file, unreadable, or other tensors than VGG-16's; its classifier may be there and is left out.
    """
    file = Path(torch.hub.get_dir()) / "checkpoints" / WEIGHTS_NAME if weights is None else Path(weights)
    if not file.is_file():
        raise TapError(
            f"{file}: no such file, and the perceptual loss needs the weights of VGG-16; get them with "
            "pip install 'tap3d[perceptual]' and python -c \"import torchvision; torchvision.models.vgg16("
            "weights='IMAGENET1K_V1')\", or name a file with loss.perceptual_file"
        )
    stored = {name: tensor for name, tensor in _read(file).items() if not name.startswith("classifier.")}
    with torch.device("meta"):  # nothing is drawn from torch's random state
        network = VGG16Features()
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in stored.items()}
    wrong = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
    if wrong:
        first = wrong[0]
        raise TapError(
            f"{file}: not the weights of VGG-16: {len(wrong)} tensors differ, the first is {first}, shape "
            f"{found.get(first, 'missing')} where {wanted.get(first, 'none')} belongs"
        )
    network.load_state_dict(stored, assign=True)
    return network.float().requires_grad_(False).eval()


def _read(file: Path) -> dict[str, Tensor]:
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        # Not mapped: torchvision's file is of torch's first format, which cannot be.
        content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a file of something else ends torch's unpickler in nearly any of them
        raise TapError(
            f"{file}: cannot be read as weights: {type(error).__name__}: {str(error).partition(chr(10))[0]}"
        ) from error
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise TapError(f"{file}: holds no plain table of tensors; it must be a state_dict")
    return content
