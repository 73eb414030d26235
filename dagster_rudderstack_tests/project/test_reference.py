"""The pages of `docs/reference/` have all public names, each once, and describe what they have."""

import dataclasses
import inspect
import re
from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import Any, get_origin

import dagster as dg
import pytest
import yaml

import dagster_rudderstack
from dagster_rudderstack import (
    RudderStackConnectionComponent,
    RudderStackProfilesComponent,
    RudderStackSourceComponent,
    RudderStackWorkspaceComponent,
    testing,
)
from dagster_rudderstack_tests.project import reference

MODULES = (dagster_rudderstack, testing)
COMPONENTS = (
    RudderStackWorkspaceComponent,
    RudderStackConnectionComponent,
    RudderStackProfilesComponent,
    RudderStackSourceComponent,
)

# Parameters of methods that need no more words than their names.
CLEAR = {"self", "cls", "connection_id", "source_id", "sync_id", "run_id", "id"}
# The method's sentence says what they are.
IN_THE_SENTENCE = {
    "LocalRudderStack.add_fault": {"fault"},
    "LocalRudderStack.deny": {"message", "operation"},
    "LocalRudderStack.script_next": {"scripts"},
    "LocalRudderStack.script_next_runs": {"scripts"},
    "LocalRudderStack.set_run_script": {"script"},
    "LocalRudderStack.set_script": {"script"},
    "LocalRudderStack.update_connection": {"changes"},
    "LocalRudderStack.update_project": {"changes"},
    "ManualClock.advance": {"seconds"},
    "ManualClock.sleep": {"seconds"},
    "RemoteLocalRudderStack.wait_until_ready": {"timeout_seconds"},
    "ScaledClock.skewed": {"seconds"},
    "ScaledClock.sleep": {"seconds"},
    "WorkspaceSnapshot.loads": {"text"},
}
# They are described where users meet them: in the table of settings, and by their types.
DESCRIBED_ELSEWHERE = {"RudderStackResource", "RudderStackSyncs"}


_DIRECTIVE = re.compile(r"^::: (\S+)\n((?: +.*\n)*)", re.MULTILINE)


@cache
def documented() -> dict[str, list[str]]:
    """Return the names on the pages, with the members that they show."""
    found: dict[str, list[str]] = {}
    for page in reference.pages():
        for name, options in _DIRECTIVE.findall(page.read_text()):
            chosen = yaml.safe_load(options) or {}
            found[name] = (chosen.get("options") or {}).get("members", [])
    return found


@pytest.mark.parametrize("page", reference.pages(), ids=lambda page: page.name)
def test_tables(page: Any) -> None:
    """The tables are those of the code. `python -m dagster_rudderstack_tests.project.reference`
    updates them."""
    assert page.read_text() == reference.with_tables(page.read_text())


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_names(module: Any) -> None:
    """Each public name is on the pages, once."""
    texts = "\n".join(page.read_text() for page in reference.pages())
    found = re.findall(rf"^::: {re.escape(module.__name__)}\.(\w+)$", texts, re.MULTILINE)
    # Modules are documented for their text.
    counted = Counter(name for name in found if name in module.__all__)

    assert sorted(counted) == sorted(module.__all__)
    assert set(counted.values()) == {1}


def attributes() -> list[Any]:
    return [
        pytest.param(kind, id=name)
        for module in MODULES
        for name in module.__all__
        # On Python 3.10, an alias such as `Callable[[], float]` counts as a class.
        if isinstance(kind := getattr(module, name), type)
        and not get_origin(kind)
        and name not in DESCRIBED_ELSEWHERE
    ]


@pytest.mark.parametrize("kind", attributes())
def test_attributes(kind: Any) -> None:
    """Each field and each parameter of a public class is described."""
    described = reference.attribute_docs(kind)
    fields = getattr(kind, "model_fields", {})
    names = set(fields)
    if dataclasses.is_dataclass(kind):
        names = {each.name for each in dataclasses.fields(kind) if each.name != "_"}
    elif not names and "__init__" in vars(kind) and not issubclass(kind, Exception):
        names = set(inspect.signature(kind).parameters)
    if issubclass(kind, dg.Component):
        model = kind.get_model_cls()
        assert model is not None
        described |= reference.component_descriptions(kind)
        names = set(model.model_fields)
    else:
        described |= {name: each.description for name, each in fields.items() if each.description}

    assert sorted(name for name in names if not described.get(name)) == []


def functions() -> list[Any]:
    """Return the functions on the pages, and the methods that they show."""
    found = []
    for path, members in documented().items():
        module = testing if path.startswith(testing.__name__) else dagster_rudderstack
        thing = getattr(module, path.rpartition(".")[2], None)
        if inspect.isfunction(thing):
            found.append(pytest.param(thing, set(), id=thing.__name__))
        for member in members:
            method = inspect.getattr_static(thing, member)
            method = getattr(method, "__func__", method)
            if inspect.isfunction(method):
                name = f"{path.rpartition('.')[2]}.{member}"
                understood = CLEAR | IN_THE_SENTENCE.get(name, set())
                found.append(pytest.param(method, understood, id=name))
    return found


@pytest.mark.parametrize(("function", "understood"), functions())
def test_arguments(function: Callable[..., Any], understood: set[str]) -> None:
    """Each argument of a function or method on the pages is described."""
    described = reference.argument_docs(function)
    names = set(inspect.signature(function).parameters) - understood

    assert sorted(names - set(described)) == []


@pytest.mark.parametrize("component", COMPONENTS, ids=lambda component: component.__name__)
def test_component_examples(component: type[dg.Component]) -> None:
    """The examples of a component on the page have each attribute, and their values are valid."""
    page = (reference.FOLDER / "components.md").read_text()
    examples = [yaml.safe_load(each) for each in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)]
    kind = f"dagster_rudderstack.{component.__name__}"
    given = [each["attributes"] for each in examples if each["type"] == kind]
    model = component.get_model_cls()
    assert model is not None

    assert {name for each in given for name in each} == set(model.model_fields)
    for each in given:
        model.model_validate(each)
