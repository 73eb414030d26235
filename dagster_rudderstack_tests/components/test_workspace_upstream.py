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
    "the project": (
        {},
        {
            CONTACTS: {"dim_customers"},
            AUDIENCE: {"dim_customers", "analytics/orders_by_customer"},
        },
    ),
    "one place": (
        {"upstream_from": ["warehouse/models.py"]},
        {
            CONTACTS: {"dim_customers"},
            AUDIENCE: {"dim_customers", "analytics/orders_by_customer"},
        },
    ),
    "nowhere": (
        {"upstream_from": []},
        {
            CONTACTS: {"analytics/customers"},
            AUDIENCE: {"analytics/customers", "analytics/orders_by_customer"},
        },
    ),
    "a mapping": (
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
    """The tables are looked for among the project's other definitions, or where it is said."""
    project.write("warehouse/models.py", MODELS)

    assert deps_of(assets_of(project, workspace, **attributes)) == deps


def test_upstream_of_components_that_ask_for_each_other(
    project: Project, workspace: dict[str, Any]
) -> None:
    """A definition that asks for ours while we ask for it gets it, and ours are linked all the
    same."""
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
