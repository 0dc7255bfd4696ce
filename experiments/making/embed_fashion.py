"""Make the embedded images: a balanced subset of Fashion-MNIST, 10,000 train and 2,000 test images, 28x28 grey.

Of each class, the images with the smallest ``seeds.derive(0, "fashion", split, index)`` are taken, a draw that never
changes. Their indices in the original files are stored with them. The originals are in the Debian package
``dataset-fashion-mnist`` or https://github.com/zalandoresearch/fashion-mnist. Takes about ten seconds:

    python -m a2mim.experiments.embed_fashion --source /usr/share/datasets/fashion-mnist
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import click
import numpy as np

from a2mim import files, seeds
from a2mim.data.sources import FASHION_CLASSES, read_fashion_files
from a2mim.errors import InputError

PER_CLASS = {"train": 1000, "val": 200}


def choose(labels: np.ndarray, split: str, per_class: int) -> np.ndarray:
    """Indices of ``per_class`` images of each class, ascending, from the labels (n,) of the original file."""
    rank = np.array([seeds.derive(0, "fashion", split, index) for index in range(len(labels))])
    chosen = []
    for label in range(len(FASHION_CLASSES)):
        members = np.flatnonzero(labels == label)
        if len(members) < per_class:
            raise InputError(f"split {split!r} has {len(members)} images of class {label}; {per_class} are needed")
        chosen.append(members[np.argsort(rank[members])[:per_class]])
    return np.sort(np.concatenate(chosen))


def embed(source: Path, output: Path, per_class: dict[str, int] | None = None) -> None:
    """Write ``<split>_images``, ``<split>_labels`` and ``<split>_indices`` (in the original file) to a .npz file."""
    arrays = {}
    for split, count in (per_class or PER_CLASS).items():
        images, labels = read_fashion_files(source, split)
        indices = choose(labels, split, count)
        arrays[f"{split}_images"] = images[indices]
        arrays[f"{split}_labels"] = labels[indices]
        arrays[f"{split}_indices"] = indices.astype(np.int32)
    with files.atomic(output) as partial, open(partial, "wb") as handle:
        np.savez_compressed(handle, **arrays)


@click.command()
@click.option("--source", type=click.Path(path_type=Path), required=True, help="Folder with the four idx(.gz) files.")
@click.option("--output", type=click.Path(path_type=Path), help="File to write.  [default: the one in the package]")
def main(source: Path, output: Path | None) -> None:
    """Choose the embedded images from the original files of Fashion-MNIST."""
    output = output or Path(str(resources.files("a2mim.assets") / "fashion.npz"))
    try:
        embed(source, output)
    except InputError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{output}: {output.stat().st_size / 1e6:.2f} MB")
