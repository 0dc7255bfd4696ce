"""``a2mim-analyze``: what an encoder has learned, as a table, a file of settings and a picture."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import click

from a2mim.commands import _common
from a2mim.commands._types import BatchSize, Counts, Duration, Grid, Numbers, Pairs, Shard

FILLS = ("dataset-mean", "image-mean", "black", "blur", "noise")


def _options(images: str, batch_size: int | None = None) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """What every analysis takes: checkpoints, which images, where to."""
    return _several(
        click.argument("checkpoints", nargs=-1),
        click.option("--output", default="runs/analysis", show_default=True, help="Folder for the results."),
        click.option("--name", "names", multiple=True, help="Name of a checkpoint in the results; once for each."),
        click.option(
            "--dataset", default="fashion", show_default=True, help="Embedded images, 'folder', or a timm name."
        ),
        click.option("--data-dir", help="Folder of images."),
        click.option("--classes", help="These classes of it alone: imagenet100, or a file with a sub-folder a line."),
        click.option("--split", default="val", show_default=True),
        click.option("--images", "limit", type=click.IntRange(1), help=f"Number of images.  [default: {images}]"),
        click.option("--batch-size", "-b", type=click.IntRange(1), default=batch_size, show_default=True)
        if batch_size
        else click.option("--batch-size", "-b", type=BatchSize(), help="[default: auto, the fastest by a short trial]"),
        click.option(
            "--workers", "-j", type=click.IntRange(0), help="Processes that read.  [default: 4; 0 for embedded images]"
        ),
        click.option("--seed", default=0, show_default=True, help="Of the choice of images, and of all that is drawn."),
        click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, mps."),
        click.option("--shard", type=Shard(), metavar="K/N", help="The K-th of N shares of the work, for job arrays."),
    )


def _several(*options: Callable[..., Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


_LAYERS = click.option(
    "--layer",
    "layers",
    multiple=True,
    help="Layer, as in named_modules(), once for each; BLOCK:attn is the stream after a block's attention.  [default: "
    "stem and all blocks]",
)
CLASS_MAP = click.option(
    "--class-map",
    metavar="FILE|NAME",
    help="Images of some classes: a JSON file {folder name: number of the class}, or imagenet-1k for folders "
    "named after synsets.",
)


@click.group(context_settings=_common.CONTEXT)
def main() -> None:
    """Occlusion robustness, multi-order interactions, spectra, variances and reconstructions of any checkpoint.

    Each analysis takes one or several checkpoints (files, run folders) and, with none, the small networks that come
    with the package. It writes OUTPUT/<analysis>.csv, .json, .png and .pdf. What is finished is kept in
    OUTPUT/<analysis>.parts: an analysis that was stopped goes on when it is given again.
    """


@main.command(name="occlusion")
@_options(images="all")
@_common.loading_options
@CLASS_MAP
@click.option("--grid", type=Grid(), help="Cells over the image.  [default: 14x14, or what divides the image]")
@click.option("--ratios", type=Numbers(), default="0,.1,.2,.3,.4,.5,.6,.7,.8,.9,1", show_default=True)
@click.option(
    "--runs", type=click.IntRange(1), default=5, show_default=True, help="Masks drawn for each image and ratio."
)
@click.option(
    "--fill",
    type=click.Choice([*FILLS, "all"]),
    default="dataset-mean",
    show_default=True,
    help="What replaces hidden patches; 'all' shows each beside the others.",
)
@click.option(
    "--patches",
    type=click.Choice(["random", "salient", "non-salient"]),
    default="random",
    show_default=True,
    help="Which patches are hidden first.",
)
@click.option("--nested", is_flag=True, help="Patches once hidden stay hidden at every larger ratio: smoother curves.")
@click.option("--batch-shared-mask", is_flag=True, help="One mask for all images of a run, as the published code does.")
@click.option(
    "--saliency",
    type=click.Choice(["attention", "gradient"]),
    help="What is salient.  [default: attention of a ViT's class token, gradient of any other network]",
)
@click.option("--saliency-checkpoint", metavar="CKPT", help="Whose saliency, such as a DINO ViT.  [default: its own]")
@click.option("--saliency-head", type=click.IntRange(0), help="Attention head.  [default: the mean over heads]")
@_common.clear_errors
def occlusion(**options: Any) -> None:
    """Accuracy against the share of hidden patches (section 3.1, Figure 1 a-d)."""
    _analyse("occlusion.occlusion_pipeline", "run_occlusion", options)


@main.command(name="shuffle")
@_options(images="all")
@_common.loading_options
@CLASS_MAP
@click.option("--sides", type=Counts(), help="k of grids of k x k cells.  [default: those of 1,2,4,8,16 that fit]")
@click.option("--runs", type=click.IntRange(1), default=5, show_default=True, help="Orders drawn for each image.")
@_common.clear_errors
def shuffle(**options: Any) -> None:
    """Accuracy when the patches of a k x k grid are shuffled: whether the arrangement matters (section 3.1)."""
    _analyse("occlusion.occlusion_pipeline", "run_shuffle", options)


@main.command(name="interactions")
@_options(images="100; 20 of the embedded ones")
@_common.loading_options
@CLASS_MAP
@click.option("--grid", type=Grid(), help="Players over the image.  [default: 14x14, or what divides the image]")
@click.option("--ratios", type=Numbers(), help="Orders m as shares of n - 2.  [default: the paper's 13]")
@click.option("--orders", type=Counts(), help="Orders m as numbers of players, such as 0,10,31.")
@click.option("--pairs", "n_pairs", type=click.IntRange(1), help="Pairs for each image.  [default: 200; of paper 50]")
@click.option("--contexts", "n_contexts", type=click.IntRange(1), help="For each pair.  [default: 12; of paper 50]")
@click.option(
    "--draw",
    "pairs",
    type=Pairs(),
    metavar="KIND",
    default="neighbours",
    show_default=True,
    help="Which pairs: neighbours; clamped, the published drawing with its bias at the border; all; or a file with a "
    "pair in each line, such as 17,18 (players counted along the rows).",
)
@click.option("--distance", type=click.IntRange(1), default=2, show_default=True, help="Of neighbours, in cells.")
@click.option(
    "--estimator",
    type=click.Choice(["efficient", "paper"]),
    default="efficient",
    show_default=True,
    help="'paper' is the published one, pair for pair and context for context.",
)
@click.option("--score", type=click.Choice(["log-odds", "log-prob", "logit"]), default="log-odds", show_default=True)
@click.option("--target", type=click.Choice(["label", "predicted"]), default="label", show_default=True)
@click.option(
    "--baseline", type=click.Choice(FILLS), default="dataset-mean", show_default=True, help="Stands for absent players."
)
@click.option(
    "--normalise",
    type=click.Choice(["ratios", "uniform-m"]),
    default="ratios",
    show_default=True,
    help="J has mean 1 over the measured ratios, as published, or over all orders.",
)
@click.option("--only-correct", is_flag=True, help="Leave out images that one of the networks gets wrong.")
@click.option("--amp", is_flag=True, help="bfloat16; says how much noise that adds.")
@click.option("--evaluations", type=click.IntRange(1), help="Choose images and pairs for so many evaluations in all.")
@click.option("--budget", "seconds", type=Duration(), help="The same for a time, such as 90s, 10m, 2h.")
@click.option("--dry-run", is_flag=True, help="Say the cost and the expected error, and end.")
@_common.clear_errors
def interactions(**options: Any) -> None:
    """Strength J(m) of interactions between patches by order (section 3.2, Figure 1 e-h).

    With several checkpoints, the difference of each to the first comes with a paired interval.
    """
    _analyse("interactions.interactions_pipeline", "run_interactions", options)


@main.command(name="spectrum")
@_options(images="1000, or all", batch_size=64)
@_common.loading_options
@_LAYERS
@click.option(
    "--reduction",
    type=click.Choice(["diagonal", "radial"]),
    default="diagonal",
    show_default=True,
    help="Of the two-dimensional spectrum: its half diagonal, as published, or the mean over rings.",
)
@click.option(
    "--frequency",
    type=click.FloatRange(0, 1, min_open=True),
    help="At which all layers are compared, in units of pi.  [default: the highest that all of them have]",
)
@_common.clear_errors
def spectrum(**options: Any) -> None:
    """Relative log amplitude of the feature maps' Fourier transform by depth (section 3.3, Figure 3 a)."""
    _analyse("probes.probes_pipeline", "run_spectrum", options)


@main.command(name="variance")
@_options(images="1000, or all", batch_size=64)
@_common.loading_options
@_LAYERS
@click.option("--kind", type=click.Choice(["variance", "std"]), default="variance", show_default=True)
@click.option("--ddof", type=click.IntRange(0, 1), default=1, show_default=True, help="Divide by H·W - ddof.")
@_common.clear_errors
def variance(**options: Any) -> None:
    """Spatial variance of the feature maps by depth (section 3.3, Figure 3 b)."""
    _analyse("probes.probes_pipeline", "run_variance", options)


@main.command(name="merge")
@click.argument("outputs", nargs=-1, required=True)
@click.option("--output", default="runs/analysis", show_default=True, help="Folder for the results.")
@_common.clear_errors
def merge(outputs: tuple[str, ...], output: str) -> None:
    """Join what `--shard` left in several OUTPUTS, and write the results."""
    from a2mim.analysis.core import merging

    for path in merging.merge(outputs, output).values():
        click.echo(path)


@main.command(name="report")
@click.argument("sources", nargs=-1, required=True)
@click.option("--output", default="report.html", show_default=True, help="The page to write.")
@click.option("--title", help="Of the page.  [default: the names of the sources]")
@_common.clear_errors
def report(sources: tuple[str, ...], output: str, title: str | None) -> None:
    """One HTML page, for a browser, that shows all that SOURCES hold: results of analyses, runs, trials.

    A source is a folder that holds some of them at any depth, or a single file. The page needs no network.
    """
    from a2mim.analysis.report import page

    click.echo(page.write_page(sources, output, title))


@main.command(name="reconstruct")
@_options(images="100", batch_size=64)
@_common.TRUST
@click.option(
    "--image", "given", multiple=True, metavar="FILE", help="Image in the place of a data set; once for each."
)
@click.option("--shown", type=click.IntRange(1), help="Images that are drawn.  [default: 6, or all that are given]")
@click.option("--mask-ratio", type=click.FloatRange(0, 1), help="Share of hidden cells.  [default: as in training]")
@click.option("--mask-patch-size", type=click.IntRange(1), help="Pixels of a mask cell.  [default: as in training]")
@click.option(
    "--token",
    type=click.Choice(["with", "without", "both"]),
    default="with",
    show_default=True,
    help="With the mask token, as trained, or with its addition switched off (Figure A3).",
)
@_common.clear_errors
def reconstruct(**options: Any) -> None:
    """Original, masked input, prediction, and prediction in its place (Figures 5, A2 and A3), with their errors."""
    _analyse("reconstruction.reconstruct_pipeline", "run_reconstruct", options)


def _analyse(module: str, function: str, options: dict[str, Any]) -> None:
    """Sort the options into what the images, the loader and the analysis take; call; say what was written."""
    import importlib

    from a2mim.analysis.core import pipeline

    ours = ("dataset", "data_dir", "classes", "split", "limit", "workers", "class_map")
    images = pipeline.Images(**{key: options.pop(key) for key in ours if key in options}, seed=options["seed"])
    checkpoints: Sequence[str] = options.pop("checkpoints")
    loading = _common.loading(options)
    options = {key: value for key, value in options.items() if value is not None}
    loading["echo"] = functools.partial(click.echo, err=True)
    run = getattr(importlib.import_module(f"a2mim.analysis.{module}"), function)
    written = run(checkpoints, options.pop("output"), images=images, **options, **loading)
    for path in written.values():
        click.echo(path)


@main.command(name="figures")
@click.argument("names", nargs=-1)
@click.option("--results", help="Folder of results.  [default: those that come with the package]")
@click.option("--output", default="runs/figures", show_default=True, help="Folder for the figures and tables.")
@click.option("--table", "numbers", multiple=True, metavar="NUMBER", help="Table 1 to 5; the same as the name tableN.")
@_common.clear_errors
def figures(names: tuple[str, ...], results: str | None, output: str, numbers: tuple[str, ...]) -> None:
    """Draw the paper's figures and tables from results: NAMES such as 1 3 A1 table2 t5; all without a name."""
    from a2mim.analysis.report import gallery

    wanted = [*names, *(f"table{number}" for number in numbers)]
    for path in gallery.build(wanted, results, output, functools.partial(click.echo, err=True)):
        click.echo(path)
