"""Claims run from end to end on a few images of the tests: every stage, table, finding and page."""

import importlib
import inspect
import json
from dataclasses import replace

import pandas as pd
import pytest
from click.testing import CliRunner
from small_data import write_fashion

from a2mim.analysis.report import gallery
from a2mim.commands import analyze, finetune, pretrain
from a2mim.experiments import claims, evidence, trainings
from a2mim.experiments.evidence import CLAIMS, MODULES
from a2mim.experiments.findings import ABSENT, OPEN, OPPOSED, SUPPORTED

COMMANDS = {"a2mim-pretrain": pretrain.main, "a2mim-finetune": finetune.main, "a2mim-analyze": analyze.main}
TRAINING = "--epochs 1 --batch-size 10 -j 0"


def execute(command):
    program, *arguments = command
    result = CliRunner().invoke(COMMANDS[program], arguments)
    assert result.exit_code == 0, (command, result.output)
    return 0


def tiny(folder, networks):
    """Scale demo on twenty images."""
    for part in ("train", "t10k"):
        write_fashion(folder, part, 20, seed=len(part))
    return replace(
        trainings.scale_of("demo", str(folder)),
        networks={network: trainings.SMALL_NETWORKS[network] for network in networks},
        pretrain=TRAINING,
        evaluate={"fashion-finetune": TRAINING, "fashion-linear": f"{TRAINING} --decay-milestones 1"},
        analyses={
            "occlusion": "--images 10 --runs 1 --ratios 0,0.5,1 -b 10",
            "interactions": "--images 2 --pairs 4 --contexts 2 --ratios 0,0.2,0.5,1 -b 10",
            "spectrum": "--images 10",
            "variance": "--images 10",
            "reconstruct": "--images 10",
        },
    )


@pytest.fixture(scope="module")
def scale(tmp_path_factory):
    return tiny(tmp_path_factory.mktemp("images"), ["resnet"])


@pytest.fixture(scope="module")
def output(tmp_path_factory, scale):
    folder = tmp_path_factory.mktemp("claims")
    claims.run(CLAIMS, scale, folder, folder / "results", execute)
    return folder


def test_every_claim_makes_the_tables_that_it_names(output):
    for claim in CLAIMS:
        tables = claims.read_tables(claim, output / "results")
        assert set(tables) == set(claim.tables)
        for table in tables.values():
            assert len(table)
            assert set(table["network"]) == {"small ResNet"}


def test_tables_of_analyses_say_network_method_and_seed_after_the_checkpoint(output):
    table = pd.read_csv(output / "results" / "occlusion.csv")
    assert list(table.columns[:4]) == ["checkpoint", "network", "method", "seed"]
    assert list(dict.fromkeys(table["method"])) == list(trainings.METHODS)
    assert table["checkpoint"].iloc[0] == "resnet-scratch-0"


def test_findings_rest_on_the_tables_and_one_seed_decides_nothing(output):
    for claim in CLAIMS:
        found = claims.found(claim, output / "results")
        assert bool(found) == bool(claim.tables)
        assert {finding.verdict for finding in found} <= {OPEN, ABSENT}  # there is one network


def test_the_page_has_every_claim_its_numbers_and_the_commands(output):
    text = evidence.text(output / "results")
    for claim in CLAIMS:
        assert f"## {claim.statement}" in text
    assert "Not run here." in text  # transfer
    assert "share of accuracy kept" in text
    about = json.loads((output / "results" / "about.json").read_text())
    assert set(about["stages"]) == {path.stem for path in (output / "stages").glob("*.json")}
    for stage in about["stages"].values():
        assert f"`{stage['command']}`" in text


def test_figures_and_tables_can_be_drawn_from_the_results(output, tmp_path):
    said = []
    written = {path.name for path in gallery.build([], output / "results", tmp_path, said.append)}
    assert {
        "figure1.png",
        "figure3.pdf",
        "figureA2.png",
        "figureA3.png",
        "figure6.png",
        "table1.md",
        "table5.tex",
    } <= written
    assert not [line for line in said if "figure 1" in line or "figure 3" in line]


def test_nothing_is_run_twice(output, scale):
    def refuse(command):
        raise AssertionError(command)

    claims.run(CLAIMS, scale, output, output / "results", refuse)


def test_what_is_complete_is_collected_and_nothing_run(scale, output, tmp_path):
    more = replace(scale, seeds=(0, 1))
    claims.run(CLAIMS, more, output, tmp_path / "results", execute=None)
    for name in ("occlusion", "token_place", "reconstruct_bands"):
        table = pd.read_csv(tmp_path / "results" / f"{name}.csv")
        assert table.equals(pd.read_csv(output / "results" / f"{name}.csv"))
    claims.run(CLAIMS, more, tmp_path / "none", tmp_path / "nothing", execute=None)
    assert [path.name for path in (tmp_path / "nothing").iterdir()] == ["about.json"]


def test_missing_tables_are_not_judged(tmp_path):
    (tmp_path / "about.json").write_text(
        json.dumps(
            dict(
                scale="demo",
                data="d",
                seeds=[0],
                stages={},
                versions={},
                machine={"architecture": "x"},
                created="2026-01-01",
            )
        )
    )
    text = evidence.text(tmp_path)
    assert text.count("Not run here.") == len(CLAIMS)
    assert f"0 {SUPPORTED}, 0 {OPPOSED}" in text


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.rsplit(".", 1)[-1])
def test_a_claims_docstring_has_all_that_a_reader_wants(module):
    text = inspect.getdoc(module)
    for word in ("\nPaper: ", "\nCost: ", "\nSupported if: ", "\nOpposed if: "):
        assert word in text, word
    assert f"a2mim.experiments.{module.__name__.rsplit('.', 1)[-1]} --scale" in text or not module.CLAIM.tables
    assert module.CLAIM.statement.endswith(".")


@pytest.mark.parametrize("name", ["demo", "paper"])
def test_the_plan_runs_nothing(name, tmp_path):
    result = CliRunner().invoke(evidence.main, ["--scale", name, "--plan", "--output", str(tmp_path / "runs")])
    assert result.exit_code == 0, result.output
    assert not (tmp_path / "runs").exists()
    lines = [line for line in result.output.splitlines() if line.startswith("a2mim-")]
    assert len(lines) == len(set(lines)) > 40


def test_a_claim_alone_has_a_command_line(tmp_path, monkeypatch, capsys):
    module = importlib.import_module("a2mim.experiments.loss_ablation")
    monkeypatch.setattr("sys.argv", ["loss_ablation", "--plan", "--output", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        claims.main(module.CLAIM)
    assert ended.value.code == 0
    assert capsys.readouterr().out.count("a2mim-pretrain") == 2 * 4


def test_a_scale_without_images_ends_with_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr(trainings, "FASHION", tmp_path / "none")
    result = CliRunner().invoke(evidence.main, ["--scale", "small"])
    assert result.exit_code == 1
    assert result.output.startswith("Error: scale 'small' needs the original Fashion-MNIST files")


@pytest.mark.slow
def test_both_networks(tmp_path):
    scale = tiny(tmp_path / "images", ["vit", "resnet"])
    claims.run(CLAIMS, scale, tmp_path / "runs", tmp_path / "results", execute)
    assert "small ViT" in evidence.text(tmp_path / "results")
