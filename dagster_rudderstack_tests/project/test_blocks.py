"""Each block of code in the README and in `docs/` works on its own when it is pasted.

Every block is checked here, in a way that follows from its language. Tests of single pages check
more: what the code does, and what a command prints.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

import dagster_rudderstack
from dagster_rudderstack import settings
from dagster_rudderstack.testing import LocalRudderStack
from dagster_rudderstack_tests.components.conftest import DAGSTER_WARNINGS, Project, project
from dagster_rudderstack_tests.discovery.conftest import fill
from dagster_rudderstack_tests.project.commands import check_requirement, check_script
from dagster_rudderstack_tests.project.fences import ROOT, Block, blocks

__all__ = ["project"]

if dg.__version__ >= "1.13":
    pytestmark = [pytest.mark.filterwarnings(each) for each in DAGSTER_WARNINGS]

# What is only read: output, SQL of a warehouse, what other programs print.
SHOWN = {"text", "sql", "diff"}
RUN = {"python"}
CHECKED = {"console", "json", "sh", "yaml"}
# Only the page on installation has them, and `test_docs_install.py` checks them.
OF_ONE_PAGE = {"dockerfile", "toml"}

ELSEWHERE = {
    # Code of another package, in an environment of its own.
    "# Before": "dagster_rudderstack_tests/project/test_docs_migration.py",
    # Beside a dbt project.
    "DbtProject(": "dagster_rudderstack_tests/docs/test_guides_automation.py",
}
"""Blocks that do not run here, by a text in them, with the test that runs them."""

IDS = re.compile(r'"(2[0-9A-Za-z]{26})"')


def run_blocks() -> list[Any]:
    found = [each for each in blocks(*RUN) if not any(text in each.code for text in ELSEWHERE)]
    return [pytest.param(each, id=str(each)) for each in found]


def parameters(language: str) -> list[Any]:
    return [pytest.param(each, id=str(each)) for each in blocks(language)]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalRudderStack]:
    """A local RudderStack in the place of RudderStack in the US and the EU, and its tokens."""
    with LocalRudderStack() as server:
        fill(server)
        for region in ("us", "eu"):
            monkeypatch.setitem(settings.API_URLS, region, server.url)
        for variable in ("RUDDERSTACK_ACCESS_TOKEN", "RUDDERSTACK_EU_TOKEN"):
            monkeypatch.setenv(variable, server.access_token)
        monkeypatch.setenv("RUDDERSTACK_API_URL", server.url)
        yield server


def test_languages() -> None:
    """Each block names a language that is run or checked here, or is only shown."""
    known = SHOWN | RUN | CHECKED | OF_ONE_PAGE

    assert [str(each) for each in blocks() if each.language not in known] == []


@pytest.mark.parametrize("text", ELSEWHERE)
def test_elsewhere(text: str) -> None:
    """The blocks that another test runs exist, and so does that test."""
    assert any(text in each.code for each in blocks(*RUN))
    assert (ROOT / ELSEWHERE[text]).exists()


@pytest.mark.parametrize("block", run_blocks())
def test_python(
    block: Block, server: LocalRudderStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The code runs on its own in an empty folder, and its definitions load."""
    for id_ in IDS.findall(block.code):
        server.add_connection(id_)
        server.add_project(id_)
    monkeypatch.chdir(tmp_path)
    file = str(tmp_path / "definitions.py")
    names: dict[str, Any] = {"__name__": "definitions", "__file__": file}

    exec(compile(block.code, str(block), "exec"), names)  # noqa: S102 - our own pages

    for each in names.values():
        if isinstance(each, dg.Definitions):
            dg.Definitions.validate_loadable(each)


@pytest.mark.parametrize("block", parameters("yaml"))
def test_yaml(block: Block, server: LocalRudderStack, project: Project) -> None:
    """The YAML is valid. A component of this library loads, and names no unknown attribute."""
    for document in yaml.safe_load_all(block.code):
        kind = document.get("type", "") if isinstance(document, dict) else ""
        if not kind.startswith("dagster_rudderstack."):
            continue
        component = getattr(dagster_rudderstack, kind.partition(".")[2])
        unknown = set(document["attributes"]) - set(component.get_model_cls().model_fields)
        assert not unknown
        project.write("models/tables.py", OTHER_ASSETS)
        project.write("crm/defs.yaml", yaml.safe_dump(document))
        project.load()


OTHER_ASSETS = """
import dagster as dg

from dagster_rudderstack import RudderStackResource

defs = dg.Definitions(
    assets=[dg.AssetSpec("dim_customers"), dg.AssetSpec("customers")],
    resources={
        "rudderstack": RudderStackResource(access_token=dg.EnvVar("RUDDERSTACK_ACCESS_TOKEN"))
    },
)
"""


@pytest.mark.parametrize("block", [*parameters("sh"), *parameters("console")])
def test_commands(block: Block) -> None:
    """Each command exists, with its options and arguments."""
    check_script(block.code, is_console=block.language == "console")


@pytest.mark.parametrize("block", parameters("json"))
def test_json(block: Block) -> None:
    """The JSON is valid."""
    json.loads(block.code)


# Installing

INSTALLS = re.compile(
    r"(?:pip install|uv add|uv tool install|poetry add)\s+(?P<arguments>[^`\n]*)", re.IGNORECASE
)
# The other package on purpose: an independent client in the tests, and its migration.
OTHER_PACKAGE = "dagster-rudderstack==1.3.0"


def files() -> list[Path]:
    """Return the files that may say how to install the package."""
    folders = ("docs", "examples", "dagster_rudderstack")
    kinds = (".md", ".py", ".toml", ".txt", ".yaml", ".yml")
    found = [
        path
        for folder in folders
        for path in sorted((ROOT / folder).rglob("*"))
        if path.suffix in kinds or path.name == "Dockerfile"
    ]
    return [*ROOT.glob("*.md"), *found]


def joined(text: str) -> str:
    """Return a text with the parts of its strings joined, as Python does."""
    return re.sub(r'"\s*\n\s*f?"', "", text)


def test_installs() -> None:
    """No documented command installs RudderStack's own package of the same name."""
    commands = [
        (path, found["arguments"])
        for path in files()
        for found in INSTALLS.finditer(joined(path.read_text()))
    ]

    assert commands
    for path, arguments in commands:
        for word in re.findall(r"""'[^']*'|"[^"]*"|[^\s'"]+""", arguments):
            try:
                check_requirement(word.strip("'\""))
            except ValueError as error:
                pytest.fail(f"{path.relative_to(ROOT)}: {error}")
            is_quoted = word[0] in "'\""
            assert is_quoted or ">" not in word, f"{path}: a shell writes {word} to a file"


def test_requirements() -> None:
    """No dependency of an example, and none in the documentation, can be that package."""
    for path in files():
        quoted = re.findall(r"""["'](dagster-rudderstack[^"'\s]*)["']""", path.read_text())
        if path.suffix in {".md", ".toml"}:
            for word in quoted:
                check_requirement(word)


@pytest.mark.parametrize(
    ("word", "is_safe"),
    [
        ("dagster-rudderstack", False),
        ("dagster-rudderstack[testing]", False),
        ("dagster_rudderstack>=1.3", False),
        ("dagster-rudderstack>=2", True),
        ("dagster-rudderstack[lineage,testing]>=2", True),
        ("dist/dagster_rudderstack-2.0.0-py3-none-any.whl", True),
        ("dagster_rudderstack-2.0.0-py3-none-any.whl", True),
        (".[testing]", True),
    ],
)
def test_requirement(word: str, is_safe: bool) -> None:
    """Only a requirement of version 2, a path or a wheel is safe."""
    if is_safe:
        check_requirement(word)
    else:
        with pytest.raises(ValueError, match="RudderStack's own package"):
            check_requirement(word)


def test_command__unknown() -> None:
    """A command, an option or a target that does not exist is an error."""
    for command in (
        "dagster-rudderstack connection",
        "dagster-rudderstack sync --ful 2hkeBOp0lGJpMPyur0oXUxxIDhw",
        "dg lunch",
        "dg launch --asset x",
        "make demoo",
        "pip install dagster-rudderstack",
        "unknown-program",
    ):
        with pytest.raises(ValueError, match=r"."):
            check_script(command)
