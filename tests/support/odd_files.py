"""Checkpoints as users find them: damaged, cut, of other types, with odd settings. One number makes one file."""

from __future__ import annotations

import json
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import safetensors.torch
import timm
import torch
from plain_rotary import EvaNames, make_dinov3, make_eva02
from plain_towers import make_clip_tower, make_hiera
from plain_vit import Build, make

import a2mim
from a2mim.errors import InputError

LIMIT = 20  # seconds that a file may keep the reader busy
ODD = (
    *(None, True, False, 0, 1, -1, 3, 7, 10**9, 10**30, 0.5, -0.5, 1e-300, float("nan"), float("inf"), "", "x", "\x00"),
    *("vit_base_patch16_224", "no_such_model", "16", "../../x", "é" * 300, [], [1], [[]], [1, 2, 3], ["a"], [None] * 3),
    *([0.0, 0.0, 0.0], [1e40] * 3, [True] * 3, {}, {"a": 1}, {"height": -1, "width": "x"}, {"1": "a", "x": "b"}),
    *([0] * 1000, {"shortest_edge": []}, {"shortest_edge": 10**12}, [10**12, 4], {"kind": {}}, [float("nan")] * 3),
)
_VIT = dict(depth=1, img_size=32, embed_dim=32, num_heads=2, patch_size=8)


class Busy(BaseException):
    """A file has kept the reader busy for too long; of no class that the reader could catch."""


def _timm(arch: str, **args) -> dict:
    return timm.create_model(arch, **args).state_dict()


def _config(kind: str, **settings) -> dict:
    return {
        "model_type": kind,
        "architectures": [f"{kind}ForImageClassification"],
        "id2label": {"0": "a", "1": "b"},
    } | settings


def _bases() -> dict[str, tuple[dict, dict[str, dict]]]:
    """name -> (what is saved, settings in files beside it)."""
    vit, small = _timm("vit_base_patch16_224", num_classes=2, **_VIT), make(Build(depth=1, width=64, heads=1))
    hf = {
        "embeddings.cls_token": torch.zeros(1, 1, 32),
        "embeddings.position_embeddings": torch.zeros(1, 17, 32),
        "embeddings.patch_embeddings.projection.weight": torch.randn(32, 3, 8, 8),
        "embeddings.patch_embeddings.projection.bias": torch.zeros(32),
        **{
            f"encoder.layer.0.attention.attention.{part}.{what}": torch.randn(*shape)
            for part in ("query", "key", "value")
            for what, shape in (("weight", (32, 32)), ("bias", (32,)))
        },
        **{
            f"encoder.layer.0.{name}.{what}": torch.randn(*shape)
            for name, out, into in (
                ("attention.output.dense", 32, 32),
                ("intermediate.dense", 64, 32),
                ("output.dense", 32, 64),
            )
            for what, shape in (("weight", (out, into)), ("bias", (out,)))
        },
        **{
            f"{name}.{what}": torch.ones(32)
            for name in ("encoder.layer.0.layernorm_before", "encoder.layer.0.layernorm_after", "layernorm")
            for what in ("weight", "bias")
        },
    }
    processor = {
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
        "size": {"height": 32, "width": 32},
        "do_normalize": True,
    }
    config = _config(
        "vit",
        hidden_size=32,
        num_attention_heads=2,
        image_size=32,
        layer_norm_eps=1e-12,
        hidden_act="gelu",
        num_channels=3,
    )
    wrapped = {
        "architecture": "vit_base_patch16_224",
        "model_args": _VIT,
        "num_classes": 2,
        "label_names": ["a", "b"],
        "pretrained_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3, "input_size": [3, 32, 32]},
    }
    ours = {
        "kind": "encoder",
        "arch": "vit_base_patch16_224",
        "model_args": _VIT,
        "num_classes": 2,
        "classes": ["a", "b"],
        "input_size": [3, 32, 32],
        "mean": [0.5] * 3,
        "std": [0.5] * 3,
        "epoch": 3,
        "args": {"lr": 1e-3},
    }
    clip = {f"visual.{name}": value for name, value in make_clip_tower(width=64, depth=1).items()}
    swin = _timm(
        "swin_tiny_patch4_window7_224", img_size=32, window_size=4, embed_dim=16, depths=(1, 1), num_heads=(1, 2)
    )
    convnext = _timm("convnext_atto", depths=(1, 1, 1, 1), dims=(8, 8, 8, 8))
    resnet = _timm("resnet18", layers=(1, 1, 1, 1), channels=(8, 8, 8, 8))
    return {
        "timm": (vit, {}),
        "trainer": (
            {"state_dict": vit, "epoch": 3, "arch": "vit_base_patch16_224", "args": {"model": "x"}, "version": 2},
            {},
        ),
        "ours": ({"state_dict": vit, **ours}, {}),
        "MAE": (
            {
                "model": small
                | {
                    "decoder_embed.weight": torch.ones(2, 2),
                    "decoder_pred.weight": torch.ones(2, 2),
                    "mask_token": torch.ones(1, 1, 2),
                },
                "args": {"model": "mae", "input_size": 32},
            },
            {},
        ),
        "DINO": (
            {
                "teacher": {f"backbone.{name}": value for name, value in small.items()},
                "student": {f"module.backbone.{name}": value for name, value in small.items()},
                "epoch": 1,
            },
            {},
        ),
        "DINOv3": (make_dinov3(depth=1), {}),
        "EVA-02": (make_eva02(EvaNames(), depth=1), {}),
        "CLIP": (clip, {}),
        "Hiera": ({"model_state": make_hiera(image=32)}, {}),
        "Swin": (swin, {}),
        "ConvNeXt": ({"model": convnext}, {}),
        "ResNet": (resnet, {}),
        "transformers": (hf, {"config.json": config, "preprocessor_config.json": processor}),
        "timm folder": (vit, {"config.json": wrapped}),
        "TimmWrapper": (
            {f"timm_model.{name}": value for name, value in vit.items()},
            {"config.json": wrapped | {"model_type": "timm_wrapper"}},
        ),
        "Lightning": (
            {
                "state_dict": {f"model.{name}": value for name, value in resnet.items()},
                "pytorch-lightning_version": "2.0",
                "hyper_parameters": {"lr": 1},
                "epoch": 2,
            },
            {},
        ),
    }


class OddFiles:
    """``make(number)`` writes an odd checkpoint and returns its path: the same number, the same file."""

    def __init__(self, folder: Path, seed: int = 0) -> None:
        torch.manual_seed(0)
        self.folder, self.seed, self.bases = folder, seed, _bases()

    def make(self, number: int) -> tuple[Path, str]:
        draw = random.Random(f"{self.seed} {number}")
        folder = self.folder / f"odd{number}"
        folder.mkdir()
        name = draw.choice(list(self.bases))
        saved, settings = self.bases[name]
        kind = draw.choice([*_CHANGES, *(["settings"] * 2 if settings else [])])
        saved, settings = _copied(saved), json.loads(json.dumps(settings))
        if kind == "settings":
            self._odd_settings(draw, settings)
        elif kind in _CONTENT:
            saved = _CONTENT[kind](draw, saved)
        for file, values in settings.items():
            (folder / file).write_text(values if isinstance(values, str) else json.dumps(values))
        path = self._write(draw, folder, saved)
        if kind in _BYTES:
            data = bytearray(path.read_bytes())
            path.write_bytes(_BYTES[kind](draw, data))
        return path, f"{name}, {kind}"

    @staticmethod
    def _odd_settings(draw: random.Random, settings: dict) -> None:
        file = draw.choice(sorted(settings) or ["config.json"])
        values = settings.setdefault(file, _config("vit"))
        if draw.random() < 0.1:
            settings[file] = draw.choice(
                ["", "[]", "{", "null", '"x"', "[" * 5000, '{"model_type": ' + "9" * 5000 + "}"]
            )
            return
        for _ in range(draw.randint(1, 3)):
            key = draw.choice(
                [*values, "vision_config", "hidden_act", "num_heads", "window_size", "crop_size", "rope_theta"]
            )
            values[key] = draw.choice(ODD)

    @staticmethod
    def _write(draw: random.Random, folder: Path, saved: object) -> Path:
        state = saved.get("state_dict", saved) if isinstance(saved, dict) else None
        way = draw.random()
        if way < 0.15 and isinstance(state, dict) and state:
            whole = {
                str(name): value.contiguous().clone()
                for name, value in state.items()
                if isinstance(value, torch.Tensor)
                and value.layout is torch.strided
                and not value.is_meta
                and not value.is_quantized
                and value.numel() < 10**7
            }
            meta = {
                str(key): json.dumps(value, default=str)
                for key, value in saved.items()
                if not isinstance(value, (dict, torch.Tensor))
            }
            safetensors.torch.save_file(whole, folder / "model.safetensors", metadata=meta)
            return folder / "model.safetensors"
        path = folder / "pytorch_model.bin"
        torch.save(saved, path, _use_new_zipfile_serialization=way < 0.85)
        return path


def _copied(node: object) -> object:
    return {key: _copied(value) for key, value in node.items()} if isinstance(node, dict) else node


def _dictionaries(node: dict) -> list[dict]:
    return [node, *(inner for value in node.values() if isinstance(value, dict) for inner in _dictionaries(value))]


def _with_tensors(node: dict) -> dict:
    return max(_dictionaries(node), key=lambda one: sum(isinstance(value, torch.Tensor) for value in one.values()))


# --- what the file holds ----------------------------------------------------------------------------------------------


def _odd_meta(draw: random.Random, saved: dict) -> dict:
    keys = [key for key, value in saved.items() if not isinstance(value, (dict, torch.Tensor))]
    extra = [
        "kind",
        "arch",
        "args",
        "epoch",
        "model_args",
        "config",
        "cfg",
        "meta",
        "mean",
        "std",
        "classes",
        "input_size",
        "num_classes",
        "mim_args",
        "method",
        "state_dict_ema",
        "hyper_parameters",
        "version",
        "which",
        "format",
    ]
    node = saved if any(isinstance(value, dict) for value in saved.values()) else {"state_dict": saved}
    for _ in range(draw.randint(1, 3)):
        key = draw.choice([*keys, *extra])
        value = draw.choice(
            [
                *ODD,
                {"model": draw.choice(ODD), "input_size": draw.choice(ODD), "blr": 1, "nb_classes": 3},
                {"DATA": {"IMG_SIZE": draw.choice(ODD)}, "MODEL": {"VIT": {"NUM_HEADS": draw.choice(ODD)}}},
            ]
        )
        if key == "model_args" and isinstance(node.get(key), dict) and draw.random() < 0.7:
            node[key] = node[key] | {draw.choice(list(node[key])): value}
        else:
            node[key] = value
    return node


def _floating(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[torch.Tensor], object]:
    return lambda value: change(value) if value.is_floating_point() else value


_TENSORS: tuple[Callable[[torch.Tensor], object], ...] = (
    lambda value: value.to(torch.int64),
    lambda value: value.to(torch.complex64),
    lambda value: value.flatten()[:0],
    lambda value: value.flatten()[0],
    lambda value: value.unsqueeze(0),
    torch.flatten,
    lambda value: value * float("nan"),
    _floating(torch.Tensor.to_sparse),
    torch.Tensor.bool,
    torch.Tensor.half,
    torch.Tensor.double,
    _floating(lambda value: value.to(torch.float8_e4m3fn)),
    lambda value: torch.cat([value.reshape(-1), value.reshape(-1)]),
    lambda value: value.reshape(-1)[: max(1, value.numel() // 3)],
    lambda value: torch.zeros([0, *value.shape[1:]]),
    lambda value: value.transpose(0, -1) if value.ndim else value,
    lambda value: torch.quantize_per_tensor(value.float(), 0.1, 0, torch.qint8),
    lambda value: torch.tensor(1.0).expand(10**9),
    lambda value: torch.zeros(1, 5, 7),
    lambda value: torch.empty(3, device="meta"),
    lambda value: np.ones(3),
    lambda value: "text",
    lambda value: None,
)


def _odd_tensor(draw: random.Random, saved: dict) -> dict:
    state = _with_tensors(saved)
    for name in draw.sample(
        [name for name, value in state.items() if isinstance(value, torch.Tensor)], draw.randint(1, 3)
    ):
        state[name] = draw.choice(_TENSORS)(state[name])
    return saved


def _odd_names(draw: random.Random, saved: dict) -> dict:
    state = _with_tensors(saved)
    for _ in range(draw.randint(1, 8)):
        name = draw.choice(list(state))
        value = state.pop(name)
        other = draw.choice(
            [
                "",
                ".",
                "x",
                f"{name}.",
                f".{name}",
                str(name).replace("0", "9" * 30),
                str(name).upper(),
                "é\n\x1b",
                3,
                ("a", 1),
                str(name).replace("blocks", "layers"),
                f"module.{name}",
                f"visual.{name}",
                str(name) * 50,
                str(name).replace("blocks.0", "blocks.0.0"),
                f"ema_{name}".replace(".", "_"),
            ]
        )
        if draw.random() < 0.7:
            state[other] = value
        if not state:
            break
    return saved


_FOREIGN = [
    "rope_embed.periods",
    "storage_tokens",
    "blocks.0.mlp.w1.weight",
    "rope.freqs_cos",
    "rope.freqs_sin",
    "head.weight",
    "relative_position_bias_table",
    "blocks.0.attn.relative_position_bias_table",
    "blocks.0.attn.q_bias",
    "dist_token",
    "reg_token",
    "norm_pre.weight",
    "attn_pool.latent",
    "head.0.running_var",
    "blocks.0.attn.qkv.bias_mask",
    "norm.weight",
    "visual.transformer.resblocks.0.attn.in_proj_weight",
    "features.0.0.weight",
    "features.1.conv.0.0.weight",
    "features.1.0.block.0.0.weight",
    "features.0.1.running_mean",
    "features.2.conv.1.0.weight",
    "_conv_stem.weight",
    "_blocks.0._depthwise_conv.weight",
    "_conv_head.weight",
    "layers.0.blocks.0.attn.relative_coords_table",
    "mask_token",
    "layers.0.blocks.1.attn_mask",
    "pos_embed",
    "cls_token",
    "fc.weight",
    "encoder_norm.weight",
    "head.projection.weight",
    "patch_embed.proj.weight",
    "blocks.0.attn.qkv.weight",
    "blocks.0.0.attn.qkv.weight",
    "blocks.0.0.norm1.weight",
    "conv1.0.weight",
    "conv1.3.weight",
    "layer1.0.conv1.weight",
    "head.probe",
    "pos_embed_win",
    "probe.running_var",
]


def _foreign_names(draw: random.Random, saved: dict) -> dict:
    """Names that make one codebase's file look like another's."""
    state, shapes = _with_tensors(saved), [(), (3,), (0,), (4, 4), (1, 5, 8), (8, 3, 4, 4), (1, 1, 8)]
    for name in draw.sample(_FOREIGN, draw.randint(1, 6)):
        state[name] = torch.zeros(draw.choice(shapes)) if draw.random() < 0.5 else torch.ones(draw.choice(shapes))
    return saved


def _nested(draw: random.Random, saved: dict) -> object:
    kinds: list[Callable[[], object]] = [
        lambda: {"a": {"b": {"c": {"d": {"e": {"f": {"g": saved}}}}}}},
        lambda: [saved, saved],
        lambda: {str(at): {"model": saved} for at in range(30)},
        lambda: {"model": saved, "model_ema": saved, "ema": saved, "optimizer": {"state": saved}},
        lambda: {at: torch.ones(2, 2) for at in range(100)},
        lambda: {"model": None, "state_dict": {}},
        lambda: torch.ones(3),
        lambda: {f"net{at}": dict(saved) for at in range(draw.choice([2, 300]))},
    ]
    return draw.choice(kinds)()


def _giant(draw: random.Random, saved: dict) -> dict:
    """Thousands of groups, of networks, of tensors, of blocks."""
    one, state = torch.ones(2, 2), _with_tensors(saved)
    count = draw.choice([1500, 3000, 6000])
    kinds: list[Callable[[], dict]] = [
        lambda: {f"g{at}": {"w": one} for at in range(count)},
        lambda: (
            saved | {f"g{at}": {"patch_embed.proj.weight": one, "blocks.0.attn.qkv.weight": one} for at in range(count)}
        ),
        lambda: {
            f"n{at}.{name}": one
            for at in range(count // 3)
            for name in ("patch_embed.proj.weight", "blocks.0.attn.qkv.weight")
        },
        lambda: {**state, **{f"blocks.{at}.attn.qkv.weight": one for at in range(count)}},
        lambda: {**state, **{f"x.{at}.{'y' * 200}": one for at in range(count)}},
        lambda: {"a." * 2000 + name: value for name, value in state.items() if isinstance(name, str)},
        lambda: {f"features.{at}.0.block.0.0.weight": one for at in range(count)} | {"features.0.0.weight": one},
        lambda: {f"_blocks.{at}._project_conv.weight": one for at in range(count)} | {"_conv_stem.weight": one},
        lambda: {f"{at}.0.conv1.weight": one for at in range(count)} | {"0.weight": one, "1.running_mean": one},
        lambda: saved | {"args": {f"k{at}": {"v": at} for at in range(5 * count)}},
    ]
    return draw.choice(kinds)()


_CONTENT: dict[str, Callable[[random.Random, dict], object]] = {
    "odd meta": _odd_meta,
    "odd tensors": _odd_tensor,
    "odd names": _odd_names,
    "foreign names": _foreign_names,
    "nested": _nested,
    "giant": _giant,
}


# --- its bytes --------------------------------------------------------------------------------------------------------


def _flipped(draw: random.Random, data: bytearray) -> bytes:
    ends = draw.random() < 0.5  # where the headers are
    for _ in range(draw.choice([1, 1, 3, 30])):
        at = draw.randrange(len(data))
        at = draw.choice([at % 2000, len(data) - 1 - at % 2000]) if ends and len(data) > 4000 else at
        data[at] ^= 1 << draw.randrange(8)
    return bytes(data)


def _overwritten(draw: random.Random, data: bytearray) -> bytes:
    start = draw.randrange(len(data))
    data[start : start + draw.choice([4, 64, 4096])] = draw.choice([b"\0" * 64, b"\xff" * 64, draw.randbytes(64)])
    return bytes(data)


_BYTES: dict[str, Callable[[random.Random, bytearray], bytes]] = {
    "flipped": _flipped,
    "cut": lambda draw, data: bytes(data[: draw.randrange(len(data))]),
    "overwritten": _overwritten,
    "without its start": lambda draw, data: bytes(data[draw.randrange(1, 600) :]),
    "doubled": lambda draw, data: bytes(data + data),
    "noise": lambda draw, data: bytes(data[:2]) + draw.randbytes(3000),
}
_CHANGES = [*_CONTENT, *_CONTENT, "flipped", *_BYTES]


# --- the reader against them ------------------------------------------------------------------------------------------


def survey(folder: Path, numbers: range, seed: int = 0) -> tuple[Counter, list[str]]:
    """Load each file: counts of what became of them, and a line for each that hung or raised another error."""
    files, counts, wrong = OddFiles(folder, seed), Counter(), []

    def stop(*_: object) -> None:
        raise Busy

    before = signal.signal(signal.SIGALRM, stop)
    try:
        for number in numbers:
            path, what = files.make(number)
            given = path.parent if number % 3 == 0 else path
            started = time.monotonic()
            signal.alarm(LIMIT)
            try:
                a2mim.load_encoder(given)
                outcome = "loaded"
            except InputError as error:
                outcome = "refused" if "\n" not in str(error) else "several lines"
            except OSError:
                outcome = "system error"
            except Busy:
                outcome = "hang"
            except Exception as error:
                outcome = "traceback"
                last = error.__traceback__
                while last.tb_next:
                    last = last.tb_next
                place = f"{last.tb_frame.f_code.co_filename.rpartition('/')[2]}:{last.tb_lineno}"
                what += f": {type(error).__name__}: {str(error)[:120]} ({place})"
            finally:
                signal.alarm(0)
            counts[outcome] += 1
            if outcome in ("hang", "traceback", "several lines"):
                wrong.append(f"{number} ({outcome}, {time.monotonic() - started:.1f} s): {what}")
            shutil.rmtree(path.parent)
    finally:
        signal.signal(signal.SIGALRM, before)
    return counts, wrong
