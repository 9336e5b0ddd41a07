"""The loops behind `tap.ops.rows`, compiled with numba on first use; each runs on one thread and frees the interpreter.

Each returns false, with its work half done, if an index reaches outside of the rows of a cloud.
"""

import numpy as np
from numba import njit


@njit(nogil=True, cache=True, error_model="numpy")
def take_rows(features, index, rows):  # type: ignore[no-untyped-def]
    """Fill rows (B, R, C) from features (B, N, C) by index (B, R)."""
    for cloud in range(len(index)):
        for row in range(index.shape[1]):
            place = index[cloud, row]
            if not 0 <= place < features.shape[1]:
                return False
            for channel in range(features.shape[2]):
                rows[cloud, row, channel] = features[cloud, place, channel]
    return True


@njit(nogil=True, cache=True, error_model="numpy")
def add_rows(sums, index, rows):  # type: ignore[no-untyped-def]
    """Add rows (B, R, C) to sums (B, N, C) at index (B, R)."""
    for cloud in range(len(index)):
        for row in range(index.shape[1]):
            place = index[cloud, row]
            if not 0 <= place < sums.shape[1]:
                return False
            for channel in range(sums.shape[2]):
                sums[cloud, place, channel] += rows[cloud, row, channel]
    return True


@njit(nogil=True, cache=True, error_model="numpy")
def add_bfloat16_rows(sums, index, rows):  # type: ignore[no-untyped-def]
    """`add_rows` to float32 sums of bfloat16 rows, given as the uint16 that they are the bits of."""
    bits = np.empty(sums.shape[2], np.uint32)
    values = bits.view(np.float32)
    for cloud in range(len(index)):
        for row in range(index.shape[1]):
            place = index[cloud, row]
            if not 0 <= place < sums.shape[1]:
                return False
            for channel in range(sums.shape[2]):
                bits[channel] = np.uint32(rows[cloud, row, channel]) << np.uint32(16)
            for channel in range(sums.shape[2]):
                sums[cloud, place, channel] += values[channel]
    return True


@njit(nogil=True, cache=True, error_model="numpy")
def mix_rows(features, index, weight, rows):  # type: ignore[no-untyped-def]
    """Fill rows (B, N, C) with features (B, G, C) at index (B, N, K) times weight (B, N, K), added in the order of K."""
    for cloud in range(len(index)):
        for row in range(index.shape[1]):
            rows[cloud, row] = 0
            for slot in range(index.shape[2]):
                place, share = index[cloud, row, slot], weight[cloud, row, slot]
                if not 0 <= place < features.shape[1]:
                    return False
                for channel in range(features.shape[2]):
                    rows[cloud, row, channel] += share * features[cloud, place, channel]
    return True


@njit(nogil=True, cache=True, error_model="numpy")
def mix_rows_gradients(features, index, weight, gradient, for_features, for_weight):  # type: ignore[no-untyped-def]
    """Add to for_features (B, G, C), which is 0, and fill for_weight (B, N, K), from the gradient (B, N, C) of the rows."""
    for cloud in range(len(index)):
        for row in range(index.shape[1]):
            for slot in range(index.shape[2]):
                place, share = index[cloud, row, slot], weight[cloud, row, slot]
                if not 0 <= place < features.shape[1]:
                    return False
                product = share * 0
                for channel in range(features.shape[2]):
                    for_features[cloud, place, channel] += share * gradient[cloud, row, channel]
                    product += features[cloud, place, channel] * gradient[cloud, row, channel]
                for_weight[cloud, row, slot] = product
    return True
