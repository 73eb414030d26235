"""The declared dependencies are the used ones, and the distributions are complete."""

import ast
import configparser
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import dagster_rudderstack
from dagster_rudderstack.cli.arguments import PROGRAM
from dagster_rudderstack.cli.main import run

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "dagster_rudderstack"
TESTS = ROOT / "dagster_rudderstack_tests"
CLUSTER = TESTS / "cluster"
EXAMPLE = ROOT / "examples" / "reverse_etl_demo"

OURS = {
    "benchmarks",
    "dagster_rudderstack",
    "dagster_rudderstack_tests",
    "demo",
    "reverse_etl_demo",
}

# Distributions whose import name differs from their own name.
IMPORTED_AS = {"pyyaml": "yaml"}

# On Python 3.10, which has no tomllib, the tests use tomli, which pytest depends on.
STANDARD = {*sys.stdlib_module_names, "tomli", "tomllib"}

# Only the pytest plugin imports pytest, and pytest loads the plugin.
INSTALLED_BY_THE_USER = {"pytest"}


# Packages that others need, declared only to exclude releases with known vulnerabilities.
ONLY_FOR_A_MINIMUM = {"h11"}


def pyproject(folder: Path = ROOT) -> dict[str, Any]:
    return tomllib.loads((folder / "pyproject.toml").read_text())


def import_names(requirements: list[Any]) -> set[str]:
    """Return the import names of requirements, without the included groups."""
    names = {re.split(r"[^\w-]", each)[0].lower() for each in requirements if isinstance(each, str)}
    return {IMPORTED_AS.get(name, name.replace("-", "_")) for name in names}


def imports_of(folder: Path, without: Path | None = None) -> set[str]:
    """Return the third-party packages that a folder, without one inside, imports at run time."""
    return {
        name
        for file in folder.rglob("*.py")
        if without not in file.parents
        for statement in statements(ast.parse(file.read_text()))
        for name in names_in(statement)
        if name not in STANDARD and name not in OURS
    }


def statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Walk a module without the blocks for the type checker."""
    for child in ast.iter_child_nodes(tree):
        if not (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)):
            yield child
            yield from statements(child)


def names_in(statement: ast.AST) -> list[str]:
    if isinstance(statement, ast.Import):
        return [alias.name.partition(".")[0] for alias in statement.names]
    if isinstance(statement, ast.ImportFrom) and statement.level == 0:
        return [str(statement.module).partition(".")[0]]
    return []


def test_dependencies() -> None:
    """The package imports exactly the packages that it declares, including the extras."""
    project = pyproject()["project"]
    extras = [each for extra in project["optional-dependencies"].values() for each in extra]
    declared = import_names([*project["dependencies"], *extras])

    assert imports_of(PACKAGE) - INSTALLED_BY_THE_USER == declared - ONLY_FOR_A_MINIMUM


def test_dependencies_of_an_import() -> None:
    """The package can be imported without any extra."""
    project = pyproject()["project"]
    extras = [each for extra in project["optional-dependencies"].values() for each in extra]
    blocked = dict.fromkeys(import_names(extras))
    code = f"import sys; sys.modules.update({blocked}); import dagster_rudderstack"

    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_dependencies_of_the_tests() -> None:
    """The tests import only packages that the package or the group `test` declares."""
    content = pyproject()
    project = content["project"]
    extras = [each for extra in project["optional-dependencies"].values() for each in extra]
    group = content["dependency-groups"]["test"]
    declared = import_names([*project["dependencies"], *extras, *group])

    assert imports_of(TESTS, without=CLUSTER) | imports_of(EXAMPLE) <= declared


def test_dependencies_of_the_cluster() -> None:
    """The test cluster also imports what the group `cluster` declares. Its unit tests do not."""
    content = pyproject()
    groups = content["dependency-groups"]
    project = content["project"]
    extras = [each for extra in project["optional-dependencies"].values() for each in extra]
    declared = import_names([*project["dependencies"], *extras, *groups["test"]])
    added = import_names(groups["cluster"])
    unit_tests = [
        name
        for file in CLUSTER.glob("test_*.py")
        for statement in statements(ast.parse(file.read_text()))
        for name in names_in(statement)
    ]

    assert imports_of(CLUSTER) <= declared | added
    assert unit_tests
    assert added.isdisjoint(unit_tests)


def test_dependencies_of_the_example() -> None:
    """The pyproject of the example declares the imports of its definitions."""
    declared = import_names(pyproject(EXAMPLE)["project"]["dependencies"])

    assert imports_of(EXAMPLE / "src") | {"dagster_rudderstack"} == declared


def test_versions_of_python() -> None:
    """The metadata, the classifiers and `.ci/find-python` have the same Python versions."""
    project = pyproject()["project"]
    classified = [
        match[1]
        for each in project["classifiers"]
        if (match := re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", each))
    ]
    searched = re.search(r"set -- ([\d. ]+)", (ROOT / ".ci" / "find-python").read_text())

    assert searched is not None
    assert project["requires-python"] == ">=3.10,<3.15"
    assert classified == ["3.10", "3.11", "3.12", "3.13", "3.14"]
    assert sorted(searched[1].split()) == classified


def test_changelog() -> None:
    """The newest entry of the changelog is for the current version."""
    newest = re.search(r"^## \[([^]]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)

    assert newest is not None
    assert newest[1] == dagster_rudderstack.__version__


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the source distribution, and the wheel from it."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return folder


@pytest.mark.processes
def test_wheel(built: Path) -> None:
    """The wheel has the package, its type marker and the license, and no other files."""
    (file,) = built.glob("*.whl")
    with zipfile.ZipFile(file) as wheel:
        names = set(wheel.namelist())
    version = dagster_rudderstack.__version__
    info = f"dagster_rudderstack-{version}.dist-info"
    modules = {str(path.relative_to(ROOT)) for path in PACKAGE.rglob("*.py")}

    assert {"dagster_rudderstack/py.typed", f"{info}/licenses/LICENSE"} <= names
    assert {name for name in names if name.endswith(".py")} == modules
    assert {name.partition("/")[0] for name in names} == {"dagster_rudderstack", info}


@pytest.mark.processes
def test_console_script(built: Path) -> None:
    """The wheel installs the command line under the name that its help shows."""
    (file,) = built.glob("*.whl")
    info = f"dagster_rudderstack-{dagster_rudderstack.__version__}.dist-info"
    with zipfile.ZipFile(file) as wheel:
        entry_points = configparser.ConfigParser()
        entry_points.read_string(wheel.read(f"{info}/entry_points.txt").decode())

    (script,) = entry_points["console_scripts"].items()
    assert script == (PROGRAM, f"{run.__module__}:{run.__name__}")


@pytest.mark.processes
def test_source_distribution(built: Path) -> None:
    """The source distribution has the package, its metadata, the README and the changelog."""
    (file,) = built.glob("*.tar.gz")
    with tarfile.open(file) as archive:
        names = {name.partition("/")[2].partition("/")[0] for name in archive.getnames()}

    wanted = {"dagster_rudderstack", "CHANGELOG.md", "LICENSE", "PKG-INFO", "README.md"}
    assert names - {".gitignore"} == wanted | {"pyproject.toml"}
