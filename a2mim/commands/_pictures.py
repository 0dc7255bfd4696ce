"""Pictures that training commands leave in the run's folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from a2mim import seeds
from a2mim.analysis.core import outputs
from a2mim.analysis.reconstruction import errors
from a2mim.analysis.reconstruction import pictures as reconstruction
from a2mim.data import ImageLoader, eval_transform, open_images
from a2mim.figures import confusion as confusion_figure
from a2mim.figures import reconstruction as reconstruction_figure
from a2mim.figures import training
from a2mim.methods import masked_method
from a2mim.settings import PretrainSettings
from a2mim.training.runs import Run

IMAGES = 6


def learning_curve(run: Run) -> Path:
    """Draw summary.csv as curve.png and curve.pdf; returns the path of the first."""
    if not run.writes:
        return run.path / "curve.png"
    return outputs.save_pictures(training.plot(pd.read_csv(run.path / "summary.csv")), run.path / "curve")["png"]


def confusion(run: Run) -> Path | None:
    """Draw confusion.csv as confusion.png and .pdf; None where the run has none (too many classes)."""
    table = run.path / "confusion.csv"
    if not table.is_file() or not run.writes:
        return None
    figure = confusion_figure.plot(pd.read_csv(table, keep_default_na=False))  # a class may be called NA
    return outputs.save_pictures(figure, run.path / "confusion")["png"]


def reconstructions(settings: PretrainSettings) -> Callable[[int, Any, Run], None]:
    """A callback that draws the same few images and masks every ``picture_interval`` epochs and after the last.

    It draws nothing for a method that reconstructs nothing.
    """
    method = masked_method(settings.method)

    def draw(epoch: int, model: Any, run: Run) -> None:
        interval = settings.picture_interval
        if method is None or not interval or (epoch % interval and epoch != settings.epochs):
            return
        source = open_images(settings.dataset, settings.data_dir, "train", **settings.reading())
        transform = eval_transform(model.img_size, model.mean, model.std)
        batch = next(iter(ImageLoader(source, transform, batch_size=IMAGES, limit=IMAGES, seed=settings.seed)))
        mask = method.masks(
            len(batch.images), model.img_size, seeds.generator(settings.seed, "picture"), **method.masks_by(settings)
        )
        device = model.mask_token.device
        shown = reconstruction.panels(model, batch.images.to(device), mask.to(device))
        pictures = {name: value.permute(0, 2, 3, 1).numpy() for name, value in shown._asdict().items()}
        title = f"{model.arch}, epoch {epoch}"
        captions = [f"{psnr:.1f} dB" for psnr in errors.scores(shown, mask)["psnr"]]
        figure = reconstruction_figure.plot({title: pictures}, {title: captions})
        outputs.save_figure(figure, run.path / "reconstructions" / f"epoch-{epoch:04d}.png")

    return draw
