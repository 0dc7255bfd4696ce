"""Cost of probes and occlusion, compared with the bare network: ``python -m a2mim.experiments.benchmarks probes``."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import timm
import torch
from safetensors.torch import save_file

from a2mim.analysis.core.grids import auto_grid
from a2mim.analysis.core.subjects import Subject
from a2mim.analysis.occlusion import curves
from a2mim.analysis.probes import measure as probes
from a2mim.checkpoint import load_encoder
from a2mim.data import Batch

BARS = {"spectrum": 0.80, "radial spectrum": 0.80, "variance": 0.80, "occlusion": 0.95}
RATIOS = (0.2, 0.4, 0.6, 0.8)  # of occlusion: four masks per image; the other sides pass each image four times
MEMORY_NETWORK = "fashion-resnet-a2mim"
# with few and with many images, on which memory must not depend
MEMORY = {  # settings of the analysis, images, images in one forward pass
    "spectrum": (("", 64, 64), ("", 1024, 64)),
    "variance": (("", 64, 64), ("", 1024, 64)),
    "occlusion": (("runs=1, ratios=(0.5,)", 64, 256), ("runs=4, ratios=(0.2, 0.5, 0.8)", 512, 256)),
}


def subject_of(name: str, device: str = "cpu") -> Subject:
    """A shipped network, or one of timm's architectures with random weights, at its own image size."""
    if not timm.is_model(name):
        model, report = load_encoder(name)
    else:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, f"{name}.safetensors")
            save_file(timm.create_model(name).state_dict(), path)
            model, report = load_encoder(path, arch=name)
    return Subject(name, model.to(device).to(memory_format=torch.channels_last), report)


def throughput(subject: Subject, batch_size: int) -> list[Callable[[], object]]:
    """[bare network, then each of ``BARS``], for ``paired_times``: all run ``batch_size`` images four times
    through the network, occlusion each time under another mask.

    The images are in memory, normalised as workers would deliver them; all sides take them in channels-last.
    """
    place = next(subject.model.parameters()).device
    size = subject.report.input_size
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(batch_size, *size, generator=generator).to(place).to(memory_format=torch.channels_last)
    batch = Batch(images, torch.zeros(batch_size, dtype=torch.int64), torch.arange(batch_size))
    question = curves.Occlusion(auto_grid(size[1:]), RATIOS, runs=1)

    def wait() -> None:
        if place.type == "cuda":
            torch.cuda.synchronize(place)

    def bare() -> None:
        with torch.inference_mode():
            for _ in RATIOS:
                subject.model(images)
        wait()

    def probed(probe: probes.Probe) -> Callable[[], object]:
        layers = probes.layers_of(subject, None, probe)
        return lambda: [probes.sums(subject, batch, layers, probe, batch_size) for _ in RATIOS]

    def occluded() -> None:
        curves.correct(subject.model, images, batch.labels, batch.indices.tolist(), question, batch_size=batch_size)

    asked = (probes.spectrum_probe(), probes.spectrum_probe("radial"), probes.variance_probe())
    return [bare, *map(probed, asked), occluded]


def peak_memory(analysis: str, settings: str, images: int, batch_size: int) -> int:
    """Bytes by which an analysis raises the peak resident set of a process that has run the network once.

    Linux only, as for the loader.
    """
    measure = f"""
import re, tempfile
import torch
from a2mim.analysis import ANALYSES
from a2mim.analysis.core import measuring, speed
from a2mim.analysis.core.images import Images
from a2mim.checkpoint import load_encoder
speed.SECONDS = 0.0
model, report = load_encoder({MEMORY_NETWORK!r})
with torch.inference_mode():
    model(torch.zeros(64, *report.input_size))
kilobytes = lambda key: int(re.search(key + r':\\s+(\\d+)', open('/proc/self/status').read())[1])
before = kilobytes('VmRSS')
record = ANALYSES[{analysis!r}]
with tempfile.TemporaryDirectory() as folder:
    asked = record.settings({settings}), Images(limit={images}), folder
    measuring.run(record, [{MEMORY_NETWORK!r}], *asked, batch_size={batch_size}, progress=False).save(folder)
print(kilobytes('VmHWM') - before)
"""
    command = [sys.executable, "-c", measure]
    return 1024 * int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
