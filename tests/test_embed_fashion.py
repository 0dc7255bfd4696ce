"""The embedded images can be made again from the original files."""

from importlib import resources

import numpy as np
import pytest
from click.testing import CliRunner
from small_data import write_fashion

from a2mim.errors import InputError
from a2mim.experiments import embed_fashion


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
    assert arrays["train_indices"].tolist() != arrays["train_indices"].tolist()[::-1]


def test_too_few_images_of_a_class(tmp_path):
    with pytest.raises(InputError, match="6 images of class 0, 7 are needed"):
        embed_fashion.choose(np.arange(60) % 10, "train", 7)


def test_the_shipped_file_is_what_the_script_makes():
    # the numbers it keeps are those that the script chooses, for the classes as they stand at these places
    with resources.files("a2mim.assets").joinpath("fashion.npz").open("rb") as handle, np.load(handle) as arrays:
        indices, labels = arrays["val_indices"], arrays["val_labels"]
    known = np.full(10_000, 255)
    known[indices] = labels
    assert np.array_equal(embed_fashion.choose(np.where(known < 10, known, -1), "val", 200), indices)


def test_a_wrong_folder_is_one_line(tmp_path):
    result = CliRunner().invoke(embed_fashion.main, ["--source", str(tmp_path)])
    assert result.exit_code == 1
    assert "Error: no train-images-idx3-ubyte[.gz] for the split 'train'" in result.output
