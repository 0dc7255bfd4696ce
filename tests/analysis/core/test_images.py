"""Which images an analysis looks at."""

from small_data import write_images

import a2mim
from a2mim.analysis.core.images import Images


def test_all_models_are_given_the_same_images(reference):
    _, report = a2mim.load_encoder(reference / "small_cnn.safetensors")
    images = Images(limit=30, seed=4)
    indices = [batch.indices.tolist() for batch in images.loader(report)]
    assert indices == [batch.indices.tolist() for batch in Images(limit=30, seed=4).loader(report)]
    assert indices != [batch.indices.tolist() for batch in Images(limit=30, seed=5).loader(report)]
    assert images.or_limit(5) is images
    assert Images().or_limit(5).limit == 5


def test_some_classes_of_a_folder_alone_are_looked_at(tmp_path):
    write_images(tmp_path, *(f"val/{name}/{number}.png" for name in ("cat", "dog", "owl") for number in range(2)))
    (tmp_path / "classes.txt").write_text("cat\nowl\n")
    images = Images(data_dir=str(tmp_path), classes=str(tmp_path / "classes.txt"))
    assert images.source().classes == ("cat", "owl")
    assert len(images.source()) == 4
    assert images.describe()["classes"].endswith("classes.txt")


def test_how_files_are_read_is_part_of_what_identifies_the_images(tmp_path):
    write_images(tmp_path, *(f"val/{name}/0.png" for name in ("2", "9", "10")))
    images = Images(data_dir=str(tmp_path), class_order="name", exif_rotate=True)
    assert images.source().classes == ("10", "2", "9")
    assert Images(data_dir=str(tmp_path)).source().classes == ("2", "9", "10")
    described = images.describe()
    assert (described["class_order"], described["exif_rotate"]) == ("name", True)
    assert not {"class_order", "value_range", "exif_rotate"} & Images().describe().keys()
