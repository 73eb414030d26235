"""The signatures for runs of Profiles projects and ETL sources. mypy checks this file.

A change here can break the code of users, so it needs an entry in the changelog.
"""

from datetime import datetime

import dagster as dg
from typing_extensions import assert_type

from dagster_rudderstack import (
    ProfilesParameters,
    RudderStackProfilesConfig,
    RudderStackResource,
    RudderStackSourceConfig,
    SourceRun,
    SourceRunReport,
    build_rudderstack_profiles_asset,
    build_rudderstack_profiles_op,
    build_rudderstack_source_asset,
    build_rudderstack_source_op,
)


def in_a_notebook(rudderstack: RudderStackResource, moment: datetime) -> None:
    parameters = ProfilesParameters(
        model_refs=["models/users"], begin_time=moment, end_time="2026-01-31T00:00:00Z"
    )
    assert_type(rudderstack.start_source_run("project", parameters), str)
    assert_type(rudderstack.get_source_run("project", "r1"), SourceRun)
    report = rudderstack.run_source_and_poll(
        "project",
        parameters,
        on_running_run="wait",
        on_lost_start="start_again",
        timeout_seconds=60,
        poll_interval_seconds=1.5,
        show_progress=False,
    )
    assert_type(report, SourceRunReport)
    assert_type(report.parameters, tuple[str, ...])


def definitions(moment: datetime) -> None:
    assert_type(
        build_rudderstack_profiles_asset(
            source_id="project",
            specs=["users", dg.AssetSpec("accounts"), dg.AssetKey("orders"), ["crm", "leads"]],
            deps=["customers"],
            name="features",
            model_refs=["models/users"],
            begin_time=moment,
            end_time="2026-01-31T00:00:00Z",
            rebase_incremental=True,
            on_running_run="fail",
            on_lost_start="start_again",
            timeout_seconds=60,
            poll_interval_seconds=1.5,
            resource_key="rudderstack_eu",
            retry_policy=dg.RetryPolicy(),
            pool="profiles",
            partitions_def=dg.DailyPartitionsDefinition("2026-01-01"),
            backfill_policy=dg.BackfillPolicy.single_run(),
            op_tags={"team": "crm"},
        ),
        dg.AssetsDefinition,
    )
    assert_type(
        build_rudderstack_source_asset(source_id="stripe", specs=["charges"], op_tags={"a": "b"}),
        dg.AssetsDefinition,
    )
    build_rudderstack_source_asset(source_id="stripe", model_refs=["x"])  # type: ignore[call-arg]
    build_rudderstack_profiles_asset(
        source_id="project",
        on_running_run="attach",  # type: ignore[arg-type]
    )
    build_rudderstack_profiles_asset()  # type: ignore[call-arg]

    assert_type(
        build_rudderstack_profiles_op(source_id="project", asset_key="users", model_refs=["x"]),
        dg.OpDefinition,
    )
    assert_type(
        build_rudderstack_source_op(source_ids=["a", "b"], name="load", tags={"team": "crm"}),
        dg.OpDefinition,
    )
    build_rudderstack_source_op(source_id="a", model_refs=["x"])  # type: ignore[call-arg]


RudderStackSourceConfig(on_running_run="fail", on_lost_start="default", timeout_seconds=5)
RudderStackProfilesConfig(model_refs=["x"], begin_time="2026-01-31T00:00:00Z")
RudderStackSourceConfig(model_refs=["x"])  # type: ignore[call-arg]
