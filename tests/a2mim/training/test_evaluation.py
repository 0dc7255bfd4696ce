"""Scores of a classifier against counting by hand."""

import csv
import math

import pytest
import torch
from processes import together

from a2mim import distributed
from a2mim.data import Batch
from a2mim.errors import InputError
from a2mim.training.evaluation import CONFUSION_CLASSES, evaluate, write_confusion


class Given(torch.nn.Module):
    """Gives as logits what stands in the first row of each image."""

    def __init__(self, classes):
        super().__init__()
        self.classes = classes
        self.scale = torch.nn.Parameter(torch.ones(()))

    def forward(self, images):
        return self.scale * images[:, 0, 0, : self.classes]


def batches(logits, labels, size):
    images = logits[:, None, None, :].expand(-1, 3, 1, -1)
    for k in range(0, len(labels), size):
        yield Batch(images[k : k + size], labels[k : k + size], torch.arange(k, k + len(labels[k : k + size])))


@pytest.mark.parametrize("size", [1, 4, 11])
def test_scores_are_what_one_counts(size):
    torch.manual_seed(0)
    logits, labels = torch.randn(11, 7), torch.randint(0, 7, (11,))
    scores = evaluate(Given(7), batches(logits, labels, size))
    ranks = [
        sorted(range(7), key=lambda c: -row[c]).index(int(label)) for row, label in zip(logits, labels, strict=True)
    ]
    assert scores.images == 11
    assert scores.top1 == pytest.approx(100 * sum(rank < 1 for rank in ranks) / 11)
    assert scores.top5 == pytest.approx(100 * sum(rank < 5 for rank in ranks) / 11)
    nats = [
        math.log(sum(math.exp(v) for v in row)) - row[label] for row, label in zip(logits.tolist(), labels, strict=True)
    ]
    assert scores.cross_entropy == pytest.approx(sum(nats) / 11, rel=1e-5)
    counted = torch.zeros(7, 7, dtype=torch.int64)
    for row, label in zip(logits, labels, strict=True):
        counted[label, row.argmax()] += 1
    assert torch.equal(scores.confusion, counted)
    assert set(scores.metrics("_ema")) == {"top1_ema", "top5_ema", "val_loss_ema"}


def test_few_and_many_classes():
    logits, labels = torch.eye(3), torch.tensor([1, 1, 2])
    scores = evaluate(Given(3), batches(logits, labels, 2))
    assert (scores.top1, scores.top5) == (pytest.approx(200 / 3), 100)
    many = CONFUSION_CLASSES + 1
    assert evaluate(Given(many), batches(torch.eye(many), torch.arange(many), 9)).confusion is None
    with pytest.raises(InputError, match="no image"):
        evaluate(Given(3), [])


def test_the_table_of_confusions_has_a_row_for_each_pair(tmp_path):
    write_confusion(tmp_path / "c.csv", torch.tensor([[3, 1], [0, 2]]), ["a,b", "c"])
    with open(tmp_path / "c.csv", newline="") as handle:
        rows = [tuple(row.values()) for row in csv.DictReader(handle)]
    assert rows == [("a,b", "a,b", "3"), ("a,b", "c", "1"), ("c", "a,b", "0"), ("c", "c", "2")]


def test_processes_score_all_images_together_even_where_one_has_none():
    torch.manual_seed(0)
    logits, labels = torch.randn(7, 3), torch.randint(0, 3, (7,))
    alone = evaluate(Given(3), batches(logits, labels, 3))
    for parts in ([0, 1, 2, 3], [4, 5, 6]), (list(range(7)), []):
        for scores in together(2, _own_part, logits, labels, parts):
            assert (scores.top1, scores.top5, scores.images) == (alone.top1, alone.top5, 7)
            assert scores.cross_entropy == pytest.approx(alone.cross_entropy)
            assert torch.equal(scores.confusion, alone.confusion)


def _own_part(logits, labels, parts):
    rows = parts[distributed.rank()]
    with distributed.group(torch.device("cpu")):
        return evaluate(Given(3), batches(logits[rows], labels[rows], 2))
