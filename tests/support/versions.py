"""Tests of networks that only later releases of timm have: `@needs_timm("1.0.31")`."""

from __future__ import annotations

import pytest
import timm

RELEASE = tuple(int(part) for part in timm.__version__.split(".")[:3])


def needs_timm(release: str) -> pytest.MarkDecorator:
    """Skip a test where the installed timm is older than ``release``."""
    older = tuple(int(part) for part in release.split(".")) > RELEASE
    return pytest.mark.skipif(
        older, reason=f"the network of this test came with timm {release}, here is {timm.__version__}"
    )
