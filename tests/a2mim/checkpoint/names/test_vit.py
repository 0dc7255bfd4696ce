"""Vision transformers as research codebases write them: what is loaded computes what the original computes."""

from dataclasses import replace
from itertools import pairwise

import plain_vit
import pytest
import torch
from codebases import HALF, IMAGENET, Saved, check, layer, norm, randn, surroundings, under
from plain_vit import Build, Names, forward, make

import a2mim
from a2mim.errors import InputError

IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(9))
PLAIN, LABELLED = Build(), Build(classes=5)


def generator():
    return torch.Generator().manual_seed(77)


def truth(state, build, *names):
    return forward(state, IMAGES, build, *names)


def mlp(name, *widths):
    state = {}
    for at, (into, out) in enumerate(pairwise(widths)):
        state |= layer(f"{name}.{2 * at}", out, into, generator=generator())
    return state


def mae_pretraining():
    state = make(PLAIN)
    decoder = {"mask_token": torch.ones(1, 1, 64), "decoder_pos_embed": torch.ones(1, 17, 64)}
    decoder |= layer("decoder_embed", 64, 128, generator=generator()) | norm("decoder_norm", 64, generator=generator())
    decoder |= under("decoder_", plain_vit.make(Build(width=64, heads=1, depth=1, cls=False, pos=False)))
    decoder |= layer("decoder_pred", 192, 64, generator=generator())
    decoder = {k: v for k, v in decoder.items() if not k.startswith(("decoder_patch_embed",))}
    around = surroundings(model="mae_vit_base_patch16", mask_ratio=0.75, norm_pix_loss=True, blr=1.5e-4)
    return Saved(
        {"model": state | decoder, **around}, IMAGES, {"encoder": truth(state, PLAIN)}, "MAE",
        dropped={"decoder": "decoder_blocks.0.attn.qkv.weight", "mask token": "mask_token"}, inside="model:",
    )  # fmt: skip


def mae_finetuned(pooled):
    build = replace(LABELLED, pooled=pooled)
    state = make(build)
    around = surroundings(model="vit_base_patch16", global_pool=pooled, nb_classes=5, blr=5e-4)
    return Saved(
        {"model": state, **around}, IMAGES, {"encoder": truth(state, build)}, "MAE", kind="classifier", classes=5
    )


def mae_linear_probe():
    state = make(PLAIN)
    head = {
        "running_mean": randn(128, generator=generator()),
        "running_var": torch.rand(128, generator=generator()) + 0.5,
    }
    linear = layer("head.1", 5, 128, generator=generator())
    tokens, _ = truth(state, PLAIN)
    normed = (tokens[:, 0] - head["running_mean"]) / (head["running_var"] + 1e-6).sqrt()
    logits = normed @ linear["head.1.weight"].T + linear["head.1.bias"]
    around = surroundings(model="vit_base_patch16", global_pool=False, nb_classes=5, blr=0.1)
    model = state | under("head.0.", head | {"num_batches_tracked": torch.tensor(3)}) | linear
    return Saved({"model": model, **around}, IMAGES, {"encoder": (tokens, logits)}, "MAE", kind="classifier", classes=5)


BEIT = Build(bias="qv", relative="shared", scale=True, pos=False)
INDEX = {"rel_pos_bias.relative_position_index": torch.zeros(17, 17, dtype=torch.long)}


def simmim_pretraining():
    state = make(BEIT)
    model = under("encoder.", state | INDEX | {"mask_token": torch.ones(1, 1, 128)})
    model |= layer("decoder.0", 192, 128, 1, 1, generator=generator())
    config = {"DATA": {"IMG_SIZE": 32}, "MODEL": {"TYPE": "vit", "VIT": {"NUM_HEADS": 2, "USE_SHARED_RPB": True}}}
    return Saved(
        {"model": model, "config": config, "max_accuracy": 0.0, "lr_scheduler": {}, "epoch": 799}, IMAGES,
        {"encoder": truth(state, BEIT)}, "SimMIM", arch="beit", inside="model:encoder.",
        dropped={"decoder": "decoder.0.weight", "mask token": "encoder.mask_token"},
    )  # fmt: skip


def simmim_finetuned():
    build = replace(BEIT, relative="block", pooled=True, classes=5)
    state = make(build)
    index = {f"blocks.{n}.attn.relative_position_index": torch.zeros(17, 17, dtype=torch.long) for n in range(2)}
    config = {"DATA": {"IMG_SIZE": 32}, "MODEL": {"VIT": {"NUM_HEADS": 2}}}
    return Saved(
        {"model": state | index, "config": config}, IMAGES, {"encoder": truth(state, build)}, "SimMIM",
        kind="classifier", classes=5,
    )  # fmt: skip


def beit_pretraining(second):
    state = make(BEIT)
    model = state | INDEX | {"mask_token": torch.ones(1, 1, 128)} | layer("lm_head", 40, 128, generator=generator())
    dropped = {"prediction head": "lm_head.weight", "mask token": "mask_token"}
    if second:
        model |= under("cls_pt_layers.0.", norm("norm1", 128, generator=generator()))
        dropped["layers of the class token's pre-training"] = "cls_pt_layers.0.norm1.weight"
    around = surroundings(imagenet_default_mean_and_std=second)
    return Saved(
        {"model": model, **around}, IMAGES, {"encoder": truth(state, BEIT)}, "BEiT", norm=IMAGENET if second else HALF,
        dropped=dropped, inside="model:",
    )  # fmt: skip


def beit_finetuned():
    build = replace(BEIT, relative="block", pooled=True, classes=5)
    state = make(build)
    return Saved({"model": state}, IMAGES, {"encoder": truth(state, build)}, "BEiT", "classifier", HALF, 5)


def cae_pretraining():
    build = Build(width=96, heads=12, bias="qv", scale=True)
    encoder, teacher = make(build), make(build, seed=1)
    model = under("encoder.", encoder) | under("teacher.", teacher) | {"mask_token": torch.ones(1, 1, 96)}
    model |= under("pretext_neck.", norm("norm", 96, generator=generator()))
    around = surroundings(model="cae_small_patch16_224_8k_vocab", imagenet_default_mean_and_std=True)
    return Saved(
        {"model": model, **around}, IMAGES, {"encoder": truth(encoder, build), "teacher": truth(teacher, build)}, "CAE",
        dropped={"regressor and decoder": "pretext_neck.norm.weight", "teacher encoder": "teacher.cls_token"},
        inside="model:encoder.",
    )  # fmt: skip


def moco_v3_pretraining():
    build = Build(width=96, heads=12)
    base, momentum = make(build), make(build, seed=1)
    state = under("module.base_encoder.", base | mlp("head", 96, 8, 8))
    state |= under("module.momentum_encoder.", momentum | mlp("head", 96, 8, 8))
    state |= under("module.", mlp("predictor", 8, 8, 8))
    return Saved(
        {"epoch": 300, "arch": "vit_small", "state_dict": state, "optimizer": {}, "scaler": {}}, IMAGES,
        {"base": truth(base, build), "momentum": truth(momentum, build)}, "MoCo v3",
        dropped={"projection head": "base_encoder.head.0.weight", "prediction head": "predictor.0.weight"},
        inside="state_dict:module.base_encoder.",
    )  # fmt: skip


def moco_v3_base_alone():
    saved = moco_v3_pretraining()
    state = saved.checkpoint["state_dict"]
    saved.checkpoint["state_dict"] = {name: value for name, value in state.items() if "base_encoder" in name}
    return replace(
        saved, truth={"base": saved.truth["base"]}, dropped={"projection head": "base_encoder.head.0.weight"}
    )


def moco_v3_linear():
    build = Build(width=96, heads=12, classes=5)
    state = make(build)
    saved = {"epoch": 90, "arch": "vit_small", "state_dict": under("module.", state), "best_acc1": torch.tensor(73.2)}
    return Saved(saved, IMAGES, {"encoder": truth(state, build)}, "MoCo v3", "classifier", IMAGENET, 5)


def self_distillation(method):
    student, teacher = make(PLAIN), make(PLAIN, seed=1)
    extra = {"masked_embed": torch.ones(1, 128)} if method == "iBOT" else {}
    saved = {
        "student": under("module.backbone.", student | extra) | under("module.", mlp("head.mlp", 128, 8, 8)),
        "teacher": under("backbone.", teacher) | mlp("head.mlp", 128, 8, 8),
        f"{method.lower()}_loss": {"center": torch.ones(1, 8)},
        **surroundings(arch="vit_small", patch_size=8),
    }
    return Saved(
        saved, IMAGES, {"teacher": truth(teacher, PLAIN), "student": truth(student, PLAIN)}, method,
        dropped={"student encoder": "student:backbone.cls_token"}, inside="teacher:backbone.",
    )  # fmt: skip


def dino_released():
    state = make(PLAIN)
    return Saved(state, IMAGES, {"model": truth(state, PLAIN)}, "plain weights", "weights", inside=":")


def deit(distilled):
    build = replace(LABELLED, dist=distilled)
    state, ema = make(build), make(build, seed=1)
    around = surroundings(model="deit_small_patch16_224", repeated_aug=True, input_size=32)
    return Saved(
        {"model": state, "model_ema": ema, **around}, IMAGES, {"model": truth(state, build), "ema": truth(ema, build)},
        "DeiT", "classifier", IMAGENET, 5, arch="distilled" if distilled else "vit_",
    )  # fmt: skip


def deit_iii():
    build = replace(LABELLED, scale=True)
    state = make(build)
    position = state["pos_embed"]
    ours = state | {"pos_embed": position[:, 1:]}  # its class token has no position
    state = state | {"pos_embed": torch.cat([torch.zeros_like(position[:, :1]), position[:, 1:]], 1)}
    return Saved({"model": ours}, IMAGES, {"model": truth(state, build)}, "plain weights", "weights", IMAGENET, 5)


def dinov2(registers):
    build = Build(patch=8, scale=True, registers=registers)
    names = Names(gamma1="ls1.gamma", gamma2="ls2.gamma")
    state = make(build, names)
    saved = state | {"mask_token": torch.ones(1, 128)}
    return Saved(
        saved, IMAGES, {"model": truth(state, build, names)}, "plain weights", "weights",
        dropped={"mask token": "mask_token"}, inside=":",
    )  # fmt: skip


def vissl():
    """A trunk that is a ViT has no _feature_blocks."""
    state = make(PLAIN)
    model = {"trunk": state, "heads": layer("0.clf.0", 4, 128, generator=generator())}
    path = "classy_state_dict/base_model/model"
    return Saved(
        {"phase_idx": 99, "classy_state_dict": {"base_model": {"model": model, "meters": {}}}}, IMAGES,
        {"trunk": truth(state, PLAIN)}, "VISSL", inside=f"{path}/trunk:",
        dropped={f"{path}/heads": f"{path}/heads:0.clf.0.weight"},
    )  # fmt: skip


def dinov2_pretraining():
    names = Names(gamma1="ls1.gamma", gamma2="ls2.gamma")
    build = Build(patch=8, scale=True)
    state = make(build, names)
    teacher = under("backbone.", state | {"mask_token": torch.ones(1, 128)})
    teacher |= mlp("dino_head.mlp", 128, 8, 8) | mlp("ibot_head.mlp", 128, 8, 8)
    return Saved(
        {"teacher": teacher}, IMAGES, {"teacher": truth(state, build, names)}, "DINOv2", inside="teacher:backbone.",
        dropped={"projection head": "teacher:ibot_head.mlp.0.weight"},
    )  # fmt: skip


def maskfeat():
    """PySlowFast takes the last norm away, and keeps the filters of its HOG features."""
    build = replace(PLAIN, last=False)
    state = make(build)
    model = state | {"mask_token": torch.ones(1, 1, 128), "hogs.0.weight_x": torch.ones(3, 1, 3, 3)}
    model |= layer("pred_head.projections.0", 108, 128, generator=generator())
    saved = {
        "epoch": 1599,
        "model_state": model,
        "optimizer_state": {"state": {0: {"m": torch.ones(3, 3)}}},
        "cfg": "MVIT:\n",
    }
    return Saved(
        saved, IMAGES, {"encoder": truth(state, build)}, "MaskFeat", inside="model_state:",
        dropped={"prediction head": "pred_head.projections.0.weight", "target generator": "hogs.0.weight_x"},
    )  # fmt: skip


def maskfeat_finetuned(pooled):
    """The one norm stands after the mean where the settings say so."""
    build = replace(LABELLED, pooled=pooled)
    names = Names(fc_norm="norm", head="head.projection")
    state = make(build, names)
    cfg = f"MVIT:\n  CLS_EMBED_ON: true\n  DEPTH: 2\n  USE_MEAN_POOLING: {str(pooled).lower()}\n"
    return Saved(
        {"epoch": 99, "model_state": state, "cfg": cfg}, IMAGES, {"encoder": truth(state, build, names)}, "MaskFeat",
        "classifier", IMAGENET, 5, inside="model_state:",
    )  # fmt: skip


def relative_position_and_full_bias():
    build = Build(relative="block")
    state = make(build)
    return Saved(
        state, IMAGES, {"model": truth(state, build)}, "plain weights", "weights", arch="beit",
        notes="the bias of the keys is left out",
    )  # fmt: skip


def relative_position_without_bias():
    build = Build(relative="block", bias="")
    state = make(build)
    return Saved(state, IMAGES, {"model": truth(state, build)}, "plain weights", "weights", arch="beit")


CASES = {
    "MAE, pre-training": mae_pretraining,
    "MAE, fine-tuned": lambda: mae_finetuned(False),
    "MAE, fine-tuned on the mean": lambda: mae_finetuned(True),
    "MAE, linear probe": mae_linear_probe,
    "SimMIM, pre-training": simmim_pretraining,
    "SimMIM, fine-tuned": simmim_finetuned,
    "BEiT and PeCo, pre-training": lambda: beit_pretraining(False),
    "BEiT v2, pre-training": lambda: beit_pretraining(True),
    "BEiT, fine-tuned": beit_finetuned,
    "CAE, pre-training": cae_pretraining,
    "MoCo v3, pre-training": moco_v3_pretraining,
    "MoCo v3, pre-training, the base encoder alone": moco_v3_base_alone,
    "MoCo v3, linear probe": moco_v3_linear,
    "DINO, pre-training": lambda: self_distillation("DINO"),
    "iBOT, pre-training": lambda: self_distillation("iBOT"),
    "DINO, MSN, iBOT, MAE, the encoder alone": dino_released,
    "DINOv2, pre-training": dinov2_pretraining,
    "VISSL, ViT": vissl,
    "DeiT": lambda: deit(False),
    "DeiT, distilled": lambda: deit(True),
    "DeiT III": deit_iii,
    "DINOv2": lambda: dinov2(0),
    "DINOv2 with registers": lambda: dinov2(4),
    "MaskFeat (PySlowFast)": maskfeat,
    "MaskFeat (PySlowFast), fine-tuned": lambda: maskfeat_finetuned(True),
    "MaskFeat (PySlowFast), fine-tuned on the class token": lambda: maskfeat_finetuned(False),
    "relative position bias and a bias of q, k, v": relative_position_and_full_bias,
    "relative position bias and no other": relative_position_without_bias,
}


@pytest.mark.parametrize("case", CASES)
def test_the_loaded_encoder_computes_what_the_original_computes(case, tmp_path):
    check(CASES[case](), tmp_path)


def test_a_fixed_position_embedding_is_kept_as_it_is(tmp_path):
    saved = moco_v3_pretraining()
    torch.save(saved.checkpoint, tmp_path / "moco.pth")
    model, _ = a2mim.load_encoder(tmp_path / "moco.pth")
    assert torch.equal(model.pos_embed, saved.checkpoint["state_dict"]["module.base_encoder.pos_embed"])


def test_a_lost_value_bias_is_refused_by_name(tmp_path):
    state = make(BEIT)
    state.pop("blocks.1.attn.v_bias")
    torch.save(
        {"model": state | {"mask_token": torch.ones(1), "lm_head.weight": torch.ones(2, 2)}}, tmp_path / "beit.pth"
    )
    with pytest.raises(InputError, match=r"missing blocks\.1\.attn\.v_bias"):
        a2mim.load_encoder(tmp_path / "beit.pth")


def test_a_linear_classifier_alone_is_no_network(tmp_path):
    state = under("module.", layer("linear", 1000, 384, generator=generator()))
    torch.save({"epoch": 100, "state_dict": state, "best_acc": 77.0}, tmp_path / "dino_linear.pth")
    with pytest.raises(InputError, match=r"holds no network that is known here.*linear\.weight"):
        a2mim.load_encoder(tmp_path / "dino_linear.pth")


def test_pooling_in_the_attention_is_not_approximated(tmp_path):
    state = make(PLAIN) | {
        "blocks.0.attn.pool_q.weight": torch.ones(64, 1, 3, 3),
        "blocks.0.attn.rel_pos_h": torch.ones(7, 64),
    }
    torch.save({"model_state": state | {"pred_head.x.weight": torch.ones(2, 2)}, "cfg": ""}, tmp_path / "mvit.pth")
    with pytest.raises(InputError, match=r"has no place for: blocks\.0\.attn\.pool_q\.weight"):
        a2mim.load_encoder(tmp_path / "mvit.pth")
