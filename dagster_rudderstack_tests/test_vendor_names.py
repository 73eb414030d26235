"""Imports of RudderStack's own package 1.3.0 fail with an error that names the new name."""

import importlib
import importlib.util
import pickle
import pkgutil
import re
import sys

import pytest

import dagster_rudderstack
from dagster_rudderstack.vendor_names import NEW_NAMES, explain_imports

RESOURCE = "RudderStackResource instead of RudderStackProfilesResource and RudderStackRETLResource"
SYNC_OP = "rudderstack_sync_op, RudderStackSyncOpConfig instead of RudderStackRETLOpConfig"
OUTPUTS = "SyncReport instead of RudderStackRetlOutput"


@pytest.mark.parametrize(
    ("statement", "instead"),
    [
        ("import dagster_rudderstack.ops.retl", SYNC_OP),
        ("from dagster_rudderstack.ops.retl import rudderstack_sync_op", SYNC_OP),
        ("from dagster_rudderstack.ops import retl", SYNC_OP),
        (
            "from dagster_rudderstack.ops.profiles import rudderstack_profiles_op",
            "build_rudderstack_profiles_op instead of rudderstack_profiles_op",
        ),
        ("import dagster_rudderstack.resources.rudderstack", RESOURCE),
        ("from dagster_rudderstack.resources import rudderstack", RESOURCE),
        (
            "from dagster_rudderstack.resources.rudderstack import RudderStackRETLResource",
            RESOURCE,
        ),
        ("from dagster_rudderstack.types import RudderStackRetlOutput", OUTPUTS),
        ("from dagster_rudderstack import types", OUTPUTS),
        (
            "from dagster_rudderstack import RudderStackRETLResource",
            "RudderStackResource instead of RudderStackRETLResource",
        ),
    ],
)
def test_import(statement: str, instead: str) -> None:
    """The error says which package the name is from, and what to import instead."""
    with pytest.raises(ImportError) as caught:
        exec(statement, {})  # noqa: S102 - the statement is the test

    message = str(caught.value)
    assert "RudderStack's own package, dagster-rudderstack 1.3.0" in message
    assert f"This is dagster-rudderstack {dagster_rudderstack.__version__}" in message
    assert instead in message
    assert "'dagster-rudderstack<2'" in message


@pytest.mark.parametrize("name", ["types", "ops.retl", "resources"])
def test_find_spec(name: str) -> None:
    """A program that asks whether there is a module of an old name learns that there is none."""
    assert importlib.util.find_spec(f"dagster_rudderstack.{name}") is None


def test_import__pickled_value() -> None:
    """A pickled value of the old package, as an I/O manager stores it, gives the same error."""
    pickled = b"cdagster_rudderstack.types\nRudderStackRetlOutput\n."

    with pytest.raises(ImportError, match=re.escape(OUTPUTS)):
        pickle.loads(pickled)  # noqa: S301 - our own bytes


@pytest.mark.parametrize(
    "name",
    ["dagster_rudderstack.ops.unknown", "dagster_rudderstack.unknown", "another_package.types"],
)
def test_import__other_names(name: str) -> None:
    """Python's own error about a module that neither package has is unchanged."""
    with pytest.raises(ModuleNotFoundError, match=r"^No module named"):
        importlib.import_module(name)


@pytest.mark.parametrize("name", sorted(old for names in NEW_NAMES.values() for old in names))
def test_attribute(name: str) -> None:
    """The package has no attribute of an old name, unless the name is also new."""
    is_new = name in dagster_rudderstack.__all__

    assert hasattr(dagster_rudderstack, name) == is_new
    assert (name in dir(dagster_rudderstack)) == is_new


def test_new_names() -> None:
    """All new names are public."""
    new = {new for names in NEW_NAMES.values() for new in names.values()}

    assert new <= set(dagster_rudderstack.__all__)


def test_no_old_modules() -> None:
    """A tool that lists or imports all modules of the package finds none of the old ones."""
    found = pkgutil.walk_packages(dagster_rudderstack.__path__, "dagster_rudderstack.")
    names = {module.name.removeprefix("dagster_rudderstack.") for module in found}

    assert "ops" in names
    assert names.isdisjoint(NEW_NAMES)


def test_explain_imports__twice() -> None:
    """A second call adds nothing to Python's finders, and the only one of ours is the last."""
    before = list(sys.meta_path)

    explain_imports()

    assert sys.meta_path == before
