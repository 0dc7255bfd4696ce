"""Recipes are found, read and listed; every preset resolves, and says what the paper says.

The tables below are typed from the paper (A1, A2, section 5.2, Tables 1 and 2), not from the recipes.
"""

import re

import pytest
import timm
import torch

from a2mim import recipes
from a2mim.data import read_class_list
from a2mim.errors import InputError
from a2mim.methods import METHODS
from a2mim.settings import FinetuneSettings, PretrainSettings
from a2mim.training.mixing import create_criterion
from a2mim.training.optimisation import create_optimizer, create_scheduler

FOLDER = recipes.folder()
PRESETS = sorted(FOLDER.glob("*.yaml"))
KINDS = {"a2mim-pretrain": PretrainSettings, "a2mim-finetune": FinetuneSettings}

# Table A1, row by row: configuration, ResNet-50, ViTs
TABLE_A1 = {
    "Pre-training resolution": (224, 224),
    "Mask patch size": (32, 32),
    "Optimizer": ("adamw", "adamw"),
    "Base learning rate": (1.5e-4, 1e-4),
    "Weight decay": (0.05, 0.05),
    "Optimizer momentum": ((0.9, 0.999), (0.9, 0.999)),
    "Batch size": (2048, 2048),
    "Learning rate schedule": ("cosine", "cosine"),
    "Warmup epochs": (10, 10),
    "RandomResizedCrop": ((0.67, 1.0), (0.67, 1.0)),  # its scale: appendix A.1
    "Rand Augment": (None, None),
    "Stochastic Depth": (0, 0),
    "Gradient Clipping": (None, 5),
}
# Table A2, row by row: configuration, ViTs (DeiT), RSB A2, RSB A3
TABLE_A2 = {
    "FT epochs": (100, 300, 100),
    "Training resolution": (224, 224, 160),
    "Testing resolution": (224, 224, 224),
    "Testing crop ratio": (0.875, 0.95, 0.95),
    "Optimizer": ("adamw", "lamb", "lamb"),
    "Base learning rate": (2.5e-4, 1.5e-3, 1e-3),
    "Weight decay": (0.05, 0.02, 0.02),
    "Batch size": (1024, 2048, 2048),
    "Learning rate schedule": ("cosine", "cosine", "cosine"),
    "Warmup epochs": (5, 5, 5),
    "Label smoothing": (0.1, 0, 0),
    "Stochastic depth": (0.1, 0.05, 0),
    "Gradient clipping": (5.0, None, None),
    "Rand Augment": ((9, 0.5), (7, 0.5), (6, 0.5)),
    "Mixup alpha": (0.8, 0.1, 0.1),
    "CutMix alpha": (1.0, 1.0, 1.0),
    "Loss function": ("CE", "BCE", "BCE"),
}
# section 5.1, Tables 1 and 2, appendix B.1: what the columns of Table A1 leave to the text
A1_RECIPES = {  # name: (column, model, epochs, what else)
    "paper-resnet50": (0, "resnet50", 300, {"mask_layer": "stage3", "mask_ratio": 0.6, "token": "add"}),
    "paper-vit-small": (1, "vit_small_patch16_224", 300, {"mask_layer": "block5", "mask_ratio": 0.6, "token": "add"}),
    "paper-vit-base": (1, "vit_base_patch16_224", 800, {"mask_layer": "block8", "mask_ratio": 0.6, "token": "add"}),
    "paper-resnet50-in100": (0, "resnet50", 400, {"mask_layer": "stage3", "classes": "imagenet100"}),
    "paper-vit-small-in100": (1, "vit_small_patch16_224", 400, {"mask_layer": "block5", "classes": "imagenet100"}),
    "simmim-vit-base": (1, "vit_base_patch16_224", 800, {"method": "simmim", "fill": "zero"}),
    "simmim-vit-small": (1, "vit_small_patch16_224", 300, {"method": "simmim", "fill": "zero"}),
    "simmim-resnet50": (0, "resnet50", 300, {"method": "simmim", "fill": "image-mean"}),
    "simmim-resnet50-in100": (0, "resnet50", 400, {"method": "simmim", "classes": "imagenet100"}),
    "simmim-vit-small-in100": (1, "vit_small_patch16_224", 400, {"method": "simmim", "classes": "imagenet100"}),
    "inpainting-resnet50": (0, "resnet50", 70, {"method": "inpainting"}),
}
A2_RECIPES = {
    "deit-100": (0, {"layer_decay": None}),
    "deit-100-ld065": (0, {"layer_decay": 0.65}),  # section 5.2
    "deit-100-in100": (0, {"layer_decay": None, "classes": "imagenet100"}),  # appendix B.1
    "rsb-a2": (1, {"layer_decay": None}),
    "rsb-a3": (2, {"layer_decay": None}),
}
# the published code where it leaves the paper
OFFICIAL = {
    "official-resnet50": {
        **{"mask_layer": "stage3", "token": "replace", "gamma": 1e-6, "gamma_weight_decay": True},
        **{"gamma_lr_scale": 1.0, "mask_token_lr_scale": 0.1, "loss": "official-resnet50", "min_lr": 1e-5},
        **{"scale": (0.8, 1.0), "no_decay": "official", "drop_path": 0.0, "amp": False, "sched": "cosine"},
    },
    "official-vit-base": {
        **{
            "mask_layer": "stem",
            "token": "add",
            "gamma": None,
            "batch_size": 128,
            "grad_accum_steps": 2,
            "mask_token_lr_scale": 1.0,
        },
        **{"loss": "official-vit", "sched": "multistep", "decay_milestones": (700,), "decay_rate": 0.1},
        **{"scale": (0.67, 1.0), "no_decay": "official", "drop_path": 0.1, "clip_grad": 5.0, "epochs": 800},
    },
    "official-ft-vit-base": {
        **{"layer_decay": 0.65, "warmup_epochs": 20, "min_lr": 1e-6, "model_ema": True},
        **{"model_ema_decay": 0.99996, "model_ema_warmup_epochs": 20},
    },
    "official-ft-resnet50": {
        **{"opt": "lamb", "model_ema_decay": 0.9999, "model_ema": True, "drop_path": 0.05},
        **{"bce_loss": True, "bce_target_thresh": None},
    },
}
OFFICIAL_RATES = {  # at 2048 and 1024 images
    **{"official-resnet50": 1.2e-3, "official-vit-base": 4e-4},
    **{"official-ft-vit-base": 1e-2, "official-ft-resnet50": 5e-3},
}


def header(name):
    return "\n".join(line for line in (FOLDER / f"{name}.yaml").read_text().splitlines() if line.startswith("#"))


def kind(name):
    return next(kind for program, kind in KINDS.items() if re.search(rf"# Command: .*\b{program} ", header(name)))


def load(name):
    return kind(name).from_values(recipes.read(FOLDER / f"{name}.yaml"))


def images_per_update(name, settings):
    """As the command in the header runs the recipe."""
    processes = re.search(r"# Command: torchrun --nproc-per-node (\d+)", header(name))
    return settings.batch_size * settings.grad_accum_steps * (int(processes.group(1)) if processes else 1)


def says(settings, wanted):
    return {key: getattr(settings, key) for key in wanted} == wanted


@pytest.mark.parametrize("name", [path.stem for path in PRESETS])
def test_every_preset_opens_with_its_source_score_cost_and_command(name):
    lines = header(name).splitlines()
    assert not lines[0].startswith(("# Source", "# Score"))
    for word in ("# Source:", "# Score", "# Command:"):
        assert any(line.startswith(word) for line in lines), word
    assert any("cost" in line.lower() for line in lines)
    command = next(line for line in lines if line.startswith("# Command:"))
    assert re.search(rf" -c {re.escape(name)}\b", command)


@pytest.mark.parametrize("name", [path.stem for path in PRESETS])
def test_every_preset_can_be_run(name):
    settings = load(name)
    if settings.model is not None:
        with torch.device("meta"):
            assert timm.create_model(settings.model, **settings.model_args)
    tiny = timm.create_model("resnet10t", num_classes=3, channels=[8, 16, 24, 32], stem_width=4)
    rate, _ = settings.learning_rate(images_per_update(name, settings))
    optimizer = create_optimizer(tiny, settings, rate, layer_decay=getattr(settings, "layer_decay", None))
    scheduler = create_scheduler(optimizer, settings, updates_per_epoch=5)
    scheduler.step_update(round(settings.warmup_epochs * 5) + 1)
    tiny(torch.randn(2, 3, 32, 32)).sum().backward()
    optimizer.step()
    if isinstance(settings, FinetuneSettings):
        from a2mim.data import train_transform

        assert create_criterion(settings)
        train_transform(settings.img_size or 32, (0.5,) * 3, (0.5,) * 3, **settings.augmentation())
    if settings.classes:
        assert len(read_class_list(settings.classes)) == 100


@pytest.mark.parametrize("name", A1_RECIPES)
def test_pretraining_is_as_table_a1_says(name):
    column, model, epochs, more = A1_RECIPES[name]
    settings = load(name)
    said = {
        "Pre-training resolution": settings.img_size,
        "Mask patch size": settings.mask_patch_size,
        "Optimizer": settings.opt,
        "Base learning rate": settings.lr_base,
        "Weight decay": settings.weight_decay,
        "Optimizer momentum": settings.opt_betas,
        "Batch size": images_per_update(name, settings),
        "Learning rate schedule": settings.sched,
        "Warmup epochs": settings.warmup_epochs,
        "RandomResizedCrop": settings.scale,
        "Rand Augment": settings.augmentation().get("auto_augment"),
        "Stochastic Depth": settings.drop_path,
        "Gradient Clipping": settings.clip_grad,
    }
    wanted = {row: values[column] for row, values in TABLE_A1.items()}
    if name == "inpainting-resnet50":  # removes a square, and knows no cells
        del said["Mask patch size"], wanted["Mask patch size"]
    assert said == wanted
    assert (settings.lr_base_size, settings.lr) == (256, None)  # lr = base_lr x batchsize / 256: appendix A.1
    assert (settings.model, settings.epochs, settings.model_args) == (model, epochs, {})
    assert says(settings, more)


@pytest.mark.parametrize("name", A2_RECIPES)
def test_finetuning_is_as_table_a2_says(name):
    column, more = A2_RECIPES[name]
    settings = load(name)
    magnitude, deviation = re.match(r"rand-m(\d+)-mstd([\d.]+)", settings.aa).groups()
    said = {
        "FT epochs": settings.epochs,
        "Training resolution": settings.img_size,
        "Testing resolution": settings.test_img_size or settings.img_size,
        "Testing crop ratio": settings.crop_pct,
        "Optimizer": settings.opt,
        "Base learning rate": settings.lr_base,
        "Weight decay": settings.weight_decay,
        "Batch size": images_per_update(name, settings),
        "Learning rate schedule": settings.sched,
        "Warmup epochs": settings.warmup_epochs,
        "Label smoothing": settings.smoothing,
        "Stochastic depth": settings.drop_path,
        "Gradient clipping": settings.clip_grad,
        "Rand Augment": (int(magnitude), float(deviation)),
        "Mixup alpha": settings.mixup,
        "CutMix alpha": settings.cutmix,
        "Loss function": "BCE" if settings.bce_loss else "CE",
    }
    assert said == {row: values[column] for row, values in TABLE_A2.items()}
    assert (settings.lr_base_size, settings.lr) == (256, None)
    assert says(settings, more)


@pytest.mark.slow
@pytest.mark.parametrize("name", [path.stem for path in PRESETS if kind(path.stem) is PretrainSettings])
def test_the_networks_of_pretraining_have_the_sites_that_the_presets_name(name):
    settings = load(name)
    method = METHODS[settings.method]
    model = method.create_model(settings, None)
    task = method(model, method.resolved(settings, model), 1e-3, 10)
    if settings.mask_layer not in ("auto", "input"):
        assert f"mask token at {settings.mask_layer} " in task.summary()


def test_linear_probing_is_as_section_5_2_says():
    settings = load("linear-moco")
    rate, _ = settings.learning_rate(images_per_update("linear-moco", settings))
    assert (rate, images_per_update("linear-moco", settings)) == (30, 256)
    assert says(settings, {"linear": True, "epochs": 100, "weight_decay": 0.0, "momentum": 0.9, "warmup_epochs": 0})
    optimizer = create_optimizer(torch.nn.Linear(2, 2), settings, rate)
    assert isinstance(optimizer, torch.optim.SGD)
    assert not optimizer.param_groups[0]["nesterov"]
    scheduler = create_scheduler(optimizer, settings, updates_per_epoch=4)
    rates = []
    for update in range(400):
        scheduler.step_update(update)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([30] * 240 + [3] * 80 + [0.3] * 80)


@pytest.mark.parametrize("name", OFFICIAL)
def test_official_recipes_are_the_published_codes(name):
    settings = load(name)
    assert says(settings, OFFICIAL[name])
    rate, _ = settings.learning_rate(images_per_update(name, settings))
    assert rate == pytest.approx(OFFICIAL_RATES[name])


@pytest.mark.parametrize("name", [path.stem for path in PRESETS if path.stem.startswith("mocov3")])
def test_moco_v3_has_its_own_settings(name):
    settings = load(name)
    assert images_per_update(name, settings) == 4096
    if "vit" in name:
        own = {"opt": "adamw", "lr_base": 1.5e-4, "weight_decay": 0.1, "warmup_epochs": 40, "moco_temperature": 0.2}
        own |= {"model_args": {"num_heads": 12}, "freeze_patch_embed": True}
    else:
        long = settings.epochs > 100
        own = {"opt": "lars", "lr_base": 0.3 if long else 0.6, "weight_decay": 1e-6}  # 1.5e-6: 1000 epochs
        own |= {"warmup_epochs": 10, "moco_temperature": 1.0, "scale": (0.2, 1.0)}
    own |= {"no_decay": "none" if "vit" in name else "vectors", "warmup_lr": 0.0}  # its LARS leaves vectors undecayed
    assert says(settings, {**own, "method": "mocov3", "moco_momentum": 0.99, "moco_dim": 256, "moco_mlp_dim": 4096})


def test_presets_are_listed_with_what_they_say_of_themselves():
    found = {program: dict(recipes.listing(program)) for program in KINDS}
    assert found["a2mim-pretrain"]["paper-resnet50"].startswith("A2MIM pre-training of ResNet-50 on ImageNet-1K")
    assert "rsb-a3" in found["a2mim-finetune"]
    assert sorted([*found["a2mim-pretrain"], *found["a2mim-finetune"]]) == sorted(path.stem for path in PRESETS)


def test_a_recipe_is_found_by_name_or_path(tmp_path):
    assert recipes.find("fashion-vit") == FOLDER / "fashion-vit.yaml"
    mine = tmp_path / "mine.yaml"
    mine.write_text("epochs: 3\n")
    assert recipes.read(recipes.find(str(mine))) == {"epochs": 3}
    with pytest.raises(InputError, match=r"no recipe 'fashion-vitt'.*presets fashion-vit,"):
        recipes.find("fashion-vitt")


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [1, 2\n", "just text"])
def test_files_that_are_no_recipes(tmp_path, text):
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(InputError, match=r"recipe .*r\.yaml"):
        recipes.read(tmp_path / "r.yaml")


def test_an_empty_recipe_is_called_empty(tmp_path):
    (tmp_path / "r.yaml").write_text("# nothing yet\n")
    with pytest.raises(InputError, match=r"r\.yaml is empty; it must hold lines of the form 'setting: value'"):
        recipes.read(tmp_path / "r.yaml")


def test_differences_name_both_values():
    assert recipes.differences({"epochs": 3, "seed": 0}, {"epochs": 5, "seed": 0}) == [
        "epochs: 3 in the recipe, 5 here"
    ]
