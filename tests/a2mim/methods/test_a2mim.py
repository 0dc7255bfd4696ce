"""A2MIM's ablations, each as one would ask for it: Figures 6 and A3, Table 5, and the choices of the published code."""

import pytest
import torch
from small_methods import batch_of, task_of

from a2mim.encoders import sites
from a2mim.losses import PRESETS


def loss_of(**changes):
    task, batch = task_of("a2mim", "resnet", **changes), batch_of("a2mim")
    task.model.train()
    loss, values = task.loss(batch, torch.Generator().manual_seed(0))
    loss.backward()
    assert all(value.grad.isfinite().all() for value in task.model.parameters() if value.grad is not None)
    return loss.item(), {name: value.item() for name, value in values.items()}


def test_table_5_without_l_freq_without_its_weight_and_with_it():
    off, plain, focal = (loss_of(**changes) for changes in (dict(freq_lambda=0.0), dict(freq_weight="none"), {}))
    assert off[1]["frequency"] == 0
    assert off[0] == pytest.approx(off[1]["spatial"])
    for loss, values in (plain, focal):
        assert loss == pytest.approx(values["spatial"] + 0.5 * values["frequency"], rel=1e-6)
    assert 0 < focal[1]["frequency"] < plain[1]["frequency"]  # its weight is at most 1


@pytest.mark.parametrize("token", ["add", "replace", "none"])
@pytest.mark.parametrize("net", ["vit", "resnet"])
def test_figure_6_a_token_of_each_kind_at_every_site(net, token):
    batch = batch_of("a2mim")
    for site in sites.names(task_of("a2mim", net).model.encoder):
        task = task_of("a2mim", net, mask_layer=site, token=token)
        assert (task.model.site.name, task.settings.token) == (site, token)
        loss, _ = task.loss(batch, torch.Generator().manual_seed(0))
        loss.backward()
        assert (task.model.mask_token.grad is None) == (token == "none")


@pytest.mark.parametrize("fill", ["image-mean", "visible-mean", "dataset-mean", "zero", "black", "blur", "noise"])
def test_every_fill(fill):
    torch.manual_seed(0)
    assert loss_of(fill=fill)[0] > 0


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_of_the_loss(preset):
    assert loss_of(loss=preset)[0] > 0


@pytest.mark.parametrize(
    "changes",
    [
        *(dict(freq_blend=blend) for blend in ("prediction", "target", "mixed", "mean", "none")),
        *(dict(loss_spa=distance) for distance in ("l1", "l2", "focal-l1")),
        *(dict(loss_freq=distance) for distance in ("l1", "l2", "focal-l1")),
        *(dict(freq_max=over) for over in ("image", "batch", "none")),
        *(dict(freq_norm=norm) for norm in ("ortho", "backward", "forward")),
        dict(freq_visible_weight=1e-3, freq_blend="mixed"),
        dict(freq_alpha=2.0, freq_log=True),
        dict(token="replace", gamma=1e-6),
        dict(token="auto"),
        dict(mask_ratio=0.9, mask_patch_size=2),
        dict(mask_layer="layer2.0"),
    ],
    ids=str,
)
def test_every_choice_of_the_published_code_makes_a_step(changes):
    assert loss_of(**changes)[0] > 0


def test_averaged_spectra_are_told_to_depend_on_the_batch():
    said = task_of("a2mim", freq_ave_spectrum=True, batch_size=64).summary()
    assert "L_freq falls as 1 / batch: freq_lambda 0.5 is for batches of 64" in said
    assert "batch" not in task_of("a2mim").summary()
    assert "batch" not in task_of("a2mim", freq_ave_spectrum=True, freq_lambda=0.0).summary()
