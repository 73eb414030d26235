"""The life of a run of a Profiles project or an ETL source: what differs from that of a sync."""

from dataclasses import dataclass
from typing import Any

import pytest

from dagster_rudderstack.errors import (
    AuthenticationError,
    ConflictError,
    NotFoundError,
    PermissionDeniedError,
    RudderStackError,
    StartLostError,
    StatusError,
    SyncAlreadyRunningError,
    SyncFailedError,
    SyncLostError,
    SyncTimedOutError,
    TransportError,
)
from dagster_rudderstack.settings import SyncPolicy
from dagster_rudderstack.sync.attempt import PreviousAttempt
from dagster_rudderstack.sync.choices import RunChoices
from dagster_rudderstack.sync.stop import StopOutcome
from dagster_rudderstack.testing import Fault, RunScript
from dagster_rudderstack_tests.sync.world import SOURCE, MemoryRecorder, World, run_until

TEN_MINUTES = RunScript(duration_seconds=600)
LOST = Fault("reset", operation="start_run", effect=True)
WITHOUT_EFFECT = Fault("reset", operation="start_run")
START_AGAIN = SyncPolicy(on_lost_start="start_again")
FAIL = SyncPolicy(on_running_sync="fail")
SETTLING = SyncPolicy().start_settling_seconds


def add(world: World, script: RunScript = TEN_MINUTES, *faults: Fault, **settings: Any) -> None:
    """Add the source of the tests, and faults."""
    world.server.add_project(SOURCE, script, **settings)
    for fault in faults:
        world.server.add_fault(fault)


def sent(world: World) -> int:
    """Return how many starts were sent."""
    return sum(request.operation == "start_run" for request in world.server.requests)


def failure(world: World, policy: SyncPolicy | None = None, **options: Any) -> RudderStackError:
    """Return the error of a run that fails."""
    with pytest.raises(RudderStackError) as caught:
        world.run(policy, **options)
    return caught.value


def killed(world: World, seconds: float, policy: SyncPolicy | None = None) -> MemoryRecorder:
    """Return the records of an attempt that was killed after so many seconds."""
    recorder = MemoryRecorder()
    assert run_until(world.run_attempt(policy, recorder=recorder), world.clock, seconds) is None
    return recorder


# --- start and wait


@pytest.mark.parametrize("legacy_status", [True, False])
@pytest.mark.parametrize("snake_case", [True, False])
def test_run(world: World, legacy_status: bool, snake_case: bool) -> None:
    """A run is started once with its parameters, waited for and reported."""
    script = RunScript(60, snake_case=snake_case, tasks=("models/a",))
    add(world, script, legacy_status=legacy_status)

    report = world.run(parameters=("--model_refs models/a",))

    (run,) = world.server.runs(SOURCE)
    assert run.parameters == report.parameters == ("--model_refs models/a",)
    assert (report.id, report.source_id, report.origin) == (run.id, SOURCE, "started")
    assert (report.status, report.duration_seconds) == ("finished", 60)
    assert [task.task_id for task in report.tasks] == ["models/a"]
    assert world.log == [
        f"INFO Started run {run.id} of source Features (features) (--model_refs models/a).",
        f"INFO Run {run.id}: finished (1 min)",
    ]


def test_run__error(world: World) -> None:
    """A finished run with an error fails, with RudderStack's reason and what to do."""
    add(world, RunScript(240, error='relation "users" does not exist'))

    error = failure(world)

    assert isinstance(error, SyncFailedError)
    assert error.source_id == SOURCE
    assert str(error) == (
        f"Run {world.run_ids[0]} of source Features (features) failed after 4 min. RudderStack "
        'says: relation "users" does not exist. Failed task: sync. Fix the project or the source, '
        "then run it again."
    )


def test_run__failed_task(world: World) -> None:
    """The error names the task that failed."""
    add(world, RunScript(240, error="no column", tasks=("models/a", "models/b")))

    assert "RudderStack says: no column. Failed task: models/b. Fix the " in str(failure(world))


@pytest.mark.parametrize("status", ["succeeded", "completed", "", "finished_with_errors"])
def test_run__unknown_status(world: World, status: str) -> None:
    """A run that ends with an unknown status fails, also one with a word of syncs."""
    add(world, RunScript(60, status=status))

    assert isinstance(error := failure(world), SyncFailedError)
    assert "with the unknown status" in str(error)


def test_run__unknown_status_without_end(world: World) -> None:
    """An unknown status without an end time is waited for until the timeout."""
    add(world, RunScript(60, status="paused", missing_fields=("finishedAt",)))

    assert isinstance(failure(world, SyncPolicy(sync_timeout_seconds=3600)), SyncTimedOutError)
    assert any("unknown status 'paused'" in line for line in world.log)


def test_run__timeout(world: World) -> None:
    """After the timeout the run goes on, and the message says so."""
    add(world, RunScript(never_ends=True))

    error = failure(world, SyncPolicy(sync_timeout_seconds=3600))

    assert isinstance(error, SyncTimedOutError)
    assert not error.stop_requested
    assert str(error) == (
        f"Run {world.run_ids[0]} of source Features (features) did not end within the timeout of "
        "1 h: it goes on in RudderStack, which offers no way to stop a run. A retry of this step "
        "resumes it. If the run is slow, increase the timeout. Otherwise look at the run in "
        "RudderStack's dashboard."
    )


@pytest.mark.parametrize("seconds", [0, 30], ids=["at once", "later"])
def test_run__hidden(world: World, seconds: float) -> None:
    """A run that RudderStack does not know for a while is waited for, and not started again."""
    faults = Fault(
        "status", status=404, operation="get_run", from_seconds=seconds, until_seconds=99
    )
    add(world, TEN_MINUTES, faults)

    assert world.run().id == world.run_ids[0]
    assert len(world.run_ids) == 1


def test_run__unknown_for_ever(world: World) -> None:
    """A run that stays unknown is given up after the outage tolerance, and not started again."""
    unknown = Fault("status", status=404, operation="get_run", times=None)
    add(world, TEN_MINUTES, unknown, legacy_status=False)

    assert "no request about it succeeded for 45 min" in str(failure(world))
    assert len(world.run_ids) == 1


def test_run__only_the_newest_run_shows_it(world: World) -> None:
    """A run that RudderStack does not know by its id, but shows as the newest one, is polled."""
    add(world, TEN_MINUTES, Fault("status", status=404, operation="get_run", times=None))

    assert world.run().duration_seconds == 600


def test_run__answer_about_another_run(world: World) -> None:
    """An answer about another run is logged and never reported."""
    add(
        world,
        TEN_MINUTES,
        Fault("body", operation="get_run", body='{"id":"x","status":"finished"}'),
    )

    assert world.run().duration_seconds == 600
    assert any("is about another run, 'x'" in line for line in world.log)


# --- the endpoint of the newest run


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        ("status", {"status": 500}),
        ("status", {"status": 403}),
        ("body", {"body": "<html>", "content_type": "text/html"}),
        ("wrong_type", {}),
        ("body", {"body": '{"status": "running"}'}),
        ("body", {"body": '{"id": "../x", "status": "running"}'}),
        ("reset", {}),
        ("redirect", {}),
    ],
    ids=["500", "403", "HTML", "types", "no id", "bad id", "reset", "redirect"],
)
def test_newest__broken(world: World, kind: Any, answer: Any) -> None:
    """Whatever the endpoint of the newest run answers, it neither fails nor delays a run."""
    add(world, RunScript(), Fault(kind, operation="get_newest_run", times=None, **answer))

    assert world.run().status == "finished"
    assert world.clock.monotonic() < 10
    assert not [line for line in world.log if line.startswith("WARNING")]


# --- a start whose answer was lost


@pytest.mark.parametrize("status", [201, 204, None], ids=["201", "204", "reset"])
def test_lost_start__adopted(world: World, status: Any) -> None:
    """A newer run than before the lost start is adopted, also one that has already ended."""
    add(world, RunScript())
    world.server.start_run(SOURCE)
    if status is None:
        world.server.add_fault(LOST)
    else:
        world.server.update_project(SOURCE, start_status=status)

    report = world.run()

    assert (report.origin, [report.id]) == ("adopted", world.run_ids)
    assert sent(world) == 1
    assert any("RudderStack does not say who started it" in line for line in world.log)


def test_lost_start__hidden_run(world: World) -> None:
    """A run that is shown only some seconds after the lost start is adopted."""
    add(world, RunScript(600, hidden_for_seconds=SETTLING / 2), LOST)

    assert world.run().origin == "adopted"
    assert sent(world) == 1


def test_lost_start__outage(world: World) -> None:
    """If RudderStack is away for ten minutes after a lost start, the run is adopted afterwards."""
    add(world, RunScript(60), LOST)
    world.server.start_run(SOURCE, script=RunScript())
    world.server.add_fault(Fault("status", operation="get_newest_run", skip=1, until_seconds=600))

    assert world.run().origin == "adopted"
    assert sent(world) == 1
    assert world.clock.monotonic() > 600


@pytest.mark.parametrize("status", [404, 403, 501])
def test_lost_start__no_endpoint_any_more(world: World, status: int) -> None:
    """An endpoint that is broken for ever after a lost start ends the search."""
    add(world, RunScript(60), LOST)
    world.server.start_run(SOURCE, script=RunScript())
    world.server.add_fault(
        Fault("status", status=status, operation="get_newest_run", skip=1, times=None)
    )

    error = failure(world)

    assert type(error) is (SyncLostError if status == 501 else StartLostError)
    assert sent(world) == 1


def test_lost_start__had_an_error(world: World) -> None:
    """If the run of an attempt's own lost start failed, the attempt fails and starts no other."""
    add(world, RunScript(60, error="no table"), LOST)

    assert "RudderStack says: no table." in str(failure(world))
    assert sent(world) == 1


@pytest.mark.parametrize("effect", [True, False], ids=["with effect", "without effect"])
def test_lost_start__fail(world: World, effect: bool) -> None:
    """Without a newest run, a lost start is not repeated: a person decides."""
    add(world, TEN_MINUTES, LOST if effect else WITHOUT_EFFECT, legacy_status=False)

    error = failure(world)

    assert isinstance(error, StartLostError)
    assert isinstance(error.__cause__, TransportError)
    assert not error.retryable
    assert "It is unknown whether a run of source Features (features) was started" in str(error)
    assert "Look in RudderStack's dashboard" in str(error)
    assert "set on_lost_start to 'start_again'" in str(error)
    assert (sent(world), len(world.run_ids)) == (1, effect)
    assert SETTLING <= world.clock.monotonic() < SETTLING + 5


def test_lost_start__unknown_newest_run(world: World) -> None:
    """If the endpoint of the newest run was broken before the start, nothing is looked for."""
    add(world, TEN_MINUTES, LOST, Fault("status", operation="get_newest_run", times=None))

    assert isinstance(failure(world), StartLostError)
    assert sent(world) == 1
    assert world.clock.monotonic() < 2


def test_wrong_address(world: World) -> None:
    """If web pages come instead of answers, a run fails soon, and the reason names the host."""
    page = "<html>Please log in</html>"
    add(world, TEN_MINUTES, Fault("body", body=page, content_type="text/html", times=None))

    error = failure(world)

    assert "127.0.0.1" in str(error)
    assert "answered with a web page" in str(error)
    assert "RudderStack accepted" not in str(error)
    assert sent(world) == 1
    assert world.clock.monotonic() < 2


def test_lost_start__web_page(world: World) -> None:
    """A web page is another program's answer, so that the start may be sent again."""
    page = "<html>Please log in</html>"
    fault = Fault("body", body=page, content_type="text/html", operation="start_run")
    add(world, RunScript(60), fault)

    assert world.run(START_AGAIN).origin == "started"
    assert sent(world) == 2


@pytest.mark.parametrize("newest", [404, 500])
def test_lost_start__each_one(world: World, newest: int) -> None:
    """If the answers to all starts are lost, the starts are apart, and the error does not say that
    no run was started."""
    lost = Fault("status", status=502, operation="start_run", effect=True, times=None)
    add(world, RunScript(), lost)
    world.server.add_fault(Fault("status", status=newest, operation="get_newest_run", times=None))

    error = failure(world, START_AGAIN)

    assert isinstance(error, StartLostError)
    assert "It is unknown whether a run of source Features (features) was started" in str(error)
    assert "RudderStack answered 502" in str(error)
    assert "No run was started" not in str(error)
    assert world.clock.monotonic() > 30


def test_lost_start__start_again(world: World) -> None:
    """For a project that may run twice, the start is repeated."""
    add(world, TEN_MINUTES, WITHOUT_EFFECT, legacy_status=False)

    report = world.run(START_AGAIN)

    assert (report.origin, [report.id]) == ("started", world.run_ids)
    assert sent(world) == 2
    assert any("since on_lost_start is 'start_again'" in line for line in world.log)


def test_lost_start__start_again_while_it_runs(world: World) -> None:
    """If the lost start had an effect, the next one waits until that run has ended."""
    add(world, TEN_MINUTES, LOST, legacy_status=False)

    report = world.run(START_AGAIN)

    assert (report.origin, report.id) == ("started", world.run_ids[1])
    assert len(world.run_ids) == 2


@pytest.mark.parametrize("status", [201, 204])
def test_lost_start__never_an_id(world: World, status: Any) -> None:
    """A start that RudderStack accepts without naming the run is not sent again, not even with
    `start_again`."""
    add(world, RunScript(), start_status=status, legacy_status=False)

    error = failure(world, START_AGAIN)

    assert isinstance(error, StartLostError)
    assert "RudderStack accepted the start of a run of source Features" in str(error)
    assert "start_again" not in str(error)
    assert sent(world) == 1


def test_lost_start__accepted_in_an_earlier_attempt(world: World) -> None:
    """Nor does a later attempt send a start again that RudderStack accepted."""
    add(world, RunScript(), start_status=204, legacy_status=False)
    recorder = MemoryRecorder()
    failure(world, START_AGAIN, recorder=recorder)
    world.server.update_project(SOURCE, start_status=200)

    error = failure(world, START_AGAIN, recorder=recorder, previous=recorder.previous)

    assert isinstance(error, StartLostError)
    assert "A previous attempt got no id of the run." in str(error)
    assert sent(world) == 1


def test_lost_start__after_another_run(world: World) -> None:
    """The error of a lost start does not carry another run that was waited for before."""
    add(world, TEN_MINUTES, WITHOUT_EFFECT)
    world.server.start_run(SOURCE)

    error = failure(world)

    assert isinstance(error, StartLostError)
    assert (error.sync, error.source_id) == (None, SOURCE)


def test_lost_start__no_baseline_and_over(world: World) -> None:
    """If the newest run before the start is unknown, one that is over is not adopted, since it may
    be older."""
    add(world, RunScript(), Fault("status", operation="get_newest_run"), LOST)
    world.server.start_run(SOURCE)

    assert isinstance(failure(world), StartLostError)
    assert sent(world) == 1


def test_lost_start__no_baseline_and_running(world: World) -> None:
    """If the newest run before the start is unknown, one that runs is not adopted either: it may
    have run before a start that RudderStack never got."""
    add(world, TEN_MINUTES, Fault("status", operation="get_newest_run"), LOST)
    world.server.start_run(SOURCE, script=RunScript())

    assert isinstance(failure(world), StartLostError)
    assert sent(world) == 1


def test_lost_start__no_run_before(world: World) -> None:
    """If the source had no run before the start, one that runs is adopted."""
    add(world, TEN_MINUTES, LOST)

    report = world.run()

    assert (report.origin, [report.id]) == ("adopted", world.run_ids)


def test_lost_start__refused_later(world: World) -> None:
    """A start that is refused after a lost one does not mean that nothing was started."""
    add(world, TEN_MINUTES, LOST, legacy_status=False)
    world.server.add_fault(Fault("status", status=403, operation="start_run", skip=1))
    recorder = MemoryRecorder()

    error = failure(world, START_AGAIN, recorder=recorder)

    assert "was started" not in str(error)
    assert [kind for kind, _ in recorder.entries] == ["starting"]


@dataclass
class OthersRecorder(MemoryRecorder):
    """Knows that another step of ours has started each run."""

    world: World | None = None

    def started_by_others(self) -> frozenset[str]:
        """Return all runs."""
        return frozenset(run.id for run in self.world.server.runs()) if self.world else frozenset()


def test_lost_start__run_of_another_step(world: World) -> None:
    """A run that another step or Dagster run has started is not adopted."""
    add(world, TEN_MINUTES, Fault("reset", operation="start_run", effect=False))
    world.server.add_fault(Fault("scheduled_run", operation="get_newest_run", skip=1))

    error = failure(world, recorder=OthersRecorder(world=world))

    assert isinstance(error, StartLostError)
    assert len(world.server.runs(SOURCE)) == 1


def test_lost_start__timeout(world: World) -> None:
    """A timeout during the search says that a run may be running."""
    add(world, TEN_MINUTES, LOST, legacy_status=False)

    error = failure(world, SyncPolicy(sync_timeout_seconds=5))

    assert isinstance(error, SyncTimedOutError)
    assert (
        "No run of source Features (features) could be started within the timeout of 5 s: the "
        "answer to the start was lost, so a run may be running, which cannot be stopped. "
    ) in str(error)


def test_redirect(world: World) -> None:
    """A redirected start is not repeated, and the error says what to set."""
    add(world, TEN_MINUTES, Fault("redirect", operation="start_run", times=None))

    error = failure(world)

    assert isinstance(error, StartLostError)
    assert "Set api_url to the final address" in str(error)
    assert sent(world) == 1


def test_redirect__start_again(world: World) -> None:
    """With `start_again`, the second redirect is the error."""
    add(world, TEN_MINUTES, Fault("redirect", operation="start_run", times=None))

    error = failure(world, START_AGAIN)

    assert isinstance(error, StatusError)
    assert error.status_code == 307
    assert sent(world) == 2


# --- another run is running


@pytest.mark.parametrize("legacy_status", [True, False])
def test_conflict__wait(world: World, legacy_status: bool) -> None:
    """A running run of another client is waited for. Without its id, starts are repeated, seldom
    enough, until one is accepted."""
    add(world, TEN_MINUTES, legacy_status=legacy_status)
    other = world.server.start_run(SOURCE)

    report = world.run()

    assert report.id != other
    assert [report.id] == world.run_ids
    assert 1200 <= world.clock.monotonic() < 1400
    assert sent(world) == 1 if legacy_status else 1 < sent(world) < 20
    assert len([line for line in world.log if "already running" in line]) == 1
    assert len(world.log) < 8


def test_conflict__wait_for_hours(world: World) -> None:
    """A start that is refused for hours is repeated every 2 minutes or so and logged once."""
    add(world, RunScript(), legacy_status=False)
    world.server.start_run(SOURCE, script=RunScript(6 * 3600))

    world.run()

    assert sent(world) < 6 * 40
    assert len(world.log) == 3


@pytest.mark.parametrize("legacy_status", [True, False])
def test_conflict__fail(world: World, legacy_status: bool) -> None:
    """With `fail` a running run is an error, which names it where its id is known."""
    add(world, TEN_MINUTES, legacy_status=legacy_status)
    other = world.server.start_run(SOURCE)

    error = failure(world, FAIL)

    assert isinstance(error, SyncAlreadyRunningError)
    assert isinstance(error.__cause__, ConflictError) is not legacy_status
    name = f" ({other})" if legacy_status else ""
    assert str(error) == (
        f"A run of source Features (features) is already running{name}, and on_running_run is "
        "'fail'. Start again when it has ended, or set on_running_run to 'wait'."
    )
    assert world.run_ids == []


@pytest.mark.parametrize(
    ("legacy_status", "reason"),
    [(True, "run {other} was still running"), (False, "RudderStack accepted no start")],
)
def test_conflict__timeout(world: World, legacy_status: bool, reason: str) -> None:
    """The timeout includes the wait for another run, and the message says that none was started."""
    add(world, TEN_MINUTES, legacy_status=legacy_status)
    other = world.server.start_run(SOURCE, script=RunScript(never_ends=True))

    error = failure(world, SyncPolicy(sync_timeout_seconds=3600))

    assert isinstance(error, SyncTimedOutError)
    assert (
        "No run of source Features (features) could be started within the timeout of 1 h: "
        f"{reason.format(other=other)}."
    ) in str(error)


def test_conflict__next_attempt(world: World) -> None:
    """After a refused start, a later attempt looks for no run, and starts its own."""
    add(world, TEN_MINUTES, legacy_status=False)
    world.server.start_run(SOURCE)
    recorder = killed(world, 60)

    report = world.run(previous=recorder.previous, recorder=recorder)

    assert (report.origin, [report.id]) == ("started", world.run_ids)


def test_conflict__old_newest_run(world: World) -> None:
    """If the newest run is shown as running although it has ended, the start is sent all the
    same."""
    add(world, TEN_MINUTES)
    other = world.server.start_run(SOURCE, script=RunScript())
    world.server.add_fault(
        Fault(
            "body",
            body=f'{{"id": "{other}", "status": "running"}}',
            operation="get_newest_run",
            times=None,
        )
    )

    assert world.run().origin == "started"
    assert world.clock.monotonic() < 700


# --- errors of the start


@pytest.mark.parametrize(
    ("status", "kind", "starts"),
    [(404, NotFoundError, 1), (403, PermissionDeniedError, 1), (401, AuthenticationError, 5)],
)
def test_refused(world: World, status: int, kind: type[StatusError], starts: int) -> None:
    """A start that is refused is final. Only a refused token is tried a few times more."""
    add(world, TEN_MINUTES, Fault("status", status=status, operation="start_run", times=None))

    error = failure(world)

    assert type(error) is kind
    assert sent(world) == starts
    assert world.clock.monotonic() < 60


def test_refused__no_source(world: World) -> None:
    """A source that does not exist fails at once, and the message says what to check."""
    error = failure(world)

    assert isinstance(error, NotFoundError)
    assert "Check the id of the Profiles project or ETL source" in str(error)
    assert (sent(world), world.clock.monotonic()) == (1, 0)


def test_not_started__retried(world: World) -> None:
    """A start that certainly had no effect is sent again."""
    add(
        world,
        RunScript(),
        Fault("status", status=429, retry_after=3, operation="start_run", times=2),
        legacy_status=False,
    )

    assert world.run().origin == "started"
    assert (sent(world), len(world.run_ids)) == (3, 1)


# --- what an earlier attempt left


def test_resume(world: World) -> None:
    """The next attempt waits for the run of a killed one, by its id."""
    add(world, TEN_MINUTES, legacy_status=False)
    recorder = killed(world, 60)

    report = world.run(previous=recorder.previous, recorder=recorder)

    assert (report.origin, [report.id]) == ("resumed", world.run_ids)


def test_resume__failed(world: World) -> None:
    """If the run of a killed attempt has failed meanwhile, the next attempt starts a new one."""
    add(world, RunScript())
    world.server.script_next_runs(SOURCE, RunScript(300, error="no table"))
    recorder = killed(world, 60)
    world.clock.advance(3600)

    report = world.run(previous=recorder.previous, recorder=recorder)

    assert (report.origin, report.id) == ("started", world.run_ids[1])


def test_resume__unknown(world: World) -> None:
    """If RudderStack no longer knows the run of an earlier attempt, a person decides."""
    add(world, TEN_MINUTES)

    error = failure(world, previous=PreviousAttempt("gone"))

    assert isinstance(error, StartLostError)
    assert "RudderStack does not know run gone of a previous attempt." in str(error)
    assert sent(world) == 0
    assert world.clock.monotonic() < SETTLING + 5


def test_resume__unknown_and_start_again(world: World) -> None:
    """With `start_again`, a run that RudderStack no longer knows is started again."""
    add(world, TEN_MINUTES)

    report = world.run(START_AGAIN, previous=PreviousAttempt("gone"))

    assert (report.origin, [report.id]) == ("started", world.run_ids)


def lost_start(world: World, **settings: Any) -> MemoryRecorder:
    """Return the records of an attempt that was killed after its start, before it got the run
    id."""
    unseen = Fault("status", operation="get_newest_run", skip=1)
    add(world, TEN_MINUTES, LOST, unseen, **settings)
    world.server.start_run(SOURCE, script=RunScript())
    return killed(world, 0)


@pytest.mark.parametrize("policy", [SyncPolicy(), START_AGAIN], ids=["fail", "start_again"])
@pytest.mark.parametrize("seconds", [0, 3600], ids=["running", "over"])
def test_earlier_lost_start__adopted(world: World, policy: SyncPolicy, seconds: float) -> None:
    """The next attempt finds the run of an earlier lost start, also if it is over by then."""
    recorder = lost_start(world)
    assert recorder.previous is not None
    assert recorder.previous.known_sync_ids
    world.clock.advance(seconds)

    report = world.run(policy, previous=recorder.previous, recorder=recorder)

    assert (report.origin, [report.id]) == ("adopted", world.run_ids)


def test_earlier_lost_start__fail(world: World) -> None:
    """Without a newest run, the next attempt does not start again either, however often."""
    recorder = lost_start(world, legacy_status=False)

    for _ in range(2):
        error = failure(world, previous=recorder.previous, recorder=recorder)
        assert isinstance(error, StartLostError)
        assert "A previous attempt got no answer to its start." in str(error)

    assert len(world.run_ids) == 1


def test_earlier_lost_start__start_again(world: World) -> None:
    """With `start_again`, the next attempt starts again when the lost run has ended."""
    recorder = lost_start(world, legacy_status=False)

    report = world.run(START_AGAIN, previous=recorder.previous, recorder=recorder)

    assert (report.origin, report.id) == ("started", world.run_ids[1])


# --- stop


def test_stop(world: World) -> None:
    """A run cannot be stopped. Nothing is sent, and the outcome says that it goes on."""
    add(world)
    attempt = world.run_attempt()
    assert run_until(attempt, world.clock, 60) is None
    requests = len(world.server.requests)

    outcome = world.stop(attempt)

    assert outcome is StopOutcome.CANNOT_BE_STOPPED
    assert outcome.value == "it goes on in RudderStack, which offers no way to stop a run"
    assert len(world.server.requests) == requests


def test_stop__nothing_started(world: World) -> None:
    """If no run was started, none goes on."""
    assert world.stop(world.run_attempt()) is StopOutcome.NOTHING_STARTED


def test_stop__lost_start(world: World) -> None:
    """A run whose start was lost may go on."""
    add(world, TEN_MINUTES, LOST, legacy_status=False)
    attempt = world.run_attempt()
    run_until(attempt, world.clock, 5)

    assert world.stop(attempt) is StopOutcome.CANNOT_BE_STOPPED


def test_stop__wait_for_another_run(world: World) -> None:
    """An attempt that waits for another client's run has none of its own."""
    add(world, TEN_MINUTES)
    world.server.start_run(SOURCE)
    attempt = world.run_attempt()
    run_until(attempt, world.clock, 60)

    assert not attempt.may_be_running
    assert world.stop(attempt) is StopOutcome.NOTHING_STARTED


# --- choices


def test_choices() -> None:
    """A run does not take over the resource's choice for running syncs, which may be `attach`."""
    assert RunChoices().settings == {"on_running_sync": "wait", "on_lost_start": "fail"}
    chosen = RunChoices("fail", "start_again", timeout_seconds=60, poll_interval_seconds=2)
    assert chosen.settings == {
        "on_running_sync": "fail",
        "on_lost_start": "start_again",
        "sync_timeout_seconds": 60,
        "poll_min_interval_seconds": 2,
        "poll_max_interval_seconds": 2,
    }
    assert RunChoices(on_running_run="fail").over(RunChoices("wait", "start_again")) == RunChoices(
        "fail", "start_again"
    )


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"on_running_run": "attach"}, "on_running_run 'attach'"),
        ({"on_lost_start": "wait"}, "on_lost_start 'wait'"),
        ({"timeout_seconds": 0}, "timeout_seconds 0"),
        ({"poll_interval_seconds": 0}, "poll_interval_seconds 0"),
        ({"poll_interval_seconds": True}, "poll_interval_seconds True"),
    ],
)
def test_choices__invalid(choices: Any, message: str) -> None:
    """An invalid choice is refused, and the message names it."""
    with pytest.raises(ValueError, match=message):
        RunChoices(**choices)


def test_no_connection(world: World) -> None:
    """The engine cannot read a connection of a source or stop its run by mistake."""
    api = world.run_attempt().api

    with pytest.raises(NotImplementedError):
        api.get_connection(SOURCE)
    with pytest.raises(NotImplementedError):
        api.stop_sync(SOURCE)


def test_timeout__shorter_than_a_pause(world: World) -> None:
    """A start that RudderStack asks to delay past the timeout is not sent."""
    slow_down = Fault("status", operation="start_run", status=429, retry_after=30, times=1)
    add(world, TEN_MINUTES, slow_down)

    error = failure(world, SyncPolicy(sync_timeout_seconds=3))

    assert isinstance(error, SyncTimedOutError)
    assert sent(world) == 1
    assert world.server.runs(SOURCE) == []
    assert world.clock.monotonic() <= 4
