"""Mistakes in YAML: an error names the mistake, and says what would be right."""

import re
from typing import Any

import pytest

from dagster_rudderstack import (
    RudderStackConnectionComponent,
    RudderStackProfilesComponent,
    RudderStackSourceComponent,
    RudderStackWorkspaceComponent,
)
from dagster_rudderstack_tests.components.conftest import (
    CONNECTION,
    TOKEN,
    Project,
    causes,
    deps_of,
)

PROFILES = "dagster_rudderstack.RudderStackProfilesComponent"
ETL = "dagster_rudderstack.RudderStackSourceComponent"
WORKSPACE: dict[str, Any] = {"access_token": f"{{{{ env.{TOKEN} }}}}"}


def message_of(project: Project, kind: str, attributes: dict[str, Any]) -> str:
    """Return the error of a component with a mistake."""
    own = {"connection_id": "crm"} if kind == CONNECTION else {"source_id": "stripe"}
    project.component("crm", kind, {**own, "workspace": WORKSPACE, **attributes})
    with pytest.raises(Exception) as caught:  # noqa: PT011 - Dagster wraps the error
        project.load()
    return causes(caught.value)


UNKNOWN: dict[str, tuple[dict[str, Any], str]] = {
    "attribute": ({"poll_intervall_seconds": 5}, "Did you mean 'poll_interval_seconds'?"),
    "setting": (
        {"workspace": {**WORKSPACE, "regoin": "eu"}},
        "There is no attribute 'regoin'. Did you mean 'region'?",
    ),
    "setting of another package": (
        {"workspace": {**WORKSPACE, "poll_intervall": 5}},
        "There is no attribute 'poll_intervall'. Use poll_min_interval_seconds and",
    ),
    "check": ({"checks": {"no_row": True}}, "There is no attribute 'no_row'. Did you mean 'no_r"),
    "setting of a check": (
        {"checks": {"duration": {"max_second": 5}}},
        "There is no attribute 'max_second'. Did you mean 'max_seconds'?",
    ),
    "setting of the sensor": (
        {"polling_sensor": {"nmae": "x"}},
        "There is no attribute 'nmae'. Did you mean 'name'?",
    ),
    "nothing near": ({"zzz": 1}, "There is no attribute 'zzz'."),
}


@pytest.mark.parametrize(("attributes", "words"), UNKNOWN.values(), ids=UNKNOWN.keys())
def test_unknown_key(project: Project, attributes: dict[str, Any], words: str) -> None:
    """An unknown key is named, with the nearest one. No other kind of value is suggested."""
    message = message_of(project, CONNECTION, attributes)

    assert words in message
    assert "valid string" not in message
    assert "function-" not in message


COMPONENTS = (
    RudderStackConnectionComponent,
    RudderStackProfilesComponent,
    RudderStackSourceComponent,
    RudderStackWorkspaceComponent,
)
PATTERNS = [
    ("sync_type", ["full", "{{ x }}"], ["Full", ""]),
    ("timeout_seconds", ["{{ x }}"], ["1h", "60"]),
    ("wait", ["{{ x }}"], ["yes"]),
    ("grouping", ["source", "{{ x }}"], ["Source"]),
    ("on_lost_start", ["start_again"], ["start again"]),
]


@pytest.mark.parametrize(("name", "right", "wrong"), PATTERNS, ids=[name for name, *_ in PATTERNS])
def test_schema(name: str, right: list[str], wrong: list[str]) -> None:
    """The schema takes a text for a number, a flag or a choice only if it is a template."""
    found = 0
    for component in COMPONENTS:
        schema: dict[str, Any] = component.model().model_json_schema()["properties"]
        if name in schema:
            found += 1
            pattern = schema[name]["pattern"]
            assert [each for each in right if not re.search(pattern, each)] == []
            assert [each for each in wrong if re.search(pattern, each)] == []
    assert found


def test_schema__inner_objects() -> None:
    """The same holds for the settings of the workspace and of the checks."""
    definitions = RudderStackConnectionComponent.model().model_json_schema()["$defs"]
    region = definitions["RudderStackWorkspaceSettings"]["properties"]["region"]["pattern"]
    severity = definitions["NoRowsCheckModel"]["properties"]["severity"]["pattern"]

    assert re.search(region, "eu")
    assert not re.search(region, "EU")
    assert re.search(severity, "ERROR")
    assert not re.search(severity, "error")
    assert "pattern" not in definitions["NoRowsCheckModel"]["properties"]["name"]


WRONG: dict[str, tuple[str, dict[str, Any], str]] = {
    "flag as seconds": (CONNECTION, {"timeout_seconds": True}, "timeout_seconds"),
    "flag as an interval": (CONNECTION, {"poll_interval_seconds": True}, "poll_interval_seconds"),
    "region": (
        CONNECTION,
        {"workspace": {**WORKSPACE, "region": "EU"}},
        "region 'EU' is unknown: expected 'us' or 'eu'",
    ),
    "key of the resource": (
        CONNECTION,
        {"resource_key": "my key"},
        "resource_key 'my key': expected a name of letters",
    ),
    "number as a time": (
        PROFILES,
        {"begin_time": 20260131},
        "begin_time 20260131: expected a time in quotes, as in '2026-01-31T00:00:00Z'.",
    ),
    "no assets": (ETL, {"assets": []}, "specs is empty: expected at least one asset."),
}


@pytest.mark.parametrize(("kind", "attributes", "words"), WRONG.values(), ids=WRONG.keys())
def test_wrong_value(project: Project, kind: str, attributes: dict[str, Any], words: str) -> None:
    """The error for a wrong value names it."""
    assert words in message_of(project, kind, attributes)


FRESHNESS: dict[str, tuple[dict[str, Any], str]] = {
    "cron with a window": (
        {"fail_window_hours": 26, "deadline_cron": "0 9 * * *"},
        "deadline_cron of freshness_policy has no meaning together with fail_window_hours",
    ),
    "time zone with a window": (
        {"fail_window_hours": 26, "timezone": "UTC"},
        "timezone of freshness_policy has no meaning together with fail_window_hours",
    ),
    "warning with a cron": (
        {"deadline_cron": "0 9 * * *", "lower_bound_hours": 2, "warn_window_hours": 1},
        "warn_window_hours of freshness_policy has no meaning together with deadline_cron",
    ),
    "too long": ({"fail_window_hours": 1e300}, "fail_window_hours 1e+300 of freshness_policy:"),
    "not a number": ({"fail_window_hours": "{{ 'x' }}"}, "fail_window_hours 'x' of freshness_pol"),
    "negative": ({"fail_window_hours": -1}, "expected a number of hours above 0 and up to 8,784."),
    "no cron": (
        {"deadline_cron": "at nine", "lower_bound_hours": 2},
        "freshness_policy: ",
    ),
    "late warning": (
        {"fail_window_hours": 2, "warn_window_hours": 3},
        "freshness_policy: ",
    ),
}


@pytest.mark.parametrize(("given", "words"), FRESHNESS.values(), ids=FRESHNESS.keys())
def test_freshness_policy(project: Project, given: dict[str, Any], words: str) -> None:
    """A freshness policy that contradicts itself, or cannot be, is an error that says why."""
    assert words in message_of(project, CONNECTION, {"freshness_policy": given})


@pytest.mark.parametrize("kind", [CONNECTION, ETL, PROFILES])
def test_default_key(project: Project, kind: str) -> None:
    """The default key is that of the factories, also for an id with other characters."""
    own = {"connection_id": "crm.1"} if kind == CONNECTION else {"source_id": "crm.1"}
    project.component("crm", kind, {**own, "workspace": WORKSPACE})

    assert set(deps_of(project.load())) == {"rudderstack/crm_1"}
