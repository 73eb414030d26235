"""The components of a Profiles project and of an ETL source."""

import re
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from dagster_rudderstack import RudderStackProfilesComponent, RudderStackSourceComponent
from dagster_rudderstack.testing import LocalRudderStack
from dagster_rudderstack_tests.components.conftest import Project, causes, deps_of, spec_of

PROFILES = "dagster_rudderstack.RudderStackProfilesComponent"
PAGE = (Path(__file__).parents[2] / "docs" / "guides" / "profiles-and-etl.md").read_text()
ETL = "dagster_rudderstack.RudderStackSourceComponent"
ASSETS = [{"key": "crm/users", "deps": ["customers"], "owners": ["team:crm"]}, {"key": "accounts"}]


def run_all(definitions: dg.Definitions, **options: Any) -> dg.ExecuteInProcessResult:
    """Materialize all assets."""
    with dg.instance_for_test() as instance:
        job = definitions.resolve_implicit_global_asset_job_def()
        return job.execute_in_process(instance=instance, **options)


@pytest.mark.parametrize("kind", [PROFILES, ETL])
def test_assets(
    project: Project, workspace: dict[str, Any], server: LocalRudderStack, kind: str
) -> None:
    """The assets have the attributes in YAML, and load without a request."""
    attributes = {
        "source_id": "source",
        "workspace": workspace,
        "assets": ASSETS,
        "deps": ["orders"],
        "freshness_policy": {"fail_window_hours": 26},
    }
    project.component("features", kind, attributes)

    definitions = project.load()

    assert deps_of(definitions) == {"crm/users": {"customers", "orders"}, "accounts": {"orders"}}
    spec = spec_of(definitions, "crm/users")
    assert list(spec.owners) == ["team:crm"]
    assert spec.freshness_policy is not None
    assert set(definitions.resources or {}) == {"rudderstack_features"}
    assert server.requests == []


def test_profiles__run(
    project: Project, workspace: dict[str, Any], server: LocalRudderStack
) -> None:
    """Materializing the assets runs the project with the parameters in YAML. A time needs no
    quotes."""
    server.add_project("source")
    document = {"type": PROFILES, "attributes": {"source_id": "source", "workspace": workspace}}
    more = (
        "  assets: [{key: users}, {key: accounts}]\n"
        "  model_refs: [models/users]\n"
        "  begin_time: 2026-01-31T00:00:00Z\n"
        "  end_time: '2026-02-01T00:00:00Z'\n"
        "  rebase_incremental: true\n"
    )
    project.write("features/defs.yaml", yaml.safe_dump(document, sort_keys=False) + more)

    assert run_all(project.load()).success

    assert [request.body for request in server.run_starts()] == [
        {
            "parameters": [
                "--model_refs models/users",
                "--begin_time 2026-01-31T00:00:00Z",
                "--end_time 2026-02-01T00:00:00Z",
                "--rebase_incremental",
            ]
        }
    ]


def test_profiles__partitions(
    project: Project, workspace: dict[str, Any], server: LocalRudderStack
) -> None:
    """A partition is the time window of the run."""
    server.add_project("source")
    attributes = {
        "source_id": "source",
        "workspace": workspace,
        "partitions_def": {"type": "daily", "start_date": "2026-01-01"},
    }
    project.component("features", PROFILES, attributes)

    assert run_all(project.load(), partition_key="2026-01-05").success

    (run,) = server.runs("source")
    assert run.parameters == (
        "--begin_time 2026-01-05T00:00:00Z",
        "--end_time 2026-01-06T00:00:00Z",
    )


def test_etl__run(project: Project, workspace: dict[str, Any], server: LocalRudderStack) -> None:
    """Materializing the asset runs the source. Without assets in YAML, there is one."""
    server.add_project("source")
    project.component("stripe", ETL, {"source_id": "source", "workspace": workspace})

    definitions = project.load()

    assert run_all(definitions).success
    assert deps_of(definitions) == {"rudderstack/source": set()}
    assert [request.body for request in server.run_starts()] == [None]


@pytest.mark.parametrize("kind", [PROFILES, ETL])
def test_resource_of_the_project(project: Project, server: LocalRudderStack, kind: str) -> None:
    """Without a workspace, the component uses the project's resource."""
    project.component("features", kind, {"source_id": "source"})
    project.write(
        "resources.py",
        "import dagster as dg\n"
        "from dagster_rudderstack import RudderStackResource\n"
        "@dg.definitions\n"
        "def resources():\n"
        "    token = dg.EnvVar('RUDDERSTACK_ACCESS_TOKEN')\n"
        f"    resource = RudderStackResource(access_token=token, api_url='{server.url}')\n"
        "    return dg.Definitions(resources={'rudderstack': resource})\n",
    )

    assert set(project.load().resources or {}) == {"rudderstack"}


@pytest.mark.parametrize(
    ("kind", "attributes", "message"),
    [
        (PROFILES, {"source_id": "a/b"}, "source_id 'a/b'"),
        (PROFILES, {"source_id": "a", "begin_time": "yesterday"}, "begin_time 'yesterday'"),
        (PROFILES, {"source_id": "a", "on_lost_start": "retry"}, "on_lost_start"),
        (ETL, {"source_id": "a", "model_refs": ["m"]}, "model_refs"),
        (ETL, {}, "source_id"),
    ],
    ids=str,
)
def test_wrong_attribute(
    project: Project, kind: str, attributes: dict[str, Any], message: str
) -> None:
    """A wrong attribute is an error when definitions load, and the error names it."""
    project.component("features", kind, attributes)

    with pytest.raises(Exception) as caught:  # noqa: PT011 - Dagster wraps the error
        project.load()

    assert message in causes(caught.value)


@pytest.mark.parametrize("kind", [RudderStackProfilesComponent, RudderStackSourceComponent])
def test_scaffold(project: Project, kind: type[dg.Component]) -> None:
    """The scaffolded YAML has the id, the variable of the token, and an asset to rename."""
    path = project.sandbox.scaffold_component(
        kind, "features", scaffold_params={"source_id": "source.1"}
    )

    assert yaml.safe_load((path / "defs.yaml").read_text())["attributes"] == {
        "source_id": "source.1",
        "workspace": {"access_token": "{{ env.RUDDERSTACK_ACCESS_TOKEN }}"},
        "assets": [{"key": "rudderstack/source_1"}],
    }


def test_subclass(project: Project, workspace: dict[str, Any]) -> None:
    """A subclass changes the assets."""
    project.write(
        "../components.py",
        "from dagster_rudderstack import RudderStackProfilesComponent\n"
        "class Features(RudderStackProfilesComponent):\n"
        "    def get_asset_specs(self):\n"
        "        specs = super().get_asset_specs()\n"
        "        return [each.replace_attributes(owners=['team:crm']) for each in specs]\n",
    )
    kind = f"{project.sandbox.project_name}.components.Features"
    project.component("features", kind, {"source_id": "source", "workspace": workspace})

    assert list(spec_of(project.load(), "rudderstack/source").owners) == ["team:crm"]


def documented(number: int, server: LocalRudderStack) -> dict[str, Any]:
    """Return a component on the page about runs, with the address of the local RudderStack."""
    blocks = re.findall(r"```yaml\n(type: .*?)```", PAGE, re.DOTALL)
    document: dict[str, Any] = yaml.safe_load(blocks[number])
    document["attributes"]["workspace"]["api_url"] = server.url
    return document


@pytest.mark.parametrize(
    ("number", "deps"),
    [
        (0, {"user_features": {"customers"}, "account_features": {"customers"}}),
        (1, {"stripe/customers": set(), "stripe/charges": set()}),
    ],
)
def test_docs(
    project: Project, server: LocalRudderStack, number: int, deps: dict[str, set[str]]
) -> None:
    """The YAML in `docs/guides/profiles-and-etl.md` loads without a request, and its assets can be
    materialized."""
    document = documented(number, server)
    server.add_project(document["attributes"]["source_id"])
    project.component("runs", document["type"], document["attributes"])

    definitions = project.load()

    assert deps_of(definitions) == deps
    assert server.requests == []
    assert run_all(definitions).success
