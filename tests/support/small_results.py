"""Results of claims that can be checked by hand: 5 methods, 2 networks, 3 seeds, numbers made by simple rules."""

from __future__ import annotations

import numpy as np
import pandas as pd

NETWORKS = {"ResNet-50": [16, 8, 8, 4], "small ViT": [8, 8, 8, 8]}
METHODS = ("a2mim", "mocov3", "scratch", "simmim", "supervised")
SEEDS = (0, 1, 2)
RATIOS = (0.0, 0.25, 0.5, 0.75, 1.0)


def _each():
    """(columns that name a row, place of the network, place of the method, deviation of the seed: -1, 0, 1)."""
    for n, network in enumerate(NETWORKS):
        for m, method in enumerate(METHODS):
            for seed in SEEDS:
                checkpoint = f"{network} {method} {seed}"
                yield dict(checkpoint=checkpoint, network=network, method=method, seed=seed), n, m, seed - 1


def occlusion():
    """Per cent: 90 - 5·method - 60·ratio ± 2 by seed (10 less for the second network); runs are ±1 about it."""
    rows = []
    for names, n, m, deviation in _each():
        for run in (0, 1):
            for ratio in RATIOS:
                accuracy = (90 - 5 * m - 60 * ratio - 10 * n + 2 * deviation) / 100
                interval = dict(ci_low=accuracy - 0.02, ci_high=accuracy + 0.03)
                value = dict(accuracy=accuracy + 0.01 * (2 * run - 1))
                rows.append(names | dict(run=run, ratio=ratio) | value | dict(n_images=500) | interval)
    return pd.DataFrame(rows).assign(fill="dataset-mean")


def interactions():
    """J: 1 + (method + 1)/10·(1 - 2·ratio) ± 0.05 by seed."""
    rows = []
    for names, n, m, deviation in _each():
        for ratio in RATIOS:
            J = 1 + (m + 1) / 10 * (1 - 2 * ratio) + 0.1 * n + 0.05 * deviation
            strength = dict(strength=J / 10, ci_low=J / 11, ci_high=J / 9, noise_floor=0.01)
            rows.append(names | dict(ratio=ratio, J=J, J_ci_low=J - 0.1, J_ci_high=J + 0.1, n_images=20) | strength)
    return pd.DataFrame(rows)


def spectrum():
    """Δ log amplitude at the highest frequency: -1 - 2·depth - method/10 ± 0.1 by seed."""
    rows = []
    for names, n, m, deviation in _each():
        sides = list(NETWORKS.values())[n]
        for place, side in enumerate(sides):
            for frequency in (0.0, 0.5, 0.75):
                depth = place / (len(sides) - 1)
                value = (-1 - 2 * depth - m / 10 - n + 0.1 * deviation) * frequency / 0.75
                layer = dict(layer=f"layer{place}", depth=depth, frequency=frequency, log_amplitude=value)
                size = dict(ci_low=value - 0.1, ci_high=value + 0.1, height=side, width=side, n_images=300)
                rows.append(names | layer | size)
    return pd.DataFrame(rows)


def variance():
    """Variance: (1 + method/2)·(1 + depth) ± 0.1 by seed."""
    rows = []
    for names, n, m, deviation in _each():
        sides = list(NETWORKS.values())[n]
        for place, side in enumerate(sides):
            depth = place / (len(sides) - 1)
            value = (1 + m / 2) * (1 + depth) + 0.1 * deviation + n
            layer = dict(layer=f"layer{place}", depth=depth, variance=value, ci_low=value - 0.1, ci_high=value + 0.1)
            rows.append(names | layer | dict(height=side, width=side, n_images=300))
    return pd.DataFrame(rows)


def token_place():
    """Top-1 in per cent: 80 + 4·place where the token is added, 81 where it replaces pixels, 79 without; ± 0.5."""
    rows = []
    for network, sites in {
        "ResNet-50": ("stem", "stage1", "stage2", "stage3", "stage4"),
        "small ViT": ("input", "block2", "block4"),
    }.items():
        for seed in SEEDS:
            for k, site in enumerate(sites):
                place = k / (len(sites) - 1)
                rows.append((network, "add", site, place, "image-mean", seed, 80 + 4 * place + (seed - 1) / 2))
            rows.append((network, "replace", sites[0], 0.0, "zero", seed, 81 + (seed - 1) / 2))
            rows.append((network, "none", "", np.nan, "image-mean", seed, 79 + (seed - 1) / 2))
    return pd.DataFrame(rows, columns=["network", "token", "site", "place", "fill", "seed", "top1"])


def classification():
    """Top-1: 80 - 2·method (end to end), 50 - method (linear), ± 0.5 by seed; the leads of A2MIM are exact."""
    rows = []
    for names, n, m, deviation in _each():
        for evaluation, value in (("end to end", 80 - 2 * m), ("linear", 50 - m)):
            if evaluation == "linear" and names["method"] == "scratch":
                continue
            place = dict(network=names["network"], method=names["method"], evaluation=evaluation, seed=names["seed"])
            rows.append(place | dict(pretrain_epochs=20, top1=value - 5 * n + deviation / 2, val_loss=1.0))
    return pd.DataFrame(rows)


def loss_ablation():
    """Top-1: 80, 81, 82, 83 by row, ± 1 by seed."""
    parts = ("L_spa", "+ L_freq without ω", "+ L_freq", "+ L_freq + token inside")
    rows = [
        dict(network=network, row=part, seed=seed, top1=80.0 + k - 2 * n + (seed - 1))
        for n, network in enumerate(NETWORKS) for k, part in enumerate(parts) for seed in SEEDS
    ]  # fmt: skip
    return pd.DataFrame(rows)


def bands():
    """Error 0.5 + method/10, energy 0.8, both tokens; one band for each eighth of the spectrum."""
    rows = []
    for names, _, m, deviation in _each():
        if names["method"] not in ("simmim", "a2mim"):
            continue
        for token in ("with", "without"):
            for k in range(8):
                error = 0.5 + m / 10 + 0.05 * k + 0.01 * deviation + 0.3 * (token == "without")
                interval = dict(ci_low=error - 0.02, ci_high=error + 0.02)
                energy = dict(energy=0.8 - 0.05 * k, energy_ci_low=0.78 - 0.05 * k, energy_ci_high=0.82 - 0.05 * k)
                rows.append(names | dict(token=token, low=k / 8, high=(k + 1) / 8, error=error) | interval | energy)
    return pd.DataFrame(rows)


TABLES = {
    "occlusion": occlusion,
    "interactions": interactions,
    "spectrum": spectrum,
    "variance": variance,
    "token_place": token_place,
    "classification": classification,
    "loss_ablation": loss_ablation,
    "reconstruct_bands": bands,
}


def write(folder, *names):
    """Write these tables, or all, as a results folder has them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names or TABLES:
        TABLES[name]().to_csv(folder / f"{name}.csv", index=False)
    return folder


def pixels():
    """reconstruct_pixels.npz of two networks with and without their token; SimMIM has none."""
    names = ["simmim", "simmim", "mean-fill", "mean-fill", "add-stage3", "add-stage3", "a2mim", "a2mim"]
    shape = (len(names), 2, 8, 8, 3)
    arrays = {name: np.full(shape, number, np.uint8) for number, name in enumerate(("original", "masked"))}
    for name in ("prediction", "pasted"):
        arrays[name] = np.zeros(shape, np.uint8)
        arrays[name][2:] = np.arange(2, len(names)).reshape(-1, 1, 1, 1, 1) * 10
    tokens = ["with", "without"] * (len(names) // 2)
    captions = [[f"{name} {image}" for image in range(2)] for name in names]
    return dict(checkpoint=np.array(names), token=np.array(tokens), caption=np.array(captions), **arrays)
