"""Devices by name; checkpointed gradients and compiled networks compute what plain ones do."""

import pytest
import timm
import torch

from a2mim import create_model
from a2mim.errors import InputError
from a2mim.masking import random_mask
from a2mim.settings import PretrainSettings
from a2mim.training.devices import pick_device, place, prepare

NETS = {
    "vit": ("vit_tiny_patch16_224", dict(img_size=16, patch_size=4, embed_dim=24, depth=4, num_heads=2), 16),
    "resnet": ("resnet14t", dict(channels=[8, 16, 24, 32], stem_width=4), 32),
}


def test_devices_by_name(monkeypatch):
    assert pick_device("cpu") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device().type == "cpu"
    for name in ("cuda:77", "gpu"):
        with pytest.raises(InputError, match=f"device '{name}' cannot be used"):
            pick_device(name)


@pytest.mark.parametrize("channels_last", [False, True])
def test_a_network_is_placed_in_the_memory_format_of_the_settings(channels_last):
    net = torch.nn.Conv2d(3, 4, 2)
    place(net, torch.device("cpu"), PretrainSettings(channels_last=channels_last))
    assert net.weight.is_contiguous(memory_format=torch.channels_last) == channels_last


def test_each_process_of_a_machine_takes_its_gpu(monkeypatch):
    for name, value in {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    asked = []
    monkeypatch.setattr(torch, "empty", lambda _, device: asked.append(str(device)))
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: asked.append(f"set {device}"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert [str(pick_device(name)) for name in ("auto", "cuda", "cuda:0", "cpu")] == [
        "cuda:1",
        "cuda:1",
        "cuda:0",
        "cpu",
    ]
    assert asked == ["cuda:1", "set cuda:1", "cuda:1", "set cuda:1", "cuda:0", "set cuda:0", "cpu"]


def gradients(net, passes=2, mask_layer="auto", **options):
    arch, args, size = NETS[net]
    torch.manual_seed(0)
    model = create_model(arch, model_args=args, img_size=size, mask_layer=mask_layer).train()
    assert prepare(model, PretrainSettings(**options)) == []
    for turn in range(passes):
        model.zero_grad()
        generator = torch.Generator().manual_seed(turn)
        images = torch.randn(2, 3, size, size, generator=generator)
        mask = random_mask(2, (4, 4), 0.5, generator)
        model(images, mask).square().mean().backward()
    return model, {name: parameter.grad for name, parameter in model.named_parameters()}


@pytest.mark.parametrize(("net", "mask_layer"), [("vit", "auto"), ("resnet", "layer3.0")])
def test_checkpointed_gradients_are_the_same(net, mask_layer):
    _, plain = gradients(net)
    model, again = gradients(net, mask_layer=mask_layer, grad_checkpointing=True)
    assert any(getattr(module, "grad_checkpointing", False) for module in model.encoder.modules())
    assert plain.keys() == again.keys()
    for name, value in plain.items():
        assert torch.allclose(value, again[name], atol=1e-6), name
    with torch.no_grad():
        model.eval()(torch.randn(1, 3, *model.img_size), torch.ones(1, 4, 4, dtype=torch.bool))
    assert not any(module._forward_hooks for module in model.encoder.modules())


def test_a_site_that_checkpointing_passes_by_is_told():
    with pytest.raises(InputError, match=r"does not run the site 'stage3' as a whole: .*--mask-layer layer3\."):
        gradients("resnet", grad_checkpointing=True)


def test_a_compiled_network_is_the_same_and_keeps_its_names():
    plain_model, plain = gradients("vit")
    model, compiled = gradients("vit", torchcompile="eager")
    assert model.state_dict().keys() == plain_model.state_dict().keys()
    for name, value in plain.items():
        assert torch.allclose(value, compiled[name], atol=1e-6), name


def test_what_cannot_be_prepared():
    model = timm.create_model("resnet10t", num_classes=2)
    with pytest.raises(InputError, match=r"torchcompile 'fast' is unknown; known: .*inductor"):
        prepare(model, PretrainSettings(torchcompile="fast"))
    with pytest.raises(InputError, match="no gradient checkpointing in timm"):
        prepare(torch.nn.Linear(2, 2), PretrainSettings(grad_checkpointing=True))


def test_batch_norm_of_several_processes_on_a_cpu_is_said(monkeypatch):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    (line,) = prepare(timm.create_model("resnet10t"), PretrainSettings(batch_size=8))
    assert (
        line
        == "batch norm averages over the 8 images of one process (torch has no synchronised batch norm on this device)"
    )
    assert prepare(torch.nn.Linear(2, 2), PretrainSettings()) == []
