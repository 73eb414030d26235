"""The upstream assets of a workspace in YAML."""

from typing import Any

import pytest

from dagster_rudderstack_tests.components.conftest import Project, assets_of, deps_of
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
