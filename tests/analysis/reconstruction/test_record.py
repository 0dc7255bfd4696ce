"""From checkpoints to reconstructions: the same masks for all, parts that go on, numbers that fit the pictures."""

import json

import numpy as np
import pandas as pd
import pytest
import timm
import torch
from analysing import analyse
from PIL import Image

import a2mim
from a2mim.analysis.analyses import ANALYSES
from a2mim.analysis.core import measuring
from a2mim.analysis.core.images import Images
from a2mim.analysis.reconstruction import errors, record
from a2mim.analysis.reconstruction import pictures as reconstruction
from a2mim.checkpoint import export_safetensors, save_checkpoint
from a2mim.errors import InputError

ARGS = dict(channels=[8, 16, 24, 32], stem_width=4)
SKIMAGE = pytest.mark.skipif(
    bool(errors.no_ssim((32, 32))), reason="SSIM needs scikit-image: pip install 'a2mim[ssim]'"
)


def write_model(path, *, seed=0, img_size=32, args=None, **options):
    """A small pre-training checkpoint with random weights and a token that shows."""
    torch.manual_seed(seed)
    model = a2mim.create_model("resnet14t", model_args=ARGS, img_size=img_size, **options)
    torch.nn.init.normal_(model.mask_token, std=3)
    described = dict(kind="pretrain", epoch=1, arch=model.arch, model_args=model.model_args, mim_args=model.mim_args)
    described |= dict(num_classes=0, input_size=(3, *model.img_size), mean=model.mean, std=model.std)
    described |= dict(args=args or {"mask_ratio": 0.5, "mask_patch_size": 8}, state_dict=model.state_dict())
    save_checkpoint(path, described)
    return str(path)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return [write_model(folder / "one.pth.tar"), write_model(folder / "two.pth.tar", seed=1, fill="dataset-mean")]


def run(checkpoints, output, **options):
    given = tuple(options.pop("given", ()))
    images = Images(seed=3, given=given) if given else Images(limit=10, seed=3)
    options = {"images": images, "seed": 3, "device": "cpu", "progress": False, "shown": 2} | options
    return analyse("reconstruct", checkpoints, output, **options)


def tables(written):
    return {key: pd.read_csv(written[key]) for key in ("csv", "summary", "bands")}


def test_several_models_with_and_without_token(models, tmp_path):
    written = run(models, tmp_path, names=["+ T", "+ L_freq"], token="both", shown=2)
    assert all(path.is_file() for path in written.values())
    table, summary, bands = tables(written).values()
    measures = [name for name in ("l1", "psnr", "ssim") if name in table]
    assert list(table.columns) == ["checkpoint", "token", "image", *measures]
    variants = [("+ T", "with"), ("+ T", "without"), ("+ L_freq", "with"), ("+ L_freq", "without")]
    groups = {key: rows.reset_index() for key, rows in table.groupby(["checkpoint", "token"])}
    assert list(dict.fromkeys(zip(table.checkpoint, table.token, strict=True))) == variants
    for key in variants:
        assert groups[key].image.tolist() == groups[variants[0]].image.tolist()
        other = {variants[1]: variants[0], variants[2]: variants[0], variants[3]: variants[2]}.get(key)
        for measure in measures:
            row = summary[(summary.checkpoint == key[0]) & (summary.token == key[1]) & (summary.measure == measure)]
            assert row.value.item() == pytest.approx(groups[key][measure].mean())
            assert row.ci_low.item() < row.value.item() < row.ci_high.item()
            if other is None:
                assert row[["difference", "against"]].isna().all(axis=None)
                continue
            assert row.difference.item() == pytest.approx((groups[key][measure] - groups[other][measure]).mean())
            assert row.against.item() == other[0]
            assert row.difference_ci_low.item() < row.difference.item() < row.difference_ci_high.item()
    squares = 10 ** (-bands.psnr / 10)  # Parseval, over all images
    of_bands = squares.groupby([bands.checkpoint, bands.token]).sum()
    of_images = (10 ** (-table.psnr / 10)).groupby([table.checkpoint, table.token]).mean()
    assert of_bands.tolist() == pytest.approx(of_images.tolist())
    assert (bands.ci_low < bands.error).all()
    assert (bands.error < bands.ci_high).all()
    last = bands[(bands.checkpoint == "+ L_freq") & (bands.token == "with")]
    first = bands[(bands.checkpoint == "+ T") & (bands.token == "with")]
    assert last.ratio.tolist() == pytest.approx((last.error.to_numpy() / first.error.to_numpy()).tolist())
    settings = json.loads(written["json"].read_text())["settings"]
    assert settings["mask_grid"] == [4, 4]
    assert settings["mask_ratio"] == 0.5
    assert len(settings["drawn"]) == 2
    assert set(settings["drawn"]) <= set(table.image)


def test_numbers_and_pictures_are_those_of_the_panels(models, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        record.figures,
        "plot",
        lambda models, captions, plot=record.figures.plot: drawn.append((models, captions)) or plot(models, captions),
    )
    table = tables(run(models[:1], tmp_path, shown=3))["csv"]
    model, report = a2mim.load_masked_model(models[0])
    batch = next(iter(Images(limit=10, seed=3).loader(report, 10)))
    assert table.image.tolist() == batch.indices.tolist()
    mask = reconstruction.masks(batch.indices.tolist(), (32, 32), (4, 4), 0.5, seed=3)
    shown = reconstruction.panels(model, batch.images, mask)
    wanted = errors.scores(shown, mask)
    assert table.psnr.tolist() == pytest.approx(wanted.psnr.tolist(), rel=1e-5)
    ((pictures,), captions) = (list(drawn[0][0].values()), drawn[0][1]["one"])
    few = next(iter(Images(limit=3, seed=3).loader(report, 3))).indices.tolist()
    rows = [batch.indices.tolist().index(index) for index in few]
    for field, panel in shown._asdict().items():
        np.testing.assert_allclose(pictures[field], panel[rows].permute(0, 2, 3, 1), atol=0.5 / 255 + 1e-5)
    assert [caption.split(" dB")[0] for caption in captions] == [f"{psnr:.1f}" for psnr in wanted.psnr[rows]]


def test_the_batch_size_changes_nothing(models, tmp_path):
    first = tables(run(models[:1], tmp_path / "64", token="both"))
    for size in (1, 7):
        for key, table in tables(run(models[:1], tmp_path / str(size), token="both", batch_size=size)).items():
            pd.testing.assert_frame_equal(table, first[key], rtol=1e-4)


def test_shards_and_a_run_that_goes_on_give_the_same_bits(models, tmp_path, monkeypatch):
    whole = run(models, tmp_path / "whole", portion=4)
    said = []
    assert run(models, tmp_path / "shards", portion=4, shard=(1, 2), echo=said.append) == {}
    assert "2/2 is done" in said[-1]
    shards = run(models, tmp_path / "shards", portion=4, shard=(0, 2))

    measure, calls = record._measure, []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return measure(*arguments)

    monkeypatch.setattr(record, "_measure", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(models, tmp_path / "again", portion=4)
    again = run(models, tmp_path / "again", portion=4)
    assert len(calls) == 2 + 5  # six portions, of which one was kept
    for key in ("csv", "summary", "bands", "png"):
        assert whole[key].read_bytes() == shards[key].read_bytes() == again[key].read_bytes()
    with pytest.raises(InputError, match=r"other settings: mask_ratio is 0\.5 there, 0\.75 here"):
        run(models, tmp_path / "again", portion=4, mask_ratio=0.75)


def test_results_are_written_from_parts_alone(models, tmp_path):
    written = run(models, tmp_path / "a")
    folders = sorted((tmp_path / "a" / "reconstruct.parts").iterdir())
    again = measuring.collect(ANALYSES["reconstruct"], folders, {}).save(tmp_path / "b")
    assert written.keys() == again.keys()
    for key in ("csv", "summary", "bands", "png"):
        assert written[key].read_bytes() == again[key].read_bytes()


def test_all_models_get_the_cells_of_the_first_and_hear_of_it(models, tmp_path):
    other = write_model(tmp_path / "m.pth.tar", img_size=64, args={"mask_ratio": 0.75, "mask_patch_size": 8})
    said = []
    written = run([models[0], other], tmp_path, echo=said.append)
    assert json.loads(written["json"].read_text())["settings"]["mask_grid"] == [4, 4]
    assert said[-1] == "m: hidden are 0.5 of 4x4 cells; it was trained with 0.75 of 8x8 cells"
    assert all("these weights look untrained" in one for one in said[:-1])


def test_masks_that_do_not_fit_are_refused(models, tmp_path):
    odd = write_model(tmp_path / "odd.pth.tar", img_size=40)
    for options, message in [
        (dict(mask_patch_size=5), "5 pixels does not divide an image of 32x32; these do: 1, 2, 4, 8, 16, 32"),
        (dict(mask_ratio=0.0), "hides nothing that could be reconstructed"),
        (dict(mask_ratio=1.5), "mask ratio of 1.5"),
        (dict(token="off"), "known: with, without, both"),
        (dict(images=Images(limit=10**6)), "1000000 images asked for"),
    ]:
        with pytest.raises(InputError, match=message):
            run(models, tmp_path / "out", **options)
    with pytest.raises(
        InputError, match="16x16 cells, as one takes them, do not divide the images of 40x40 pixels of odd"
    ):
        run([models[0], odd], tmp_path / "out", mask_patch_size=2)
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_without_a_head_is_refused_and_no_picture_drawn(models, tmp_path):
    encoder = timm.create_model("resnet14t", num_classes=0, **ARGS)
    torch.save(encoder.state_dict(), tmp_path / "timm.pth")
    torch.save({"model": timm.create_model("vit_tiny_patch16_224", num_classes=0).state_dict()}, tmp_path / "mae.pth")
    model, _ = a2mim.load_masked_model(models[0])
    described = dict(kind="pretrain", arch=model.arch, model_args=model.model_args, mim_args=model.mim_args)
    described |= dict(num_classes=0, input_size=(3, 32, 32), mean=model.mean, std=model.std)
    state = {name: value for name, value in model.state_dict().items() if not name.startswith("head.")}
    export_safetensors(
        tmp_path / "backbone.safetensors", described | {"state_dict": model.state_dict()}, encoder_only=True
    )
    save_checkpoint(tmp_path / "headless.pth.tar", described | {"state_dict": state})
    for name in ("timm.pth", "mae.pth", "backbone.safetensors"):
        with pytest.raises(InputError, match="no reconstruction head of a2mim"):
            run([str(tmp_path / name)], tmp_path / "out")
    with pytest.raises(InputError, match=r"missing or without a place: head\.project"):
        run([str(tmp_path / "headless.pth.tar")], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_given_images_are_all_drawn_in_their_order(models, tmp_path):
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{name}.png" for name in "zab"]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (48, 40, 3), np.uint8)).save(path)
    written = run(models[:1], tmp_path / "out", given=list(map(str, paths)), shown=None)
    assert tables(written)["csv"].image.tolist() == [0, 1, 2]
    about = json.loads(written["json"].read_text())
    assert about["settings"]["drawn"] == [0, 1, 2]
    assert about["images"]["given"] == list(map(str, paths))
    with pytest.raises(InputError, match=r"not\.png does not exist"):
        run(models[:1], tmp_path / "out", given=[str(tmp_path / "not.png")])
    with pytest.raises(InputError, match="is a folder; give it as --data-dir"):
        run(models[:1], tmp_path / "out", given=[str(tmp_path)])
    for images, asked in ((dict(limit=5), "5 images"), (dict(dataset="folder", data_dir="photos"), "photos")):
        with pytest.raises(InputError, match=f"image files are given, and {asked} of a data set too"):
            Images(given=(str(paths[0]),), **images)
    only = run(models[:1], tmp_path / "only", given=[str(paths[0])])
    assert tables(only)["summary"].ci_low.isna().all()


def test_a_folder_of_few_images_is_measured_whole(models, tmp_path):
    for number in range(5):
        Image.effect_noise((40, 48), 60).save(tmp_path / f"{number}.png")
    written = run(models[:1], tmp_path / "out", images=Images("folder", str(tmp_path), seed=3))
    assert len(tables(written)["csv"]) == 5


def test_a_model_without_a_token_is_named(tmp_path):
    path = write_model(tmp_path / "none.pth.tar", token="none")
    said = []
    table = tables(run([path], tmp_path, token="both", echo=said.append))["csv"]
    assert "none has no mask token: with and without are the same" in said
    assert table.psnr[table.token == "with"].tolist() == table.psnr[table.token == "without"].tolist()


@SKIMAGE
def test_ssim_is_a_column(models, tmp_path):
    written = run(models[:1], tmp_path)
    assert tables(written)["csv"].ssim.between(-1, 1).all()
    assert tables(written)["summary"].measure.tolist() == ["l1", "psnr", "ssim"]


def test_without_the_extra_there_is_no_ssim_and_a_note_says_so(models, tmp_path, monkeypatch):
    monkeypatch.setattr(errors.importlib.util, "find_spec", lambda name: None)
    said = []
    written = run(models, tmp_path, echo=said.append)
    assert list(tables(written)["csv"].columns) == ["checkpoint", "token", "image", "l1", "psnr"]
    (said,) = [one for one in said if "look untrained" not in one]
    assert "pip install 'a2mim[ssim]'" in said


def test_a_fill_of_noise_does_not_depend_on_the_batch(tmp_path):
    noisy = [write_model(tmp_path / "noisy.pth.tar", fill="noise")]
    one, other = (run(noisy, tmp_path / f"{size}", batch_size=size)["csv"] for size in (3, 10))
    pd.testing.assert_frame_equal(pd.read_csv(one), pd.read_csv(other), rtol=1e-4)
