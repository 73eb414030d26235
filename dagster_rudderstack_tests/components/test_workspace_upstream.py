"""The upstream assets of a workspace in YAML."""

from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack_tests.components.conftest import (
    WORKSPACE,
    Project,
    assets_of,
    causes,
    deps_of,
    spec_of,
)
from dagster_rudderstack_tests.discovery.conftest import AUDIENCE, CONTACTS

MODELS = """
import dagster as dg

@dg.asset(metadata={"dagster/table_name": "prod.analytics.customers"})
def dim_customers(): ...

@dg.asset(key=["analytics", "orders_by_customer"])
def orders(): ...
"""


UPSTREAM: dict[str, tuple[dict[str, Any], dict[str, set[str]]]] = {
    "default": (
        {},
        {
            CONTACTS: {"dim_customers"},
            AUDIENCE: {"dim_customers", "analytics/orders_by_customer"},
        },
    ),
    "one file": (
        {"upstream_from": ["warehouse/models.py"]},
        {
            CONTACTS: {"dim_customers"},
            AUDIENCE: {"dim_customers", "analytics/orders_by_customer"},
        },
    ),
    "empty list": (
        {"upstream_from": []},
        {
            CONTACTS: {"snowflake/analytics/customers"},
            AUDIENCE: {"snowflake/analytics/customers", "snowflake/analytics/orders_by_customer"},
        },
    ),
    "upstream_keys": (
        {"upstream_keys": {"analytics.customers": "people", "orders_by_customer": None}},
        {CONTACTS: {"people"}, AUDIENCE: {"people"}},
    ),
}


@pytest.mark.parametrize(("attributes", "deps"), UPSTREAM.values(), ids=UPSTREAM.keys())
def test_upstream(
    project: Project,
    workspace: dict[str, Any],
    attributes: dict[str, Any],
    deps: dict[str, set[str]],
) -> None:
    """The upstream assets are found in the project's other definitions, or in the named places."""
    project.write("warehouse/models.py", MODELS)

    assert deps_of(assets_of(project, workspace, **attributes)) == deps


def test_upstream__mutual_dependency(project: Project, workspace: dict[str, Any]) -> None:
    """A definition may build the workspace's definitions, which keep their upstream assets."""
    project.write("models.py", MODELS)
    project.write(
        "jobs.py",
        "import dagster as dg\n"
        "@dg.definitions\n"
        "def defs(context: dg.ComponentLoadContext):\n"
        "    keys = [s.key for a in context.build_defs('crm').assets for s in a.specs]\n"
        "    return dg.Definitions(jobs=[dg.define_asset_job('daily', selection=keys)])\n",
    )

    definitions = assets_of(project, workspace)

    assert deps_of(definitions)[CONTACTS] == {"dim_customers"}
    assert definitions.resolve_job_def("daily") is not None


PARTITIONED = """
import dagster as dg

@dg.asset(key=["analytics", "customers"], partitions_def=dg.StaticPartitionsDefinition(["a"]))
def customers(): ...
"""
TEMPLATE_VARS = """
import dagster as dg

@dg.template_var
def whole_table():
    return dg.AssetDep("analytics/customers", partition_mapping=dg.AllPartitionMapping())
"""
DAYS = {"type": "daily", "start_date": "2026-01-01", "timezone": "America/New_York"}


def test_upstream__partitions(project: Project, workspace: dict[str, Any]) -> None:
    """Partitions that Dagster cannot map are an error. A template of an `AssetDep` maps them."""
    project.write("warehouse/models.py", PARTITIONED)
    attributes: dict[str, Any] = {"translation": {"partitions_def": DAYS}}

    with pytest.raises(Exception) as caught:  # noqa: PT011 - Dagster wraps the error
        assets_of(project, workspace, **attributes)

    assert "Dagster cannot map the partitions" in causes(caught.value)
    project.write("crm/template_vars.py", TEMPLATE_VARS)
    attributes["upstream_keys"] = {"analytics.customers": "{{ whole_table }}"}
    attributes["workspace"] = workspace
    project.component("crm", WORKSPACE, attributes, template_vars_module=".template_vars")
    spec = spec_of(project.load(), CONTACTS)
    assert [each.partition_mapping for each in spec.deps] == [dg.AllPartitionMapping()]
