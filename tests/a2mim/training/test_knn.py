"""Nearest neighbours against loops over all pairs, and the whole check on a small net."""

import json
import math

import pytest
import torch
import torch.nn.functional as F

from a2mim.errors import InputError
from a2mim.settings import FinetuneSettings
from a2mim.training.knn import accuracy, nearest_neighbours, votes
from tests.a2mim.test_pretraining import TINY


def literal_votes(queries, bank, labels, num_classes, k, temperature):
    counted = [[0.0] * num_classes for _ in queries]
    for q, query in enumerate(queries.tolist()):
        similar = sorted(
            (
                (sum(a * b for a, b in zip(query, entry, strict=True)), int(label))
                for entry, label in zip(bank.tolist(), labels, strict=True)
            ),
            reverse=True,
        )
        for similarity, label in similar[:k]:
            counted[q][label] += math.exp(similarity / temperature)
    return torch.tensor(counted)


@pytest.fixture
def features():
    torch.manual_seed(0)
    bank, queries = F.normalize(torch.randn(37, 6), dim=1), F.normalize(torch.randn(9, 6), dim=1)
    return queries, bank, torch.randint(0, 4, (37,))


@pytest.mark.parametrize("k", [1, 5, 20, 100])
@pytest.mark.parametrize("chunk", [1, 3, 37, 100])
def test_votes_are_those_of_a_loop_whatever_the_chunk(features, k, chunk):
    queries, bank, labels = features
    counted = votes(queries, bank, labels, 4, k=k, temperature=0.07, chunk=chunk)
    torch.testing.assert_close(counted, literal_votes(queries, bank, labels, 4, k, 0.07), rtol=1e-4, atol=1e-4)


def test_accuracy_counts_queries_over_batches(features):
    queries, bank, labels = features
    truth = torch.randint(0, 4, (9,))
    expected = 100 * (literal_votes(queries, bank, labels, 4, 5, 0.07).argmax(1) == truth).double().mean().item()
    for size in (2, 9):
        batches = list(zip(queries.split(size), truth.split(size), strict=True))
        top1, top5, images = accuracy((bank, labels), batches, 4, k=5, temperature=0.07)
        assert (top1, top5, images) == (pytest.approx(expected), 100, 9)
    assert accuracy((bank, labels), [(bank, labels)], 4, k=1)[0] == 100  # the nearest is the query itself
    with pytest.raises(InputError, match="no image"):
        accuracy((bank, labels), [], 4)


def test_the_check_reads_a_network_and_writes_what_it_rests_on(tmp_path):
    settings = FinetuneSettings(
        model="resnet14t",
        model_args=TINY["model_args"],
        limit=60,
        batch_size=32,
        workers=0,
        knn=True,
        knn_k=7,
        crop_pct=1.0,
    )
    said: list[str] = []
    result = nearest_neighbours(settings, folder=tmp_path / "k", echo=said.append)
    about = json.loads((tmp_path / "k" / "knn.json").read_text())
    assert (about["bank"], about["images"], about["k"], about["settings"]["img_size"]) == (60, 2000, 7, 32)
    assert 10 < result["top1"] == about["top1"] < result["top5"]
    assert said[-1].startswith(f"k-NN top-1 {result['top1']:.2f} %")
