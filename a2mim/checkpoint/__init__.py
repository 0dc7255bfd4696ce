"""Checkpoints: what a run writes, and the one loader through which every analysis reads a network."""

from a2mim.checkpoint.files.reading import read_checkpoint
from a2mim.checkpoint.files.storage import (
    BACKBONE,
    BEST,
    LAST,
    SHIPPED,
    export_safetensors,
    resolve,
    save_checkpoint,
    shipped,
)
from a2mim.checkpoint.loader import load_encoder, load_masked_model, refusal
from a2mim.checkpoint.report import LoadReport

__all__ = [
    "BACKBONE",
    "BEST",
    "LAST",
    "SHIPPED",
    "LoadReport",
    "export_safetensors",
    "load_encoder",
    "load_masked_model",
    "read_checkpoint",
    "refusal",
    "resolve",
    "save_checkpoint",
    "shipped",
]
