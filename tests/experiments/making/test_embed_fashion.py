"""The embedded images can be made again from the original files."""

from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from small_data import write_fashion

from a2mim.data.sources import read_fashion_files
from a2mim.errors import InputError
from a2mim.experiments.making import embed_fashion

ORIGINALS = Path("/usr/share/datasets/fashion-mnist")


def test_the_choice_is_balanced_fixed_and_from_the_original(tmp_path):
    originals = {split: write_fashion(tmp_path, part, 60) for split, part in (("train", "train"), ("val", "t10k"))}
    for name in ("a.npz", "b.npz"):
        embed_fashion.embed(tmp_path, tmp_path / name, {"train": 3, "val": 2})
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    arrays = np.load(tmp_path / "a.npz")
    for split, count in (("train", 3), ("val", 2)):
        images, labels = originals[split]
        chosen = arrays[f"{split}_indices"]
        assert np.array_equal(images[chosen], arrays[f"{split}_images"])
        assert np.array_equal(labels[chosen], arrays[f"{split}_labels"])
        assert np.bincount(arrays[f"{split}_labels"]).tolist() == [count] * 10


def test_too_few_images_of_a_class(tmp_path):
    with pytest.raises(InputError, match="6 images of class 0; 7 are needed"):
        embed_fashion.choose(np.arange(60) % 10, "train", 7)


@pytest.mark.skipif(not ORIGINALS.is_dir(), reason="needs Debian's package dataset-fashion-mnist")
@pytest.mark.parametrize("split", ["train", "val"])
def test_the_shipped_images_are_those_the_script_chooses(split):
    images, labels = read_fashion_files(ORIGINALS, split)
    indices = embed_fashion.choose(labels, split, embed_fashion.PER_CLASS[split])
    with resources.files("a2mim.assets").joinpath("fashion.npz").open("rb") as handle, np.load(handle) as arrays:
        assert np.array_equal(arrays[f"{split}_indices"], indices)
        assert np.array_equal(arrays[f"{split}_images"], images[indices])
        assert np.array_equal(arrays[f"{split}_labels"], labels[indices])


def test_a_wrong_folder_is_one_line(tmp_path):
    result = CliRunner().invoke(embed_fashion.main, ["--source", str(tmp_path)])
    assert result.exit_code == 1
    assert "Error: no train-images-idx3-ubyte[.gz] for the split 'train'" in result.output
