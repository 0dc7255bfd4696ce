"""Results and runs as the commands write them, small and by hand, for the tests of the page that shows them."""

import dataclasses
import json
from importlib.metadata import EntryPoint, EntryPoints

import pandas as pd
import yaml
from matplotlib.figure import Figure
from PIL import Image

from a2mim.analysis import analyses
from a2mim.analysis.core.analysis import Analysis
from a2mim.analysis.core.numbers import Columns
from a2mim.analysis.report import reading
from a2mim.settings import FinetuneSettings

NAMES = ("net-a", "net-b")
RATIOS = (0.0, 0.5, 1.0)
ACCURACY = {"net-a": (0.8, 0.6, 0.1), "net-b": (0.9, 0.2, 0.1)}


def report(name):
    """What the loader says of a checkpoint, in short."""
    return dict(
        path=f"runs/{name}",
        format="a2mim",
        kind="finetune",
        arch="resnet10t",
        model_args={},
        num_classes=10,
        input_size=[3, 32, 32],
        mean=[0.286] * 3,
        std=[0.353] * 3,
        has_classifier=True,
        has_head=False,
        parameters=513482,
        coverage=1.0,
        matched=["conv1.weight"],
        epoch=3,
    )


def about(kind, settings, names=NAMES, **more):
    return {
        "analysis": kind,
        "settings": settings,
        "images": {"dataset": "fashion", "data_dir": None, "split": "val", "limit": 50, "seed": 0, "class_map": None},
        "networks": dict.fromkeys(names, "0123"),
        "checkpoints": {name: report(name) for name in names},
        "device": "cpu",
        "versions": {"python": "3.11.7", "torch": "2.9"},
        "created": "2026-01-02T03:04:05+00:00",
        "command": f"a2mim-analyze {kind} {' '.join(f'runs/{name}' for name in names)}",
        "duration_seconds": 90.0,
        **more,
    }


def write(folder, kind, rows, settings=None, **more):
    """A table and its settings file; returns the table's path."""
    folder.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame(rows)
    table.to_csv(folder / f"{kind}.csv", index=False)
    if settings is not None:
        names = tuple(dict.fromkeys(table["checkpoint"]))
        (folder / f"{kind}.json").write_text(json.dumps(about(kind, settings, names, **more)))
    return folder / f"{kind}.csv"


def tables(path):
    """The tables of an analysis as the page reads them."""
    return reading.read(reading.Found(path.stem, path), reading.known(path.stem).columns)[0]


def texts(table):
    """A table of the page, cell by cell."""
    return [[cell.text for cell in row] for row in table.rows]


def occlusion(folder, accuracy=ACCURACY, **settings):
    rows = [
        dict(
            checkpoint=name,
            run=run,
            ratio=ratio,
            accuracy=value,
            n_images=50,
            ci_low=value - 0.05,
            ci_high=value + 0.05,
        )
        for name, values in accuracy.items()
        for run in (0, 1)
        for ratio, value in zip(RATIOS, values, strict=True)
    ]
    chosen = {"grid": [8, 8], "ratios": list(RATIOS), "runs": 2, "fill": ["black"], "patches": "random", "nested": True}
    return write(
        folder, "occlusion", rows, {**chosen, "batch_shared_mask": False, "seed": 3, "saliency": None, **settings}
    )


def interactions(folder):
    ends = dict(n_images=4, n_pairs=12, n_contexts=8, evaluations=99)
    values = {"net-a": (0.5, 2.0, 0.5), "net-b": (1.5, 0.5, 1.0)}
    rows = [
        dict(checkpoint=name, ratio=ratio, order=int(62 * ratio), strength=value / 10, ci_low=0.01, ci_high=0.3,
             J=value, J_ci_low=value - 0.2, J_ci_high=value + 0.2, noise_floor=0.01, **ends)
        for name, one in values.items()
        for ratio, value in zip(RATIOS, one, strict=True)
    ]  # fmt: skip
    settings = {"grid": [8, 8], "ratios": list(RATIOS), "pairs": "neighbours", "distance": 2, "estimator": "efficient",
                "n_pairs": 12, "n_contexts": 8, "normalise": "ratios", "seed": 0, "score": "log-odds",
                "baseline": "dataset-mean", "target": "label", "amp": False, "only_correct": True}  # fmt: skip
    difference = [
        dict(checkpoint="net-b", ratio=ratio, order=0, strength_difference=0, ci_low=0, ci_high=0, J_difference=value,
             J_ci_low=value - 0.3, J_ci_high=value + 0.3, reference="net-a")
        for ratio, value in zip(RATIOS, (1.0, -1.5, 0.1), strict=True)
    ]  # fmt: skip
    path = write(folder, "interactions", rows, settings, conclusions=["J of net-b against net-a: fewer of them"])
    pd.DataFrame(difference).to_csv(folder / "interactions_difference.csv", index=False)
    return path


def layers(folder, kind):
    """spectrum.csv (with spectrum_at.csv) or variance.csv."""
    rows = []
    for name in NAMES:
        for place, layer in enumerate(("stem", "stage1", "stage2")):
            one = dict(checkpoint=name, layer=layer, depth=place / 2, height=8, width=8, n_images=50)
            if kind == "variance":
                rows.append(one | dict(variance=0.1 + place, ci_low=0.05 + place, ci_high=0.15 + place))
            else:
                rows += [
                    one | dict(frequency=at, log_amplitude=-at * (1 + place), ci_low=-4.0, ci_high=0.0)
                    for at in (0.0, 0.5, 1.0)
                ]
    settings = {"layers": None, "kind": "variance", "ddof": 1}
    if kind == "spectrum":
        settings = {"layers": ["stem", "stage1"], "reduction": "diagonal", "frequency": 0.5}
    path = write(folder, kind, rows, settings)
    if kind == "spectrum":
        table = pd.read_csv(path)
        table[table["frequency"] == 0.5].to_csv(folder / "spectrum_at.csv", index=False)
    return path


def reconstruct(folder):
    rows = [
        dict(checkpoint=name, token="with", image=image, l1=0.1 * (1 + place) + image / 100, psnr=20.0 - place)
        for place, name in enumerate(NAMES)
        for image in range(3)
    ]
    bands = [
        dict(checkpoint=name, token="with", low=low, high=low + 0.5, error=0.5, ci_low=0.4, ci_high=0.6, psnr=20.0,
             energy=0.7, energy_ci_low=0.6, energy_ci_high=0.8)
        for name in NAMES
        for low in (0.0, 0.5)
    ]  # fmt: skip
    settings = {"mask_ratio": 0.6, "mask_grid": [4, 4], "token": "with", "seed": 0, "drawn": [1, 2], "ssim": False}
    path = write(folder, "reconstruct", rows, settings)
    pd.DataFrame(bands).to_csv(folder / "reconstruct_bands.csv", index=False)
    Image.new("RGB", (60, 40), (200, 30, 30)).save(folder / "reconstruct.png")
    return path


def run(folder, start="from runs/p", recipe="fashion-finetune", **values):
    """A fine-tuning run of three epochs, the best of them the second."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = FinetuneSettings(**{"epochs": 3, "model": "resnet10t", "seed": 5, **values}).as_values()
    (folder / "args.yaml").write_text(yaml.safe_dump(settings))
    rows = [dict(epoch=1, loss=2.0, top1=10.0, val_loss=2.1), dict(epoch=2, loss=1.0, top1=60.0, val_loss=1.2),
            dict(epoch=3, loss=0.5, top1=55.0, val_loss=1.4)]  # fmt: skip
    pd.DataFrame(rows).to_csv(folder / "summary.csv", index=False)
    events = [
        {
            "time": 100.0,
            "event": "begin",
            "start": start,
            "torch": "2.9",
            "processes": 1,
            "command": f"a2mim-finetune runs/p -c {recipe}",
            "recipe": recipe,
        },
        {"time": 130.0, "event": "resume", "epoch": 1, "batch": 4},
        {"time": 140.0, "event": "skipped", "epoch": 1, "update": 7},
        {"time": 160.0, "event": "epoch", "epoch": 3},
    ]
    (folder / "log.jsonl").write_text("\n".join(map(json.dumps, events)) + '\n{"time": 17')
    return folder


def trials(folder):
    for seed in (0, 1):
        run(folder / f"seed-{seed}", seed=seed)
    (folder / "seeds.csv").write_text("seed,top1,best_top1\n0,55.0,60.0\n1,57.0,62.0\nmean,56.0,61.0\nstd,1.41,1.41\n")
    return folder


def everything(folder):
    """One of each, as a person may keep them."""
    results = folder / "results"
    for make in (occlusion, interactions, reconstruct):
        make(results)
    for kind in ("spectrum", "variance"):
        layers(results, kind)
    run(folder / "net-a")
    trials(folder / "trials")
    return folder


def bars(tables):
    figure = Figure()
    figure.subplots().bar(tables[""]["checkpoint"], tables[""]["sharpness"])
    return figure


@dataclasses.dataclass(frozen=True)
class Nothing:
    """The settings of an analysis that has none."""


SHARPNESS = Analysis(
    name="sharpness",
    title="Sharpness of the maps",
    settings=Nothing,
    load="encoders",
    measure=lambda *_: {},
    tables=lambda _: {},
    columns={"": Columns(("sharpness",), needed=("sharpness",))},
    figures={"": bars},
    captions={"": ("Sharpness", "Bars of sharpness")},
    reading="The higher, the sharper.",
)


def register_sharpness(monkeypatch, value="page_results:SHARPNESS"):
    """An analysis of another package, as its entry point makes it known."""
    every = EntryPoints([EntryPoint("sharpness", value, "a2mim.analyses")])
    monkeypatch.setattr(analyses, "entry_points", every.select)
