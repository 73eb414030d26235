"""The public names of `dagster_rudderstack`: they exist, are sorted and have docstrings."""

import importlib
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

# Dagster has no public name for its registry of libraries.
from dagster._core.libraries import DagsterLibraryRegistry

import dagster_rudderstack
from dagster_rudderstack import errors

FOLDER = Path(dagster_rudderstack.__file__).parent
EXPORTED = dagster_rudderstack.__all__
NEEDS = {
    "discovery.sql.columns": "sqlglot",
    "discovery.sql.outputs": "sqlglot",
    "discovery.sql.query": "sqlglot",
}
BEHIND_THE_RESOURCE = {"RudderStackClient"}


def modules() -> list[str]:
    """Return the modules of the library, without `testing`, which has public names of its own."""
    found = pkgutil.walk_packages([str(FOLDER)], prefix="dagster_rudderstack.")
    names = [info.name.removeprefix("dagster_rudderstack.") for info in found]
    return [name for name in names if name.partition(".")[0] != "testing"]


def test_all__sorted() -> None:
    """The list of names is sorted and has no duplicates."""
    assert sorted(set(EXPORTED)) == EXPORTED


@pytest.mark.parametrize("name", EXPORTED)
def test_name(name: str) -> None:
    """Every name exists, is defined in the library, and has a docstring of its own."""
    thing = getattr(dagster_rudderstack, name)

    if name == "__version__":
        assert isinstance(thing, str)
        return
    if isinstance(thing, dg.OpDefinition):
        assert thing.description
        return
    assert thing.__module__.startswith("dagster_rudderstack.")
    # A class without a docstring inherits the one of its base.
    assert thing.__doc__
    assert not inspect.isclass(thing) or thing.__doc__ != thing.__mro__[1].__doc__


def own_methods() -> list[Any]:
    """Return the public methods and properties that the exported classes define."""
    found = []
    for name in EXPORTED:
        thing = getattr(dagster_rudderstack, name)
        if not inspect.isclass(thing):
            continue
        for attribute, value in vars(thing).items():
            is_ours = isinstance(value, property) or inspect.isfunction(value)
            if is_ours and not attribute.startswith("_"):
                found.append(pytest.param(value, id=f"{name}.{attribute}"))
    return found


@pytest.mark.parametrize("method", own_methods())
def test_method(method: Any) -> None:
    """Every public method has a docstring."""
    assert inspect.getdoc(method)


def test_errors() -> None:
    """All errors are exported, so that a user can catch them."""
    assert set(errors.__all__) <= set(EXPORTED)


# An installation of sqlglot can still have its old accelerator, which gives a warning.
@pytest.mark.filterwarnings("ignore:sqlglotrs is deprecated:DeprecationWarning")
@pytest.mark.parametrize("module", modules())
def test_module(module: str) -> None:
    """The `__all__` of a module is correct. Names with `RudderStack` in them are public."""
    if module in NEEDS:
        pytest.importorskip(NEEDS[module])
    loaded = importlib.import_module(f"dagster_rudderstack.{module}")
    names = getattr(loaded, "__all__", [])

    assert loaded.__doc__
    assert [name for name in names if not hasattr(loaded, name)] == []
    assert sorted(names) == sorted(set(names))
    ours = {name for name in names if "rudderstack" in name.lower()} - BEHIND_THE_RESOURCE
    assert ours <= set(EXPORTED)


def test_import__star() -> None:
    """`from dagster_rudderstack import *` imports all names."""
    namespace: dict[str, Any] = {}
    exec("from dagster_rudderstack import *", namespace)  # noqa: S102 - the statement is the test

    assert set(EXPORTED) <= set(namespace)


def test_import__unknown_name() -> None:
    """An unknown name is an AttributeError, or an ImportError in an import."""
    with pytest.raises(AttributeError, match="no attribute 'build_rudderstack_sink'"):
        _ = dagster_rudderstack.build_rudderstack_sink  # type: ignore[attr-defined]
    with pytest.raises(ImportError, match="build_rudderstack_sink"):
        exec("from dagster_rudderstack import build_rudderstack_sink", {})  # noqa: S102


def test_registered() -> None:
    """The library and its version are in Dagster's registry of libraries."""
    assert DagsterLibraryRegistry.get()["dagster-rudderstack"] == dagster_rudderstack.__version__


def test_typed() -> None:
    """The package has the marker file for type checkers."""
    assert (FOLDER / "py.typed").exists()


def test_import__no_warning_and_no_extras() -> None:
    """Importing the library gives no warning and loads neither an extra nor httpx, whose import
    takes longer than that of the library."""
    script = (
        "import sys, dagster_rudderstack; from dagster_rudderstack import RudderStackResource;"
        "print(sorted({'duckdb', 'httpx', 'starlette', 'sqlglot', 'pytest'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error:::dagster_rudderstack", "-c", script],
        capture_output=True,
        text=True,
        check=True,
    )

    assert (done.stdout.strip(), done.stderr) == ("[]", "")
