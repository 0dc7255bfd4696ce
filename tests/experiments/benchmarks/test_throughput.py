"""The sides of the engine's benchmark: the same network and batch, images as files, numbers of each pair of turns."""

import numpy as np
import pytest
from PIL import Image

from a2mim.experiments.benchmarks.throughput import Conditions, Net, bare_loop, compare, peak_megabytes, write_jpegs

TINY = Net(
    "tiny", "vit_tiny_patch16_224", dict(img_size=16, patch_size=4, embed_dim=24, depth=1, num_heads=2), 16, 4, 4
)
HERE = Conditions(workers=0)


def test_files_in_the_proportions_of_photographs(tmp_path):
    paths = sorted(write_jpegs(tmp_path, 5, 224).glob("*/*.jpg"))
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == [
        "0/0.jpg",
        "0/2.jpg",
        "0/4.jpg",
        "1/1.jpg",
        "1/3.jpg",
    ]
    with Image.open(paths[0]) as image:
        assert (image.size, image.format) == ((500, 375), "JPEG")
    assert 10_000 < paths[0].stat().st_size < 200_000


@pytest.mark.parametrize("files", [False, True])
def test_both_sides_run_in_turn(tmp_path, files):
    data = {"dataset": "folder", "data_dir": str(write_jpegs(tmp_path, 12, 16))} if files else {}
    found = compare(TINY, HERE, data, steps=3, pairs=2)
    assert found.engine.shape == found.bare.shape == found.waiting.shape == (2,)
    assert (found.engine > 0).all()
    assert (found.bare > 0).all()
    assert ((found.waiting >= 0) & (found.waiting <= 1)).all()


def test_the_bare_loop_trains():
    import torch

    loop = bare_loop(TINY, Conditions(amp=True, channels_last=True))
    before = torch.random.get_rng_state()
    loop(2)
    assert torch.equal(before, torch.random.get_rng_state())  # one batch, drawn before


def test_memory_is_that_of_a_process_of_its_own():
    peaks = [peak_megabytes(TINY, HERE, side) for side in ("engine", "bare")]
    assert np.isfinite(peaks).all()
    assert min(peaks) > 0
