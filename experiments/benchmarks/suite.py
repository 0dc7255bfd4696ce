"""Ratios that the project promises, each measured within one run: ``python -m a2mim.experiments.benchmarks --help``.

Machines differ and drift, so no time here should be quoted alone: the two sides of a ratio run in turn, A B A B, and
the median of the ratios of all pairs is printed with its quartiles.
"""

from __future__ import annotations

import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np

from a2mim.experiments.benchmarks.throughput import Conditions, Net, compare, peak_megabytes, write_jpegs

TURN = 3.0  # seconds that one turn of the engine takes, roughly
NETS = (
    Net("ResNet-50, 224", "resnet50", {}, 224, 8, 32),
    Net("ViT-S/16, 224", "vit_small_patch16_224", {}, 224, 8, 32),
)


def nets() -> tuple[Net, ...]:
    """The two networks of the demo, by their recipes, and two of the paper."""
    from a2mim import recipes

    small = []
    for name in ("fashion-resnet", "fashion-vit"):
        recipe = recipes.read(recipes.find(name))
        small.append(
            Net(
                name,
                recipe["model"],
                recipe["model_args"],
                recipe["img_size"],
                recipe["batch_size"],
                recipe["mask_patch_size"],
            )
        )
    return (*small, *NETS)


def paired_times(sides: list[Callable[[], object]], pairs: int) -> np.ndarray:
    """Seconds (pairs, sides) of calls made in turn, after two warm-up turns."""
    times = np.empty((pairs + 2, len(sides)))
    for pair in range(pairs + 2):
        for side, call in enumerate(sides):
            start = time.perf_counter()
            call()
            times[pair, side] = time.perf_counter() - start
    return times[2:]


def pretraining_steps(net: Net, channels_last: bool, device: str) -> list[Callable[[], object]]:
    """[A2MIM step, plain step, A2MIM step and update, plain step and update].

    A2MIM: draw masks, fill, encode with the token, reconstruct, loss, backward. Plain: the same encoder with a linear
    classifier, cross-entropy, backward. An update is one step of AdamW.
    """
    import timm
    import torch

    from a2mim.losses import MIMLoss
    from a2mim.masking import mask_grid, random_mask
    from a2mim.model import create_model

    torch.manual_seed(0)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    masked = create_model(net.arch, model_args=net.model_args, img_size=net.img_size).train()
    masked.to(device).to(memory_format=layout)
    plain = timm.create_model(net.arch, num_classes=10, **masked.model_args).train().to(device).to(memory_format=layout)
    images = torch.randn(net.batch_size, 3, net.img_size, net.img_size, device=device)
    labels = torch.randint(10, (net.batch_size,), device=device)
    generator = torch.Generator(device).manual_seed(0)
    grid = mask_grid((net.img_size, net.img_size), net.mask_patch_size)
    criterion = MIMLoss()
    optimizers = [torch.optim.AdamW(model.parameters(), lr=1e-6) for model in (masked, plain)]

    def wait() -> None:
        if device != "cpu":
            torch.cuda.synchronize()

    def a2mim_step(update: bool = False) -> None:
        masked.zero_grad()
        mask = random_mask(net.batch_size, grid, 0.6, generator)
        criterion(masked(images, mask), images, mask)["loss"].backward()
        if update:
            optimizers[0].step()
        wait()

    def plain_step(update: bool = False) -> None:
        plain.zero_grad()
        torch.nn.functional.cross_entropy(plain(images), labels).backward()
        if update:
            optimizers[1].step()
        wait()

    return [a2mim_step, plain_step, lambda: a2mim_step(True), lambda: plain_step(True)]


@click.group()
def main() -> None:
    """Measure ratios that the project promises, each within one run."""


@main.command()
@click.option("--pairs", default=15, show_default=True, help="Timed repetitions of each side; a third for the engine.")
@click.option("--channels-last/--contiguous", default=False, show_default=True, help="Memory format of both sides.")
@click.option("--device", default="cpu", show_default=True, help="Device of both sides: cpu, cuda.")
@click.option("--amp/--no-amp", default=False, show_default=True, help="Use bfloat16 on both sides, for the engine.")
@click.option("--torchcompile", help="Backend of torch.compile for both sides, for the engine.")
@click.option("--workers", default=1, show_default=True, help="Number of processes that read images.")
@click.option("--only", default="", help="Run only networks whose name contains this.")
def pretrain(
    pairs: int, channels_last: bool, device: str, amp: bool, torchcompile: str | None, workers: int, only: str
) -> None:
    """Compare one A2MIM step, and the whole engine, with a plain loop of the same encoder and a linear classifier."""
    import torch

    click.echo(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, {platform.machine()}, {device}; bar "
        f"{1.05 if device.startswith('cuda') else 1.10:.2f}"
    )
    click.echo(
        f"{'network':<18}{'batch':>6}{'A2MIM ms':>10}{'plain ms':>10}{'ratio (quartiles)':>24}{'with update':>13}"
    )
    chosen = [net for net in nets() if only in net.name]
    seconds = []
    for net in chosen:
        times = paired_times(pretraining_steps(net, channels_last, device), pairs)
        a2mim_ms, plain_ms = np.median(times[:, :2], axis=0) * 1e3
        updated = np.median(times[:, 2] / times[:, 3])
        ratio = _quartiles(times[:, 0] / times[:, 1])
        click.echo(f"{net.name:<18}{net.batch_size:>6}{a2mim_ms:>10.1f}{plain_ms:>10.1f}{ratio:>24}{updated:>13.3f}")
        seconds.append(np.median(times[:, 2]))
    click.echo(f"the engine: {workers} workers{', bfloat16' if amp else ''}{', compiled' if torchcompile else ''}")
    click.echo(
        f"{'network':<18}{'images':>8}{'engine/s':>10}{'bare/s':>10}{'ratio (quartiles)':>24}{'waiting':>9}"
        f"{'engine MB':>11}{'bare MB':>9}"
    )
    conditions = Conditions(device, channels_last, amp, torchcompile, workers)
    for net, step in zip(chosen, seconds, strict=True):
        steps = int(np.clip(TURN / step, 4, 150))  # 150 batches of 64: all images that come with the package
        memory = [peak_megabytes(net, conditions, side) for side in ("engine", "bare")]
        with tempfile.TemporaryDirectory() as folder:
            files = write_jpegs(Path(folder), steps * net.batch_size, net.img_size)
            for name, data in (("memory", {}), ("JPEG", {"dataset": "folder", "data_dir": str(files)})):
                found = compare(net, conditions, data, steps, max(3, pairs // 3))
                ratio = _quartiles(found.bare / found.engine)
                click.echo(
                    f"{net.name:<18}{name:>8}{np.median(found.engine):>10.1f}{np.median(found.bare):>10.1f}{ratio:>24}"
                    f"{np.median(found.waiting):>9.1%}{memory[0]:>11.0f}{memory[1]:>9.0f}"
                )


def _quartiles(ratios: np.ndarray) -> str:
    return "{:.3f} ({:.3f}-{:.3f})".format(np.median(ratios), *np.quantile(ratios, [0.25, 0.75]))


@main.command()
@click.option("--pairs", default=15, show_default=True, help="Timed repetitions of each side.")
@click.option("--arch", default="vit_base_patch16_224", show_default=True, help="Architecture of the file, as in timm.")
def loader(pairs: int, arch: str) -> None:
    """Compare load_encoder with reading the same file by torch or safetensors into a model that is already built.

    Memory is the growth of the largest resident set of a fresh process, as a share of the file's size. load_encoder
    also builds the model.
    """
    import torch

    click.echo(f"torch {torch.__version__}, {torch.get_num_threads()} threads; bars: memory 1.30, time 1.20")
    click.echo(f"{'file':<14}{'MB':>7}{'memory':>9}{'loader ms':>11}{'plain ms':>10}{'ratio (quartiles)':>24}")
    with tempfile.TemporaryDirectory() as folder:
        for path in weight_files(arch, Path(folder)):
            times = paired_times(loading_sides(arch, path), pairs)
            quartiles = _quartiles(times[:, 0] / times[:, 1])
            ours, plain = np.median(times, axis=0) * 1e3
            size = path.stat().st_size
            memory = peak_memory(path) / size
            click.echo(
                f"{path.suffix[1:]:<14}{size / 1e6:>7.0f}{memory:>9.2f}{ours:>11.1f}{plain:>10.1f}{quartiles:>24}"
            )


@main.command()
@click.option("--network", default="fashion-resnet-a2mim", show_default=True, help="Shipped classifier.")
@click.option("--images", default=2, show_default=True, help="Number of images whose strengths are estimated.")
@click.option("--repetitions", default=6, show_default=True, help="Number of repetitions of each estimator.")
@click.option("--games", default=200, show_default=True, help="Number of repetitions on games with a known answer.")
@click.option("--pairs", default=9, show_default=True, help="Timed repetitions for the throughput.")
def interactions(network: str, images: int, repetitions: int, games: int, pairs: int) -> None:
    """Compare the efficient estimator of J(m) with the published one; measure bias, coverage and throughput."""
    import torch

    from a2mim.experiments.benchmarks import interactions as bench

    click.echo(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, {platform.machine()}; bars: gain 4 at every "
        "order, 8 in the geometric mean; bias 2 %; coverage 90 to 98 %; throughput 0.95"
    )
    paper, efficient, gain = bench.gains(network, images, repetitions)
    click.echo(f"{network}, {images} images; errors relative to the strength")
    click.echo(
        f"{'ratio':>6}{'paper rmse':>12}{'bias':>8}{'evaluations':>13}{'rmse':>12}{'bias':>8}{'evals':>13}{'gain':>8}"
    )
    for row, ratio in enumerate(bench.PAPER_RATIOS):
        sides = "".join(
            f"{side.rmse[row]:>12.3f}{side.bias[row]:>8.3f}{side.evaluations[row]:>13.0f}"
            for side in (paper, efficient)
        )
        click.echo(f"{ratio:>6g}{sides}{gain[row]:>8.1f}")
    click.echo(f"gain: least {gain.min():.1f}, geometric mean {np.exp(np.log(gain).mean()):.1f}")
    bias, cover = bench.known_games(games, n_images=20)
    click.echo(f"games with a known answer, 20 images, {games} repetitions")
    for ratio, one_bias, one_cover in zip(bench.KNOWN_RATIOS, bias, cover, strict=True):
        click.echo(f"{ratio:>6g}  bias {one_bias:+.1%}  coverage {one_cover:.1%}")
    times = paired_times(bench.throughput(network), pairs)
    low, ratio, high = np.quantile(times[:, 1] / times[:, 0], [0.25, 0.5, 0.75])
    click.echo(f"throughput: {ratio:.3f} ({low:.3f}-{high:.3f}) of the bare model's")


@main.command()
@click.option(
    "--network",
    "networks",
    multiple=True,
    default=["fashion-resnet-a2mim", "fashion-vit-a2mim"],
    show_default=True,
    help="Shipped checkpoint, or an architecture of timm (resnet50); repeatable.",
)
@click.option("--pairs", default=15, show_default=True, help="Timed repetitions of each side.")
@click.option("--batch-size", default=64, show_default=True, help="Images per batch, on all sides.")
@click.option("--device", default="cpu", show_default=True, help="Device of both sides: cpu, cuda.")
@click.option("--memory/--no-memory", default=True, show_default=True, help="Measure peak memory too (Linux only).")
def probes(networks: tuple[str, ...], pairs: int, batch_size: int, device: str, memory: bool) -> None:
    """Compare spectrum, variance and occlusion with the bare network; measure peak memory on few and many images."""
    import torch

    from a2mim.experiments.benchmarks import probes as bench

    click.echo(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, {platform.machine()}, {device}; throughput as "
        f"a share of the bare network's, bars {', '.join(f'{side} {bar}' for side, bar in bench.BARS.items())}"
    )
    click.echo(f"{'network':<24}{'batch':>6}{'bare ms':>9}" + "".join(f"{side:>22}" for side in bench.BARS))
    for network in networks:
        times = paired_times(bench.throughput(bench.subject_of(network, device), batch_size), pairs)
        shares = times[:, :1] / times[:, 1:]
        quartiles = ["{:.2f} ({:.2f}-{:.2f})".format(*np.quantile(share, [0.5, 0.25, 0.75])) for share in shares.T]
        bare_ms = np.median(times[:, 0]) * 1e3 / len(bench.RATIOS)
        click.echo(f"{network:<24}{batch_size:>6}{bare_ms:>9.1f}" + "".join(f"{cell:>22}" for cell in quartiles))
    if memory:
        click.echo(f"peak memory of {bench.MEMORY_NETWORK} beyond the network's own, MB: few and many images")
        for analysis, (few, many) in bench.MEMORY.items():
            grown = [bench.peak_memory(analysis, *settings) / 1e6 for settings in (few, many)]
            click.echo(f"{analysis:<24}{grown[0]:>9.1f}{grown[1]:>9.1f}{grown[1] - grown[0]:>+9.1f}")


def weight_files(arch: str, folder: Path) -> list[Path]:
    """Files of the architecture's weights: safetensors, and a pickle as training scripts write it."""
    import safetensors.torch
    import timm
    import torch

    state = timm.create_model(arch, num_classes=0).state_dict()
    files = [folder / "weights.safetensors", folder / "weights.pth"]
    safetensors.torch.save_file(state, files[0])
    torch.save({"model": state, "epoch": 1}, files[1])
    return files


def loading_sides(arch: str, path: Path) -> list[Callable[[], object]]:
    """[the loader, a plain read and load_state_dict into a model that is already built]."""
    import safetensors.torch
    import timm
    import torch

    from a2mim.checkpoint import load_encoder

    ready = timm.create_model(arch, num_classes=0)

    def plain() -> object:
        if path.suffix == ".safetensors":
            return ready.load_state_dict(safetensors.torch.load_file(path))
        return ready.load_state_dict(torch.load(path, mmap=True, weights_only=True)["model"])

    return [lambda: load_encoder(path), plain]


def peak_memory(path: Path) -> int:
    """Bytes by which loading ``path`` raises the peak resident set, in a process that has imported everything.

    Linux only: ``getrusage`` would count the parent's memory too.
    """
    measure = (
        "import re, sys; from a2mim.checkpoint import load_encoder; load_encoder('fashion-vit-a2mim');"
        "kilobytes = lambda key: int(re.search(key + r':\\s+(\\d+)', open('/proc/self/status').read())[1]);"
        "before = kilobytes('VmRSS'); model, _ = load_encoder(sys.argv[1]); print(kilobytes('VmHWM') - before)"
    )
    command = [sys.executable, "-c", measure, str(path)]
    return 1024 * int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
