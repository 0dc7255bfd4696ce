"""The trainings that the claims share: networks, pre-trainings, evaluations and scales.

Claims that need the same training ask for it by the same name, so that it is run once for all of them.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from a2mim import settings
from a2mim.errors import InputError
from a2mim.figures import methods

from .stages import Stage

# Flags of a pre-training, by its name in tables and figures. The ablations of section 5.4 start from SimMIM with the
# mean colour: a token that replaces features after the stem, without L_freq.
BASELINE = "--method a2mim --token replace --mask-layer stem --freq-lambda 0"
VARIANTS = {
    **{method: f"--method {method}" for method in settings.METHODS},
    "random": "--lr 0 --warmup-epochs 0 --epochs 1",  # weights stay at their random start
    "simmim-zero": "--method simmim --fill zero",
    "mean-fill": "--method a2mim --token none --freq-lambda 0",  # hidden patches get the mean colour; no token
    "replace-stem": BASELINE,
    "freq-plain": "--method a2mim --token replace --mask-layer stem --freq-weight none",
    "freq-focal": "--method a2mim --token replace --mask-layer stem",
}
END_TO_END, LINEAR = "end to end", "linear"
SCRATCH = "scratch"  # no pre-training: supervised training from random weights
METHODS = tuple(methods.ordered((SCRATCH, *settings.METHODS)))


def flags_of(variant: str) -> str:
    """Flags of a pre-training: one of ``VARIANTS``, or ``add-SITE``, which adds the token at a site, without L_freq."""
    if variant.startswith("add-"):
        return f"--method a2mim --token add --mask-layer {variant.removeprefix('add-')} --freq-lambda 0"
    return VARIANTS[variant]


@dataclass(frozen=True)
class Network:
    """An architecture with its recipes.

    Args:
        label: name in figures and tables.
        recipe: recipe of the pre-training; ``own`` has the recipes of methods that need another one.
        places: sites compared in Figure 6, from input to output; ``inside`` is the site that A2MIM uses.
        scratch: checkpoint or flags that name the architecture to train from scratch.
        evaluations: recipes by the name of the evaluation.
        baseline: the published SimMIM, from which Figures 5, 6 and A2 start: with its token, or with zeros in a CNN.
    """

    label: str
    recipe: str
    places: tuple[str, ...]
    inside: str
    scratch: str
    evaluations: Mapping[str, str]
    own: Mapping[str, str] = field(default_factory=dict)
    baseline: str = "simmim"


@dataclass(frozen=True)
class Scale:
    """How much is trained and measured, and on which images.

    Args:
        networks: networks by their names in files.
        data: flags for the images, added to every command.
        pretrain: flags added to every pre-training; ``evaluate``: flags added to evaluations, by recipe.
        seeds: seeds of the trainings.
        analyses: flags added to each analysis.
        cost: cost of all claims, in words.
        remark: how far a measurement at this scale can be trusted.
    """

    name: str
    networks: Mapping[str, Network]
    cost: str
    remark: str = ""
    data: str = ""
    pretrain: str = ""
    evaluate: Mapping[str, str] = field(default_factory=dict)
    seeds: tuple[int, ...] = (0,)
    analyses: Mapping[str, str] = field(default_factory=dict)

    def each(self) -> Iterator[tuple[str, int]]:
        """Every network with every seed, seed by seed, so that networks can be compared early."""
        return ((network, seed) for seed in self.seeds for network in self.networks)

    def pretraining(self, network: str, variant: str, seed: int) -> Stage:
        """Pre-training of a network; see ``VARIANTS``."""
        net, flags = self.networks[network], flags_of(variant)
        # the last value of a flag counts: the variant overrides the scale
        words = ["a2mim-pretrain -c", net.own.get(variant, net.recipe), self.pretrain, flags, f"--seed {seed}"]
        return Stage(f"{network}-{variant}-{seed}", " ".join([*filter(None, words), self.data]).strip())

    def classifier(self, network: str, variant: str, seed: int, evaluation: str = END_TO_END) -> Stage:
        """A classifier trained by one of the evaluations, from a pre-training or, for ``SCRATCH``, random weights."""
        net = self.networks[network]
        recipe = net.evaluations[evaluation]
        needs = () if variant == SCRATCH else (self.pretraining(network, variant, seed),)
        start = f"{{{needs[0].name}}}" if needs else f"{net.scratch} --from-scratch"
        words = ["a2mim-finetune", start, f"-c {recipe}", self.evaluate.get(recipe, ""), f"--seed {seed}", self.data]
        ending = evaluation.replace(END_TO_END, "finetuned").translate(str.maketrans(" ", "-", "()"))
        return Stage(f"{network}-{variant}-{seed}-{ending}", " ".join(filter(None, words)), needs)

    def classifiers(self, network: str, seed: int) -> dict[str, Stage]:
        """The end-to-end classifiers of all methods."""
        return {method: self.classifier(network, method, seed) for method in METHODS}

    def analysis(self, name: str, network: str, seed: int, runs: Mapping[str, Stage], flags: str = "") -> Stage:
        """An analysis of a network's runs of one seed; the table calls each run by its name in ``runs``."""
        given = " ".join(f"{{{stage.name}}} --name {variant}" for variant, stage in runs.items())
        words = [f"a2mim-analyze {name}", given, self.analyses.get(name, ""), flags, self.data]
        return Stage(f"{network}-{seed}-{name}", " ".join(filter(None, words)), tuple(runs.values()))


def _multistep(epochs: int) -> str:
    """Flags for fewer epochs, with the learning rate's milestones at the recipe's shares of the run."""
    return f"--epochs {epochs} --decay-milestones {math.ceil(0.6 * epochs)},{math.ceil(0.8 * epochs)}"


SMALL_NETWORKS = {
    "vit": Network(
        label="small ViT",
        recipe="fashion-vit",
        places=("stem", "block2", "block6"),
        inside="block2",
        scratch="fashion-vit-pretrained",
        evaluations={END_TO_END: "fashion-finetune", LINEAR: "fashion-linear"},
    ),
    "resnet": Network(
        label="small ResNet",
        recipe="fashion-resnet",
        places=("stem", "stage3", "stage4"),
        inside="stage3",
        scratch="fashion-resnet-pretrained",
        evaluations={END_TO_END: "fashion-finetune", LINEAR: "fashion-linear"},
    ),
}
PAPER_NETWORKS = {
    "vit": Network(
        label="ViT-S",
        recipe="paper-vit-small-in100",
        places=("stem", "block2", "block5", "block8", "block11"),
        inside="block5",
        scratch="--model vit_small_patch16_224",
        evaluations={END_TO_END: "deit-100-in100"},
        own={"simmim": "simmim-vit-small-in100", "mocov3": "mocov3-vit-small-in100"},
    ),
    "resnet": Network(
        label="ResNet-50",
        recipe="paper-resnet50-in100",
        places=("stem", "stage1", "stage2", "stage3", "stage4"),
        inside="stage3",
        scratch="--model resnet50",
        evaluations={END_TO_END: "deit-100-in100"},
        own={"simmim": "simmim-resnet50-in100", "mocov3": "mocov3-resnet50-in100"},
        baseline="simmim-zero",  # its recipe has the paper's modified SimMIM
    ),
}
IMAGENET_NETWORKS = {  # for Tables 1 and 2
    "vit-imagenet": replace(
        PAPER_NETWORKS["vit"],
        recipe="paper-vit-small",
        evaluations={END_TO_END: "deit-100-ld065"},
        own={"simmim": "simmim-vit-small", "mocov3": "mocov3-vit-small"},
    ),
    "resnet-imagenet": replace(
        PAPER_NETWORKS["resnet"],
        recipe="paper-resnet50",
        evaluations={f"{END_TO_END} (A3)": "rsb-a3", f"{END_TO_END} (A2)": "rsb-a2", LINEAR: "linear-moco"},
        own={"simmim": "simmim-resnet50", "mocov3": "mocov3-resnet50", "inpainting": "inpainting-resnet50"},
    ),
}

SMALL_REMARK = (
    "Networks and images are small and training is short: these results show whether an effect appears at this scale, "
    "not whether the paper is right at its own. SimMIM in the CNN is the published version, which sets hidden pixels "
    "to zero; the paper compares with a modified version that uses the mean colour, here called `mean-fill`."
)
DEMO = Scale(
    "demo",
    SMALL_NETWORKS,
    cost="all claims: half an hour on two cores; one claim: minutes",
    remark=SMALL_REMARK,
    pretrain="--limit 2000 --epochs 2",
    evaluate={
        "fashion-finetune": "--limit 1000 --epochs 3 --val-interval 3",
        "fashion-linear": f"--limit 1000 {_multistep(3)} --val-interval 3",
    },
    analyses={
        "occlusion": "--images 200 --runs 2",
        "interactions": "--images 4 --pairs 12 --contexts 8",
        "spectrum": "--images 200",
        "variance": "--images 200",
        "reconstruct": "--images 200",
    },
)
SMALL = Scale(
    "small",
    SMALL_NETWORKS,
    cost="all claims: four to five hours on one core; several processes can share them",
    remark=SMALL_REMARK,
    pretrain="--limit 15000 --epochs 2",
    evaluate={
        "fashion-finetune": "--limit 2000 --epochs 10 --val-interval 10",
        "fashion-linear": f"--limit 2000 {_multistep(10)} --val-interval 10",
    },
    seeds=(0, 1, 2),
    analyses={
        "occlusion": "--images 500 --runs 3",
        "interactions": "--images 10 --pairs 20 --contexts 12",
        "spectrum": "--images 500",
        "variance": "--images 500",
        "reconstruct": "--images 500",
    },
)
PAPER = Scale(
    "paper",
    PAPER_NETWORKS,
    cost="all claims: about 3,000 GPU-hours; each recipe states the cost of its training",
    seeds=(0, 1, 2),
    analyses={
        "occlusion": "--classes imagenet100",
        "interactions": "--classes imagenet100 --images 100 --pairs 200 --contexts 12",
        "spectrum": "--classes imagenet100 --images 1000",
        "variance": "--classes imagenet100 --images 1000",
        "reconstruct": "--classes imagenet100 --images 1000",
    },
)
SCALES = {scale.name: scale for scale in (DEMO, SMALL, PAPER)}
FASHION = Path("/usr/share/datasets/fashion-mnist")  # where the Debian package dataset-fashion-mnist installs the files


def scale_of(name: str, data_dir: str | None = None, seeds: tuple[int, ...] = ()) -> Scale:
    """The scale with this name, on these images.

    Raises:
        InputError: the scale needs images, and none were given or found.
    """
    scale = SCALES[name]
    if name == "small" and data_dir is None:
        if not FASHION.is_dir():
            raise InputError(
                f"scale 'small' needs the original Fashion-MNIST files, and {FASHION} is missing: install the Debian "
                f"package dataset-fashion-mnist, or give their folder with --data-dir"
            )
        data_dir = str(FASHION)
    if name == "paper" and data_dir is None:
        raise InputError("scale 'paper' needs ImageNet: give its folder with --data-dir")
    return replace(
        scale,
        data=_escaped(f"--data-dir {shlex.quote(data_dir)}") if data_dir else "",
        seeds=seeds or scale.seeds,
    )


def _escaped(words: str) -> str:
    """Escape braces, which mark placeholders in the command of a stage."""
    return words.replace("{", "{{").replace("}", "}}")
