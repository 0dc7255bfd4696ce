"""Filling with the mean colour, adding the token inside the network, and the frequency loss each improve the
reconstructions; a ViT needs its mask token for them, a CNN hardly does.

Paper: section 5.4, appendix C; Figures 5 and A2 (components added one by one), A3 (without the token).
Command: python -m a2mim.experiments.reconstructions --scale demo
Cost: the pre-trainings that it shares with ``token_place``, and seconds (small networks) for each analysis.
Supported if: each step from SimMIM to A2MIM raises the PSNR of the hidden part; the last step lowers the error of
frequencies above π/2; without its token, a ViT's error grows by a larger factor than a CNN's. The paper shows pictures
and describes artefacts and details, which these numbers measure.
Opposed if: a difference has the opposite sign, and its interval over seeds excludes 0.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from a2mim.figures import methods

from .claims import Claim, Tables, main, measured
from .findings import Finding, judge, per_seed
from .stages import Stage
from .trainings import Scale

UPPER = 0.5  # frequencies from here on count as high, in units of π


def steps(scale: Scale, network: str) -> tuple[str, ...]:
    """The variants from the baseline to A2MIM, one component at a time."""
    net = scale.networks[network]
    return net.baseline, "mean-fill", f"add-{net.inside}", "a2mim"


def analysis(scale: Scale, network: str, seed: int) -> Stage:
    runs = {variant: scale.pretraining(network, variant, seed) for variant in steps(scale, network)}
    return scale.analysis("reconstruct", network, seed, runs, "--token both --shown 4")


def stages(scale: Scale) -> list[Stage]:
    return [analysis(scale, network, seed) for network, seed in scale.each()]


def collect(scale: Scale, output: Path) -> dict[str, pd.DataFrame]:
    files = ("reconstruct_summary", "reconstruct_bands")
    return {file: measured(scale, output, file, analysis) for file in files}


def pictures(scale: Scale, output: Path) -> dict[str, Path]:
    """Reconstructions of the same images by the networks of the first seed, as pixels."""
    folders = {network: analysis(scale, network, scale.seeds[0]).folder(output) for network in scale.networks}
    name = "reconstruct_pixels"
    return {f"{name}_{network}.npz": folder / f"{name}.npz" for network, folder in folders.items()}


def findings(tables: Tables) -> list[Finding]:
    found = []
    summary, bands = tables["reconstruct_summary"], tables["reconstruct_bands"]
    psnr = summary[(summary["measure"] == "psnr") & (summary["token"] == "with")]
    high = bands[(bands["low"] >= UPPER) & (bands["token"] == "with")].assign(log=lambda table: np.log(table["error"]))
    for network, rows in psnr.groupby("network", sort=False):
        by_seed = per_seed(rows, "value")
        inside = next((name for name in by_seed.columns if name.startswith("add-")), "add-inside")
        baseline = "simmim-zero" if "simmim-zero" in by_seed else "simmim"
        measure = "PSNR of the hidden part (dB)"
        for better, than, what in (
            ("mean-fill", baseline, "filling with the mean colour improves on SimMIM"),
            (inside, "mean-fill", "adding the token inside improves on the mean colour alone"),
            ("a2mim", inside, "the frequency loss improves the reconstruction"),
        ):
            found.append(judge(f"{network}: {what}", by_seed, better, than, measure=measure))
        by_seed = per_seed(high[high["network"] == network], "log")
        statement = f"{network}: the frequency loss lowers the error of high frequencies"
        measure = "ln of the relative error above π/2"
        found.append(judge(statement, by_seed, "a2mim", inside, measure=measure, expected=-1))
    return [*found, *_without_token(summary)]


def _without_token(summary: pd.DataFrame) -> list[Finding]:
    """How many times the error grows without the token: one network against the other, by seed."""
    error = summary[(summary["measure"] == "l1") & (summary["method"] == "a2mim")]
    by_token = error.pivot_table(index=["seed", "network"], columns="token", values="value", sort=False)
    by_token = by_token.reindex(columns=["with", "without"])
    factor = (by_token["without"] / by_token["with"]).rename("factor").reset_index()
    families = {methods.family(label): label for label in factor["network"]}
    vit, cnn = families.get("transformer", "a ViT"), families.get("cnn", "a CNN")
    statement = "without its token a ViT's reconstruction suffers more than a CNN's"
    measure = "ratio of L1 without the token to L1 with it"
    return [judge(statement, per_seed(factor, "factor", "network"), vit, cnn, measure=measure)]


CLAIM = Claim(
    __doc__,
    "section 5.4, Figures 5, A2, A3",
    ("reconstruct_summary", "reconstruct_bands"),
    stages,
    collect,
    findings,
    pictures,
    drawn=("5", "A2", "A3"),
)

if __name__ == "__main__":
    main(CLAIM)
