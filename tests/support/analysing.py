"""One call for tests: an analysis from checkpoints to files, its settings and the run's keywords in one list."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from a2mim.analysis.analyses import ANALYSES
from a2mim.analysis.core import measuring
from a2mim.analysis.core.images import Images


def analyse(
    name: str, checkpoints: Any, output: Path | str, *, images: Images, portion: int = 0, **options: Any
) -> dict[str, Path]:
    """Measure and save; returns the files written, none where there is no result yet; ``portion``: images of a part."""
    record = ANALYSES[name]
    record = dataclasses.replace(record, portion=portion) if portion else record
    fields = {entry.name for entry in dataclasses.fields(record.settings)}
    asked = {key: options.pop(key) for key in list(options) if key in fields}
    settings = record.settings(**{key: value for key, value in asked.items() if value is not None})
    result = measuring.run(record, checkpoints or (), settings, images, output, **options)
    return result.save(output) if result else {}
