"""The layout of the library: which module may import which, read from the source files.

Dependencies point down `LAYERS` and never back, so that a reader can stop at any layer.
"""

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

NAME = "dagster_rudderstack"
PACKAGE = Path(__file__).parents[2] / NAME

LAYERS: Sequence[Sequence[str]] = (
    # From top to bottom. A module imports from its own row and the rows below. An entry is a module
    # or a package; for a module inside a package that has an entry, its own entry counts.
    # Nothing imports the command line.
    ("__main__",),
    ("cli",),
    ("__init__",),
    ("components",),
    ("discovery", "sensor"),
    ("source_runs",),
    ("assets", "ops"),
    ("options",),
    ("resource",),
    ("resource_client",),
    ("resource_settings",),
    ("step",),
    ("checks",),
    ("metadata", "metadata_set"),
    ("dagster_internals",),
    # From here on down, nothing imports Dagster.
    ("sync",),
    ("api",),
    ("settings",),
    ("errors",),
    # A SyncError carries the last Sync seen, so the models are below the errors.
    ("api.models",),
    ("api.fields",),
    ("vendor_names",),
    ("text", "version"),
)
ROW_OF = {name: row for row, names in enumerate(LAYERS) for name in names}

WITHOUT_DAGSTER = ("api", "sync")
USES_SQLGLOT = "discovery.sql"
USES_PRIVATE_DAGSTER = "dagster_internals"
PRIVATE_DAGSTER = ("dagster._", "dagster.components.utils")

MAX_TOP_LEVEL_MODULES = 15
MAX_LINES = 400


@dataclass(frozen=True)
class Import:
    """One imported name: `from target import name`, or `import target`."""

    target: str
    name: str = ""

    @property
    def dotted(self) -> str:
        """The full name, as in `dagster._core.utils`."""
        return f"{self.target}.{self.name}" if self.name else self.target


@cache
def modules() -> dict[str, Path]:
    """The modules of the library by their dotted names in the package, without `testing`."""
    return {name_of(file): file for file in files() if not is_in(name_of(file), "testing")}


def files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def name_of(file: Path) -> str:
    parts = file.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def is_in(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


@cache
def imports(file: Path) -> tuple[Import, ...]:
    """All imports of a file, also those in functions and for the type checker."""
    return tuple(found for node in ast.walk(ast.parse(file.read_text())) for found in read(node))


def read(node: ast.AST) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        yield from (Import(alias.name) for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"Write 'from {NAME}...' instead of a relative import"
        yield from (Import(node.module or "", alias.name) for alias in node.names)


@cache
def imported_modules(name: str) -> tuple[str, ...]:
    """The modules of the library that a module imports."""
    return tuple(
        sorted(
            {own_module(found) for found in imports(modules()[name]) if is_in(found.target, NAME)}
        )
    )


def own_module(found: Import) -> str:
    """Return the module that is imported: `from a import b` may mean a module `b` of `a`."""
    inner = found.dotted.removeprefix(NAME).strip(".")
    if inner in modules():
        return inner
    return found.target.removeprefix(NAME).strip(".") or "__init__"


def row_of(name: str) -> int:
    """Return the row of a module in `LAYERS`; the longest entry that fits counts."""
    entries = [entry for entry in ROW_OF if is_in(name, entry)]
    assert entries, f"Add {name} to LAYERS"
    return ROW_OF[max(entries, key=len)]


def reachable(name: str) -> set[str]:
    """The modules that a module imports directly or indirectly."""
    found: set[str] = set()
    queue = [name]
    while queue:
        new = set(imported_modules(queue.pop())) - found
        found |= new
        queue += new
    return found


@pytest.mark.parametrize("name", sorted(modules()))
def test_no_import_upwards(name: str) -> None:
    """A module imports only from its own layer and the layers below."""
    upwards = [each for each in imported_modules(name) if row_of(each) < row_of(name)]

    assert not upwards, report(f"{name} imports {each}" for each in upwards)


def test_no_cycle() -> None:
    """No two modules import each other, directly or indirectly."""
    needed = {name: reachable(name) for name in modules()}
    in_a_cycle = [name for name in needed if name in needed[name]]
    cycles = {
        " <-> ".join(
            other for other in in_a_cycle if other in needed[name] & users_of(name, needed)
        )
        for name in in_a_cycle
    }

    assert not cycles, report(cycles)


def users_of(name: str, needed: Mapping[str, set[str]]) -> set[str]:
    return {user for user, targets in needed.items() if name in targets}


@pytest.mark.parametrize("package", WITHOUT_DAGSTER)
def test_no_dagster(package: str) -> None:
    """The API and the sync do not import Dagster, and neither does a module that they import."""
    own = [name for name in modules() if is_in(name, package)]
    needed = {each for name in own for each in reachable(name)}.union(own)
    users = [name for name in needed if imports_package(name, "dagster")]

    assert not users, report(users)


def test_sqlglot() -> None:
    """Only `discovery/sql` imports sqlglot, which an extra installs."""
    users = [name for name in modules() if imports_package(name, "sqlglot")]
    others = [name for name in users if not is_in(name, USES_SQLGLOT)]

    assert users
    assert not others, report(others)


def imports_package(name: str, package: str) -> bool:
    return any(is_in(found.target, package) for found in imports(modules()[name]))


def test_private_dagster() -> None:
    """Private names of Dagster are imported in one module."""
    private = [
        f"{name} imports {found.dotted}"
        for name, file in modules().items()
        for found in imports(file)
        if name != USES_PRIVATE_DAGSTER and found.dotted.startswith(PRIVATE_DAGSTER)
    ]

    assert not private, report(private)


def test_local_rudderstack() -> None:
    """The local RudderStack shares no code with the library: neither hides a bug of the other."""
    testing = [file for file in files() if is_in(name_of(file), "testing")]
    own = f"{NAME}.testing"
    from_testing = {found.target for file in testing for found in imports(file)}
    to_testing = {found.dotted for file in modules().values() for found in imports(file)}

    assert [each for each in from_testing if is_in(each, NAME) and not is_in(each, own)] == []
    assert [each for each in to_testing if is_in(each, own)] == []


def test_top_level() -> None:
    """The folder of the package stays small enough to read at a glance."""
    top_level = [file.name for file in files() if file.parent == PACKAGE]

    assert len(top_level) <= MAX_TOP_LEVEL_MODULES, report(top_level)


def test_length() -> None:
    """A module that answers one question fits into 400 lines."""
    lines = {file.relative_to(PACKAGE): len(file.read_text().splitlines()) for file in files()}
    too_long = [f"{file} has {count} lines" for file, count in lines.items() if count > MAX_LINES]

    assert not too_long, report(too_long)


def report(violations: Iterable[str]) -> str:
    """Return all violations, which pytest would cut."""
    return "\n".join(sorted(violations))
