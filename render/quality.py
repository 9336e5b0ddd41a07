"""Quality flags of a sample: what is worth a look before it is trained on. Flags never stop a render."""

import numpy as np
import numpy.typing as npt

BLANK_VIEW = "blank_view"
CUT_BY_FRAME = "cut_by_frame"


def view_flags(views: npt.NDArray[np.uint8]) -> list[str]:
    """The flags of a sample's views, sorted.

    Args:
        views: (V, H, W, 2) uint8 grey and alpha.

    Returns:
        ``blank_view`` when a view shows nothing; ``cut_by_frame`` when a silhouette touches the edge of its image.
    """
    alpha = views[..., 1] > 0
    flags = []
    if not alpha.any(axis=(1, 2)).all():
        flags.append(BLANK_VIEW)
    if alpha[:, [0, -1], :].any() or alpha[:, :, [0, -1]].any():
        flags.append(CUT_BY_FRAME)
    return flags
