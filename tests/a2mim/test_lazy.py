"""Names that are imported when first used."""

import subprocess
import sys

import pytest

from a2mim.lazy import attach


def test_names_and_modules_are_found_and_others_are_not():
    getter, listing, every = attach("json", {".decoder": ["JSONDecoder"]}, ["tool"])
    assert listing() == every == ["JSONDecoder", "tool"]
    assert getter("JSONDecoder").__name__ == "JSONDecoder"
    assert getter("tool").__name__ == "json.tool"
    with pytest.raises(AttributeError, match="module 'json' has no attribute 'missing'"):
        getter("missing")


ORDERS = (
    "from a2mim.analysis import occlusion; occlusion.sweep",
    "import a2mim.analysis.occlusion.curves; from a2mim.analysis import occlusion; occlusion.sweep",
    "import a2mim.analysis.occlusion.record; from a2mim.analysis.occlusion import shuffle; assert callable(shuffle)",
    "import a2mim.analysis.interactions.record; from a2mim.analysis import interactions; interactions.estimate",
    "import a2mim.analysis.games; from a2mim.analysis import games; games.PatchGame",
    "from a2mim.analysis import reconstruction; reconstruction.panels; import a2mim.analysis.reconstruction.record; "
    "assert callable(reconstruction.masks)",
    "from a2mim.analysis import features, spectrum, variance; features.capture; spectrum.relative_log_amplitude; "
    "variance.feature_variance",
    "import a2mim.analysis.spectrum, a2mim.analysis.variance, a2mim.analysis.features, a2mim.analysis.interactions",
)


def test_public_names_are_found_in_both_ways_and_every_order():
    tried = "\n".join(
        f"import sys\nfor name in [one for one in sys.modules if one.startswith('a2mim')]: del sys.modules[name]\n{one}"
        for one in ORDERS
    )
    subprocess.run([sys.executable, "-c", tried], check=True, timeout=300)


def test_settings_and_the_list_of_analyses_load_no_torch():
    tried = (
        "import sys\nfrom a2mim.analysis import ANALYSES\nfrom a2mim.commands import analyze\n"
        "for name in ANALYSES: ANALYSES.settings(name)\n"
        "assert not {'torch', 'pandas', 'matplotlib'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", tried], check=True, timeout=60)
