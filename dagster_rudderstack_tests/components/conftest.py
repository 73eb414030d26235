"""A `dg` project in a temporary folder, and a local RudderStack."""

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.definitions_load_context import DefinitionsLoadContext
from dagster.components.testing import DefsFolderSandbox, create_defs_folder_sandbox

from dagster_rudderstack import RudderStackWorkspaceComponent
from dagster_rudderstack.components import attributes
from dagster_rudderstack.testing import LocalRudderStack
from dagster_rudderstack_tests.discovery.conftest import fill

TOKEN = "RUDDERSTACK_ACCESS_TOKEN"
WORKSPACE = "dagster_rudderstack.RudderStackWorkspaceComponent"
CONNECTION = "dagster_rudderstack.RudderStackConnectionComponent"

DAGSTER_WARNINGS = (
    "ignore:`parse_obj_as` is deprecated",
    "ignore:Function `ComponentLoadContext.* is deprecated",  # 1.12
    "ignore:.* is currently in (beta|preview), and may have breaking changes",
)
"""The warnings of Dagster about its own code when it loads a `dg` project."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Ignore Dagster's warnings about its own code in the tests of this folder."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            for warning in DAGSTER_WARNINGS:
                item.add_marker(pytest.mark.filterwarnings(warning))


@pytest.fixture(autouse=True)
def _nothing_was_logged() -> None:
    """Forget the warnings that a process logs once."""
    attributes._warn_once.cache_clear()


@dataclass
class Project:
    """A `dg` project: its `defs` folder, and whether it runs in development."""

    sandbox: DefsFolderSandbox
    environment: pytest.MonkeyPatch

    def write(self, place: str, content: str) -> None:  # noqa: D102 - see the name
        path = self.sandbox.defs_folder_path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")

    def component(self, place: str, kind: str, attributes: object, **more: object) -> None:
        """Write the YAML of a component. JSON is YAML too."""
        document = {"type": kind, "attributes": attributes, **more}
        self.write(f"{place}/defs.yaml", json.dumps(document))

    def in_development(self, yes: bool = True) -> None:
        """Set whether `dg` runs in development. Only then does it refresh the state."""
        if yes:
            self.environment.setenv("DAGSTER_IS_DEV_CLI", "1")
        else:
            self.environment.delenv("DAGSTER_IS_DEV_CLI", raising=False)

    def definitions(self) -> AbstractContextManager[dg.Definitions]:  # noqa: D102 - see the name
        return self.sandbox.build_all_defs()

    def load(self) -> dg.Definitions:
        """Load the definitions and return them."""
        with self.definitions() as definitions:
            dg.Definitions.validate_loadable(definitions)
            return definitions


@pytest.fixture
def project(monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """An empty project in development."""
    # Another test may have left its load context in this process.
    monkeypatch.setattr(DefinitionsLoadContext, "_instance", None)
    with create_defs_folder_sandbox() as sandbox:
        project = Project(sandbox, monkeypatch)
        project.in_development()
        yield project


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalRudderStack]:
    """A local RudderStack with a small workspace. The token is in the environment."""
    with LocalRudderStack() as server:
        fill(server)
        monkeypatch.setenv(TOKEN, server.access_token)
        yield server
        assert server.errors == []


@pytest.fixture
def workspace(server: LocalRudderStack) -> dict[str, Any]:
    """The settings of the workspace in YAML."""
    return {
        "access_token": f"{{{{ env.{TOKEN} }}}}",
        "api_url": server.url,
        "request_max_retries": 0,
        "poll_min_interval_seconds": 0.02,
        "poll_max_interval_seconds": 0.02,
    }


def assets_of(project: Project, workspace: dict[str, Any], **attributes: Any) -> dg.Definitions:
    """Return the definitions of a project with one workspace."""
    project.component("crm", WORKSPACE, {"workspace": workspace, **attributes})
    return project.load()


def component_of(project: Project, workspace: dict[str, Any]) -> RudderStackWorkspaceComponent:
    """Return the component of a workspace."""
    project.component("crm", WORKSPACE, {"workspace": workspace})
    with project.sandbox.build_component_tree() as tree:
        return tree.load_component("crm", RudderStackWorkspaceComponent)


def deps_of(definitions: dg.Definitions) -> dict[str, set[str]]:
    """Return the keys of RudderStack's assets, with the keys that each depends on."""
    return {
        spec.key.to_user_string(): {dep.asset_key.to_user_string() for dep in spec.deps}
        for spec in definitions.resolve_all_asset_specs()
        if "rudderstack" in spec.kinds
    }


def spec_of(definitions: dg.Definitions, key: str) -> dg.AssetSpec:
    """Return one asset."""
    wanted = dg.AssetKey.from_user_string(key)
    return next(spec for spec in definitions.resolve_all_asset_specs() if spec.key == wanted)


def causes(error: BaseException) -> str:
    """Return the messages of an error and its causes, as `dg` shows them."""
    messages = []
    while error is not None:
        messages.append(str(error))
        error = error.__cause__  # type: ignore[assignment]
    return "\n".join(messages)
