"""The table of timm's architectures with the same names and shapes: ``python -m a2mim.experiments.lookalikes``.

Written once for each version of timm, to ``a2mim/assets/lookalikes.json``, which the loader reads. Architectures are in
one group where their modules and settings are the same, or where both compute the same from the same random weights
(float64, below 100 million parameters). Cost: about 15 minutes on one core; no weights are downloaded.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click
import timm
import torch
from torch import nn

from a2mim import files, seeds
from a2mim.checkpoint import lookalikes

LARGEST = 100_000_000  # parameters of networks whose outputs are compared
TOLERANCE = 1e-9  # of outputs in float64, relative to the largest: another eps of LayerNorm moves them by 1e-6 or more


def table(archs: list[str]) -> dict[str, Any]:
    """Fingerprint -> groups of architectures, the prefixes of classifiers, and what cannot be built here."""
    marks: dict[str, dict[str, list[str]]] = {}  # fingerprint -> signature -> architectures
    heads, unbuildable = set(), []
    with click.progressbar(archs, label="names and shapes") as bar:
        for arch in bar:
            try:
                model = lookalikes.without_memory(arch)
            except Exception as error:
                unbuildable.append(arch)
                click.echo(f"{arch} cannot be built: {error}", err=True)
                continue
            mark = lookalikes.fingerprint(lookalikes.encoder_shapes(model))
            marks.setdefault(mark, {}).setdefault(lookalikes.signature(model), []).append(arch)
            heads.add(lookalikes.classifiers(model))
    several = [groups for groups in marks.values() if len(groups) > 1]
    with click.progressbar(several, label="outputs") as bar:
        for groups in bar:
            merge(groups)
    return {
        "timm": timm.__version__,
        "classifiers": sorted(list(head) for head in heads),
        "unbuildable": unbuildable,
        "groups": {mark: list(groups.values()) for mark, groups in sorted(marks.items())},
    }


def merge(groups: dict[str, list[str]]) -> None:
    """Make one group of those that compute the same, in place."""
    outputs: dict[str, torch.Tensor] = {}
    for mark, group in list(groups.items()):
        found = output(group[0], groups)
        if found is None:
            continue
        same = next((other for other, value in outputs.items() if equal(found, value)), None)
        if same is None:
            outputs[mark] = found
        else:
            groups[same] += groups.pop(mark)


def output(arch: str, groups: Mapping[str, list[str]]) -> torch.Tensor | None:
    """Pooled features of a random image by seeded weights; None for a network that is too large or does not run."""
    first = next(iter(groups.values()))[0]
    cfg: Any = timm.get_pretrained_cfg(first)
    size = cfg.input_size[-1] if cfg else 224
    choices: tuple[dict[str, Any], ...] = ({"img_size": size}, {})
    for args in choices:
        try:
            if sum(value.numel() for value in lookalikes.without_memory(arch, **args).parameters()) > LARGEST:
                return None
            model = fill(timm.create_model(arch, num_classes=0, **args)).double().eval()
            with torch.inference_mode():
                image = torch.randn(1, 3, size, size, generator=seeds.generator("lookalikes", 0)).double()
                return model(image)
        except (TypeError, AssertionError, RuntimeError, ValueError):
            continue
    return None


def fill(model: nn.Module) -> nn.Module:
    """Give every parameter and statistic a random value that depends on its name alone; nothing stays at zero."""
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            noise = torch.randn(value.shape, generator=seeds.generator("weights", name))
            scale = value.ndim == 1 and name.endswith(("weight", "gamma"))
            width = max(1, value[0].numel()) if value.ndim > 1 else 25
            drawn = 1 + 0.2 * noise if scale else noise / width**0.5
            value.copy_(0.5 + noise.abs() if name.endswith("running_var") else drawn)
    return model


def equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    if one.shape != other.shape or not one.isfinite().all():
        return False
    return bool((one - other).abs().max() <= TOLERANCE * one.abs().max())


@click.command()
@click.option("--output", type=click.Path(), default=str(lookalikes.TABLE), show_default=True, help="File to write.")
def main(output: str) -> None:
    """Write the table of timm's architectures with the same names and shapes."""
    found = table(timm.list_models())
    lines = [f" {json.dumps(mark)}: {json.dumps(groups)}" for mark, groups in found.pop("groups").items()]
    text = json.dumps(found)[:-1] + ',\n"groups": {\n' + ",\n".join(lines) + "\n}}\n"
    files.write_text(output, text)
    click.echo(f"{output}: {len(lines)} sets of names and shapes")


if __name__ == "__main__":
    main()
