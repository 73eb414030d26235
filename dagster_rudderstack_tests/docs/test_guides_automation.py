"""The guide on automation conditions downstream of dbt."""

import json
import shutil
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from dagster_rudderstack.testing import LocalRudderStack
from dagster_rudderstack_tests.docs.guide import GUIDES, Automation, Guide

GUIDE = Guide("automation-with-dbt")
SHOP = GUIDES.parents[1] / "examples" / "dbt_discovery" / "shop"

MODEL = dg.AssetKey(["marts", "customer_value"])


def node(kind: str, name: str, **fields: object) -> dict[str, Any]:
    """Return a node of a dbt manifest."""
    return {
        "alias": name,
        "columns": {},
        "config": {"enabled": True, "materialized": "table", **fields.pop("config", {})},  # type: ignore[dict-item]
        "database": "shop",
        "depends_on": {"nodes": [], "macros": []},
        "description": "",
        "fqn": ["shop", name],
        "language": "sql",
        "meta": {},
        "name": name,
        "original_file_path": f"models/{name}.sql",
        "package_name": "shop",
        "patch_path": None,
        "path": f"{name}.sql",
        "raw_code": "select 1",
        "resource_type": kind,
        "schema": "main_marts",
        "tags": [],
        "unique_id": f"{kind}.shop.{name}",
        **fields,
    }


def manifest() -> dict[str, Any]:
    """Return the manifest of a dbt project with one model, which has one test."""
    model = node("model", "customer_value", config={"schema": "marts"})
    test = node(
        "test",
        "unique_id",
        attached_node=model["unique_id"],
        config={"severity": "ERROR"},
        depends_on={"nodes": [model["unique_id"]], "macros": []},
    )
    ids = (model["unique_id"], test["unique_id"])
    empty = ("sources", "exposures", "metrics", "semantic_models", "saved_queries", "unit_tests")
    return {
        **{name: {} for name in (*empty, "selectors", "macros", "docs", "groups", "disabled")},
        "metadata": {"adapter_type": "duckdb", "project_name": "shop"},
        "nodes": dict(zip(ids, (model, test), strict=True)),
        "child_map": {ids[0]: [ids[1]], ids[1]: []},
        "parent_map": {ids[0]: [], ids[1]: [ids[0]]},
    }


@pytest.fixture
def page(
    server: LocalRudderStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """The names of the guide's file, beside the dbt project of the example. dbt is not run."""
    pytest.importorskip("dagster_dbt")
    shutil.copytree(SHOP, tmp_path / "shop")
    (tmp_path / "shop" / "target").mkdir()
    (tmp_path / "shop" / "target" / "manifest.json").write_text(json.dumps(manifest()))
    executable = tmp_path / "bin" / "dbt"
    executable.parent.mkdir()
    executable.write_text("#!/bin/sh\n")
    executable.chmod(0o755)
    monkeypatch.setenv("PATH", str(executable.parent), prepend=":")
    monkeypatch.setenv("WAREHOUSE_PATH", str(tmp_path / "shop.duckdb"))
    return GUIDE.run(0, server, folder=tmp_path)


def build(defs: dg.Definitions, instance: dg.DagsterInstance, *, passed: bool) -> None:
    """Report a build of the model, and the result of its test."""
    instance.report_runless_asset_event(dg.AssetMaterialization(MODEL))
    check(defs, instance, passed=passed)


def check(defs: dg.Definitions, instance: dg.DagsterInstance, *, passed: bool) -> None:
    """Report a result of the model's test."""
    (spec,) = (
        spec
        for asset in defs.resolve_asset_graph().assets_defs
        for spec in asset.check_specs
        if spec.asset_key == MODEL
    )
    assert spec.blocking
    instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(
            asset_key=MODEL,
            check_name=spec.name,
            passed=passed,
            severity=dg.AssetCheckSeverity.ERROR,
        )
    )


def test_dependency(page: dict[str, Any]) -> None:
    """The key of the model is that of the guide."""
    (spec,) = page["crm_contacts"].specs

    assert [dep.asset_key for dep in spec.deps] == [MODEL]
    assert MODEL in page["shop_models"].keys


def test_build(page: dict[str, Any], instance: dg.DagsterInstance) -> None:
    """A build whose tests pass requests one sync."""
    automation = Automation(page["defs"], instance, "crm_contacts")

    build(page["defs"], instance, passed=True)

    assert [automation.requests(), automation.requests()] == [True, False]


def test_failed_test(page: dict[str, Any], instance: dg.DagsterInstance) -> None:
    """A build whose test fails requests no sync until the test passes."""
    automation = Automation(page["defs"], instance, "crm_contacts")

    build(page["defs"], instance, passed=False)
    after_failure = automation.requests()
    check(page["defs"], instance, passed=True)

    assert (after_failure, automation.requests()) == (False, True)


def with_condition(page: dict[str, Any], condition: dg.AutomationCondition[Any]) -> dg.Definitions:
    """Return the definitions of the guide with another condition."""
    crm_contacts = page["crm_contacts"].map_asset_specs(
        lambda spec: spec.replace_attributes(automation_condition=condition)
    )
    return dg.Definitions([page["shop_models"], crm_contacts], resources=page["defs"].resources)


def test_failed_test__eager(page: dict[str, Any], instance: dg.DagsterInstance) -> None:
    """With `eager` alone, a model whose test failed is synced."""
    defs = with_condition(page, dg.AutomationCondition.eager())
    automation = Automation(defs, instance, "crm_contacts")

    build(defs, instance, passed=False)

    assert automation.requests()


def test_on_cron(page: dict[str, Any], instance: dg.DagsterInstance) -> None:
    """With `on_cron`, the sync waits for the hour and then for the model."""
    defs = with_condition(page, dg.AutomationCondition.on_cron("0 6 * * *"))
    yesterday = datetime.now(timezone.utc) - timedelta(days=1)
    automation = Automation(defs, instance, "crm_contacts", yesterday)

    before = automation.requests()
    build(defs, instance, passed=True)

    assert (before, automation.requests()) == (False, True)


def test_yaml(page: dict[str, Any]) -> None:
    """The condition of the YAML is an automation condition."""
    (text,) = GUIDE.blocks("yaml")
    template = yaml.safe_load(text)["attributes"]["translation"]["automation_condition"]

    assert template == "{{ dg.AutomationCondition.eager() }}"
