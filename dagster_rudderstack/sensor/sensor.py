"""A sensor that reports the syncs that no step waits for.

Those are the syncs that RudderStack's schedule or a person in its dashboard started, and those of
assets that were built with `wait=False`.
"""

import contextlib
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import dagster as dg

from dagster_rudderstack.errors import InvalidSettingError
from dagster_rudderstack.metadata import MetadataKey, RejectedRowsCheck, column_metadata
from dagster_rudderstack.resource import RudderStackResource
from dagster_rudderstack.sensor.detect import Cursor, Finding, Rules, Tick, next_tick
from dagster_rudderstack.sensor.event_log import EventLog
from dagster_rudderstack.sensor.events import (
    Event,
    Watch,
    events_of,
    failure_requests,
    is_deferred_failure,
    obstacle_to_run,
    overdue_events,
    partitions_of,
    start_request,
)
from dagster_rudderstack.sensor.poll import MAX_CATCH_UP, Asked, Round
from dagster_rudderstack.settings import SyncPolicy, checked_choice, checked_id
from dagster_rudderstack.sync.life import StopOutcome, SyncLife, SyncRequest, Unfinished
from dagster_rudderstack.sync.scheduler import Crew

__all__ = ["build_rudderstack_polling_sensor"]

RESOURCE_KEY = "rudderstack"

FailedSyncs = Literal["run", "check"]

TICK_SECONDS = 40
"""When a tick begins no more requests. Dagster cuts it off after 60 s, and forgets what it
found."""

MAX_TICK_SECONDS = 45

STOP_SECONDS = 5.0
"""How long a tick waits for the stops of syncs whose timeouts have passed."""


def build_rudderstack_polling_sensor(  # noqa: PLR0913 - what a person may choose
    *,
    name: str = "rudderstack_polling_sensor",
    assets: Iterable[dg.AssetsDefinition | dg.AssetSpec] = (),
    connections: Mapping[str, dg.AssetKey | str | Sequence[str]] | None = None,
    rejected_rows_check: RejectedRowsCheck | None = None,
    failed_syncs: FailedSyncs = "run",
    replay: int = 0,
    resource_key: str = RESOURCE_KEY,
    minimum_interval_seconds: int = 60,
    tick_seconds: int = TICK_SECONDS,
    default_status: dg.DefaultSensorStatus = dg.DefaultSensorStatus.STOPPED,
    description: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> dg.SensorDefinition:
    """Build a sensor that reports the syncs that no step waits for.

        observer = build_rudderstack_polling_sensor(assets=[crm_contacts, ad_audience])

    It materializes the asset of a connection, and evaluates its check on rejected rows, when a sync
    has succeeded that RudderStack's schedule or a person in its dashboard started, or that a step
    with `wait=False` left to it. A sync that did not succeed is an observation of the asset. It is
    silent about syncs that a step of Dagster reports, or is about to report.

    For assets with `wait=False` it also evaluates the check `sync_succeeded`, stops a sync whose
    timeout has passed, and starts the sync that had to wait for another one. Its runs need the
    daemon, like any sensor's.

    Args:
        name: of the sensor.
        assets: definitions or specs with a `rudderstack/connection_id` in their metadata, as all
            that this library makes have; others among them are left alone.
        connections: further ones: by connection id, the asset key.
        rejected_rows_check: for assets that have no check of their own; your definitions must have
            a check of this name on them. None: no check.
        failed_syncs: how you are told of a deferred sync that failed, besides by the check: `run`
            requests a run of the asset that fails with the reason, so that whatever alerts on
            failed runs alerts on it; `check` does not.
        replay: how many syncs of each connection that were over before the sensor saw it first are
            reported.
        resource_key: where the definitions have the `RudderStackResource`.
        minimum_interval_seconds: between two ticks.
        tick_seconds: when a tick begins no more requests, 1 to 45. The next one goes on there.
        default_status: whether the sensor runs from the beginning.
        description: of the sensor.
        tags: of the sensor.

    Raises:
        InvalidSettingError: if there is no connection, or two assets stand for one.
    """
    checked_choice(failed_syncs, FailedSyncs, "failed_syncs")
    _check_number("replay", replay, 0, MAX_CATCH_UP)
    _check_number("tick_seconds", tick_seconds, 1, MAX_TICK_SECONDS)
    watches = _watches(assets, connections or {}, rejected_rows_check)
    with_runs = [watch.key for watch in watches.values() if watch.has_runs]
    settings = _Settings(watches, resource_key, failed_syncs == "run", replay, tick_seconds)

    @dg.sensor(
        name=name,
        minimum_interval_seconds=minimum_interval_seconds,
        default_status=default_status,
        description=description or f"Syncs of {len(watches)} connections that no step waits for.",
        required_resource_keys={resource_key},
        target=dg.AssetSelection.assets(*with_runs) if with_runs else None,
        tags=tags,
    )
    def polling_sensor(context: dg.SensorEvaluationContext, **_: object) -> dg.SensorResult:
        # Where a test calls the sensor, Dagster hands over the resource by its key.
        return _evaluate(settings, context)

    return polling_sensor


def _check_number(name: str, value: object, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InvalidSettingError(f"{name} {value!r}: expected a whole number, {least} to {most}.")


# --- what is watched


@dataclass(frozen=True)
class _Settings:
    watches: Mapping[str, Watch]
    resource_key: str
    runs_for_failures: bool
    replay: int
    tick_seconds: int

    @property
    def rules(self) -> dict[str, Rules]:
        return {id_: Rules(watch.deferred, self.replay) for id_, watch in self.watches.items()}


def _watches(
    assets: Iterable[dg.AssetsDefinition | dg.AssetSpec],
    connections: Mapping[str, dg.AssetKey | str | Sequence[str]],
    check: RejectedRowsCheck | None,
) -> dict[str, Watch]:
    found = [watch for asset in assets for watch in _watches_of(asset, check)]
    found += [
        Watch(checked_id(id_, "connection_id"), dg.AssetSpec(key).key, check)
        for id_, key in connections.items()
    ]
    if not found:
        raise InvalidSettingError(
            "There is no connection to watch: give assets with rudderstack/connection_id in their "
            "metadata, or connections."
        )
    watches: dict[str, Watch] = {}
    for watch in found:
        known = watches.setdefault(watch.connection_id, watch)
        if known.key != watch.key:
            raise InvalidSettingError(
                f"Connection {watch.connection_id} stands behind "
                f"{known.key.to_user_string()!r} and {watch.key.to_user_string()!r}: watch one of "
                "them, so that a sync is reported once."
            )
    return watches


def _watches_of(
    asset: dg.AssetsDefinition | dg.AssetSpec, check: RejectedRowsCheck | None
) -> list[Watch]:
    if isinstance(asset, dg.AssetSpec):
        watch = _watch_of_spec(asset, check, None)
        return [watch] if watch else []
    if not isinstance(asset, dg.AssetsDefinition):
        raise InvalidSettingError(
            f"assets has {asset!r}: expected definitions or specs. Give a key as `connections="
            "{connection id: key}`."
        )
    own_checks = {
        spec.asset_key: own
        for spec in asset.check_specs
        if (own := RejectedRowsCheck.from_spec(spec)) is not None
    }
    op_name = asset.op.name if asset.is_executable else None
    watches = (
        _watch_of_spec(spec, own_checks.get(spec.key, check), op_name) for spec in asset.specs
    )
    return [watch for watch in watches if watch is not None]


def _watch_of_spec(
    spec: dg.AssetSpec, check: RejectedRowsCheck | None, op_name: str | None
) -> Watch | None:
    connection_id = _connection_of(spec)
    if connection_id is None:
        return None
    return Watch(
        connection_id,
        spec.key,
        check,
        op_name,
        bool(_plain(spec.metadata.get(MetadataKey.DEFERRED))),
        spec.partitions_def,
        column_metadata(spec.metadata),
    )


def _connection_of(spec: dg.AssetSpec) -> str | None:
    connection_id = _plain(spec.metadata.get(MetadataKey.CONNECTION_ID))
    return checked_id(connection_id, "connection_id") if connection_id else None


def _plain(value: object) -> object:
    """Return what a person wrote, also where Dagster has wrapped it."""
    return value.value if isinstance(value, dg.MetadataValue) else value


# --- one tick


def _evaluate(settings: _Settings, context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """Ask, judge, and say what Dagster shall store.

    Raises:
        RudderStackError: if RudderStack is out of reach. The tick then shows as failed, and the
            next one begins where this one did.
    """
    rudderstack: RudderStackResource = getattr(context.resources, settings.resource_key)
    # The process that ticks lives on: what a tick has opened shall not wait for the garbage
    # collector.
    with contextlib.closing(rudderstack):
        return _tick(settings, context, rudderstack)


def _tick(
    settings: _Settings, context: dg.SensorEvaluationContext, rudderstack: RudderStackResource
) -> dg.SensorResult:
    cursor, now, began = Cursor.from_text(context.cursor), time.time(), time.monotonic()
    asked = _ask(settings, context, rudderstack, cursor, now)
    trouble = _trouble_of(asked)
    if trouble:
        context.log.warning(trouble)
    if asked.outage is not None:
        raise asked.outage
    for connection_id, error in sorted(asked.errors.items()):
        context.log.warning(f"Connection {connection_id} could not be asked. {error}")
    tick = next_tick(cursor, asked.answers, settings.rules, now=now, position=asked.position)
    stops = _stop([finding for finding in tick.findings if finding.overdue], rudderstack)
    events = [
        event
        for finding in tick.findings
        for event in _events(context, finding, settings, stops, rudderstack.dashboard_url)
    ]
    runs = _run_requests(context, tick, settings)
    told = (
        f"Looked at {len(asked.answers)} of {len(settings.watches)} connections in "
        f"{time.monotonic() - began:.1f} s: {len(tick.findings)} syncs to report. {trouble}"
    ).strip()
    context.log.info(told)
    return dg.SensorResult(
        run_requests=runs,
        asset_events=events,
        cursor=tick.cursor.to_text(),
        skip_reason=None if events or runs else told,
    )


def _ask(
    settings: _Settings,
    context: dg.SensorEvaluationContext,
    rudderstack: RudderStackResource,
    cursor: Cursor,
    now: float,
) -> Asked:
    event_log = EventLog(context.instance)
    return Round(
        rudderstack.get_client(),
        settings.rules,
        cursor,
        lambda id_, ends: event_log.history(id_, settings.watches[id_].key, ends),
        threads=rudderstack.max_concurrent_requests,
        seconds=settings.tick_seconds,
        now=now,
    ).ask()


def _trouble_of(asked: Asked) -> str:
    """Return why a round is of less use than it looks; empty if it is not."""
    if asked.pause_seconds:
        return (
            f"RudderStack asked us to wait for another {asked.pause_seconds:.0f} s: the "
            "connections that have not been asked keep their turn."
        )
    if not asked.answers and not asked.errors:
        return "No connection answered in time."
    return ""


def _events(
    context: dg.SensorEvaluationContext,
    finding: Finding,
    settings: _Settings,
    stops: Mapping[str, StopOutcome | None],
    link: str | None,
) -> list[Event]:
    watch = settings.watches[finding.connection_id]
    stopped = stops.get(finding.sync.id)
    # What an earlier tick could not stop is told again, so that the reason of its end is known.
    is_news = stopped is StopOutcome.REQUESTED and not (finding.ours and finding.ours.stopped_by)
    if finding.overdue and finding.told and not is_news:
        return []
    partitions = partitions_of(finding, watch, context.instance)
    if partitions is None:
        partitions = [None]
        context.log.warning(
            f"Sync {finding.sync.id} was about partitions of {watch.key.to_user_string()} which "
            "are no more: it is reported without them."
        )
    if finding.overdue:
        return overdue_events(finding, watch, partitions, stopped, link)
    return events_of(finding, watch, partitions, link)


def _stop(
    overdue: Sequence[Finding], rudderstack: RudderStackResource
) -> dict[str, StopOutcome | None]:
    """Stop deferred syncs whose timeouts have passed, those that are ours; return what came of it.

    None, and a sync that is missing: it was left running.
    """
    policy = rudderstack.sync_policy(None, None)
    if not policy.stop_on_timeout or not overdue:
        return {}
    # One try for each: the next tick is the next one.
    stops = {
        finding.sync.id: _overdue_life(finding, policy, rudderstack).stop(grace_seconds=0.0)
        for finding in overdue
    }
    crew = Crew(stops, threads=rudderstack.max_concurrent_requests)
    ends = list(crew.until(time.monotonic() + STOP_SECONDS))
    crew.halt()
    return {ended.key: ended.result for ended in ends}


def _overdue_life(
    finding: Finding, policy: SyncPolicy, rudderstack: RudderStackResource
) -> SyncLife:
    owned = finding.ours is not None and finding.ours.owned
    life = SyncLife(
        rudderstack.get_client(),
        SyncRequest(finding.connection_id),
        policy,
        unfinished=Unfinished(sync_id=finding.sync.id, owned=owned),
    )
    life.recall()
    return life


def _run_requests(
    context: dg.SensorEvaluationContext, tick: Tick, settings: _Settings
) -> list[dg.RunRequest]:
    """Return the runs that are needed; tell of those whose request would only fail the tick."""

    def can_run(watch: Watch, partition: str | None, what_for: str) -> bool:
        obstacle = obstacle_to_run(watch, partition, context.instance)
        if obstacle is not None:
            context.log.warning(
                f"No run of {watch.key.to_user_string()} {what_for} is requested: {obstacle}."
            )
        return obstacle is None

    wanted = [(settings.watches[id_], each) for id_, each in tick.wanted]
    starts = [
        start_request(watch, each)
        for watch, each in wanted
        if can_run(
            watch,
            each.partition,
            f"that starts the sync which had to wait for {each.after_sync_id}",
        )
    ]
    failed = [
        (finding, settings.watches[finding.connection_id])
        for finding in tick.findings
        if settings.runs_for_failures and is_deferred_failure(finding)
    ]
    told = [
        (finding, watch)
        for finding, watch in failed
        if can_run(
            watch,
            finding.ours.partition if finding.ours else None,
            f"that fails because sync {finding.sync.id} has failed",
        )
    ]
    return [*starts, *failure_requests(told)]
