"""Is a file of timm's read as what it is? ``python -m a2mim.experiments.survey`` tries every architecture of timm.

For each architecture below 100 million parameters: its own ``state_dict`` with random values everywhere is saved, read
with its name and read without it, and the outputs for one image are compared. With the name they must be equal. Without
it they must be equal, or the report notes that timm has other networks with these names and shapes, or the file is
refused. The table is kept after each architecture, in ``loader_survey.csv`` and ``loader_survey.md``; the next call
goes on with those that are missing. Cost: about half an hour of one core; no weights are downloaded.
"""

from __future__ import annotations

import csv
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

RESULTS = Path(__file__).parents[1] / "results"
NAME = "loader_survey"
LARGEST = 100_000_000  # parameters
SMALL = 96  # pixels, for networks that take images of any size
TOLERANCE = 1e-5  # of outputs, relative to the largest
COLUMNS = ("arch", "parameters", "img_size", "with_name", "without_name", "taken_for", "reason", "seconds", "timm")
Row = dict[str, Any]


def survey(arch: str, folder: str | Path) -> Row | None:
    """How the file of one architecture is read; ``reason`` is the loader's where it refuses. None for a large one."""
    import timm
    import torch

    from a2mim.checkpoint.fitting import without_weights

    started = time.perf_counter()
    with without_weights():
        model = timm.create_model(arch)
    parameters = sum(value.numel() for value in model.parameters())
    if parameters >= LARGEST:
        return None
    row: Row = {"arch": arch, "parameters": parameters, "reason": ""}
    size = image_size(model)
    fill(model.eval())
    with torch.inference_mode():
        images = torch.randn(1, 3, *size)
        expected = model(images)
    file = Path(folder) / f"{arch}.pth"
    torch.save(model.state_dict(), file)
    del model
    try:
        row["with_name"], _, row["reason"] = read(file, arch, images, expected)
        row["without_name"], row["taken_for"], why = read(file, None, images, expected)
    finally:
        file.unlink()
    return row | {
        "reason": row["reason"] or why,
        "img_size": size[0],
        "seconds": round(time.perf_counter() - started, 1),
        "timm": timm.__version__,
    }


def read(file: Path, arch: str | None, images: Any, expected: Any) -> tuple[str, str, str]:
    """("equal", "noted", "refused" or "wrong", the architecture, the loader's reason)."""
    import torch

    from a2mim.checkpoint import load_encoder
    from a2mim.errors import InputError

    try:
        model, report = load_encoder(file, arch)
    except InputError as error:
        return "refused", "", str(error).replace(str(file), "the file")
    with torch.inference_mode():
        output = model(images) if tuple(report.input_size[1:]) == images.shape[2:] or takes_any(model) else None
    if same(output, expected):
        return "equal", report.arch, ""
    noted = any("same names and shapes" in note for note in report.notes)
    return "noted" if noted and arch is None else "wrong", report.arch, "; ".join(report.notes)


def same(output: Any, expected: Any) -> bool:
    """Whether outputs are equal, all of them where a network gives several."""
    if isinstance(expected, tuple | list):
        pairs = zip(output, expected, strict=True) if len(output) == len(expected) else ()
        return bool(expected) and all(same(one, other) for one, other in pairs)
    if output is None or output.shape != expected.shape or not expected.isfinite().all():
        return False
    return bool((output - expected).abs().max() <= TOLERANCE * expected.abs().max())


def image_size(model: Any) -> tuple[int, int]:
    """(H, W) of the image that the outputs are compared for: small, where the network takes any size."""
    from a2mim.encoders.build import default_img_size

    size = default_img_size(model)
    return (min(SMALL, size[0]), min(SMALL, size[1])) if takes_any(model) else size


def takes_any(model: Any) -> bool:
    """Whether a network was not built for one size of images."""
    fixed = model.default_cfg.get("fixed_input_size") or model.default_cfg.get("min_input_size")
    embed = getattr(model, "patch_embed", None)
    return (
        not fixed and getattr(embed, "img_size", None) is None and hasattr(model, "feature_info") and convolves(model)
    )


def convolves(model: Any) -> bool:
    """Whether a network is one of convolutions alone, as far as the names of its layers say."""
    words = ("attn", "attention", "token_mixer", "mixer", "tokens", "pos_embed", "rel_pos", "spatial")
    return not any(word in name for name in model.state_dict() for word in words)


def fill(model: Any) -> None:
    """Give every parameter and statistic a random value; none stays at zero or one."""
    import torch

    torch.manual_seed(0)
    for name, value in model.state_dict().items():
        if not value.is_floating_point():
            continue
        if name.endswith("running_var"):
            value.uniform_(0.5, 1.5)
        elif value.ndim == 1 and name.endswith(("weight", "gamma")):
            value.uniform_(0.8, 1.2)
        elif value.ndim > 1:
            value.normal_(std=value[0].numel() ** -0.5)
        else:
            value.normal_(std=0.1)


# --- all of them ------------------------------------------------------------------------------------------------------


def read_table(folder: Path) -> dict[str, Row]:
    """The rows of an earlier survey, by architecture."""
    path = folder / f"{NAME}.csv"
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        return {row["arch"]: dict(row) for row in csv.DictReader(file)}


def write_table(folder: Path, rows: Iterable[Row]) -> None:
    """``loader_survey.csv`` and ``loader_survey.md``, the second for people."""
    from a2mim import files

    rows = sorted(rows, key=lambda row: row["arch"])
    with files.atomic(folder / f"{NAME}.csv") as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: row.get(key, "") for key in COLUMNS} for row in rows)
    files.write_text(folder / f"{NAME}.md", markdown(rows))


def markdown(rows: list[Row]) -> str:
    """The counts, and each architecture that is not read as what it is."""
    versions = ", ".join(sorted({row["timm"] for row in rows}))
    lines = [
        f"# timm's own files, read by the loader (timm {versions})",
        "",
        f"Written by `python -m a2mim.experiments.survey`: {len(rows)} architectures below 100 million parameters,",
        "their own `state_dict` with random values, outputs compared to 1e-5. All rows are in `loader_survey.csv`.",
        "",
        "| read | equal | noted | refused | wrong |",
        "| --- | --: | --: | --: | --: |",
    ]
    for key, label in (("with_name", "with its name"), ("without_name", "without a name")):
        counts = Counter(row[key] for row in rows)
        lines.append(
            f"| {label} | " + " | ".join(str(counts[kind]) for kind in ("equal", "noted", "refused", "wrong")) + " |"
        )
    lines += ["", "Noted: taken for another network, and the report names those with the same names and shapes."]
    odd = [row for row in rows if row["with_name"] != "equal" or row["without_name"] == "wrong"]
    lines += ["", f"Not as they should be: {len(odd)}.", ""]
    lines += [f"* {row['arch']}: {row['with_name']} / {row['without_name']}; {row['reason']}" for row in odd]
    return "\n".join(lines).rstrip() + "\n"


def missing(rows: Mapping[str, Row], again: bool, only: tuple[str, ...]) -> list[str]:
    """The architectures to try."""
    import timm

    good = {
        arch
        for arch, row in rows.items()
        if row["timm"] == timm.__version__
        and not (again and (row["with_name"] != "equal" or row["without_name"] == "wrong"))
    }
    return list(only) or [arch for arch in timm.list_models() if arch not in good]


@click.command()
@click.option(
    "--only", multiple=True, help="An architecture; may be given several times. Default: all that are missing."
)
@click.option("--again", is_flag=True, help="Try those again that were not read as they should be.")
@click.option("--output", type=click.Path(path_type=Path), default=RESULTS, show_default=True, help="Folder.")
def main(only: tuple[str, ...], again: bool, output: Path) -> None:
    """Read timm's own files with and without their names; writes loader_survey.csv and loader_survey.md."""
    warnings.simplefilter("ignore")
    rows = read_table(output)
    archs = missing(rows, again, only)
    with tempfile.TemporaryDirectory() as folder:
        for number, arch in enumerate(archs, 1):
            try:
                row = survey(arch, folder)
            except Exception as error:  # whatever it is, it is this architecture's result
                reason = f"{type(error).__name__}: {(str(error).strip() or 'no message').splitlines()[0]}"
                row = {"arch": arch, "with_name": "wrong", "without_name": "wrong", "reason": reason, "timm": ""}
            if row is None:  # large
                continue
            rows[arch] = row
            write_table(output, rows.values())
            click.echo(f"{number}/{len(archs)} {arch}: {row['with_name']} with, {row['without_name']} without its name")
    counts = Counter((row["with_name"], row["without_name"]) for row in rows.values())
    for (named, unnamed), count in counts.most_common():
        click.echo(f"{count} architectures: {named} with, {unnamed} without their name")


if __name__ == "__main__":
    main()
