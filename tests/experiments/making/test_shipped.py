"""The checkpoints that come with the package do what their names say."""

import pytest
import torch

import a2mim
from a2mim import checkpoint
from a2mim.analysis.core.images import Images
from a2mim.analysis.core.subjects import SHIPPED
from a2mim.analysis.occlusion import curves
from a2mim.analysis.reconstruction import pictures
from a2mim.experiments.making import shipped
from a2mim.masking import fill_masked, random_mask, resize_mask

NETS = [f"fashion-{net}" for net in shipped.NETWORKS]


def test_all_are_there_and_small():
    assert set(checkpoint.shipped()) == {name for net in shipped.NETWORKS for name in shipped.stages(net)}
    assert {name for names in SHIPPED.values() for name in names} <= set(checkpoint.shipped())
    assert sum(path.stat().st_size for path in checkpoint.shipped().values()) <= 6e6


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("start", ["a2mim", "scratch"])
def test_classifiers_classify(net, start):
    model, report = a2mim.load_encoder(f"{net}-{start}")
    assert (report.coverage, report.num_classes, report.missing, report.unexpected) == (1.0, 10, (), ())
    loader = Images(limit=300).loader(report)
    accuracy = curves.sweep(model, loader, grid=(4, 4), ratios=(0, 1), runs=1).accuracy[0]
    assert accuracy[0] > 0.75
    assert accuracy[1] < 0.2


@pytest.mark.parametrize("net", NETS)
def test_pretrained_models_predict_hidden_pixels_better_than_the_mean_does(net):
    model, report = a2mim.load_masked_model(f"{net}-pretrained")
    assert report.args["mask_patch_size"] == 8
    images = next(iter(Images(limit=100).loader(report, 100))).images
    mask = random_mask(100, (4, 4), 0.6, torch.Generator().manual_seed(0))
    shown = pictures.panels(model, images, mask)
    hidden = resize_mask(mask, (32, 32))[:, None].expand_as(images)
    mean_filled = (fill_masked(images, mask) - images).abs()[hidden].mean() * 0.353
    assert (shown.prediction - shown.original).abs()[hidden].mean() < 0.7 * mean_filled
