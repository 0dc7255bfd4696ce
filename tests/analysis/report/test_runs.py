"""Sections of runs and trials: numbers, events, facts, and what is said of broken ones."""

import page_results
import pandas as pd
import pytest
import yaml
from PIL import Image

from a2mim.analysis.report import runs as page_runs
from a2mim.analysis.report.reading import Found


def entry(folder):
    return page_runs.run_entry(Found("run", folder))


def texts(table):
    return [[cell.text for cell in row] for row in table.rows]


def test_a_run_tells_its_numbers_events_and_facts(tmp_path):
    made = entry(page_results.run(tmp_path / "r"))
    assert texts(made.tables[0]) == [
        ["Epoch", "3", "–", "–"],
        ["Loss", "0.5000", "0.5000", "3"],
        ["Validation loss", "1.4000", "1.2000", "2"],
        ["Top-1 (%)", "55.00", "60.00", "2"],
    ]
    assert made.notes == [
        "Resumed after epoch 1, batch 4.",
        "1 updates were skipped, because their loss or gradient was not finite.",
    ]
    assert made.facts["Took"] == "1 min 0 s from the first line of the log to the last"
    assert (made.facts["Start"], made.facts["Seed"], made.facts["Kind"]) == ("from runs/p", "5", "fine-tuning")
    assert made.pictures[0].alt == (
        "Learning curve of r: the loss goes from 2 to 0.5 in 3 epochs, top-1 accuracy to 55.0 %."
    )


def test_confusions_and_reconstructions_are_shown_where_they_are(tmp_path):
    folder = page_results.run(tmp_path / "r")
    pd.DataFrame(
        [("NA", "NA", 5), ("NA", "bag", 3), ("bag", "NA", 0), ("bag", "bag", 8)],
        columns=["label", "predicted", "images"],
    ).to_csv(folder / "confusion.csv", index=False)
    (folder / "reconstructions").mkdir()
    for epoch in (5, 10):
        Image.new("RGB", (epoch, 4)).save(folder / "reconstructions" / f"epoch-{epoch:04d}.png")
    made = entry(folder)
    assert [picture.caption for picture in made.pictures] == [
        "Learning curve",
        "Confusion matrix",
        "Reconstructions after epoch 10 (as written, epoch-0010.png)",
    ]
    assert made.pictures[1].alt.endswith("the most frequent error: NA predicted as bag.")
    (folder / "confusion.csv").write_text("label\nx\n")
    made = entry(folder)
    assert len(made.pictures) == 2
    assert any(note.startswith("confusion.csv could not be drawn") for note in made.notes)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "summary.csv does not exist: the run was stopped before its first epoch ended"),
        ("a,b\n1,2\n", "summary.csv lacks epoch, loss; it has a, b"),
        ("epoch,loss\n1,nan\n", "summary.csv has no epoch with a loss, so there is nothing to show"),
        ("epoch,loss\n1,low\n", "summary.csv, row 1: loss is 'low', which is not a number"),
    ],
)
def test_runs_without_numbers_say_why(tmp_path, text, said):
    folder = page_results.run(tmp_path / "r")
    (folder / "summary.csv").unlink() if text is None else (folder / "summary.csv").write_text(text)
    made = entry(folder)
    assert (made.problem, made.pictures) == (said, [])


def test_a_run_without_settings_shows_the_rest(tmp_path):
    folder = page_results.run(tmp_path / "r")
    (folder / "args.yaml").write_text("- 1\n")
    (folder / "log.jsonl").write_bytes(b'\xff\n[1]\n{"event": 3}\n')
    made = entry(folder)
    assert (made.problem, made.commands, made.settings, len(made.tables)) == ("", [], {}, 1)
    assert "the settings are not known" in made.notes[-1]
    assert "The command was not written down (made by an older version)." in made.notes


def test_trials_have_a_table_and_their_command(tmp_path):
    made = page_runs.trials_entry(Found("trials", page_results.trials(tmp_path / "t")))
    assert made.tables[0].columns == ("Seed", "Top-1 (%)", "Best top-1 (%)")
    assert texts(made.tables[0])[2:] == [["mean", "56.000", "61.000"], ["std", "1.410", "1.410"]]
    assert made.facts == {"Seeds": "0, 1"}
    assert made.commands == ["a2mim-finetune runs/p -c fashion-finetune"]
    (tmp_path / "t" / "seeds.csv").write_text("")
    assert page_runs.trials_entry(Found("trials", tmp_path / "t")).problem == "seeds.csv is empty"


def test_several_runs_stand_beside_each_other(tmp_path):
    runs = [entry(page_results.run(tmp_path / name, seed=seed)) for name, seed in (("a", 1), ("b", 2))]
    table = page_runs.overview(runs)
    assert texts(table)[1] == ["b", "fine-tuning", "resnet10t", "3", "0.5000", "55.00", "2"]
    assert page_runs.overview(runs[:1]) is None


def test_settings_are_compared_with_the_recipe_that_the_run_names(tmp_path):
    folder = page_results.run(tmp_path / "r", epochs=7, mean=(0.1, 0.1, 0.1))
    made = entry(folder)
    assert made.commands == ["a2mim-finetune runs/p -c fashion-finetune"]
    own = page_runs.recipe_settings("fashion-finetune", page_runs.FinetuneSettings)
    assert f"epochs: 7, in the recipe {own['epochs']}" in made.changed
    assert made.facts["Recipe"] == f"fashion-finetune (settings that differ: {len(made.changed)})"
    assert not any(line.startswith(("model:", "mean:")) for line in made.changed)  # the checkpoint's
    same = page_results.run(tmp_path / "same", **{**own, "model": "resnet10t"})
    assert (entry(same).changed, entry(same).facts["Recipe"]) == ([], "fashion-finetune (settings that differ: 0)")
    own["model_args"] = {"depths": [1, 1]}
    scratch = page_results.run(tmp_path / "scratch", start="from scratch", **own)
    assert entry(scratch).changed == ['model_args: {"depths": [1, 1]}, in the recipe not set']


def test_without_a_recipe_nothing_is_compared_and_a_recipe_that_is_gone_is_said(tmp_path):
    made = entry(page_results.run(tmp_path / "r", recipe=None))
    assert (made.changed, "Recipe" in made.facts) == ([], False)
    made = entry(page_results.run(tmp_path / "s", recipe="gone.yaml"))
    assert (made.changed, made.facts["Recipe"]) == ([], "gone.yaml")
    assert made.notes[-1].startswith("The settings cannot be compared with the recipe: no recipe 'gone.yaml'")


def test_pretraining_and_old_logs(tmp_path):
    folder = page_results.run(tmp_path / "r", start="from scratch")
    (folder / "args.yaml").write_text(yaml.safe_dump({"method": "simmim", "mask_ratio": 0.6, "seed": 1}))
    (folder / "log.jsonl").write_text('{"event": "begin", "start": "from scratch", "processes": 4}\n')
    made = entry(folder)
    assert (made.commands, made.changed, made.facts["Processes"]) == ([], [], "4")
    assert made.notes == ["The command was not written down (made by an older version)."]
    assert made.facts["Kind"] == "pre-training, simmim"
