"""The polling sensor: reports the syncs that no step waits for.

These are syncs that RudderStack's schedule or a person in its dashboard started, and those of
assets that are built with `wait=False`.
"""

import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import dagster as dg

from dagster_rudderstack.api.validation import checked_choice
from dagster_rudderstack.checks.sync_checks import SyncChecks, checked_checks
from dagster_rudderstack.metadata import MetadataKey
from dagster_rudderstack.resource import RudderStackResource
from dagster_rudderstack.sensor.arguments import (
    WatchedAsset,
    check_number,
    checked_assets,
    checked_status,
)
from dagster_rudderstack.sensor.cursor import Cursor
from dagster_rudderstack.sensor.detect import (
    Answer,
    ConnectionRules,
    Detected,
    Finding,
    History,
    detect,
    unhandled,
)
from dagster_rudderstack.sensor.event_log import EventLog
from dagster_rudderstack.sensor.events import (
    Event,
    events_of,
    failure_requests,
    is_deferred_failure,
    obstacle_to_run,
    overdue_events,
    partitions_of,
    partitions_of_runs,
)
from dagster_rudderstack.sensor.failed_rows import failed_rows_by_sync
from dagster_rudderstack.sensor.limits import (
    MAX_CATCH_UP,
    MAX_TICK_SECONDS,
    STOP_SECONDS,
    TICK_SECONDS,
)
from dagster_rudderstack.sensor.poll import Poll, Polled
from dagster_rudderstack.sensor.summary import coverage_text, report_text
from dagster_rudderstack.sensor.watch import Watch, targets_of, watches_of
from dagster_rudderstack.settings import RESOURCE_KEY, SyncPolicy
from dagster_rudderstack.sync.attempt import PreviousAttempt, SyncAttempt
from dagster_rudderstack.sync.failed_rows import FailedRows
from dagster_rudderstack.sync.request import SyncRequest
from dagster_rudderstack.sync.scheduler import Scheduler
from dagster_rudderstack.sync.stop import StopOutcome, stop
from dagster_rudderstack.text import plural, summary_of

__all__ = ["build_rudderstack_polling_sensor"]

FailedSyncs = Literal["run", "check"]


def build_rudderstack_polling_sensor(  # noqa: PLR0913 - what a person may choose
    *,
    name: str = "rudderstack_polling_sensor",
    assets: WatchedAsset | Iterable[WatchedAsset] = (),
    connections: Mapping[str, dg.AssetKey | str | Sequence[str]] | None = None,
    checks: SyncChecks | None = None,
    failed_syncs: FailedSyncs = "run",
    replay: int = 0,
    resource_key: str = RESOURCE_KEY,
    minimum_interval_seconds: int = 60,
    tick_seconds: int = TICK_SECONDS,
    default_status: dg.DefaultSensorStatus | Literal["RUNNING", "STOPPED"] = "STOPPED",
    description: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> dg.SensorDefinition:
    """Build a sensor that reports the syncs that no step waits for.

        sensor = build_rudderstack_polling_sensor(assets=[crm_contacts, ad_audience])

    These are syncs that RudderStack's schedule or a person in its dashboard started, and syncs that
    a step with `wait=False` left to the sensor. When such a sync succeeds, the sensor materializes
    the asset of the connection and evaluates its checks. When it does not succeed, the sensor
    reports an observation of the asset.

    For assets with `wait=False`, the sensor also evaluates the check `sync_succeeded`, and stops a
    sync whose timeout has passed. Like any sensor, it needs Dagster's daemon.

    Args:
        name: Name of the sensor.
        assets: Definitions or specs with a `rudderstack/connection_id` in their metadata, as all
            assets of this library have. Others among them are left out.
        connections: Further assets: the asset key by connection id.
        checks: The checks for assets that have none of their own. Your definitions must contain
            checks of these names for each of these assets. None evaluates no check.
        failed_syncs: How a failed deferred sync alerts, besides by its check: `run` requests a run
            of the asset that fails with the reason, so that alerts on failed runs fire; `check`
            requests none.
        replay: How many of the syncs that ended before the first tick are reported, for each
            connection.
        resource_key: Key under which the definitions have the `RudderStackResource`.
        minimum_interval_seconds: Seconds between two ticks.
        tick_seconds: Seconds after which a tick polls no further connection, 1 to 45. The next tick
            begins with the connections that are left.
        default_status: Whether the sensor runs from the beginning: `RUNNING` or `STOPPED`, or
            Dagster's `DefaultSensorStatus`.
        description: Description of the sensor. None creates one.
        tags: Tags of the sensor.

    Raises:
        InvalidSettingError: If there is no connection, two assets stand for one, or assets with
            `wait=False` have different partitions.
    """
    checked_choice(failed_syncs, FailedSyncs, "failed_syncs")
    check_number("replay", replay, 0, MAX_CATCH_UP)
    check_number("tick_seconds", tick_seconds, 1, MAX_TICK_SECONDS)
    watches = watches_of(checked_assets(assets), connections or {}, checked_checks(checks))
    targets = targets_of(watches.values())
    settings = _Settings(watches, resource_key, failed_syncs == "run", replay, tick_seconds)

    @dg.sensor(
        name=name,
        minimum_interval_seconds=minimum_interval_seconds,
        default_status=checked_status(default_status),
        description=description or coverage_text(watches.values(), resource_key),
        required_resource_keys={resource_key},
        target=dg.AssetSelection.assets(*targets) if targets else None,
        tags=tags,
        # For the steps of deferred assets, which warn if no sensor reports their syncs.
        metadata={MetadataKey.CONNECTION_IDS: dg.MetadataValue.json(sorted(watches))},
    )
    def polling_sensor(context: dg.SensorEvaluationContext, **_: object) -> dg.SensorResult:
        # Dagster passes the resource by its key where a test calls the sensor.
        return _evaluate(settings, context)

    return polling_sensor


@dataclass(frozen=True)
class _Settings:
    watches: Mapping[str, Watch]
    resource_key: str
    runs_for_failures: bool
    replay: int
    tick_seconds: int

    @cached_property
    def rules(self) -> dict[str, ConnectionRules]:
        return {
            id_: ConnectionRules(watch.deferred, self.replay) for id_, watch in self.watches.items()
        }


# --- one tick


def _evaluate(settings: _Settings, context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """Poll the connections, detect what is new, and return the events to store.

    Raises:
        RudderStackError: If RudderStack cannot be reached. The tick is then shown as failed, and
            the next one begins where this one did.
    """
    rudderstack: RudderStackResource = getattr(context.resources, settings.resource_key)
    # The process that evaluates the sensor lives on, so the connections of a tick are closed now.
    with contextlib.closing(rudderstack):
        return _tick(settings, context, rudderstack)


def _tick(
    settings: _Settings, context: dg.SensorEvaluationContext, rudderstack: RudderStackResource
) -> dg.SensorResult:
    cursor, now, began = Cursor.from_text(context.cursor), time.time(), time.monotonic()
    polled = _poll(settings, context, rudderstack, cursor, now)
    problem = _problem_of(polled)
    if problem:
        context.log.warning(problem)
    if polled.outage is not None:
        raise polled.outage
    for warning in _warnings_of(polled, settings):
        context.log.warning(warning)
    detected = detect(cursor, polled.answers, settings.rules, now=now, position=polled.position)
    stops = _stop([finding for finding in detected.findings if finding.overdue], rudderstack)
    failed_rows = failed_rows_by_sync(
        detected.findings,
        settings.watches,
        rudderstack.sync_logs,
        threads=rudderstack.max_concurrent_requests,
        began=began,
    )
    link = rudderstack.dashboard_url
    without_partitions: dict[str, str] = {}
    found = [
        (
            finding,
            _events(
                context,
                finding,
                settings,
                stops=stops,
                failed_rows=failed_rows,
                link=link,
                without_partitions=without_partitions,
            ),
        )
        for finding in detected.findings
    ]
    if without_partitions:
        context.log.warning(summary_of(without_partitions, "sync"))
    runs = _run_requests(context, detected, settings)
    reported = [
        (finding, settings.watches[finding.connection_id]) for finding, events in found if events
    ]
    summary = (
        f"{report_text(reported)} Polled {len(polled.answers):,} of "
        f"{plural(len(settings.watches), 'connection')} in {time.monotonic() - began:.1f} s. "
        f"{problem}"
    ).strip()
    context.log.info(summary)
    return dg.SensorResult(
        run_requests=runs,
        asset_events=[event for _, events in found for event in events],
        cursor=detected.cursor.to_text(),
        # Dagster shows a tick without a run as skipped, and takes no reason for one with a run.
        skip_reason=None if runs else summary,
    )


def _poll(
    settings: _Settings,
    context: dg.SensorEvaluationContext,
    rudderstack: RudderStackResource,
    cursor: Cursor,
    now: float,
) -> Polled:
    event_log = EventLog(context.instance)

    def history(connection_id: str, answer: Answer, ends: int) -> History:
        rules, mark = settings.rules[connection_id], cursor.mark(connection_id)
        return event_log.history(
            connection_id,
            settings.watches[connection_id].key,
            unhandled(rules, mark, answer),
            ends=ends,
            all_deferred=mark is None and rules.deferred,
        )

    return Poll(
        rudderstack.get_client(),
        settings.rules,
        cursor,
        history,
        threads=rudderstack.max_concurrent_requests,
        seconds=settings.tick_seconds,
        now=now,
    ).run()


def _problem_of(polled: Polled) -> str:
    """Return why a poll has learned less than it should. Empty if it has not."""
    if polled.pause_seconds:
        return (
            f"RudderStack asked for a pause of another {polled.pause_seconds:.0f} s. The next tick "
            "begins with the connections that were not polled."
        )
    if not polled.answers and not polled.errors:
        return "RudderStack did not answer in time for any connection."
    return ""


def _warnings_of(polled: Polled, settings: _Settings) -> Iterator[str]:
    """Yield what is wrong with some of the connections, however many they are in one text."""
    names = {id_: watch.request.label for id_, watch in settings.watches.items()}
    if polled.errors:
        ids = sorted(polled.errors)
        # One of each kind comes first.
        first = {type(polled.errors[id_]): id_ for id_ in reversed(ids)}
        order = dict.fromkeys([*sorted(first.values()), *ids])
        yield summary_of(
            {
                names[id_]: f"Connection {names[id_]} could not be polled. {polled.errors[id_]}"
                for id_ in order
            },
            "connection",
        )
    if polled.unusable:
        yield summary_of(
            {
                names[id_]: f"Connection {names[id_]} lists a sync without a usable id. That sync "
                "is left out."
                for id_ in sorted(polled.unusable)
            },
            "connection",
        )


def _events(  # noqa: PLR0913 - what a tick has learned
    context: dg.SensorEvaluationContext,
    finding: Finding,
    settings: _Settings,
    *,
    stops: Mapping[str, StopOutcome | None],
    failed_rows: Mapping[str, FailedRows],
    link: str | None,
    without_partitions: dict[str, str],
) -> list[Event]:
    watch = settings.watches[finding.connection_id]
    stopped = stops.get(finding.sync.id)
    # A stop that succeeds after earlier ones failed is reported again, so that the reason of the
    # sync's end is known.
    is_stopped_now = stopped is StopOutcome.REQUESTED and not (
        finding.recorded and finding.recorded.timed_out
    )
    if finding.overdue and finding.is_repeated and not is_stopped_now:
        return []
    partitions = partitions_of(finding, watch, context.instance)
    if partitions is None:
        partitions = [None]
        without_partitions[finding.sync.id] = (
            f"Sync {finding.sync.id} belongs to partitions that {watch.key.to_user_string()} no "
            "longer has. It is reported without them."
        )
    if finding.overdue:
        return overdue_events(finding, watch, partitions, stopped, link)
    return events_of(finding, watch, partitions, link, failed_rows.get(finding.sync.id))


def _stop(
    overdue: Sequence[Finding], rudderstack: RudderStackResource
) -> dict[str, StopOutcome | None]:
    """Stop overdue deferred syncs that our runs started. Return what each stop achieved.

    None, and a sync that is missing, mean that it was left running.
    """
    policy = rudderstack.sync_policy()
    if not policy.stop_on_timeout or not overdue:
        return {}
    # One try for each. The next tick tries again.
    stops = {
        finding.sync.id: stop(_overdue_attempt(finding, policy, rudderstack), grace_seconds=0.0)
        for finding in overdue
    }
    scheduler = Scheduler(stops, threads=rudderstack.max_concurrent_requests)
    finished = list(scheduler.until(time.monotonic() + STOP_SECONDS))
    scheduler.halt()
    return {each.key: each.result for each in finished}


def _overdue_attempt(
    finding: Finding, policy: SyncPolicy, rudderstack: RudderStackResource
) -> SyncAttempt:
    owned = finding.recorded is not None and finding.recorded.owned
    attempt = SyncAttempt(
        rudderstack.get_client(),
        SyncRequest(finding.connection_id),
        policy,
        previous=PreviousAttempt(finding.sync.id, owned=owned),
    )
    attempt.take_over_previous()
    return attempt


def _run_requests(
    context: dg.SensorEvaluationContext, detected: Detected, settings: _Settings
) -> list[dg.RunRequest]:
    """Return the runs that fail for failed deferred syncs, without those Dagster would refuse."""
    if not settings.runs_for_failures:
        return []
    watched = [(finding, settings.watches[finding.connection_id]) for finding in detected.findings]
    failed = [
        (finding, watch, partition)
        for finding, watch in watched
        if is_deferred_failure(finding, watch)
        for partition in partitions_of_runs(finding, watch)
    ]
    requested = []
    refused: dict[str, str] = {}
    for finding, watch, partition in failed:
        obstacle = obstacle_to_run(watch, partition, context.instance)
        if obstacle is None:
            requested.append((finding, watch, partition))
        else:
            refused[finding.sync.id] = (
                f"Sync {finding.sync.id} failed, but no failing run of "
                f"{watch.key.to_user_string()} can be requested: {obstacle}."
            )
    if refused:
        context.log.warning(summary_of(refused, "sync"))
    return failure_requests(requested)
