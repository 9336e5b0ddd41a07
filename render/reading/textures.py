"""Pictures of mesh files as textures: decoded with Pillow, bounded in size, always red, green and blue in bytes."""

import functools
import io
import warnings
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from render.errors import RenderError

if TYPE_CHECKING:
    from PIL import Image

PICTURE_FORMATS = ("PNG", "JPEG", "TGA", "BMP", "WEBP", "TIFF")
LARGEST_PICTURE = 1 << 26  # pixels; as many bytes of a compressed file are taken
_LARGEST_SIDE = 2048


@functools.lru_cache(maxsize=4)  # the models of one kit share a picture
def decode_picture(content: bytes) -> npt.NDArray[np.uint8]:
    """The picture, (h, w, 3) uint8, read-only, row 0 at the top.

    Transparency is dropped, 16-bit grey keeps its high byte, and a picture with a side above 2048 is reduced to 2048 by
    box averages.

    Raises:
        RenderError: none of `PICTURE_FORMATS`, damaged or cut short, or more than 64 million pixels.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of large pictures; the limit here is lower
            with Image.open(io.BytesIO(content), formats=PICTURE_FORMATS) as picture:
                if picture.width * picture.height > LARGEST_PICTURE:
                    raise RenderError(f"{picture.width} x {picture.height} pixels, more than {LARGEST_PICTURE:,}")
                colored = _to_rgb(picture)
                colored.thumbnail((_LARGEST_SIDE, _LARGEST_SIDE), Image.Resampling.BOX)
    except (RenderError, MemoryError):
        raise
    except Exception as error:  # Pillow's decoders raise anything from OSError to struct.error on damaged files
        raise RenderError(f"cannot decode: {type(error).__name__}: {error}") from error
    pixels = np.array(colored)
    pixels.flags.writeable = False
    return pixels


def _to_rgb(picture: "Image.Image") -> "Image.Image":
    from PIL import Image

    if picture.mode.startswith("I"):  # 16-bit grey, some of it in 32 bits; Pillow would clip it to white
        picture = Image.fromarray(np.clip(np.asarray(picture) >> 8, 0, 255).astype(np.uint8))
    elif picture.mode == "F":
        raise RenderError("holds floating-point numbers, not a picture's bytes")
    return picture.convert("RGB")
