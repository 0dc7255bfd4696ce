"""The way from checkpoints to files, where it is more than a call."""

import pytest
from small_data import write_images

import a2mim
from a2mim.analysis.core import pipeline
from a2mim.errors import InputError


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("runs/my-run", "my-run"),
        ("runs/my-run/last.pth.tar", "my-run"),
        ("runs/my-run/model_best.pth.tar", "my-run"),
        ("runs/my-run/backbone.safetensors", "my-run"),
        ("weights/vit.v2.safetensors", "vit.v2"),
        ("mae.pth", "mae"),
        ("fashion-vit-a2mim", "fashion-vit-a2mim"),
    ],
)
def test_a_checkpoint_is_called_after_its_run_or_its_file(path, name):
    assert pipeline.name_of(path) == name


def test_the_grid_is_the_papers_where_it_fits():
    assert pipeline.auto_grid((224, 224)) == (14, 14)
    assert pipeline.auto_grid((32, 64)) == (8, 8)
    assert pipeline.auto_grid((96, 192)) == (12, 12)


def test_checkpoints_of_one_name_are_told_apart_by_their_paths(reference, tmp_path):
    copies = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        copies.append(str(tmp_path / folder / "small_cnn.safetensors"))
        (tmp_path / folder / "small_cnn.safetensors").write_bytes((reference / "small_cnn.safetensors").read_bytes())
    assert [subject.name for subject in pipeline.load_subjects(copies, a2mim.load_encoder)] == copies
    with pytest.raises(InputError, match="given twice"):
        pipeline.load_subjects([copies[0]] * 2, a2mim.load_encoder)


def test_all_models_are_given_the_same_images(reference):
    _, report = a2mim.load_encoder(reference / "small_cnn.safetensors")
    images = pipeline.Images(limit=30, seed=4)
    indices = [batch.indices.tolist() for batch in images.loader(report)]
    assert indices == [batch.indices.tolist() for batch in pipeline.Images(limit=30, seed=4).loader(report)]
    assert indices != [batch.indices.tolist() for batch in pipeline.Images(limit=30, seed=5).loader(report)]
    assert images.or_limit(5) is images
    assert pipeline.Images().or_limit(5).limit == 5


def test_the_settings_name_the_device_that_was_taken():
    assert pipeline.about([], "auto", 0.0)["device"] in ("cpu", "cuda", "mps")


def test_some_classes_of_a_folder_alone_are_looked_at(tmp_path):
    write_images(tmp_path, *(f"val/{name}/{number}.png" for name in ("cat", "dog", "owl") for number in range(2)))
    (tmp_path / "classes.txt").write_text("cat\nowl\n")
    images = pipeline.Images(data_dir=str(tmp_path), classes=str(tmp_path / "classes.txt"))
    assert images.source().classes == ("cat", "owl")
    assert len(images.source()) == 4
    assert images.describe()["classes"].endswith("classes.txt")
