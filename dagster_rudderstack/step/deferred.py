"""Fails a run for each failed deferred sync, so that alerts on failed runs fire.

The polling sensor reports the failed sync as an observation and requests a run of the asset. A tag
of the run names the sync. The step of that run starts nothing and fails with the observation's
reason.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping

import dagster as dg

from dagster_rudderstack.metadata import Metadata, MetadataKey, text_of
from dagster_rudderstack.step.dagster_step import DagsterStep
from dagster_rudderstack.text import plural, without_escapes

__all__ = ["FAILED_SYNCS_TAG", "failed_syncs_of", "failure_of_deferred"]

FAILED_SYNCS_TAG = "rudderstack/failed_syncs"
"""Tag of a run that fails for deferred syncs: JSON of the sync by connection id."""

OBSERVATIONS_READ = 50
"""How many observations of an asset are read to find the one of its failed sync."""


_FIRST = (MetadataKey.ERROR, MetadataKey.DAGSTER_RUN, MetadataKey.LINK)


def failed_syncs_of(step: DagsterStep | None) -> dict[str, str]:
    """Return the failed syncs, by connection id, that the run of a step is about.

    Empty for any other run, and for a re-execution: a person who re-executes the run wants a new
    sync.
    """
    if step is None or step.run.parent_run_id is not None:
        return {}
    try:
        found = json.loads(step.run.tags.get(FAILED_SYNCS_TAG, "{}"))
    except ValueError:
        return {}
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def failure_of_deferred(
    instance: dg.DagsterInstance, syncs: Mapping[dg.AssetKey, tuple[str, str]]
) -> dg.Failure:
    """Return the failure of a run for deferred syncs that failed.

    Args:
        instance: Dagster's instance.
        syncs: The connection id and the sync id by asset.
    """
    found = {
        key: _observed(instance, key, connection_id, sync_id)
        for key, (connection_id, sync_id) in syncs.items()
    }
    if len(found) == 1:
        ((text, metadata),) = found.values()
        return dg.Failure(description=text, metadata=metadata, allow_retries=False)
    lines = [f"- {key.to_user_string()}: {text}" for key, (text, _) in found.items()]
    description = "\n".join([f"{plural(len(found), 'deferred sync')} failed.", *lines])
    runs = {metadata.get(MetadataKey.DAGSTER_RUN) for _, metadata in found.values()}
    return dg.Failure(description=description, metadata=_only_run(runs), allow_retries=False)


def _only_run(runs: Collection[dg.MetadataValue | None]) -> Metadata:
    """Return the link to the run that started all of the syncs. Nothing if they were several runs.

    Then the observations on the pages of the assets link to them.
    """
    (run, *others) = runs
    return {} if others or run is None else {MetadataKey.DAGSTER_RUN: run}


def _observed(
    instance: dg.DagsterInstance, key: dg.AssetKey, connection_id: str, sync_id: str
) -> tuple[str, Metadata]:
    """Return the reason and the facts of the sensor's observation of a failed sync."""
    for record in instance.fetch_observations(key, limit=OBSERVATIONS_READ).records:
        observation = record.asset_observation
        if observation and text_of(observation.metadata, MetadataKey.SYNC_ID) == sync_id:
            # A run's page hides all but the first entries.
            found = observation.metadata
            first = {key: found[key] for key in _FIRST if key in found}
            return without_escapes(observation.description or ""), {**first, **found}
    text = (
        f"Deferred sync {sync_id} of connection {connection_id} failed. Look at it in "
        "RudderStack's dashboard."
    )
    return text, {
        MetadataKey.SYNC_ID: dg.MetadataValue.text(sync_id),
        MetadataKey.CONNECTION_ID: dg.MetadataValue.text(connection_id),
    }
