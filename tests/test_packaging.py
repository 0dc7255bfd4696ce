"""What setup.cfg, the constraints and the files beside them say of the distribution agrees."""

import configparser
import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
CONFIG = configparser.ConfigParser()
CONFIG.read(ROOT / "setup.cfg", encoding="utf-8")


def lines(section: str, key: str) -> list[str]:
    return [line for line in CONFIG[section][key].splitlines() if line and not line.startswith("#")]


def pins(name: str) -> dict[str, str]:
    text = (ROOT / name).read_text(encoding="utf-8")
    return dict(re.findall(r"^([\w.-]+)==([\w.+]+)", text, re.MULTILINE))


def test_every_requirement_has_the_lower_bound_that_is_tested():
    stated = dict(line.split(">=") for line in lines("options", "install_requires"))
    lowest = pins("constraints-lowest.txt")
    assert stated.keys() == lowest.keys()
    for name, bound in stated.items():
        assert (lowest[name] + ".").startswith(f"{bound}."), name


def test_what_make_installs_is_pinned():
    extras = [line for extra in ("test", "docs", "dev") for line in lines("options.extras_require", extra)]
    wanted = {re.match(r"[\w-]+", line)[0].lower() for line in lines("options", "install_requires") + extras}
    assert wanted <= pins("constraints.txt").keys()


def test_every_folder_with_modules_is_a_package_of_the_wheel_but_the_benchmarks():
    homes = dict(line.split(" = ") for line in lines("options", "package_dir"))
    found = {
        f"{name}.{'.'.join(path.parent.relative_to(ROOT / folder).parts)}".rstrip(".")
        for name, folder in homes.items()
        for path in (ROOT / folder).rglob("__init__.py")
    }
    assert found - set(lines("options", "packages")) == {"a2mim.experiments.benchmarks"}
    assert set(lines("options", "packages")) - found <= {"a2mim.assets", "a2mim.experiments.recipes"}


def test_every_file_that_is_not_a_module_is_taken_along_or_left_out_on_purpose():
    homes = dict(line.split(" = ") for line in lines("options", "package_dir"))
    data = {name: [one.strip() for one in value.split(",")] for name, value in CONFIG["options.package_data"].items()}
    left_out = set()
    for package in lines("options", "packages"):
        home = max((name for name in homes if f"{package}.".startswith(f"{name}.")), key=len)
        folder = ROOT / homes[home] / Path(*package.removeprefix(home).split("."))
        files = [path for path in folder.iterdir() if path.is_file() and path.suffix not in (".py", ".pyc")]
        left_out |= {f"{package}/*{one.suffix}" for one in files if not any(map(one.match, data.get(package, ())))}
    assert left_out == {
        "a2mim.experiments.results/*.md",
        "a2mim.experiments.results/*.png",
        "a2mim.experiments.results.small/*.json",
    }


def test_the_licence_of_the_images_goes_with_the_package():
    assert "a2mim/assets/fashion.LICENSE.txt" in lines("metadata", "license_files")
    assert all((ROOT / file).is_file() for file in lines("metadata", "license_files"))
    assert CONFIG["metadata"]["license_expression"] == "Apache-2.0 AND MIT"


def test_the_text_for_the_package_index_has_absolute_links_alone():
    text = (ROOT / CONFIG["metadata"]["long_description"].removeprefix("file: ")).read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert links
    assert all(link.startswith("https://") for link in links)


def test_the_manifest_takes_what_is_there():
    for line in (ROOT / "MANIFEST.in").read_text(encoding="utf-8").splitlines():
        words = line.split()
        if words and words[0] in ("include", "graft"):
            assert all((ROOT / word).exists() for word in words[1:]), line


def test_the_hook_and_the_constraints_name_one_release_of_the_linter():
    hook = yaml_of(".pre-commit-config.yaml")["repos"][0]
    assert hook["rev"] == f"v{pins('constraints.txt')['ruff']}"


def test_the_workflow_runs_targets_that_exist():
    jobs = yaml_of(".github/workflows/ci.yml")["jobs"]
    rows = jobs["linux"]["strategy"]["matrix"]["include"]
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert {row["target"] for row in rows} <= set(targets)
    assert CONFIG["options"]["python_requires"] == f">={rows[0]['python']}"
    ran = " ".join(step.get("run", "") for step in jobs["elsewhere"]["steps"]).split()
    named = [word for word in ran if word.startswith("tests/")]
    assert named
    assert all((ROOT / word).exists() for word in named)


def yaml_of(name: str) -> dict:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
