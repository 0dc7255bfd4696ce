"""The place inside is compared with every other place."""

from claim_tables import rows, verdicts

from a2mim.experiments.findings import OPPOSED, SUPPORTED
from a2mim.experiments.token_place import findings, variants
from a2mim.experiments.trainings import DEMO, PAPER

TOP1 = {
    "simmim": 70.0,
    "mean-fill": 70.5,
    "replace-stem": 71.0,
    "add-stem": 72.0,
    "add-stage3": 75.0,
    "add-stage4": 76.0,
}


def test_verdicts_follow_the_places():
    table = rows(TOP1, "top1")
    found = findings({"token_place": table.assign(inside=table["method"] == "add-stage3")})
    assert len(found) == 2 * 4
    said = verdicts(found)
    assert said["small ResNet: the token added in the middle (stage3) is better than added at stem"] == SUPPORTED
    assert said["small ResNet: the token added in the middle (stage3) is better than replacing at stem"] == SUPPORTED
    assert said["small ResNet: the token added in the middle (stage3) is better than added at stage4"] == OPPOSED
    assert said["small ResNet: filling with the mean colour is better than SimMIM"] == SUPPORTED


def test_a_place_that_was_not_run_yet_is_said():
    table = rows({"simmim": 70.0, "replace-stem": 71.0}, "top1").assign(inside=False)
    found = findings({"token_place": table})
    assert found[0].measured == "no runs of add-inside"


def test_the_baseline_is_simmim_as_published():
    assert variants(PAPER, "resnet")["simmim-zero"]["fill"] == "zero"
    assert "--fill zero" in PAPER.pretraining("resnet", "simmim-zero", 0).command
    assert "simmim" not in variants(PAPER, "resnet")  # the paper's recipe has the modified one


def test_places_run_from_the_input_to_the_output():
    for scale in (DEMO, PAPER):
        for network in scale.networks:
            added = [about["place"] for about in variants(scale, network).values() if about["token"] == "add"]
            assert added[0] == 0
            assert added[-1] == 1
            assert added == sorted(added)


def test_simmim_has_a_token_in_a_vit_alone():
    assert variants(DEMO, "vit")["simmim"]["token"] == "replace"
    assert variants(DEMO, "resnet")["simmim"]["token"] == "none"
