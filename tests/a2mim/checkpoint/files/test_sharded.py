"""Checkpoints in several files: followed where one holds all, else refused with what they are and what joins them."""

import pytest
import timm
import torch
import torch.distributed.checkpoint as dcp

import a2mim
from a2mim.errors import InputError


@pytest.fixture(scope="module")
def state():
    return timm.create_model("vit_tiny_patch16_224", depth=1, img_size=32).state_dict()


def test_shards_of_fsdp_are_refused_with_the_command(tmp_path, state):
    dcp.save({"model": state}, checkpoint_id=tmp_path / "dcp")
    for path in (tmp_path / "dcp", tmp_path / "dcp" / "__0_0.distcp"):
        with pytest.raises(InputError, match=r"FSDP.*format_utils dcp_to_torch \S*dcp OUT.pt"):
            a2mim.load_encoder(path)


def test_latest_of_deepspeed_is_followed(tmp_path, state):
    step = tmp_path / "global_step9"
    step.mkdir()
    (tmp_path / "latest").write_text("global_step9\n")
    with pytest.raises(InputError, match="has no mp_rank"):
        a2mim.load_encoder(tmp_path)
    torch.save({"module": state}, step / "mp_rank_00_model_states.pt")
    for folder in (tmp_path, step):
        model, report = a2mim.load_encoder(folder)
        assert torch.equal(model.pos_embed, state["pos_embed"])
        assert report.coverage == 1
    torch.save({"module": state}, step / "zero_pp_rank_0_mp_rank_00_model_states.pt")
    with pytest.raises(InputError, match=r"ZeRO-3.*zero_to_fp32.py"):
        a2mim.load_encoder(tmp_path)


@pytest.mark.parametrize("name", ["global_step1", "../x", "", "\x00"])
def test_a_latest_that_leads_nowhere(tmp_path, name):
    (tmp_path / "latest").write_text(name)
    with pytest.raises(InputError, match="names the folder"):
        a2mim.load_encoder(tmp_path)


def test_empty_tensors_of_zero_3(tmp_path, state):
    torch.save({"module": {name: torch.empty(0) for name in state}}, tmp_path / "zero3.pt")
    with pytest.raises(InputError, match=f"{len(state)} of {len(state)} tensors are empty.*zero_to_fp32"):
        a2mim.load_encoder(tmp_path / "zero3.pt")


@pytest.mark.parametrize(
    ("module", "says"), [("torchao.dtypes.affine", "is quantised"), ("torch.distributed.tensor", "holds shards")]
)
def test_classes_that_say_what_a_file_is(tmp_path, module, says):
    import pickle
    import zipfile

    torch.save({"a": torch.ones(3)}, tmp_path / "plain.pt")
    stream = pickle.dumps({"a": 1}, protocol=2)[:2] + f"c{module}\nTensor\n.".encode()
    with zipfile.ZipFile(tmp_path / "plain.pt") as plain, zipfile.ZipFile(tmp_path / "odd.pt", "w") as odd:
        for entry in plain.infolist():
            odd.writestr(entry, stream if entry.filename.endswith("data.pkl") else plain.read(entry))
    with pytest.raises(InputError, match=says):
        a2mim.load_encoder(tmp_path / "odd.pt")
