"""The random generator of one sample: a function of (seed, key) alone, whoever draws and in which order.

A second purpose takes a key of its own, ``key + "/rig"`` for instance: no sample's key has a slash, so streams never meet.
"""

import hashlib

import numpy as np


def generator_for(seed: int, key: str) -> np.random.Generator:
    """The random generator of one sample: the same for the same (seed, key), whoever asks and when."""
    digest = hashlib.sha256(key.encode()).digest()
    words = [int.from_bytes(digest[i : i + 4], "little") for i in range(0, 16, 4)]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *words])))
