"""What Dagster's pages of the components say about their attributes."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml
from dagster_shared.yaml_utils.sample_yaml import generate_sample_yaml

import dagster_rudderstack
from dagster_rudderstack import RudderStackWorkspaceComponent
from dagster_rudderstack.components.described import EXAMPLES
from dagster_rudderstack_tests.components.conftest import TOKEN, Project

COMPONENTS = [name for name in dagster_rudderstack.__all__ if name.endswith("Component")]


def schema_of(name: str) -> dict[str, Any]:
    schema: dict[str, Any] = getattr(dagster_rudderstack, name).model().model_json_schema()
    return schema


def attributes(schema: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each attribute, and each setting of this library's objects in them."""
    yield from schema["properties"].items()
    for model, each in schema["$defs"].items():
        if not model.startswith(("AssetSpec", "DefsState")) and "Partitions" not in model:
            yield from each.get("properties", {}).items()


@pytest.mark.parametrize("name", COMPONENTS)
def test_descriptions(name: str) -> None:
    """Each attribute of a component is described, and each setting in it."""
    found = dict(attributes(schema_of(name)))

    assert len(found) > 10
    assert [each for each, field in found.items() if not field.get("description")] == []


@pytest.mark.parametrize("name", COMPONENTS)
def test_words_of_yaml(name: str) -> None:
    """The descriptions have YAML's words for no value, true and false."""
    descriptions = {each: field["description"] for each, field in attributes(schema_of(name))}

    wrong = re.compile(r"\b(None|True|False)\b")
    assert [each for each, text in descriptions.items() if wrong.search(text)] == []
    assert "null uses the resource's settings" in descriptions["poll_interval_seconds"]


@pytest.mark.parametrize("name", COMPONENTS)
def test_docstring(name: str) -> None:
    """The example of a component has no square brackets, which the help of `dg scaffold defs`
    would swallow."""
    assert "[" not in (getattr(dagster_rudderstack, name).__doc__ or "[")


@pytest.mark.parametrize("name", COMPONENTS)
def test_examples(name: str) -> None:
    """Each attribute of a component has an example, which is no default."""
    properties = schema_of(name)["properties"]

    assert {each: field["examples"] for each, field in properties.items()} == {
        each: [EXAMPLES[each]] for each in properties
    }


def example_of(name: str) -> dict[str, Any]:
    """Return the attributes in the file that the page shows as an example."""
    file = yaml.safe_load(generate_sample_yaml(f"dagster_rudderstack.{name}", schema_of(name)))
    found: dict[str, Any] = file["attributes"]
    return found


STATELESS = [name for name in COMPONENTS if name != "RudderStackWorkspaceComponent"]


@pytest.mark.parametrize("name", STATELESS)
def test_example_of_a_file(name: str, project: Project) -> None:
    """The file that the page shows as an example loads."""
    project.environment.setenv(TOKEN, "rst-token")
    found = example_of(name)
    # The partitions say which time window a run of a Profiles project builds.
    window = {each: found.pop(each) for each in ("begin_time", "end_time") if each in found}
    project.component("eu", f"dagster_rudderstack.{name}", found)

    assert len(list(project.load().resolve_all_asset_specs())) >= 1
    assert bool(window) is (name == "RudderStackProfilesComponent")


def test_example_of_a_file__workspace() -> None:
    """The file that the page of a workspace shows as an example is valid."""
    found = RudderStackWorkspaceComponent.resolve_from_dict(
        example_of("RudderStackWorkspaceComponent")
    )

    assert found.pool == EXAMPLES["pool"]
    assert found.upstream_keys == EXAMPLES["upstream_keys"]
