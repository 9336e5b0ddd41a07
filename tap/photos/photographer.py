"""Photos of a point cloud by a pre-trained run, and where in the cloud their cells looked.

Legend: P, N points, V views, G tokens, C channels, h w cells, H W pixels.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from render.camera import Cameras
from shards.schema import Sample, image_name
from tap.batch import PointBatch, ViewBatch
from tap.config import validated
from tap.errors import TapError
from tap.loading.collate import Item, collate
from tap.loading.surface import read_surface
from tap.losses import target_sums
from tap.network.model import TakeAPhoto, build_model
from tap.photos.clouds import Cloud
from tap.targets import TargetName, image_kinds
from tap.tasks.pretraining.pretrain_config import PretrainConfig
from tap.training.checkpoint import find_checkpoint, load_record, load_weights

FloatArray = npt.NDArray[np.float32]
VIEWS_AT_ONCE = 24  # bounds the memory of a rig of hundreds of views
LEAST_POINTS = 32  # where the number of tokens follows that of the points


@dataclasses.dataclass(frozen=True, eq=False)
class Attention:
    """Where the cells of photos looked, in the last layer, as the mean over its heads.

    Attributes:
        weights: (V, h, w, G) float32, of each token; with ``background`` they sum to 1.
        background: (V, h, w) float32, of the entry that stands for no point; None for a model without one.
        centers: (G, 3) float32, where the tokens sit in the world.
    """

    weights: FloatArray
    background: FloatArray | None
    centers: FloatArray


class Photographer:
    """A pre-trained model that takes photos.

    Args:
        model: with its weights.
        config: of its run.
        rendering: settings that the shards of its run were rendered with, as far as the run knows them.
    """

    def __init__(self, model: TakeAPhoto, config: PretrainConfig, rendering: Mapping[str, Any]) -> None:
        self.model, self.config, self.rendering = model.eval(), config, rendering

    @property
    def image_size(self) -> int:
        """Side of a photo in pixels."""
        return self.config.model.image_size

    @property
    def targets(self) -> tuple[TargetName, ...]:
        """What a photo's channels hold, see `tap.targets`."""
        return self.config.targets

    @property
    def least_points(self) -> int:
        """Points that a cloud must have: no token may stand for none."""
        return self.model.backbone.num_tokens or LEAST_POINTS

    def sampled(self, cloud: Cloud, seed: int = 0) -> Cloud:
        """As many points as the model was trained on.

        Args:
            cloud: P points in the world frame, see `tap.photos.clouds.centred`.
            seed: of what is drawn.

        Returns:
            A random subset where the cloud has more, as in training; where it has fewer, each point equally often, but for
            a random rest.

        Raises:
            TapError: fewer points than tokens.
        """
        number, wanted = len(cloud.points), self.config.data.num_points
        if number < self.least_points:
            raise TapError(f"the cloud has {number:,} points, this model needs at least {self.least_points:,}")
        whole, rest = divmod(wanted, number)
        drawn = np.random.default_rng(seed).choice(number, rest, replace=False)
        return cloud.taken(np.concatenate([np.tile(np.arange(number), whole), drawn]))

    def true_views(self, sample: Sample) -> ViewBatch:
        """The views of a rendered sample as the model should draw them, at its image size.

        Args:
            sample: as shards hold it, with views and the images that the targets need.

        Returns:
            ViewBatch of one object, with images (1, V, C, H, W) and mask.

        Raises:
            TapError: the sample's image size is no multiple of the model's.
            ShardError: it lacks images that the targets need.
        """
        poses = np.asarray(sample.arrays["world_to_camera"], np.float32)
        numbers, kinds = list(range(len(poses))), image_kinds(self.targets)
        item = Item(
            points=np.ascontiguousarray(sample.arrays["points"][:, :3], np.float32),
            world_to_camera=poses,
            intrinsics=np.asarray(sample.arrays["intrinsics"], np.float32),
            parallel=sample.meta["projection"] == "parallel",
            images=tuple(sample.images[image_name("view", view)] for view in numbers),
            label=-1,
            index=0,
            valid=True,
            key=sample.key,
            surface=read_surface(sample, numbers, poses, kinds) if kinds else None,
        )
        return collate([item]).view_batch(self.image_size, self.targets)

    @torch.inference_mode()
    def photograph(self, cloud: Cloud, cameras: Cameras) -> FloatArray:
        """The photos that cameras would take.

        Args:
            cloud: N points in the world frame; see `sampled`.
            cameras: V of them; their images are drawn with `image_size` pixels along a side, whatever they were.

        Returns:
            (V, C, H, W) float32 in [0, 1], the channels of all targets of the run in their order.

        Raises:
            TapError: the cloud lacks the normals that the backbone reads.
        """
        points = self._point_batch(cloud)
        images = [self.model(points, views)[0].float() for views in self._views(cameras)]
        photos: FloatArray = torch.cat(images).numpy()
        return photos

    @torch.inference_mode()
    def attention(self, cloud: Cloud, cameras: Cameras) -> Attention:
        """Where the cells of these photos look.

        Args, Raises: as `photograph`.
        """
        encoded, attend = self.model.backbone(self._point_batch(cloud)), self.model.photograph.attention
        weights = torch.cat([attend(encoded, views)[0] for views in self._views(cameras)])  # (V, h w, M)
        num_tokens, cells = encoded.tokens.shape[1], math.isqrt(weights.shape[1])
        shaped = weights.reshape(len(weights), cells, cells, -1).numpy()  # (V, h, w, M)
        has_background = shaped.shape[-1] > num_tokens
        return Attention(
            weights=shaped[..., :num_tokens],
            background=shaped[..., num_tokens] if has_background else None,
            centers=encoded.centers[0].float().numpy(),
        )

    def _point_batch(self, cloud: Cloud) -> PointBatch:
        points, normals = _batched(cloud.points), None
        if self.config.model.backbone.settings.get("inputs") == "xyz_normal" and cloud.normals is not None:
            normals = _batched(cloud.normals)
        return PointBatch(points, normals)

    def _views(self, cameras: Cameras) -> list[ViewBatch]:
        scale = self.image_size / cameras.image_size
        poses, intrinsics = _batched(cameras.world_to_camera), _batched(cameras.intrinsics)
        intrinsics = intrinsics * torch.tensor([[scale], [scale], [1.0]])
        parallel = torch.tensor([cameras.projection == "parallel"])
        return [
            ViewBatch(poses[:, first : first + VIEWS_AT_ONCE], intrinsics[:, first : first + VIEWS_AT_ONCE], parallel)
            for first in range(0, cameras.num_views, VIEWS_AT_ONCE)
        ]


def load_photographer(run: Path) -> Photographer:
    """The model of a pre-training run, ready to take photos.

    Args:
        run: run folder (its last checkpoint is taken), or checkpoint folder.

    Raises:
        TapError: no checkpoint there, one of another task, or weights that do not fit its config.
    """
    checkpoint = find_checkpoint(run)
    record = load_record(checkpoint)
    task = record.get("task")
    if task != "pretrain":
        raise TapError(
            f"{run}: is of the task {task}, which keeps no photograph module and no generator; "
            "give the --out folder of tap pretrain, or a whole model that was exported or imported"
        )
    config = validated(PretrainConfig, record.get("config") or {}, f"{checkpoint / 'config.json'}")
    model = build_model(config.model)
    load_weights(model, checkpoint)
    rendering = record.get("render")
    return Photographer(model, config, rendering if isinstance(rendering, dict) else {})


def errors_against(true: ViewBatch, photos: FloatArray, targets: Sequence[str]) -> dict[str, tuple[float, float]]:
    """How far photos are from the true views.

    Args:
        true: of one object, with images (1, V, C, H, W) and mask, see `Photographer.true_views`.
        photos: (V, C, H, W) float32.
        targets: what the channels hold.

    Returns:
        By target the mean squared error on the object, and around it.
    """
    sums = target_sums(torch.from_numpy(photos)[None], true, targets)
    return {name: (float(part.foreground), float(part.background)) for name, part in sums.items()}


def _batched(array: npt.NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, np.float32))[None]
