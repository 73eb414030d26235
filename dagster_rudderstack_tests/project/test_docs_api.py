"""The page on the API: its examples run, and its table has the methods of the resource."""

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from dagster_rudderstack import RudderStackResource
from dagster_rudderstack.api.fields import CREDENTIALS, MAX_UNKNOWN_BYTES, MAX_UNKNOWN_LEVELS
from dagster_rudderstack.testing import LocalRudderStack, SyncScript

TEXT = (Path(__file__).parents[2] / "docs" / "reference" / "resource.md").read_text()
REQUEST, UNKNOWN_FIELD = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
INTERNAL = {
    *("close", "get_client", "get_resource_definition", "runner"),
    *("syncs_in_step", "runs_in_step", "sync_policy", "model_post_init"),
}


def test_request(
    server: LocalRudderStack,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The request returns the sources."""
    server.add_source("s1", name="Buyers", source_type="model")
    server.add_source("s2", name="Users", source_type="table")
    monkeypatch.setenv("RUDDERSTACK_ACCESS_TOKEN", server.access_token)

    exec(REQUEST.replace("(access_token=", f"(api_url={server.url!r}, access_token="))  # noqa: S102 - our own page

    assert capsys.readouterr().out == "s1 Buyers\n"


def test_unknown_field(server: LocalRudderStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """The report has the field that RudderStack does not document."""
    script = SyncScript(wire_fields={"batches": [{"id": 1}]})
    server.add_connection("2hkeBOp0lGJpMPyur0oXUxxIDhw", script=script)
    monkeypatch.setenv("RUDDERSTACK_ACCESS_TOKEN", server.access_token)
    local = f"(api_url={server.url!r}, access_token="
    names: dict[str, Any] = {}

    exec(UNKNOWN_FIELD.replace("(access_token=", local), names)  # noqa: S102 - our own page

    assert names["batches"] == [{"id": 1}]


def test_methods() -> None:
    """The table has the methods of the resource."""
    listed = {
        name
        for row in re.findall(r"^\| (`.*?) \|", TEXT, re.MULTILINE)
        for name in re.findall(r"\w+", row)
    }
    methods = {
        name
        for owner in RudderStackResource.__mro__
        if owner.__module__.startswith("dagster_rudderstack.")
        for name, value in vars(owner).items()
        if inspect.isfunction(value) and not name.startswith("_")
    }

    assert listed == methods - INTERNAL


def test_limits() -> None:
    """The page has the limits, and the fields that are dropped."""
    dropped = TEXT.partition("Some fields are dropped.")[2]

    assert all(f"`{name}`" in dropped for name in CREDENTIALS)
    assert f"{MAX_UNKNOWN_BYTES // 1024} KB" in dropped
    assert f"{MAX_UNKNOWN_LEVELS} levels" in dropped
