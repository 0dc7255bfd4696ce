"""Small data sets in the formats that people have them in, written by the tests that read them."""

import gzip
import os

import numpy as np
from PIL import Image


def idx(array):
    """The idx format, literally: 0, 0, type 8 (bytes), dimensions, big-endian sizes, values."""
    return bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()


def write_fashion(folder, part, n, *, zipped=False, seed=0):
    """The two idx files of a part (train, t10k) with n noise images, labels 0 to 9 in turn; returns both arrays."""
    rng = np.random.default_rng(seed)
    images, labels = rng.integers(0, 256, (n, 28, 28), np.uint8), np.arange(n, dtype=np.uint8) % 10
    folder.mkdir(parents=True, exist_ok=True)
    for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
        data = idx(array)
        (folder / f"{part}-{kind}-ubyte{'.gz' if zipped else ''}").write_bytes(gzip.compress(data) if zipped else data)
    return images, labels


def write_images(root, *paths):
    """Small images at the given paths; the red of each is its place in the list."""
    for number, path in enumerate(paths):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (6, 5), (number, 0, 0)).save(root / path)
    return root


def relative_paths(source, root):
    return [os.path.relpath(source.path(i), root) for i in range(len(source))]
