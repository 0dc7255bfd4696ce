"""The reference site: `make docs` builds it into docs/_build/html, with warnings as errors."""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path
from typing import Any

from sphinx.util import logging

import a2mim

logger = logging.getLogger(__name__)
REPOSITORY = "https://github.com/a2mim/a2mim"

project = "A2MIM"
author = "A2MIM developers"
copyright = "A2MIM developers"
version = release = a2mim.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["_build", "package.md"]  # package.md is the text of the package index
html_theme = "furo"
html_title = "A2MIM"
html_theme_options = {"source_repository": REPOSITORY, "source_branch": "main", "source_directory": "docs/"}

myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 4
highlight_language = "none"  # blocks without a language are command lines

suppress_warnings = ["ref.python"]  # two modules may have a class of one name: an annotation leads to the first
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "ignore-module-all": True, "show-inheritance": True}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False

# One page for each package, with all its modules; what the pages are called in the contents.
PACKAGES = {
    "a2mim": "a2mim: the method",
    "a2mim.methods": "a2mim.methods: ways to pre-train",
    "a2mim.encoders": "a2mim.encoders: networks, sites, layouts",
    "a2mim.training": "a2mim.training: the engine",
    "a2mim.data": "a2mim.data: images",
    "a2mim.checkpoint": "a2mim.checkpoint: the loader",
    "a2mim.analysis": "a2mim.analysis: what can be measured",
    "a2mim.analysis.core": "a2mim.analysis.core: what all analyses share",
    "a2mim.analysis.interactions": "a2mim.analysis.interactions",
    "a2mim.analysis.occlusion": "a2mim.analysis.occlusion",
    "a2mim.analysis.probes": "a2mim.analysis.probes: spectrum, variance, feature maps",
    "a2mim.analysis.reconstruction": "a2mim.analysis.reconstruction",
    "a2mim.analysis.report": "a2mim.analysis.report: the page and the paper's figures",
    "a2mim.figures": "a2mim.figures: a table in, a figure out",
    "a2mim.experiments": "a2mim.experiments: the claims of the paper",
}


def modules_of(package: str) -> list[str]:
    """Names of the modules of a package that have no page of their own; sub-packages without a page are included."""
    found = []
    for one in pkgutil.iter_modules(importlib.import_module(package).__path__, f"{package}."):
        if one.name in PACKAGES or one.name.rpartition(".")[2].startswith("_"):
            continue
        found.append(one.name)
        if one.ispkg:
            found += modules_of(one.name)
    return [name for name in found if not name.startswith(("a2mim.commands", "a2mim.assets"))]


def write_pages(folder: Path) -> None:
    """Write a page for each package, and remove pages of packages that are gone."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {}
    for package, title in PACKAGES.items():
        parts = [f"{title}\n{'=' * len(title)}", f".. automodule:: {package}"]
        for name in modules_of(package):
            parts.append(f"{name}\n{'-' * len(name)}\n\n.. automodule:: {name}")
        wanted[folder / f"{package}.rst"] = "\n\n".join(parts) + "\n"
    for page in set(folder.glob("*.rst")) - set(wanted):
        page.unlink()
    for page, text in wanted.items():
        if not page.is_file() or page.read_text(encoding="utf-8") != text:
            page.write_text(text, encoding="utf-8")


def escape_signs(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """``|e|`` in a docstring is an absolute value, not a substitution; a single ``*`` begins no emphasis."""
    for at, line in enumerate(lines):
        pieces = re.split(r"(``.*?``|`[^`]*`)", line)
        lonely = "".join(pieces[::2]).count("*") == 1
        pieces[::2] = [re.sub(r"(?<!\\)([|*])" if lonely else r"(?<!\\)(\|)", r"\\\1", piece) for piece in pieces[::2]]
        lines[at] = "".join(pieces)


def find_home(app: Any, env: Any, node: Any, text: Any) -> Any:
    """A public name that is re-exported (`a2mim.MIMLoss`) leads to where it is described."""
    target = node.get("reftarget", "")
    written = node.get("reftype") == "obj" and not node["refdoc"].startswith("api/modules/")  # by hand, on our pages
    if not written or not target.startswith("a2mim."):
        return None
    module, _, name = target.rpartition(".")
    found = getattr(importlib.import_module(module), name, None)
    if not hasattr(found, "__qualname__"):
        logger.warning("%s: there is no %s", node["refdoc"], target)
        return None
    home = f"{found.__module__}.{found.__qualname__}"
    return env.domains["py"].resolve_xref(env, node["refdoc"], app.builder, "obj", home, node, text)


def outside_links(app: Any, document: str, source: list[str]) -> None:
    """A link to a file of the repository outside docs/ leads to the repository; pictures are taken into the site."""
    source[0] = re.sub(r"(?<!!)(\[[^\]]*\]\()\.\./([^)#]+)(#[^)]*)?\)", _to_repository, source[0])


def _to_repository(match: re.Match[str]) -> str:
    start, path, place = match.groups()
    return f"{start}{REPOSITORY}/blob/main/{path}{place or ''})"


def setup(app: Any) -> None:
    write_pages(Path(__file__).parent / "api" / "modules")
    app.connect("autodoc-process-docstring", escape_signs)
    app.connect("missing-reference", find_home)
    app.connect("source-read", outside_links)
