"""A code location with the assets of a workspace, which it reads without a snapshot file."""

import os

import dagster as dg

from dagster_rudderstack import RudderStackResource, build_rudderstack_assets_definitions
from dagster_rudderstack_tests.processes.project import PROCESS_HEADER

rudderstack = RudderStackResource(
    access_token=dg.EnvVar("RUDDERSTACK_ACCESS_TOKEN"),
    api_url=dg.EnvVar("RUDDERSTACK_API_URL"),
    poll_min_interval_seconds=0.1,
    poll_max_interval_seconds=0.1,
    extra_headers={PROCESS_HEADER: str(os.getpid())},
)

defs = dg.Definitions(
    assets=build_rudderstack_assets_definitions(rudderstack),
    resources={"rudderstack": rudderstack},
)
