"""The step that syncs run in: its name, its partition, its upstream assets and its runs."""

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, cast

import dagster as dg
import pytest

from dagster_rudderstack.step.dagster_step import (
    MAX_ANCESTORS,
    DagsterStep,
    RunState,
    current_step,
)

Look = Callable[[DagsterStep], object]


class Seen:
    """The attributes of a step, read while it ran."""

    def __init__(self, look: Look) -> None:
        self.look = look
        self.values: list[object] = []

    def add(self, step: DagsterStep | None) -> None:
        """Read the attributes of a running step."""
        assert step is not None
        self.values.append(self.look(step))


DAYS = dg.DailyPartitionsDefinition("2026-01-01")


def look_in_an_asset(
    look: Look, instance: dg.DagsterInstance, *, with_context: bool = True, **options: Any
) -> object:
    """Return the attributes of an asset's step."""
    seen = Seen(look)

    @dg.asset(key=["crm", "contacts"], deps=["customers"], partitions_def=options.get("days"))
    def contacts(context: dg.AssetExecutionContext) -> None:
        seen.add(current_step(context if with_context else None))

    tags = options.get("tags")
    key = options.get("partition_key")
    assert dg.materialize([contacts], instance=instance, partition_key=key, tags=tags).success
    return seen.values[0]


def test_no_context() -> None:
    """Outside Dagster there is no step."""
    assert current_step() is None


def test_called_directly() -> None:
    """There is no step if a test calls an op or an asset directly."""
    assert current_step(dg.build_op_context()) is None
    assert current_step(dg.build_asset_context()) is None


@pytest.mark.parametrize("with_context", [True, False])
def test_asset(instance: dg.DagsterInstance, with_context: bool) -> None:
    """The step of an asset has its run, its name and its key."""
    run_id, name, key, partition, in_memory, only = cast(
        "tuple[Any, ...]",
        look_in_an_asset(
            lambda step: (
                step.run.run_id,
                step.name,
                step.key,
                step.partition,
                step.is_in_memory,
                step.only_asset,
            ),
            instance,
            with_context=with_context,
        ),
    )

    (run,) = instance.get_runs()
    assert (run_id, name, key) == (run.run_id, "crm__contacts", "crm__contacts")
    assert (partition, in_memory) == (None, True)
    assert only == dg.AssetKey(["crm", "contacts"])


def test_partition(instance: dg.DagsterInstance) -> None:
    """A step of one partition has its key, and so have the events of its asset."""
    key = dg.AssetKey(["crm", "contacts"])

    seen = look_in_an_asset(
        lambda step: (
            step.partition,
            step.partition_of(key),
            step.partition_of(dg.AssetKey("unknown")),
        ),
        instance,
        days=DAYS,
        partition_key="2026-01-05",
    )

    assert seen == ("2026-01-05",) * 3


@pytest.mark.filterwarnings("ignore:.*backfill_policy.*is currently in beta")
def test_partition_range(instance: dg.DagsterInstance) -> None:
    """A step of several partitions has the first and the last key, and its events have none."""
    tags = {
        "dagster/asset_partition_range_start": "2026-01-05",
        "dagster/asset_partition_range_end": "2026-01-07",
    }
    seen: list[object] = []

    @dg.asset(partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run())
    def contacts(context: dg.AssetExecutionContext) -> None:
        step = current_step(context)
        assert step is not None
        seen.extend([step.partition, step.partition_of(context.asset_key)])

    assert dg.materialize([contacts], instance=instance, tags=tags).success
    assert seen == ["2026-01-05...2026-01-07", None]


def test_partition__unpartitioned_asset() -> None:
    """An asset without partitions has none in a partitioned run either."""
    key, other = dg.AssetKey("a"), dg.AssetKey("b")
    specs = {
        key: dg.AssetSpec(key),
        other: dg.AssetSpec(other, partitions_def=DAYS),
    }
    context = SimpleNamespace(
        has_partition_key=True,
        partition_key="p",
        has_assets_def=True,
        assets_def=SimpleNamespace(specs_by_key=specs),
    )
    step = of(context)

    assert step.partition_of(key) is None
    assert step.partition_of(other) == "p"
    context.has_assets_def = False
    assert step.partition_of(key) == "p"


def test_op(instance: dg.DagsterInstance) -> None:
    """The step of an op has no asset, and a mapped op has a name of its own."""
    seen: list[tuple[str, str, object, object]] = []

    @dg.op(out=dg.DynamicOut(str))
    def names() -> Any:
        yield dg.DynamicOutput("a", mapping_key="one")

    @dg.op
    def sync(context: dg.OpExecutionContext, name: str) -> None:
        del name
        step = current_step(context)
        assert step is not None
        seen.append((step.name, step.key, step.only_asset, step.upstream_of(None)))

    @dg.op
    def plain() -> None:
        step = current_step()
        assert step is not None
        seen.append((step.name, step.key, step.only_asset, step.upstream_of(None)))

    @dg.job
    def everything() -> None:
        names().map(sync)
        plain()

    assert everything.execute_in_process(instance=instance).success
    assert sorted(seen) == [
        ("plain", "plain", None, frozenset()),
        ("sync[one]", "sync[one]", None, frozenset()),
    ]


def test_upstream(instance: dg.DagsterInstance) -> None:
    """The upstream assets are those of one asset, or of all, without the assets of the step
    itself."""
    a, b = dg.AssetKey("a"), dg.AssetKey("b")
    seen: list[object] = []

    @dg.multi_asset(specs=[dg.AssetSpec("a", deps=["x"]), dg.AssetSpec("b", deps=["y", "a"])])
    def group(context: dg.AssetExecutionContext) -> Any:
        step = current_step(context)
        assert step is not None
        unknown = dg.AssetKey("unknown")
        seen.extend(step.upstream_of(key) for key in (a, b, None, unknown))
        seen.append(step.only_asset)
        yield dg.MaterializeResult(asset_key=a)
        yield dg.MaterializeResult(asset_key=b)

    assert dg.materialize([group], instance=instance).success
    x, y = dg.AssetKey("x"), dg.AssetKey("y")
    assert seen == [{x}, {y}, {x, y}, {x, y}, None]


# --- the run


class Runs:
    """An instance that has some runs."""

    def __init__(self, *runs: Any) -> None:
        self.runs = {run.run_id: run for run in runs}
        self.asked: list[str] = []
        self.events: Mapping[str, dg.DagsterEventType] = {}

    def get_run_by_id(self, run_id: str) -> Any:
        """Return a run."""
        self.asked.append(run_id)
        return self.runs.get(run_id)

    def get_records_for_run(self, run_id: str, of_type: dg.DagsterEventType) -> Any:
        """Return the events of a type: none, unless the test adds some."""
        found = self.events.get(run_id) is of_type
        return SimpleNamespace(records=[1] if found else [])


def a_run(run_id: str, parent: str | None = None, **fields: Any) -> Any:
    facts = {
        "root_run_id": None,
        "status": dg.DagsterRunStatus.STARTED,
        "is_finished": False,
        "is_failure_or_canceled": True,
        "is_resume_retry": True,
        "step_keys_to_execute": None,
    }
    return SimpleNamespace(run_id=run_id, parent_run_id=parent, **{**facts, **fields})


def of(context: Any, run: Any = None) -> DagsterStep:
    return DagsterStep(context, run)


def step_of(*runs: Any) -> DagsterStep:
    """Return a step of the last of some runs."""
    return of(SimpleNamespace(instance=Runs(*runs)), runs[-1])


@pytest.mark.parametrize(
    ("status", "state", "ending"),
    [
        ("STARTED", RunState.ACTIVE, False),
        ("CANCELING", RunState.CANCELED, True),
        ("CANCELED", RunState.CANCELED, True),
        ("FAILURE", RunState.OVER, True),
        ("SUCCESS", RunState.OVER, True),
    ],
)
def test_status(status: str, state: RunState, ending: bool) -> None:
    """Whether a run is canceled, has ended or is about to, is read each time."""
    old = a_run("r")
    is_finished = status in ("CANCELED", "FAILURE", "SUCCESS")
    step = of(
        SimpleNamespace(
            instance=Runs(a_run("r", status=dg.DagsterRunStatus[status], is_finished=is_finished))
        ),
        old,
    )

    assert step.run_state() is state
    assert step.is_run_ending() is ending


def test_status__deleted_run() -> None:
    """A step whose run is not found goes on, but an interrupt of it counts as an end."""
    step = of(SimpleNamespace(instance=Runs()), a_run("r"))

    assert (step.run_state(), step.is_run_ending()) == (RunState.ACTIVE, True)
    assert step.current_run() is None


class LoggedRuns(Runs):
    """An instance whose runs have events."""

    def __init__(self, events: Mapping[str, dg.DagsterEventType], *runs: Any) -> None:
        super().__init__(*runs)
        self.events = events


RETRY = {"dagster/retry_number": "1"}


@pytest.mark.parametrize(
    ("tags", "parent_tags", "found"),
    [
        (RETRY, {}, "first"),
        (RETRY, RETRY, "first"),
        ({}, {}, None),
        ({}, RETRY, None),
    ],
    ids=["retry", "retry of a retry", "re-executed", "re-executed retry"],
)
def test_canceled_run_id(
    tags: Mapping[str, str], parent_tags: Mapping[str, str], found: str | None
) -> None:
    """A run that Dagster has launched itself is one that retries a canceled run, in any depth. A
    person who re-executes a canceled run wants its syncs."""
    runs = [a_run("first", tags={}), a_run("last", "first", tags=tags)]
    if parent_tags:
        runs = [
            a_run("first", tags={}),
            a_run("second", "first", tags=parent_tags),
            a_run("last", "second", tags=tags),
        ]
    canceled = {"first": dg.DagsterEventType.RUN_CANCELED}
    step = of(SimpleNamespace(instance=LoggedRuns(canceled, *runs)), runs[-1])

    assert step.canceled_run_id() == found


def test_status__canceled_by_force() -> None:
    """A run that was canceled by force and ended as failed counts as canceled."""
    failed = a_run("r", status=dg.DagsterRunStatus.FAILURE, is_finished=True)
    canceled = {"r": dg.DagsterEventType.RUN_CANCELED}
    step = of(SimpleNamespace(instance=LoggedRuns(canceled, failed)), a_run("r"))

    assert step.run_state() is RunState.CANCELED


def test_canceled_run_id__max_runtime() -> None:
    """A run that took longer than `dagster/max_runtime` was not canceled by a person."""
    runs = [a_run("first", tags={}), a_run("last", "first", tags=RETRY)]
    terminated = {"first": dg.DagsterEventType.RUN_CANCELING}
    step = of(SimpleNamespace(instance=LoggedRuns(terminated, *runs)), runs[-1])

    assert step.canceled_run_id() is None


def ancestry(step: DagsterStep) -> list[str]:
    return [run.run_id for run in step.ancestry]


def test_ancestry() -> None:
    """The runs that a run retries come before it, the oldest first."""
    only = step_of(a_run("a"))
    assert ancestry(only) == ["a"]
    assert cast("Any", only.instance).asked == []
    assert ancestry(step_of(a_run("a"), a_run("b", "a"), a_run("c", "b"))) == ["a", "b", "c"]


def test_ancestry__circle() -> None:
    """If runs name each other as parents, each is read once."""
    assert ancestry(step_of(a_run("a", "b"), a_run("b", "a"))) == ["a", "b"]


def test_ancestry__deleted_parent() -> None:
    """If a parent was deleted, the root is still an ancestor, and is not counted twice."""
    root = a_run("root")

    assert ancestry(step_of(root, a_run("c", "gone", root_run_id="root"))) == ["root", "c"]
    assert ancestry(step_of(root, a_run("c", "root", root_run_id="root"))) == ["root", "c"]
    assert ancestry(step_of(a_run("c", "gone", root_run_id="gone as well"))) == ["c"]


def test_ancestry__long() -> None:
    """At most a hundred runs are read, and the root."""
    runs = [a_run("0")]
    runs += [a_run(str(number), str(number - 1), root_run_id="0") for number in range(1, 150)]

    found = ancestry(step_of(*runs))

    assert found == ["0", *(str(number) for number in range(150 - MAX_ANCESTORS, 150))]


def test_continued() -> None:
    """A run that resumes a failed one continues it, and the runs that it continued."""
    runs = [a_run("a"), a_run("b", "a"), a_run("c", "b")]

    assert step_of(*runs).continued_run_ids == {"a", "b", "c"}


def test_continued__running() -> None:
    """The run itself counts, though it has not failed."""
    runs = [a_run("a"), a_run("b", "a", is_failure_or_canceled=False)]

    assert step_of(*runs).continued_run_ids == {"a", "b"}


def test_continued__parent_succeeded() -> None:
    """A run that succeeded is not continued, nor are the runs before it."""
    runs = [a_run("a"), a_run("b", "a", is_failure_or_canceled=False), a_run("c", "b")]

    assert step_of(*runs).continued_run_ids == {"c"}


@pytest.mark.parametrize(
    ("resume", "steps", "expected"),
    [
        (False, None, {"b"}),
        (False, ["s"], {"a", "b"}),
        (True, None, {"a", "b"}),
    ],
)
def test_continued__all_steps_again(
    resume: bool, steps: list[str] | None, expected: set[str]
) -> None:
    """A run that repeats all of another one continues none."""
    last = a_run("b", "a", is_resume_retry=resume, step_keys_to_execute=steps)

    assert step_of(a_run("a"), last).continued_run_ids == expected


def test_continued__no_parent() -> None:
    """A run without a parent continues only itself, and reads no run."""
    step = step_of(a_run("a"))

    assert step.continued_run_ids == {"a"}
    assert cast("Any", step.instance).asked == []


def test_continued__deleted_parent() -> None:
    """A parent that was deleted is not continued."""
    assert step_of(a_run("b", "gone")).continued_run_ids == {"b"}
