"""What README.md, CONTRIBUTING.md and docs/ say is so: their examples run, their names exist.

An example runs as it stands, in a sandbox where the files that it names lie, with further flags that make it small
(``TINY`` by command, ``ALSO`` where that is not enough). A new line in a document needs no word here, unless it cannot
run (``NOT_RUN``) or names a file of a new kind (``FILES``).
"""

from __future__ import annotations

import importlib
import itertools
import pickle
import re
import shlex
import shutil
from pathlib import Path

import click
import numpy as np
import pytest
import timm
import torch
import yaml
from click.testing import CliRunner
from documents import (
    COMMANDS,
    DOCUMENTS,
    FLAG,
    ROOT,
    Example,
    all_examples,
    blocks,
    calls,
    choices,
    flags_of,
    prose,
    spans,
)
from PIL import Image
from plain_cnn import ConvNeXt, ConvNeXtNames, make_convnext
from safetensors.torch import save_file

from a2mim.experiments import demo
from tests.a2mim.checkpoint.names.test_vit import moco_v3_pretraining, self_distillation, simmim_pretraining

TRAIN = "--limit 8 --batch-size 4 --epochs 1 --warmup-epochs 0 --workers 0 --device cpu"
ANALYSE = "--batch-size 8 --workers 0 --device cpu"
TINY = {
    "a2mim-pretrain": TRAIN,
    "a2mim-finetune": f"{TRAIN} --batch-size 8",
    "a2mim-analyze occlusion": f"{ANALYSE} --images 8 --runs 1 --ratios 0,.5,.8,1",
    "a2mim-analyze shuffle": f"{ANALYSE} --images 8 --runs 1",
    "a2mim-analyze interactions": f"{ANALYSE} --images 2 --grid 4 --pairs 2 --contexts 2 --orders 0,4,7,14",
    "a2mim-analyze spectrum": f"{ANALYSE} --images 8",
    "a2mim-analyze variance": f"{ANALYSE} --images 8",
    "a2mim-analyze reconstruct": f"{ANALYSE} --images 4 --shown 2",
}
ALSO = {  # further flags where an example has these words
    "--resume": "--epochs 2",
    "-c fashion-resnet --epochs 4": "--epochs 2",
    "--epochs 3": "--epochs 2",
    "--model resnet50": "--img-size 64",
    "-c rsb-a3": "--test-img-size 64 --no-amp",
    "--method mocov3": "--moco-dim 16 --moco-mlp-dim 32",
}
NOT_RUN = {
    r"make\b": "installs, or runs all tests",
    r"torchrun\b": "starts processes; tests/test_distributed.py does",
    r"python -m a2mim\.experiments\.": "minutes; each has a test of its own",
    r"python -m pytest\b": "these tests",
}
VARIES = re.compile(r"(?<=against )(\S+: ).*")  # what is said of a difference follows from its numbers
EXAMPLES = all_examples()


def _png(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (40, 48, 3), np.uint8)).save(path)


def _photos(path: Path) -> None:
    for number in range(8):
        _png(path / f"{number}.png", number)


def _imagenet(path: Path) -> None:
    for number in range(8):
        for part in ("train", "val"):
            _png(path / part / f"n0144{number % 2}000" / f"{number}.png", number)


def _cifar10(path: Path) -> None:
    folder, rng = path / "cifar-10-batches-py", np.random.default_rng(0)
    folder.mkdir(parents=True)
    for name in [f"data_batch_{number}" for number in range(1, 6)] + ["test_batch"]:
        content = {"data": rng.integers(0, 256, (4, 3072), np.uint8), "labels": [3, 1, 4, 1]}
        (folder / name).write_bytes(pickle.dumps(content))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}))


def _convnext(path: Path) -> None:
    build = ConvNeXt(classes=10)
    state, ema = (make_convnext(build, ConvNeXtNames(), seed) for seed in (0, 1))
    torch.save({"model": state, "model_ema": ema}, path)


FILES = {  # what a person has beforehand, and how the test makes it
    "photos/": _photos,
    "imagenet/": _imagenet,
    "data/": _cifar10,
    "demo/results": lambda path: shutil.copytree(ROOT / "experiments" / "results" / "demo", path),
    "weights.safetensors": lambda path: save_file(timm.create_model("resnet50").state_dict(), path),
    "dino_deitsmall16_pretrain_full_checkpoint.pth": lambda path: torch.save(
        self_distillation("DINO").checkpoint, path
    ),
    "moco_v3.pth.tar": lambda path: torch.save(moco_v3_pretraining().checkpoint, path),
    "simmim_pretrain.pth": lambda path: torch.save(simmim_pretraining().checkpoint, path),
    "convnext_finetuned.pth": _convnext,
}


class Sandbox:
    """A folder in which examples run once each, after those that make what they read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.outputs: dict[Example, tuple[int, str]] = {}

    def run(self, example: Example) -> tuple[int, str]:
        """Exit status and output."""
        if example not in self.outputs:
            self._prepare(example)
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(self.folder)
                result = CliRunner().invoke(COMMANDS[example.words[0]], self.arguments(example))
            if result.exception and not isinstance(result.exception, SystemExit):
                raise result.exception
            self.outputs[example] = result.exit_code, result.output
        return self.outputs[example]

    @staticmethod
    def arguments(example: Example) -> list[str]:
        """The example's own, and after them those that make it small: the last of a flag counts."""
        line, listing = " ".join(example.words), "--list-recipes" in example.words
        small = [TINY.get(example.command, ""), *(flags for words, flags in ALSO.items() if words in line)]
        return example.words[1:] + ([] if example.error or listing else shlex.split(" ".join(small)))

    def _prepare(self, example: Example) -> None:
        words = example.words
        for before, word in itertools.pairwise(words):
            if before in ("--output", "--experiment"):
                continue
            if word in FILES and not (self.folder / word).exists():
                (self.folder / word).parent.mkdir(parents=True, exist_ok=True)
                FILES[word](self.folder / word)
            elif word.startswith(("runs/", "demo/")):
                self._make(word, example)

    def _make(self, path: str, example: Example) -> None:
        """Run what comes before the example until the path is there."""
        for earlier in EXAMPLES[: EXAMPLES.index(example)]:
            if (self.folder / path).exists():
                return
            if earlier.command in ("a2mim-pretrain", "a2mim-finetune") and not earlier.error:
                self.run(earlier)
        assert (self.folder / path).exists(), f"no example before {example} makes {path}"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory):
    folder = tmp_path_factory.mktemp("readme")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)  # our files have other sums
        yield Sandbox(folder)
    shutil.rmtree(folder)  # networks of full size


def reason_not_to_run(example: Example) -> str:
    return next((reason for start, reason in NOT_RUN.items() if re.match(start, example.text)), "")


RUN = [example for example in EXAMPLES if not reason_not_to_run(example)]


@pytest.mark.parametrize("example", RUN, ids=str)
def test_the_example_runs_and_prints_what_the_document_prints(example, sandbox):
    status, output = sandbox.run(example)
    assert status == (2 if example.error else 0), output
    if example.error:
        assert example.error in output.splitlines()
    shapes = {shape(line) for line in output.splitlines()}
    for line in example.printed:
        assert line == "..." or shape(line) in shapes, f"{line}\nis not among\n{output}"


def shape(line: str) -> str:
    """A line without its numbers."""
    return " ".join(re.sub(r"[-+]?(\d[\d,]*(\.\d+)?(e[-+]?\d+)?|\bnan\b)", "#", VARIES.sub(r"\1", line)).split())


def test_the_shape_of_a_line_is_all_but_its_numbers():
    assert shape("kept -0.1 (nan to 0.2), 1,200") == "kept # (# to #), #"
    assert shape("lr 0.001 = 4e-3 x 64  images") == "lr # = # x # images"
    assert shape("J of a against b: higher") == shape("J of a against b: alike")
    assert shape("resnet10t, 4x4") == "resnet#t, #x#"


@pytest.mark.parametrize("example", [example for example in EXAMPLES if reason_not_to_run(example)], ids=str)
def test_what_does_not_run_here_has_flags_that_exist(example):
    for command, following in calls(example.text):
        assert set(FLAG.findall(following)) <= flags_of(command), example.text


def test_every_target_of_make_exists():
    targets = {example.words[1] for example in EXAMPLES if example.words[0] == "make"}
    assert targets >= {"demo", "test"}
    assert targets <= set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_examples_are_found():
    texts = [example.text for example in EXAMPLES]
    assert "a2mim-checkpoint formats" in {example.command for example in EXAMPLES}
    assert any(text.startswith("torchrun --nnodes 2 ") and text.endswith("/shared/runs") for text in texts)
    assert next(example for example in EXAMPLES if example.error).printed[0].startswith("error: method mocov3")
    assert len(RUN) > 25


PYTHON = [block for document in DOCUMENTS for block in blocks(document) if block.language == "python"]


@pytest.mark.parametrize("block", PYTHON, ids=lambda block: f"{block.document.name}:{block.line}")
def test_python_runs(block):
    names: dict = {}
    exec(compile("\n".join(block.lines), f"{block.document.name}:{block.line}", "exec"), names)
    if "losses" in names:
        assert set(names["losses"]) == {"loss", "spatial", "frequency"}
        assert names["report"].coverage == 1.0
        assert len(names["result"].to_frame()) == 13


FOREIGN = {
    *("--nproc-per-node", "--no-python", "--nnodes", "--node-rank", "--master-addr", "--master-port"),  # torchrun
    *("--job-name", "--ntasks-per-node", "--gpus-per-node", "--cpus-per-task", "--time", "--signal"),  # SLURM
    *("--requeue", "--open-mode", "--kill-on-bad-exit", "--nodes"),
    *("--check", "--shm-size"),  # ruff, docker
}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
class TestNames:
    def test_every_flag_exists(self, document):
        known = FOREIGN.union(*map(flags_of, COMMANDS.values()))
        known |= {flag for example in EXAMPLES for command, _ in calls(example.text) for flag in flags_of(command)}
        assert set(FLAG.findall(document.read_text())) <= known

    def test_every_flag_beside_a_command_is_one_of_it(self, document):
        for span in spans(document):
            for command, following in calls(span):
                assert set(FLAG.findall(following)) <= flags_of(command) | FOREIGN, span
                unknown = re.match(r" [a-z]+", following) if isinstance(command, click.Group) else None
                assert not unknown, span
        for block in blocks(document):
            for line in "\n".join(block.lines).replace("\\\n", " ").splitlines():
                for command, following in calls(line) if "a2mim-" in line and block.language == "bash" else ():
                    assert set(FLAG.findall(following)) <= flags_of(command), line

    def test_every_choice_is_one(self, document):
        for flag, values in (found for span in spans(document) if (found := _choice(span))):
            assert values <= choices(flag), (flag, values - choices(flag))

    def test_every_file_exists(self, document):
        for span in spans(document):
            if re.fullmatch(r"(a2mim|analysis|figures|experiments|tests|docs|examples)/[\w./*-]*", span):
                assert list(ROOT.glob(span.rstrip("/"))), span
        for file, name in re.findall(r"`(\w+/[\w/]+\.py)`, `(\w+)`", prose(document)):
            assert re.search(rf"(def|class) {name}\b", (ROOT / file).read_text()), (file, name)

    def test_every_link_leads_somewhere(self, document):
        for target in re.findall(r"\]\((?!http)([^)]+)\)", prose(document)):
            file, _, place = target.partition("#")
            path = document.parent / file if file else document
            assert path.exists(), target
            headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE) if place else ()
            assert not place or place in {_anchor(heading) for heading in headings}, target

    def test_every_variable_of_the_environment_is_read_somewhere(self, document):
        source = "".join(file.read_text() for file in (ROOT / "a2mim").rglob("*.py"))
        assert all(name in source for name in re.findall(r"A2MIM_[A-Z]+", document.read_text()))


def _choice(span: str) -> tuple[str, set[str]] | None:
    """``--flag one / two`` of a flag that has choices."""
    flag, _, values = span.partition(" ")
    if not FLAG.fullmatch(flag) or not values or " --" in values or not choices(flag):
        return None
    return flag, set(values.split(" / "))


def _anchor(heading: str) -> str:
    """How a heading is addressed."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def test_every_recipe_of_the_table_exists():
    table = (ROOT / "docs" / "pretraining.md").read_text().partition("| | presets |")[2].partition("\n\n")[0]
    for name in re.findall(r"`([\w*-]+)`", table):
        assert list((ROOT / "experiments" / "recipes").glob(f"{name}.yaml")), name


def test_the_table_of_the_demo_is_that_of_its_results(tmp_path):
    (tmp_path / "results").symlink_to(ROOT / "experiments" / "results" / "demo")
    assert demo.summary(str(tmp_path)) in (ROOT / "docs" / "analyses.md").read_text()


@pytest.mark.parametrize("page", ["api", "equations"])
def test_every_name_of_the_reference_exists(page):
    names = re.findall(r"{py:obj}`([^`]+)`", (ROOT / "docs" / f"{page}.md").read_text())
    assert len(names) > 8
    for module, _, name in (found.rpartition(".") for found in names):
        assert hasattr(importlib.import_module(module), name), f"{module}.{name}"


def test_the_citation_has_what_its_format_asks_for():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation.keys() >= {"cff-version", "message", "title", "authors"}
    assert citation["preferred-citation"].keys() >= {"type", "title", "authors"}
    assert f"version = {citation['version']}\nd" in (ROOT / "setup.cfg").read_text()
    assert citation["preferred-citation"]["title"] in (ROOT / "README.md").read_text()


def test_the_readme_is_no_book():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 270
