"""Does A2MIM work on every architecture? ``python -m a2mim.experiments.families`` tries each family of timm.

A family is a module of the installed timm (``timm.list_modules()``), represented by its smallest model. Each is tried
with the token at the default site, a linear head, twenty steps of AdamW on one batch, a reconstruction of the input
size, a checkpoint, and the encoder that ``load_encoder`` reads back from it. The table is saved after each family, in
``families.csv`` and ``families.md``; the next call continues with the missing families. Cost: 98 families, about 45
minutes on one core of a busy machine.
"""

from __future__ import annotations

import csv
import json
import math
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import click

RESULTS = Path(__file__).parents[1] / "results"
STEPS, BATCH = 20, 2
RATES = (1e-3, 1e-4)  # learning rates; the second is used if the loss does not fall with the first
SIZES = (64, 96, 224, None)  # pixels; None: the size that timm trained the model on
LARGE, DEPTH = 20_000_000, 4  # larger models are built with this depth, if the architecture has that argument
COLUMNS = (
    *("family", "model", "parameters", "model_args", "img_size", "sites", "site", "module", "order", "site_grid"),
    *("output_grid", "stride", "lr", "first_loss", "last_loss", "unused", "coverage", "seconds", "timm", "result"),
)
Row = dict[str, Any]


# --- one family -------------------------------------------------------------------------------------------------------


def parameters(arch: str) -> int:
    """Number of parameters of a timm model, counted without allocating them."""
    import timm
    import torch

    with torch.device("meta"):
        return sum(parameter.numel() for parameter in timm.create_model(arch).parameters())


def smallest(family: str) -> str:
    """The model of a timm module with the fewest parameters."""
    import timm

    return min(timm.list_models(module=family), key=parameters)


def build(arch: str) -> Any:
    """A ``MaskedImageModel`` on images as small as the architecture accepts.

    Raises:
        InputError: it accepts none of the sizes; the message is about the size that timm trained it on.
    """
    from a2mim.errors import InputError
    from a2mim.model import create_model

    shallow: list[dict[str, int]] = [{"depth": DEPTH}] if parameters(arch) > LARGE else []
    for args in (*shallow, {}):
        for size in SIZES:
            try:
                return create_model(arch, model_args=args, img_size=size)
            except InputError as error:
                refusal = error
    raise refusal


def images_of(img_size: tuple[int, int], seed: int = 0) -> Any:
    """A batch (B, 3, H, W) that can be learned: smooth random colours with unit variance."""
    import torch
    import torch.nn.functional as F

    from a2mim import seeds

    coarse = torch.randn(BATCH, 3, 6, 6, generator=seeds.generator("families", seed))
    images = F.interpolate(coarse, size=img_size, mode="bicubic", align_corners=False)
    return (images - images.mean()) / images.std()


def train(model: Any, images: Any, mask: Any, lr: float) -> tuple[list[float], int]:
    """Losses of AdamW steps on one batch, and the number of the encoder's parameters without gradient.

    Raises:
        RunError: a reconstruction of the wrong size, a token without gradient, a loss that is not finite.
    """
    import torch

    from a2mim.errors import RunError
    from a2mim.losses import MIMLoss

    criterion = MIMLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    losses, unused = [], 0
    model.train()
    for step in range(STEPS):
        optimizer.zero_grad()
        prediction = model(images, mask)
        if prediction.shape != images.shape:
            raise RunError(f"reconstruction of {tuple(prediction.shape)} for images of {tuple(images.shape)}")
        loss = criterion(prediction, images, mask)["loss"]
        loss.backward()
        if step == 0:
            if model.mask_token.grad is None or not model.mask_token.grad.any():
                raise RunError("the token gets no gradient")
            trained = [value for value in model.encoder.parameters() if value.requires_grad]
            unused = sum(value.numel() for value in trained if value.grad is None)
        optimizer.step()
        losses.append(loss.item())
        if not math.isfinite(losses[-1]):
            raise RunError(f"loss {losses[-1]} in step {step + 1}")
    return losses, unused


def read_back(model: Any, images: Any, folder: str | Path) -> float:
    """Write a checkpoint as pre-training does and read the encoder from it; returns the coverage of the encoder.

    Raises:
        RunError: weights or features of the read encoder differ from those of the written one.
    """
    import torch

    from a2mim.checkpoint import load_encoder, save_checkpoint
    from a2mim.errors import InputError, RunError

    path = Path(folder) / "last.pth.tar"
    description = {
        "kind": "pretrain",
        "method": "a2mim",
        "arch": model.arch,
        "model_args": model.model_args,
        "mim_args": model.mim_args,
        "num_classes": 0,
        "input_size": [3, *model.img_size],
        "mean": list(model.mean),
        "std": list(model.std),
    }
    save_checkpoint(path, {**description, "state_dict": model.state_dict()})
    try:
        encoder, report = load_encoder(path)
    except InputError as error:
        raise RunError(str(error).replace(f"{path} ", "its checkpoint ")) from error
    theirs, ours = encoder.state_dict(), model.encoder.state_dict()
    differ = [name for name in {**theirs, **ours} if name not in theirs or not torch.equal(theirs[name], ours[name])]
    if differ:
        raise RunError(f"{len(differ)} tensors of the encoder differ after loading: {', '.join(differ[:3])}")
    with torch.no_grad():
        before, after = (model.output.of(network.eval(), images) for network in (model.encoder, encoder))
    # not bit for bit: the order of sums depends on the alignment of memory
    if not torch.allclose(before, after, rtol=1e-4, atol=1e-4 * float(before.abs().max())):
        raise RunError(f"features differ by {float((before - after).abs().max()):.2g} after loading")
    return report.coverage


def check(family: str, arch: str = "") -> Row:
    """The row of a family in the table.

    Args:
        arch: the model that represents it; default: the smallest.

    Raises:
        InputError, RunError: the model does not work; the message says why.
    """
    from a2mim import seeds
    from a2mim.encoders import sites
    from a2mim.errors import RunError
    from a2mim.masking import auto_cell, mask_grid, random_mask

    started = time.perf_counter()
    chosen = arch or smallest(family)
    with seeds.isolated("families", family):
        for lr in RATES:
            model = build(chosen)
            size, site, output = model.img_size, model.site, model.output.layout
            mask = random_mask(BATCH, mask_grid(size, auto_cell(size[0])), 0.6, seeds.generator("families", family))
            images = images_of(size)
            losses, unused = train(model, images, mask, lr)
            if losses[-1] < losses[0]:
                break
        else:
            raise RunError(f"loss {losses[0]:.3f} at first, {losses[-1]:.3f} after {STEPS} steps")
        with tempfile.TemporaryDirectory() as folder:
            coverage = read_back(model, images, folder)
    trained = sum(value.numel() for value in model.encoder.parameters())
    return {
        "model": chosen,
        "parameters": trained,
        "model_args": json.dumps(model.model_args),
        "img_size": size[0],
        "sites": " ".join(sites.names(model.encoder, size)),
        "site": site.name,
        "module": site.module,
        "order": "+".join(layout.order + ("*" if layout.cells else "") for layout in site.layouts),
        "site_grid": "+".join("x".join(map(str, layout.grid)) for layout in site.layouts),
        "output_grid": "x".join(map(str, output.grid)),
        "stride": model.head.shuffle.upscale_factor,
        "lr": lr,
        "first_loss": round(losses[0], 4),
        "last_loss": round(losses[-1], 4),
        "unused": round(unused / trained, 4),
        "coverage": coverage,
        "seconds": round(time.perf_counter() - started, 1),
        "result": "pass" if coverage == 1 else f"coverage {coverage:.1%}",
    }


# --- all of them ------------------------------------------------------------------------------------------------------


def guarded(family: str, arch: str, minutes: float, gigabytes: float) -> Row:
    """Run ``check`` in its own process, so that a crash affects only this family."""
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("fork" if "fork" in methods else None)  # torch is imported once
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_report, args=(family, arch, gigabytes, sender), daemon=True)
    process.start()
    sender.close()
    try:
        if receiver.poll(minutes * 60):
            return dict(receiver.recv())
        return {"model": arch, "result": f"not finished after {minutes:g} minutes"}
    except EOFError:
        process.join()
        return {"model": arch, "result": f"its process ended with code {process.exitcode}"}
    finally:
        process.kill()
        process.join()


def _report(family: str, arch: str, gigabytes: float, sender: Connection) -> None:
    from a2mim.errors import InputError, RunError

    limit_memory(gigabytes)
    try:
        sender.send(check(family, arch))
    except Exception as error:  # any error is the result of this family
        reason = (str(error).strip() or "no message").splitlines()[0]
        known = isinstance(error, (InputError, RunError))
        sender.send({"model": arch, "result": reason if known else f"{type(error).__name__}: {reason}"})


def limit_memory(gigabytes: float) -> None:
    """Limit the memory of this process, so that it fails with a MemoryError before the machine runs out."""
    if sys.platform != "win32":
        import resource

        bytes_ = int(gigabytes * 2**30)
        resource.setrlimit(resource.RLIMIT_DATA, (bytes_, bytes_))


def read_table(path: Path, timm_version: str) -> dict[str, Row]:
    """The rows of an earlier survey of the same timm, by family; rows without a result only name the model."""
    if not path.is_file():
        return {}
    with path.open(newline="") as file:
        return {row["family"]: row for row in csv.DictReader(file) if row["timm"] == timm_version}


def write_table(folder: Path, rows: Iterable[Row]) -> None:
    """Write ``families.csv``, and ``families.md`` for readers."""
    from a2mim import files

    rows = sorted(rows, key=lambda row: row["family"])
    with files.atomic(folder / "families.csv") as partial, partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: row.get(key, "") for key in COLUMNS} for row in rows)
    files.write_text(folder / "families.md", markdown(rows))


HEAD = """# Families of timm {timm}: {passed} of {total} pass

Written by `python -m a2mim.experiments.families`: the smallest model of each module of timm, {steps} steps on one batch
with the token at the default site, a checkpoint, and the encoder read back from it with equal features.
Order: how features lie at the site (\\*: tokens in an order of the network's own; several: parallel branches).
Unused: share of the encoder's parameters without gradient: of class tokens, of layers between features and classifier.

| family | model | parameters | image | sites | default site | order | grid | output | stride | loss | unused | result |
| --- | --- | --: | --: | --- | --- | --- | --- | --- | --: | --- | --: | --- |
"""


def markdown(rows: list[Row]) -> str:
    """The table in Markdown, one line per family."""
    passed = sum(row["result"] == "pass" for row in rows)
    text = HEAD.format(timm=rows[0]["timm"] if rows else "", passed=passed, total=len(rows), steps=STEPS)
    for row in rows:
        worked = row.get("last_loss") not in (None, "")
        cells = (
            *(row["family"], row.get("model", ""), f"{int(row['parameters']) / 1e6:.1f} M" if worked else ""),
            *(row.get("img_size", ""), ranges(row.get("sites") or ""), row.get("site", "")),
            *(str(row.get("order", "")).replace("*", "\\*"), row.get("site_grid", ""), row.get("output_grid", "")),
            *(row.get("stride", ""), f"{row['first_loss']} → {row['last_loss']}" if worked else ""),
            *(f"{float(row['unused']):.1%}" if worked else "", (row["result"] or "not tried").replace("|", "/")),
        )
        text += "| " + " | ".join(map(str, cells)) + " |\n"
    return text


def ranges(sites: str) -> str:
    """ "input stem block1 block2 ... block12" as "input, stem, block1..12"."""
    names = sites.split()
    deep = [name for name in names if name.startswith(("stage", "block"))]
    short = [name for name in names if name not in deep]
    return ", ".join([*short, *([f"{deep[0]}..{deep[-1][5:]}"] if deep else [])])


def summary(rows: Mapping[str, Row]) -> str:
    failed = {family: row["result"] or "not tried" for family, row in rows.items() if row["result"] != "pass"}
    lines = [f"{len(rows) - len(failed)} of {len(rows)} families pass"]
    return "\n".join(lines + [f"  {family}: {why}" for family, why in sorted(failed.items())])


@click.command()
@click.option("--only", multiple=True, help="Family to try; repeatable.  [default: all missing ones]")
@click.option("--again", is_flag=True, help="Try families again that did not pass (with --only: also those that did).")
@click.option(
    "--output", type=click.Path(path_type=Path), default=RESULTS, show_default=True, help="Folder of the tables."
)
@click.option("--minutes", default=15.0, show_default=True, help="Time limit for one family, in minutes.")
@click.option("--memory", default=10.0, show_default=True, help="Memory limit for one family, in gigabytes.")
def main(only: tuple[str, ...], again: bool, output: Path, minutes: float, memory: float) -> None:
    """Try A2MIM on every family of timm; writes families.csv and families.md."""
    import timm

    known = timm.list_modules()
    strange = [name for name in only if name not in known]
    if strange:
        raise click.UsageError(f"timm {timm.__version__} has no module {', '.join(strange)}; it has {', '.join(known)}")
    rows = read_table(output / "families.csv", timm.__version__)
    tried = {name: row["result"] for name, row in rows.items() if row["result"]}
    done = {name for name, result in tried.items() if not again or (result == "pass" and not only)}
    for name in [name for name in only or known if name not in done]:
        arch = rows.get(name, {}).get("model", "")
        rows[name] = {"family": name, "timm": timm.__version__, **guarded(name, arch, minutes, memory)}
        write_table(output, rows.values())
        click.echo(f"{name}: {rows[name]['result']} ({rows[name].get('seconds', '?')} s)")
    click.echo(summary(rows))
