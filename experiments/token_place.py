"""Adding the mask token in the middle of the network is better than adding it near the input or the output, and than
replacing features near the input.

Paper: section 5.4, Figure 6 (fine-tuning on ImageNet-100, without the frequency loss).
Command: python -m a2mim.experiments.token_place --scale demo
Cost: a pre-training and a fine-tuning for each place; ``--plan`` lists them.
Supported if: top-1 after fine-tuning is higher for the token added in the middle (stage 3 of ResNet-50, block 5 of
ViT-S) than for each other place and for a token that replaces features; filling with the mean colour alone is better
than SimMIM, which fills with zeros in a CNN and with a token in a ViT (88.14 against 87.75 in the paper's ResNet-50).
Opposed if: another place is better, and the interval over seeds excludes 0.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from a2mim.figures import methods

from .claims import Claim, Tables, accuracies, main
from .findings import Finding, judge, per_seed
from .stages import Stage
from .trainings import Scale


def variants(scale: Scale, network: str) -> dict[str, dict[str, object]]:
    """Pre-trainings with the columns that describe them: SimMIM, SimMIM with the mean colour, and each place."""
    net = scale.networks[network]
    baseline: dict[str, object] = dict(token="none", site="", place=None, fill="zero")
    if methods.family(net.label) == "transformer":  # SimMIM in a ViT has a token
        baseline = dict(token="replace", site="stem", place=0.0, fill="zero")
    found: dict[str, dict[str, object]] = {
        net.baseline: baseline,
        "mean-fill": dict(token="none", site="", place=None, fill="image-mean"),
        "replace-stem": dict(token="replace", site="stem", place=0.0, fill="image-mean"),
    }
    for number, site in enumerate(net.places):
        place = number / (len(net.places) - 1)
        found[f"add-{site}"] = dict(token="add", site=site, place=place, fill="image-mean")
    return found


def stages(scale: Scale) -> list[Stage]:
    return [
        scale.classifier(network, variant, seed)
        for network, seed in scale.each()
        for variant in variants(scale, network)
    ]


def collect(scale: Scale, output: Path) -> dict[str, pd.DataFrame]:
    rows = []
    for network, net in scale.networks.items():
        for variant, about in variants(scale, network).items():
            inside = variant == f"add-{net.inside}"
            for seed in scale.seeds:
                known = {"network": net.label, "method": variant, **about, "inside": inside, "seed": seed}
                rows.append((known, scale.classifier(network, variant, seed)))
    return {"token_place": accuracies(scale, output, rows)}


def findings(tables: Tables) -> list[Finding]:
    found = []
    for network, rows in tables["token_place"].groupby("network", sort=False):
        by_seed = per_seed(rows, "top1")
        inside = next(iter(rows.loc[rows["inside"], "method"]), "add-inside")  # judge reports it as not run
        for other in (name for name in by_seed.columns if name.startswith(("add-", "replace-")) and name != inside):
            statement = f"{network}: the token added in the middle ({inside[4:]}) is better than {_said(other)}"
            found.append(judge(statement, by_seed, inside, other, measure="top-1 (%)"))
        baseline = "simmim-zero" if "simmim-zero" in by_seed else "simmim"
        statement = f"{network}: filling with the mean colour is better than SimMIM"
        found.append(judge(statement, by_seed, "mean-fill", baseline, measure="top-1 (%)"))
    return found


def _said(variant: str) -> str:
    kind, site = variant.split("-", 1)
    return f"{'added' if kind == 'add' else 'replacing'} at {site}"


CLAIM = Claim(__doc__, "section 5.4, Figure 6", ("token_place",), stages, collect, findings, drawn=("6",))

if __name__ == "__main__":
    main(CLAIM)
