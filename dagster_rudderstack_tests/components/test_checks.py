"""The checks of the assets in YAML."""

from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack import (
    DurationCheck,
    NoRowsCheck,
    NothingChangedCheck,
    RejectedRowsCheck,
    RudderStackConnectionComponent,
    RudderStackWorkspaceComponent,
    SyncChecks,
)
from dagster_rudderstack_tests.components.conftest import (
    CONNECTION,
    TOKEN,
    Project,
    causes,
)

KINDS = ("RejectedRowsCheck", "NoRowsCheck", "NothingChangedCheck", "DurationCheck")
ONE = {
    "connection_id": "crm",
    "asset": {"key": "contacts"},
    "workspace": {"access_token": f"{{{{ env.{TOKEN} }}}}"},
}
NO_REJECTED_ROWS = SyncChecks(rejected_rows=None)

GIVEN: dict[str, tuple[object, SyncChecks | None]] = {
    "all": (
        {
            "rejected_rows": {"max_failed_rows": 5, "max_failed_ratio": 0.1, "severity": "WARN"},
            "no_rows": {"severity": "ERROR", "blocking": True},
            "nothing_changed": {"name": "no_changes"},
            "duration": {"max_seconds": 3600},
        },
        SyncChecks(
            rejected_rows=RejectedRowsCheck(max_failed_rows=5, max_failed_ratio=0.1),
            no_rows=NoRowsCheck(severity="ERROR", blocking=True),
            nothing_changed=NothingChangedCheck(name="no_changes"),
            duration=DurationCheck(max_seconds=3600),
        ),
    ),
    "true": (
        {"no_rows": True, "nothing_changed": True},
        SyncChecks(no_rows=NoRowsCheck(), nothing_changed=NothingChangedCheck()),
    ),
    "false": ({"rejected_rows": False, "no_rows": False}, NO_REJECTED_ROWS),
    "null": ({"rejected_rows": None, "duration": None}, NO_REJECTED_ROWS),
    "no settings": ({"no_rows": {}}, SyncChecks(no_rows=NoRowsCheck())),
    "nothing": ({}, SyncChecks()),
    "no checks": (None, None),
    "templates": (
        {"no_rows": "{{ empty_source }}", "duration": {"max_seconds": "{{ 60 * 60 }}"}},
        SyncChecks(no_rows=NoRowsCheck(name="empty"), duration=DurationCheck(max_seconds=3600)),
    ),
    "one template": ("{{ all_checks }}", SyncChecks(duration=DurationCheck(max_seconds=60))),
}
TEMPLATES = """
import dagster as dg
import dagster_rudderstack as r

@dg.template_var
def empty_source():
    return r.NoRowsCheck(name="empty")

@dg.template_var
def all_checks():
    return r.SyncChecks(duration=r.DurationCheck(max_seconds=60))
"""


@pytest.mark.parametrize(("given", "expected"), GIVEN.values(), ids=GIVEN.keys())
def test_checks(project: Project, given: object, expected: SyncChecks | None) -> None:
    """YAML gives the same checks as Python. `true` is a check with its defaults, null is none."""
    project.write("crm/template_vars.py", TEMPLATES)
    attributes = {**ONE, "checks": given}
    project.component("crm", CONNECTION, attributes, template_vars_module=".template_vars")

    with project.sandbox.build_component_tree() as tree:
        component = tree.load_component("crm", RudderStackConnectionComponent)
        definitions = tree.build_defs()

    assert component.checks == expected
    keys = definitions.resolve_asset_graph().asset_check_keys
    assert {key.name for key in keys} == {check.name for check in expected or ()}


def test_default(project: Project) -> None:
    """Without the attribute, there is only the check on rejected rows."""
    project.component("crm", CONNECTION, ONE)

    keys = project.load().resolve_asset_graph().asset_check_keys

    assert keys == {dg.AssetCheckKey(dg.AssetKey("contacts"), "rejected_rows")}


WRONG: dict[str, tuple[object, str]] = {
    "unknown check": ({"rejected_row": True}, "rejected_row"),
    "unknown limit": ({"duration": {"max_minutes": 3}}, "max_minutes"),
    "no limit": ({"duration": {}}, "max_seconds"),
    "true without a limit": ({"duration": True}, "duration"),
    "negative limit": (
        {"duration": {"max_seconds": -1}},
        "max_seconds -1 of a DurationCheck: expected a whole number of seconds from 1.",
    ),
    "wrong severity": (
        {"no_rows": {"severity": "error"}},
        "severity 'error' of a NoRowsCheck: expected 'WARN' or 'ERROR'.",
    ),
    "blocking warning": (
        {"no_rows": {"blocking": True}},
        "A NoRowsCheck with blocking=True needs severity='ERROR'",
    ),
    "the same name": (
        {"no_rows": {"name": "rejected_rows"}},
        "SyncChecks has 2 checks with the name 'rejected_rows': give each its own name.",
    ),
    "a word": ({"no_rows": "yes"}, "no_rows 'yes' of SyncChecks: expected a NoRowsCheck, or None."),
    "a check of another kind": (
        {"no_rows": "{{ other }}"},
        "no_rows NothingChangedCheck(",
    ),
    "one check": (
        "{{ other }}",
        "instance of SyncChecks",
    ),
    "a list": ([{"no_rows": True}], "checks"),
}


@pytest.mark.parametrize(("given", "words"), WRONG.values(), ids=WRONG.keys())
def test_wrong_checks(project: Project, given: object, words: str) -> None:
    """The error names what is wrong."""
    project.write(
        "crm/template_vars.py",
        "import dagster as dg\n"
        "import dagster_rudderstack as r\n"
        "@dg.template_var\n"
        "def other():\n"
        "    return r.NothingChangedCheck()\n",
    )
    attributes = {**ONE, "checks": given}
    project.component("crm", CONNECTION, attributes, template_vars_module=".template_vars")

    with pytest.raises(Exception) as caught:  # noqa: PT011 - Dagster wraps the error
        project.load()

    assert words in causes(caught.value)


def test_earlier_name(project: Project) -> None:
    """The error for the earlier attribute names it."""
    project.component("crm", CONNECTION, {**ONE, "rejected_rows_check": {"max_failed_rows": 5}})

    with pytest.raises(Exception) as caught:  # noqa: PT011 - Dagster wraps the error
        project.load()

    assert "rejected_rows_check" in causes(caught.value)


@pytest.mark.parametrize(
    "component", [RudderStackConnectionComponent, RudderStackWorkspaceComponent]
)
def test_schema(component: Any) -> None:
    """An editor knows all checks and their fields, and which limit is required."""
    definitions = component.model().model_json_schema()["$defs"]
    fields = {name: set(definitions[f"{name}Model"]["properties"]) for name in KINDS}
    required = {name: definitions[f"{name}Model"].get("required", []) for name in KINDS}

    checks = definitions["SyncChecksModel"]["properties"]
    assert list(checks) == ["rejected_rows", "no_rows", "nothing_changed", "duration"]
    assert checks["no_rows"]["description"] == (
        "An asset check that fails if the source of a sync has no rows at all."
    )
    shared = {"severity", "blocking", "name"}
    assert fields == {
        "RejectedRowsCheck": {"max_failed_rows", "max_failed_ratio", *shared},
        "NoRowsCheck": shared,
        "NothingChangedCheck": shared,
        "DurationCheck": {"max_seconds", *shared},
    }
    assert required == {**{name: [] for name in KINDS}, "DurationCheck": ["max_seconds"]}
