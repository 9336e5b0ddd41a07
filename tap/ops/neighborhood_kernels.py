"""The loops behind `tap.ops.neighborhoods`, compiled with numba on first use; each runs on one thread, the interpreter freed.

Those that read an index return false, with their work half done, if it reaches outside of the rows of a cloud. bfloat16,
which numpy lacks, comes as the uint16 that its bits are.
"""

import numpy as np
from numba import njit


@njit(nogil=True, cache=True, error_model="numpy")
def add_centers(features, index, shift, sums):  # type: ignore[no-untyped-def]
    """Fill sums (B, G, K, C): features (B, N, C) at index (B, G, K), plus shift (B, G, C) of the center."""
    for cloud in range(len(index)):
        for center in range(index.shape[1]):
            for slot in range(index.shape[2]):
                place = index[cloud, center, slot]
                if not 0 <= place < features.shape[1]:
                    return False
                for channel in range(features.shape[2]):
                    number = features[cloud, place, channel] + shift[cloud, center, channel]
                    sums[cloud, center, slot, channel] = number
    return True


@njit(nogil=True, cache=True, error_model="numpy")
def add_centers_bfloat16(features, index, shift, sums):  # type: ignore[no-untyped-def]
    """`add_centers` of float32 with sums rounded to bfloat16, to the nearest and to even."""
    values = np.empty(features.shape[2], np.float32)
    bits = values.view(np.uint32)
    for cloud in range(len(index)):
        for center in range(index.shape[1]):
            for slot in range(index.shape[2]):
                place = index[cloud, center, slot]
                if not 0 <= place < features.shape[1]:
                    return False
                for channel in range(features.shape[2]):
                    values[channel] = features[cloud, place, channel] + shift[cloud, center, channel]
                row = sums[cloud, center, slot]
                for channel in range(features.shape[2]):
                    number = bits[channel]
                    half = np.uint32(0x7FFF) + ((number >> np.uint32(16)) & np.uint32(1))
                    rounded = (number + half) >> np.uint32(16)
                    is_nan = (number & np.uint32(0x7FFFFFFF)) > np.uint32(0x7F800000)
                    row[channel] = np.uint16(0x7FC0) if is_nan else np.uint16(rounded)
    return True


@njit(nogil=True, cache=True, error_model="numpy")
def add_centers_gradients(for_features, index, gradient, for_shift):  # type: ignore[no-untyped-def]
    """Add to for_features (B, N, C) and for_shift (B, G, C), which are 0, from the gradient (B, G, K, C) of the sums."""
    for cloud in range(len(index)):
        for center in range(index.shape[1]):
            for slot in range(index.shape[2]):
                place = index[cloud, center, slot]
                for channel in range(for_features.shape[2]):
                    for_features[cloud, place, channel] += gradient[cloud, center, slot, channel]
                for channel in range(for_features.shape[2]):
                    for_shift[cloud, center, channel] += gradient[cloud, center, slot, channel]
    return True


@njit(nogil=True, cache=True, error_model="numpy")
def add_centers_gradients_bfloat16(for_features, index, gradient, for_shift):  # type: ignore[no-untyped-def]
    """`add_centers_gradients` to float32 from bfloat16."""
    bits = np.empty(for_features.shape[2], np.uint32)
    values = bits.view(np.float32)
    for cloud in range(len(index)):
        for center in range(index.shape[1]):
            for slot in range(index.shape[2]):
                place = index[cloud, center, slot]
                for channel in range(for_features.shape[2]):
                    bits[channel] = np.uint32(gradient[cloud, center, slot, channel]) << np.uint32(16)
                for channel in range(for_features.shape[2]):
                    for_features[cloud, place, channel] += values[channel]
                for channel in range(for_features.shape[2]):
                    for_shift[cloud, center, channel] += values[channel]
    return True


@njit(nogil=True, cache=True, error_model="numpy")
def largest(rows, values, slots):  # type: ignore[no-untyped-def]
    """Fill values (R, C) with the largest of rows (R, K, C) over K, and slots (R, C) with its first place; NaN is largest."""
    for row in range(len(rows)):
        best, found = values[row], slots[row]
        for channel in range(rows.shape[2]):
            best[channel] = rows[row, 0, channel]
            found[channel] = 0
        for slot in range(1, rows.shape[1]):
            for channel in range(rows.shape[2]):
                number, most = rows[row, slot, channel], best[channel]
                above = (number > most) | ((number != number) & (most == most))
                best[channel] = number if above else most
                found[channel] = slot if above else found[channel]


@njit(nogil=True, cache=True, error_model="numpy")
def largest_bfloat16(rows, values, slots):  # type: ignore[no-untyped-def]
    """`largest` of bfloat16: its bits become whole numbers of the same order, both zeros one of them."""
    best = np.empty(rows.shape[2], np.int16)
    for row in range(len(rows)):
        found = slots[row]
        for channel in range(rows.shape[2]):
            best[channel] = _rank(rows[row, 0, channel])
            found[channel] = 0
        for slot in range(1, rows.shape[1]):
            for channel in range(rows.shape[2]):
                number, most = _rank(rows[row, slot, channel]), best[channel]
                best[channel] = max(number, most)
                found[channel] = np.int16(slot) if number > most else found[channel]
        for channel in range(rows.shape[2]):
            values[row, channel] = rows[row, found[channel], channel]


@njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _rank(bits):  # type: ignore[no-untyped-def]
    """Where a bfloat16 stands among all, as int16; NaN of either sign is the largest."""
    size = np.int16(bits & np.uint16(0x7FFF))
    rank = np.int16(-size) if bits > np.uint16(0x7FFF) else size
    return np.int16(0x7FFF) if size > np.int16(0x7F80) else rank


@njit(nogil=True, cache=True, error_model="numpy")
def spread_out(gradient, slots, rows):  # type: ignore[no-untyped-def]
    """Fill rows (R, K, C): the gradient (R, C) at its place among the K, 0 elsewhere."""
    nothing = gradient.dtype.type(0)
    for row in range(len(rows)):
        for slot in range(rows.shape[1]):
            for channel in range(rows.shape[2]):
                rows[row, slot, channel] = gradient[row, channel] if slots[row, channel] == slot else nothing


@njit(nogil=True, cache=True, error_model="numpy")
def offset_sums(features, index, own, kept, sums):  # type: ignore[no-untyped-def]
    """Fill sums (B, 2) with the sum and the sum of squares of features at index less own, at the centers kept (B, G)."""
    one, two = np.empty(features.shape[2], features.dtype), np.empty(features.shape[2], features.dtype)
    for cloud in range(len(index)):
        total = squares = 0.0
        for center in range(index.shape[1]):
            if not kept[cloud, center]:
                continue
            one[:] = 0
            two[:] = 0
            for slot in range(index.shape[2]):
                place = index[cloud, center, slot]
                if not 0 <= place < features.shape[1]:
                    return False
                for channel in range(features.shape[2]):
                    offset = features[cloud, place, channel] - own[cloud, center, channel]
                    one[channel] += offset
                    two[channel] += offset * offset
            for channel in range(features.shape[2]):
                total += one[channel]
                squares += two[channel]
        sums[cloud, 0], sums[cloud, 1] = total, squares
    return True


@njit(nogil=True, cache=True, error_model="numpy")
def offset_sums_gradients(features, index, own, kept, gradient, for_features, for_own):  # type: ignore[no-untyped-def]
    """Add to for_features (B, N, C) and for_own (B, G, C), which are 0, from the gradient (B, 2) of `offset_sums`."""
    for cloud in range(len(index)):
        one, two = gradient[cloud, 0], 2 * gradient[cloud, 1]
        for center in range(index.shape[1]):
            if not kept[cloud, center]:
                continue
            for slot in range(index.shape[2]):
                place = index[cloud, center, slot]
                for channel in range(features.shape[2]):
                    offset = features[cloud, place, channel] - own[cloud, center, channel]
                    change = one + two * offset
                    for_features[cloud, place, channel] += change
                    for_own[cloud, center, channel] -= change
    return True
