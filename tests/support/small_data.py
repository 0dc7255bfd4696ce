"""Small data sets in the formats that people have them in, written by the tests that read them."""

import gzip
import os
import struct
import zlib

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


def tiff(array, photometric=2, sample_format=1, extra=None):
    """An uncompressed little-endian TIFF, literally: (H, W) or (H, W, C) values of any type.

    ``photometric``: 1 grey, 2 RGB; ``sample_format``: 1 unsigned, 2 signed, 3 float; ``extra``: ExtraSamples.
    """
    array = array if array.ndim == 3 else array[..., None]
    rows, cols, bands = array.shape
    tags = {256: [cols], 257: [rows], 258: [array.itemsize * 8] * bands, 259: [1], 262: [photometric], 273: [0]}
    tags |= {277: [bands], 278: [rows], 279: [array.nbytes], 339: [sample_format] * bands}
    tags |= {} if extra is None else {338: extra}
    long, data, start = (273, 279), b"", 8 + 2 + 12 * len(tags) + 4
    sizes = {tag: struct.pack(f"<{len(values)}{'I' if tag in long else 'H'}", *values) for tag, values in tags.items()}
    offset = start + sum(len(value) for value in sizes.values() if len(value) > 4)
    sizes[273] = struct.pack("<I", offset)
    entries = b""
    for tag in sorted(tags):
        value = sizes[tag]
        if len(value) > 4:
            value, data = struct.pack("<I", start + len(data)), data + value
        entries += struct.pack("<HHI", tag, 4 if tag in long else 3, len(tags[tag])) + value.ljust(4, b"\0")
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + data + array.tobytes()


def png16(array):
    """A PNG of 16 bits for each of 2 (grey, alpha), 3 or 4 bands, literally."""
    rows, cols, bands = array.shape
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in array)
    header = struct.pack(">IIBBBBB", cols, rows, 16, {2: 4, 3: 2, 4: 6}[bands], 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    body = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)
