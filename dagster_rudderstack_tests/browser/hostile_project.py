"""A code location with a workspace whose names are Markdown. One asset waits, one does not."""

import dagster as dg

from dagster_rudderstack import (
    DagsterRudderStackTranslator,
    RudderStackConnectionSelector,
    RudderStackResource,
    build_rudderstack_assets_definitions,
    build_rudderstack_polling_sensor,
)


def assets_of(rudderstack: RudderStackResource) -> list[dg.AssetsDefinition]:
    """Return the assets `rudderstack/waited` and `rudderstack/deferred`."""
    return [
        asset
        for name in ("waited", "deferred")
        for asset in build_rudderstack_assets_definitions(
            rudderstack,
            DagsterRudderStackTranslator(key_by="id"),
            RudderStackConnectionSelector(ids=[name]),
            wait=name == "waited",
        )
    ]


@dg.definitions
def defs() -> dg.Definitions:
    """Read the workspace and return its assets. The tests import this module without doing so."""
    rudderstack = RudderStackResource(
        access_token=dg.EnvVar("RUDDERSTACK_ACCESS_TOKEN"),
        api_url=dg.EnvVar("RUDDERSTACK_API_URL"),
    )
    assets = assets_of(rudderstack)
    return dg.Definitions(
        assets=assets,
        sensors=[build_rudderstack_polling_sensor(assets=assets)],
        resources={"rudderstack": rudderstack},
    )
