"""How long, how often and in which partitions: attributes of both components."""

from datetime import timedelta
from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack.testing import LocalRudderStack, SyncScript
from dagster_rudderstack_tests.components.conftest import (
    CONNECTION,
    WORKSPACE,
    Project,
    causes,
    spec_of,
)


def loaded(
    project: Project, workspace: dict[str, Any], kind: str, attributes: dict[str, Any]
) -> dg.AssetSpec:
    """Return the asset of one connection, from a component with attributes."""
    project.in_development()
    own = {"connection_id": "contacts"} if kind == CONNECTION else {}
    project.component("crm", kind, {**own, "workspace": workspace, **attributes})
    definitions = project.load()
    (spec,) = [
        spec
        for spec in definitions.resolve_all_asset_specs()
        if spec.metadata.get("rudderstack/connection_id") == dg.MetadataValue.text("contacts")
    ]
    return spec


BOTH = pytest.mark.parametrize("kind", [CONNECTION, WORKSPACE], ids=["connection", "workspace"])


@BOTH
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {"fail_window_hours": 26},
            dg.FreshnessPolicy.time_window(timedelta(hours=26)),
        ),
        (
            {"fail_window_hours": 26, "warn_window_hours": 13.5},
            dg.FreshnessPolicy.time_window(timedelta(hours=26), timedelta(hours=13.5)),
        ),
        (
            {"deadline_cron": "0 9 * * *", "lower_bound_hours": 2, "timezone": "Europe/Berlin"},
            dg.FreshnessPolicy.cron("0 9 * * *", timedelta(hours=2), "Europe/Berlin"),
        ),
    ],
    ids=["fail", "warn", "cron"],
)
def test_freshness_policy(
    project: Project,
    workspace: dict[str, Any],
    kind: str,
    given: dict[str, Any],
    expected: dg.FreshnessPolicy,
) -> None:
    """The assets of a component have its freshness policy."""
    spec = loaded(project, workspace, kind, {"freshness_policy": given})

    assert spec.freshness_policy == expected


def test_freshness_policy__of_the_asset(project: Project, workspace: dict[str, Any]) -> None:
    """A freshness policy of the asset itself takes precedence."""
    project.write(
        "crm/template_vars.py",
        "import dagster as dg\n"
        "from datetime import timedelta\n"
        "@dg.template_var\n"
        "def hourly():\n"
        "    return dg.FreshnessPolicy.time_window(timedelta(hours=1))\n",
    )
    project.component(
        "crm",
        CONNECTION,
        {
            "connection_id": "contacts",
            "workspace": workspace,
            "asset": {"key": "contacts", "freshness_policy": "{{ hourly }}"},
            "freshness_policy": {"fail_window_hours": 26},
        },
        template_vars_module=".template_vars",
    )

    spec = spec_of(project.load(), "contacts")

    assert spec.freshness_policy == dg.FreshnessPolicy.time_window(timedelta(hours=1))


@pytest.mark.parametrize(
    "given",
    [{}, {"warn_window_hours": 3}, {"deadline_cron": "0 9 * * *"}, {"lower_bound_hours": 2}],
    ids=str,
)
def test_freshness_policy__incomplete(
    project: Project, workspace: dict[str, Any], given: dict[str, Any]
) -> None:
    """An incomplete freshness policy is an error that says what it needs."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - Dagster wraps the error
        loaded(project, workspace, CONNECTION, {"freshness_policy": given})

    assert "needs fail_window_hours, or deadline_cron and lower_bound_hours" in causes(caught.value)


@BOTH
def test_partitions_def(project: Project, workspace: dict[str, Any], kind: str) -> None:
    """The assets of a component have its partitions."""
    given = {"type": "daily", "start_date": "2026-01-01"}

    spec = loaded(project, workspace, kind, {"partitions_def": given})

    assert spec.partitions_def == dg.DailyPartitionsDefinition("2026-01-01")


def test_timeout_seconds(
    project: Project, workspace: dict[str, Any], server: LocalRudderStack
) -> None:
    """A sync that takes longer than `timeout_seconds` fails its step."""
    server.set_script("contacts", SyncScript(never_ends=True))
    project.component(
        "crm",
        CONNECTION,
        {
            "connection_id": "contacts",
            "workspace": workspace,
            "timeout_seconds": 1,
            "poll_interval_seconds": 0.2,
        },
    )

    job = project.load().resolve_implicit_global_asset_job_def()
    with dg.instance_for_test() as instance:
        result = job.execute_in_process(instance=instance, raise_on_error=False)

    (failed,) = (event for event in result.all_events if event.is_step_failure)
    assert "within the timeout of 1 s" in str(failed.step_failure_data.user_failure_data)


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"timeout_seconds": 0}, "timeout_seconds 0: expected a whole number of seconds from 1"),
        ({"poll_interval_seconds": -1}, "poll_interval_seconds -1"),
    ],
)
def test_wrong_seconds(
    project: Project, workspace: dict[str, Any], attributes: dict[str, Any], words: str
) -> None:
    """A wrong number of seconds is an error when definitions load."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - Dagster wraps the error
        loaded(project, workspace, CONNECTION, attributes)

    assert words in causes(caught.value)
