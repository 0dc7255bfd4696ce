"""Checkpoints of what no image encoder can be made from: each is refused with its reason."""

from __future__ import annotations

import torch

from a2mim.checkpoint.files.contents import Contents
from a2mim.checkpoint.files.globs import any_fits, fits
from a2mim.errors import InputError

# globs of names -> what such a file is; the first that fits is said
STRANGERS: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        ("*lora_A*", "*lora_B*", "*lora_up*", "*lora_down*", "*.lora_embedding*"),
        "holds LoRA adapters: merge them into their base model first (peft: merge_and_unload)",
    ),
    (
        ("*.qweight", "*.qzeros", "*.SCB", "*.weight_format", "*.quant_map", "*.absmax", "*._packed_params*"),
        "is quantised: give the checkpoint in floating point that it was made from",
    ),
    (
        (
            "*word_embeddings.weight",
            "*embed_tokens.weight",
            "*wte.weight",
            "*token_embedding.weight",
            "*tok_embeddings.weight",
        ),
        "holds a model of text, or of text and images: give the checkpoint of its image encoder alone",
    ),
)
_QUANTISED = (torch.qint8, torch.quint8, torch.qint32, torch.quint4x2)


# image encoders beside a text encoder that the table of formats knows to take
_WITH_IMAGES = (
    *("*visual.class_embedding", "*visual.trunk.*", "*visual.patch_embed.proj.weight"),
    "*vision_model.embeddings.patch_embedding.weight",
)


def refuse_strangers(contents: Contents) -> None:
    """Raise InputError for adapters, quantised weights and models of text alone."""
    weights = contents.groups.get(contents.main or "", {})
    weights = weights or max(contents.groups.values(), key=len, default={})
    empty = sum(not value.numel() for value in weights.values())
    if empty > 1 and 2 * empty > len(weights):
        raise InputError(
            f"{contents.file}: {empty} of {len(weights)} tensors are empty, as DeepSpeed's ZeRO-3 leaves them: run its "
            "zero_to_fp32.py on the folder of the checkpoint and give what it writes"
        )
    with_images = any(any_fits(state, _WITH_IMAGES) for state in contents.groups.values())
    for _, name, tensor in contents.tensors():
        for globs, what in STRANGERS[:2] if with_images else STRANGERS:
            if fits(name, globs):
                raise InputError(f"{contents.file} {what} ('{name}')")
        if tensor.dtype in _QUANTISED:
            raise InputError(f"{contents.file} {STRANGERS[1][1]} ('{name}' is {tensor.dtype})")
