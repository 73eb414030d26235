"""The Dagster step that syncs run in: its run, its name, its partition and its ancestry."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import dagster as dg

__all__ = ["AnyContext", "DagsterStep", "current_step"]

AnyContext = dg.AssetExecutionContext | dg.OpExecutionContext | dg.AssetCheckExecutionContext

MAX_ANCESTORS = 100
"""How many runs are followed from a retried run to the run that it retries."""


def current_step(context: AnyContext | None = None) -> DagsterStep | None:
    """Return the step that runs in this thread, or the one of `context`.

    Returns None outside Dagster, and where an asset or op is called directly in a test: there is no
    run whose log could hold records.
    """
    if context is None:
        try:
            context = dg.OpExecutionContext.get()
        except dg.DagsterInvariantViolationError:
            return None
    try:
        run = context.run
    except dg.DagsterError:
        return None
    if not isinstance(context, dg.OpExecutionContext):
        context = context.op_execution_context
    return DagsterStep(context, run)


@dataclass(frozen=True)
class DagsterStep:
    """One attempt of a step."""

    context: dg.OpExecutionContext
    run: dg.DagsterRun

    @property
    def instance(self) -> dg.DagsterInstance:
        """Dagster's instance."""
        return self.context.instance

    @property
    def is_in_memory(self) -> bool:
        """Whether Dagster's storage is in memory, where only one thread at a time may use it."""
        return self.instance.is_ephemeral

    @cached_property
    def name(self) -> str:
        """The name that distinguishes the step from the others of its run, in each attempt."""
        mapping_key = self.context.get_mapping_key()
        handle = str(self.context.op_handle)
        return f"{handle}[{mapping_key}]" if mapping_key else handle

    @cached_property
    def key(self) -> str:
        """Dagster's key of the step, which its log lines carry."""
        return str(self.context.get_step_execution_context().step.key)

    @cached_property
    def partition(self) -> str | None:
        """The partition of the step, or `first...last` of a range. None if it has none."""
        if self.context.has_partition_key:
            return self.context.partition_key
        if self.context.has_partition_key_range:
            keys = self.context.partition_key_range
            return f"{keys.start}...{keys.end}"
        return None

    def partition_of(self, key: dg.AssetKey) -> str | None:
        """Return the partition of an event about an asset, or None if it has none.

        An asset without partitions has none in a partitioned run either.
        """
        if not self.context.has_partition_key:
            return None
        specs = self.context.assets_def.specs_by_key if self.context.has_assets_def else {}
        is_partitioned = key not in specs or specs[key].partitions_def is not None
        return self.context.partition_key if is_partitioned else None

    @property
    def only_asset(self) -> dg.AssetKey | None:
        """The asset that the step makes. None if it makes none, or several."""
        keys = list(self.context.assets_def.keys) if self.context.has_assets_def else []
        return keys[0] if len(keys) == 1 else None

    def upstream_of(self, key: dg.AssetKey | None) -> frozenset[dg.AssetKey]:
        """Return the assets upstream of one asset of the step, or of all of them."""
        if not self.context.has_assets_def:
            return frozenset()
        definition = self.context.assets_def
        deps = definition.asset_deps
        of_all = frozenset[dg.AssetKey]().union(*deps.values())
        upstream = of_all if key is None else deps.get(key, of_all)
        return frozenset(upstream) - definition.keys

    # --- the run

    def current_run(self) -> dg.DagsterRun | None:
        """Return the run as it is now. `run` is as it was when the step began."""
        return self.instance.get_run_by_id(self.run.run_id)

    def is_canceled(self) -> bool:
        """Whether a person canceled the run. False means an eviction, or Ctrl-C in a shell."""
        run = self.current_run()
        return run is not None and run.status in (
            dg.DagsterRunStatus.CANCELING,
            dg.DagsterRunStatus.CANCELED,
        )

    def is_run_ending(self) -> bool:
        """Whether the run is over or about to be."""
        run = self.current_run()
        return run is None or run.is_finished or run.status is dg.DagsterRunStatus.CANCELING

    @cached_property
    def ancestry(self) -> tuple[dg.DagsterRun, ...]:
        """The run and the runs that it retries or re-executes, the oldest first."""
        return tuple(reversed(list(self._ancestors())))

    def _ancestors(self) -> Iterator[dg.DagsterRun]:
        run: dg.DagsterRun | None = self.run
        seen: set[str] = set()
        while run is not None and run.run_id not in seen and len(seen) < MAX_ANCESTORS:
            seen.add(run.run_id)
            yield run
            parent = run.parent_run_id
            run = self.instance.get_run_by_id(parent) if parent else None
        root = self.run.root_run_id
        if root and root not in seen and (first := self.instance.get_run_by_id(root)):
            yield first

    @cached_property
    def continued_run_ids(self) -> frozenset[str]:
        """The run and the failed runs whose work it continues.

        A run that repeats all of another one, rather than what failed in it, continues none.
        """
        return frozenset(self._continued())

    def _continued(self) -> Iterator[str]:
        run: dg.DagsterRun | None = self.run
        for _ in range(MAX_ANCESTORS):
            if run is None or (run is not self.run and not run.is_failure_or_canceled):
                return
            yield run.run_id
            # The UI and the daemon set the tag. A run that is created in Python names its steps,
            # either all or those that failed; the two cannot be distinguished.
            if run.parent_run_id is None or not (run.is_resume_retry or run.step_keys_to_execute):
                return
            run = self.instance.get_run_by_id(run.parent_run_id)
