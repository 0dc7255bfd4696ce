"""Spectra and variances from checkpoints to files: sums, intervals, portions, shards."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import timm
import torch
from analysing import analyse
from safetensors.torch import save_file

from a2mim.analysis.analyses import ANALYSES
from a2mim.analysis.core import measuring, merging, speed, subjects
from a2mim.analysis.core.images import Images
from a2mim.analysis.probes import features, spectrum, variance
from a2mim.analysis.probes import measure as probes
from a2mim.checkpoint import load_encoder
from a2mim.errors import InputError, RunError

VIT, RESNET = "fashion-vit-scratch", "fashion-resnet-scratch"


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(speed, "SECONDS", 0.0)


def run(analysis, output, networks=(RESNET,), n_images=20, **options):
    images = Images(limit=n_images)
    return analyse(analysis, list(networks), output, images=images, progress=False, portion=8, **options)


def table(folder, name):
    return pd.read_csv(folder / f"{name}.csv")


def maps_of(network, n_images, layers=None):
    """All maps of all images at once: what the pipeline never holds."""
    model, report = load_encoder(network)
    source = Images(limit=n_images).loader(report, n_images)
    with torch.inference_mode(), features.capture(model, layers) as captured:
        model(next(iter(source)).images)
    return captured.maps


def interval(values):
    """Mean over images and its interval, (..., 3), from the values themselves."""
    half = scipy.stats.sem(values, axis=0) * scipy.stats.t.ppf(0.975, len(values) - 1)
    return np.stack([values.mean(0), values.mean(0) - half, values.mean(0) + half], axis=-1)


def test_spectra_and_intervals_are_those_of_all_maps_at_once(tmp_path):
    written = run("spectrum", tmp_path, (RESNET, VIT))
    assert {path.name for path in written.values()} == {
        *(f"spectrum.{ending}" for ending in ("csv", "json", "png", "pdf")),
        "spectrum_at.csv",
        "spectrum_full.png",
        "spectrum_full.pdf",
    }
    found = table(tmp_path, "spectrum")
    assert list(found.columns[:5]) == ["checkpoint", "layer", "depth", "frequency", "log_amplitude"]
    assert found.n_images.unique().tolist() == [20]
    at = table(tmp_path, "spectrum_at").set_index(["checkpoint", "layer"])
    for network in (RESNET, VIT):
        maps = maps_of(network, 20)
        rows = found[found.checkpoint == network]
        assert rows.layer.drop_duplicates().tolist() == list(maps)
        assert rows.drop_duplicates("layer").depth.tolist() == pytest.approx(np.linspace(0, 1, len(maps)))
        for layer, map_ in maps.items():
            one, values = rows[rows.layer == layer], spectrum.log_amplitude(map_).double().numpy()
            expected = spectrum.frequencies(map_.shape[2:])
            np.testing.assert_allclose(one.frequency, expected)
            np.testing.assert_allclose(one[["log_amplitude", "ci_low", "ci_high"]], interval(values), atol=1e-5)
            assert set(zip(one.height, one.width, strict=True)) == {tuple(map_.shape[2:])}
            single = np.array([np.interp(0.5, expected, value) for value in values])
            row = at.loc[(network, layer)]
            assert row.frequency == 0.5  # the last of the smallest maps, 4x4
            np.testing.assert_allclose(row[["log_amplitude", "ci_low", "ci_high"]], interval(single), atol=1e-5)


@pytest.mark.parametrize(("kind", "ddof"), [("variance", 1), ("std", 0)])
def test_variances_and_intervals_are_those_of_all_maps_at_once(tmp_path, kind, ddof):
    written = run("variance", tmp_path, kind=kind, ddof=ddof)
    assert {path.name for path in written.values()} == {
        f"variance.{ending}" for ending in ("csv", "json", "png", "pdf")
    }
    found = table(tmp_path, "variance").set_index("layer")
    for layer, map_ in maps_of(RESNET, 20).items():
        expected = interval(variance.image_variance(map_, kind, ddof).double().numpy())
        np.testing.assert_allclose(found.loc[layer, [kind, "ci_low", "ci_high"]].astype(float), expected, rtol=1e-5)


def test_another_frequency_needs_no_new_measuring_and_interpolates_image_by_image(tmp_path, monkeypatch):
    run("spectrum", tmp_path, (RESNET, VIT))
    monkeypatch.setattr(probes, "sums", lambda *_: pytest.fail("measured again"))
    said = []
    run("spectrum", tmp_path, (RESNET, VIT), frequency=0.6, echo=said.append)
    found = table(tmp_path, "spectrum_at")
    assert found.frequency.unique().tolist() == [0.6]
    maps = {layer: map_ for layer, map_ in maps_of(RESNET, 20).items() if map_.shape[2] == 8}
    rows = found[found.checkpoint == RESNET].set_index("layer")
    assert list(rows.index) == list(maps)  # those of 4x4 end at 0.5
    assert f"{RESNET}: layer4.0 has no frequency of 0.6 π (its largest is 0.5 π)" in said
    for layer, map_ in maps.items():
        values = spectrum.log_amplitude(map_).double().numpy()
        single = np.array([np.interp(0.6, [0, 0.25, 0.5, 0.75], value) for value in values])
        np.testing.assert_allclose(
            rows.loc[layer, ["log_amplitude", "ci_low", "ci_high"]].astype(float), interval(single), atol=1e-5
        )
    with pytest.raises(InputError, match=r"no layer has a frequency of 0.8 π; the largest is 0.75 π"):
        run("spectrum", tmp_path / "x", frequency=0.8)
    with pytest.raises(InputError, match=r"frequency 1.5 must be above 0 and at most 1"):
        run("spectrum", tmp_path / "x", frequency=1.5)


@pytest.mark.parametrize("analysis", ["spectrum", "variance"])
def test_batches_make_no_odds(tmp_path, analysis):
    for size in (None, 1, 7):
        run(analysis, tmp_path / str(size), batch_size=size)
    whole = table(tmp_path / "None", analysis)
    for size in (1, 7):
        pd.testing.assert_frame_equal(table(tmp_path / str(size), analysis), whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("analysis", ["spectrum", "variance"])
def test_shards_in_any_order_and_folder_give_what_one_run_gives(tmp_path, analysis, monkeypatch):
    options = {"frequency": 0.3} if analysis == "spectrum" else {}
    run(analysis, tmp_path / "whole", **options)
    said = []
    assert run(analysis, tmp_path / "b", shard=(1, 2), echo=said.append, **options) == {}
    assert said == ["shard 2/2 is done; 2 portions of other shards are not there yet"]
    run(analysis, tmp_path / "a", shard=(0, 2), **options)
    merging.merge([tmp_path / "a", tmp_path / "b"], tmp_path / "merged", ANALYSES.values())
    names = [analysis, "spectrum_at"] if analysis == "spectrum" else [analysis]
    for name in names:
        assert (tmp_path / "merged" / f"{name}.csv").read_bytes() == (tmp_path / "whole" / f"{name}.csv").read_bytes()
    for rank in (1, 0):  # into one folder, as torchrun's processes write: the last one finishes
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", "2")
        assert bool(run(analysis, tmp_path / "torchrun", **options)) == (rank == 0)
    assert table(tmp_path / "torchrun", analysis).equals(table(tmp_path / "whole", analysis))


def test_parts_of_other_settings_are_refused(tmp_path):
    run("spectrum", tmp_path)
    with pytest.raises(InputError, match="parts of other settings: reduction is 'diagonal' there, 'radial' here"):
        run("spectrum", tmp_path, reduction="radial")
    run("variance", tmp_path)
    with pytest.raises(InputError, match="parts of other settings: layers is None there"):
        run("variance", tmp_path, layers=["layer1.0"])


KILLED = """
import sys
import torch
from a2mim.analysis.core import speed
from analysing import analyse
from a2mim.analysis.core.images import Images
torch.set_num_threads(1)
speed.SECONDS = 0.0
analyse("spectrum", [sys.argv[1]], sys.argv[2], images=Images(limit=160), portion=8, progress=False)
"""


def test_killed_and_gone_on_it_ends_with_the_same_bits(tmp_path):
    killed = tmp_path / "killed"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([sys.executable, "-c", KILLED, VIT, str(killed)], env=environment)
    while process.poll() is None and len(list(killed.glob("*.parts/*/*.npz"))) < 3:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait(60) == -signal.SIGKILL
    assert 3 <= len(list(killed.glob("*.parts/*/*.npz"))) < 20
    for folder in (killed, tmp_path / "whole"):
        run("spectrum", folder, [VIT], n_images=160)
    for name in ("spectrum.csv", "spectrum_at.csv"):
        assert (killed / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.fixture
def small_cnn(reference, monkeypatch):
    """At 32 pixels the last two of its maps are 2x2 and 1x1."""

    def load(path, **options):
        model, report = load_encoder(path, **options)
        return model, dataclasses.replace(report, input_size=(3, 32, 32))

    monkeypatch.setattr(subjects, "load_encoder", load)
    return str(reference / "small_cnn.safetensors")


def test_maps_too_small_are_left_out_with_a_note_and_depths_stay(tmp_path, small_cnn):
    said = []
    run("spectrum", tmp_path, [small_cnn], echo=said.append)
    found = table(tmp_path, "spectrum")
    assert found.layer.drop_duplicates().tolist() == ["maxpool", "layer1.0", "layer2.0"]
    assert found.depth.drop_duplicates().tolist() == [0, 0.25, 0.5]
    left_out = [f"layer{k}.0, maps so small have no frequency but zero" for k in (3, 4)]
    assert [f"small_cnn: left out: {note}" for note in left_out] == said
    assert json.loads((tmp_path / "spectrum.json").read_text())["left_out"] == {"small_cnn": left_out}
    said.clear()
    run("variance", tmp_path, [small_cnn], echo=said.append)
    found = table(tmp_path, "variance")
    assert found.depth.tolist() == [0, 0.25, 0.5, 0.75]
    assert found.notna().all(axis=None)
    assert said == ["small_cnn: left out: layer4.0, maps of one pixel have no variance"]
    run("spectrum", tmp_path / "radial", [small_cnn], reduction="radial")
    assert table(tmp_path / "radial", "spectrum").frequency.max() == 1
    with pytest.raises(InputError, match=r"small_cnn: no layer has a variance: layer4.0, maps of one pixel"):
        run("variance", tmp_path / "x", [small_cnn], layers=["layer4.0"])


def test_maps_that_are_not_square_have_a_radial_spectrum_only(tmp_path):
    size = dict(img_size=(32, 16), patch_size=4, embed_dim=16, depth=1, num_heads=2)
    model = timm.create_model("vit_tiny_patch16_224", num_classes=0, **size)
    save_file(model.state_dict(), tmp_path / "wide.safetensors")
    given = dict(networks=[str(tmp_path / "wide.safetensors")], arch="vit_tiny_patch16_224", model_args=size)
    message = "wide: layer 'patch_embed': maps of 8x4 pixels have no diagonal; take the radial mean: --reduction radial"
    with pytest.raises(InputError, match=message):
        run("spectrum", tmp_path / "a", n_images=4, **given)
    assert not (tmp_path / "a").exists()
    run("spectrum", tmp_path / "a", n_images=4, reduction="radial", **given)
    assert table(tmp_path / "a", "spectrum").frequency.tolist() == [0, 0.5, 1] * 3


def test_what_does_not_fit_is_refused_before_anything_is_written(tmp_path):
    for analysis, options, message in (
        ("spectrum", dict(layers=["layer1.1"]), f"{RESNET}: the model has no layer 'layer1.1'; near it: layer1.0"),
        ("variance", dict(layers=["fc"]), f"{RESNET}: layer 'fc' gives no map over the image"),
        ("spectrum", dict(reduction="rings"), "unknown reduction 'rings'"),
        ("variance", dict(kind="range"), "unknown kind 'range'"),
        ("variance", dict(n_images=10**6), "1000000 images asked for"),
    ):
        with pytest.raises(InputError, match=message):
            run(analysis, tmp_path / "x", **options)
    assert not (tmp_path / "x").exists()


def test_weights_that_give_no_numbers_are_named(tmp_path, monkeypatch):
    measure = variance.image_variance
    monkeypatch.setattr(variance, "image_variance", lambda *given: measure(*given) * float("nan"))
    with pytest.raises(RunError, match=f"{RESNET}: the maps of layer 'maxpool' are not finite"):
        run("variance", tmp_path)


def test_a_single_image_has_no_interval(tmp_path):
    run("variance", tmp_path, n_images=1)
    found = table(tmp_path, "variance")
    assert found.ci_low.isna().all()
    assert found.variance.notna().all()


def test_without_a_limit_there_is_one_and_it_is_no_more_than_there_are(tmp_path):
    record = dataclasses.replace(ANALYSES["variance"], most=16)
    quiet = {"progress": False}
    measuring.run(record, [RESNET], None, Images(), tmp_path / "a", **quiet).save(tmp_path / "a")
    assert table(tmp_path / "a", "variance").n_images.unique().tolist() == [16]
    measuring.run(record, [RESNET], None, Images(seed=3), tmp_path / "b", **quiet).save(tmp_path / "b")
    assert json.loads((tmp_path / "b" / "variance.json").read_text())["images"]["seed"] == 3
    assert not table(tmp_path / "a", "variance").equals(table(tmp_path / "b", "variance"))


def test_the_size_of_the_parts_does_not_depend_on_the_images(tmp_path):
    run("spectrum", tmp_path / "few", n_images=8)
    run("spectrum", tmp_path / "many", n_images=64)
    sizes = [
        {path.stat().st_size for path in folder.rglob("*.npz")} for folder in (tmp_path / "few", tmp_path / "many")
    ]
    assert sizes[0] == sizes[1]
