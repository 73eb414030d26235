"""CONTRIBUTING.md, the hooks and the workflow name commands and files that exist."""

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
FORMS = sorted((GITHUB / "ISSUE_TEMPLATE").glob("[!c]*.yml"))


def text_of(command: str) -> str:
    """Return the part of the Makefile that runs for a target."""
    _, _, rest = (ROOT / "Makefile").read_text().partition(f"\n{command}:")
    return rest.partition("\n\n")[0]


def test_contributing__commands() -> None:
    """Each make command in CONTRIBUTING.md is a target of the Makefile."""
    commands = set(re.findall(r"^make ([a-z-]+)|`make ([a-z-]+)", CONTRIBUTING, re.MULTILINE))
    named = {each for pair in commands for each in pair if each}

    assert {"install", "test", "lint", "ruff"} <= named
    assert named <= TARGETS


def test_contributing__modules() -> None:
    """Each module that CONTRIBUTING.md runs exists."""
    modules = re.findall(r"python -m ([\w.]+)", CONTRIBUTING)

    assert len(modules) > 2
    assert [each for each in modules if find_spec(each) is None] == []


def test_contributing__paths() -> None:
    """Each path in CONTRIBUTING.md exists."""
    paths = re.findall(r"`((?:dagster_rudderstack|\.ci)[\w/.]*/?[\w.]*)`", CONTRIBUTING)

    assert len(paths) > 20
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_contributing__all_folders() -> None:
    """The layout in CONTRIBUTING.md has every folder of the package."""
    package = ROOT / "dagster_rudderstack"
    folders = {path.parent.name for path in package.glob("*/__init__.py")}
    listed = set(re.findall(r"`dagster_rudderstack/(\w+)/`", CONTRIBUTING))

    assert listed == folders


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_workflow(workflow: Path) -> None:
    """A workflow runs targets of the Makefile, on each supported Python."""
    content: dict[str, Any] = yaml.safe_load(workflow.read_text())
    commands = re.findall(r"run: make ([a-z-]+)", workflow.read_text())
    project = (ROOT / "pyproject.toml").read_text()

    assert set(commands) <= TARGETS
    assert content["jobs"]["test"]["strategy"]["matrix"]["python"] == re.findall(
        r"Python :: (3\.\d+)", project
    )


def test_hooks() -> None:
    """The hooks run what `make lint` runs."""
    content = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    entries = [hook["entry"] for repo in content["repos"] for hook in repo["hooks"]]
    lint = text_of("lint")

    assert all(entry.startswith((".venv/bin/python ", "make ")) for entry in entries)
    for entry in entries:
        assert re.split(r"python |make ", entry)[1] in lint


@pytest.mark.parametrize("form", FORMS, ids=lambda path: path.stem)
def test_issue_form(form: Path) -> None:
    """An issue form asks for the output of `check`, and each field has an id of its own."""
    body: list[dict[str, Any]] = yaml.safe_load(form.read_text())["body"]
    labels = [field["attributes"]["label"] for field in body]

    assert "Output of `dagster-rudderstack check`" in labels
    assert len({field["id"] for field in body}) == len(body)
