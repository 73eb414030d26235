"""What a function of the user yields in one attempt of its step, and what it need not yield."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from dagster_rudderstack.errors import InvalidSettingError
from dagster_rudderstack.metadata import MetadataKey
from dagster_rudderstack.step.results import SyncResult
from dagster_rudderstack.sync.request import SyncReport
from dagster_rudderstack.text import one_line

__all__ = ["Yielded"]

_IDENTITY = (MetadataKey.SYNC_ID, MetadataKey.CONNECTION_ID)


@dataclass
class Yielded:
    """The assets and checks that one attempt of a step has yielded.

    Args:
        outputs: The assets of the step, by the names of their outputs.
        check_keys: All checks of the step.
    """

    outputs: Mapping[str, dg.AssetKey]
    check_keys: Collection[dg.AssetCheckKey] = ()

    asked: dict[dg.AssetKey, None] = field(default_factory=dict, init=False)
    """The assets that the function has called `sync()` for."""
    metadata: dict[dg.AssetKey, Mapping[str, Any]] = field(default_factory=dict, init=False)
    """The metadata of each sync that succeeded."""
    reports: dict[dg.AssetKey, SyncReport] = field(default_factory=dict, init=False)
    """The report of each sync that succeeded."""
    _done: set[dg.AssetKey] = field(default_factory=set, init=False)
    _checks: set[dg.AssetCheckKey] = field(default_factory=set, init=False)
    _unsynced: set[dg.AssetKey] = field(default_factory=set, init=False)
    """The assets that the function has reported by itself, before any sync of them."""
    _failure: Exception | None = field(default=None, init=False)

    def during(self, events: Iterator[Any]) -> Iterator[Any]:
        """Return the events of a call of `sync()`, and remember its failure."""
        self._failure = None
        return self._during(events)

    def _during(self, events: Iterator[Any]) -> Iterator[Any]:
        try:
            yield from events
        except Exception as error:
            self._failure = error
            raise

    def add(self, event: object) -> None:
        """Remember what the function yields."""
        if isinstance(event, dg.MaterializeResult | dg.ObserveResult):
            self._add_assets(self._keys(event.asset_key))
            for check in event.check_results or ():
                self._add_check(check, event.asset_key)
        elif isinstance(event, dg.AssetCheckResult):
            self._add_check(event, event.asset_key)
        elif isinstance(event, dg.Output) and event.output_name in self.outputs:
            self._add_assets([self.outputs[event.output_name]])

    def _add_assets(self, keys: Collection[dg.AssetKey]) -> None:
        self._unsynced.update(key for key in keys if key not in {*self.metadata, *self._done})
        self._done.update(keys)

    def _add_check(self, check: dg.AssetCheckResult, key: dg.AssetKey | None) -> None:
        """Remember a check. Dagster gives a result without a name to the only check that fits."""
        keys = self._keys(check.asset_key or key)
        if check.check_name is not None:
            self._checks.update(dg.AssetCheckKey(each, check.check_name) for each in keys)
        else:
            self._checks.update(each for each in self.check_keys if each.asset_key in keys)

    def completed(self, event: object) -> object:
        """Return what the function yields. Its own result gets the metadata of the sync.

        Otherwise a retry and the polling sensor would not know that the sync was reported.
        """
        if isinstance(event, dg.MaterializeResult | dg.ObserveResult):
            (key, *others) = self._keys(event.asset_key)
            given: dict[str, Any] = {
                "asset_key": event.asset_key,
                # Without a key, Dagster refuses it in a step of several assets.
                "metadata": event.metadata if others else self._with_facts(key, event.metadata),
                "check_results": event.check_results,
                "data_version": event.data_version,
                "tags": event.tags,
            }
            if isinstance(event, dg.ObserveResult):
                return dg.ObserveResult(**given)
            return dg.MaterializeResult(**given, value=event.value)
        if isinstance(event, dg.Output) and event.output_name in self.outputs:
            key = self.outputs[event.output_name]
            return event.with_metadata(self._with_facts(key, event.metadata))
        return event

    def _with_facts(self, key: dg.AssetKey, given: Mapping[str, Any] | None) -> dict[str, Any]:
        facts = {
            # An earlier attempt of the function may have added others.
            name: value
            for name, value in self.metadata.get(key, {}).items()
            if name.startswith(("rudderstack/", "dagster/"))
        }
        ids = {name: facts[name] for name in _IDENTITY if name in facts}
        return {**facts, **(given or {}), **ids}

    def check_order(self, step: str, keys: Iterable[dg.AssetKey]) -> None:
        """Check that the function has not reported assets whose syncs it now starts.

        Raises:
            InvalidSettingError: If it has. The message names them.
        """
        early = [key.to_user_string() for key in keys if key in self._unsynced]
        if early:
            raise InvalidSettingError(
                f"The function of step {step!r} yielded its own result for "
                f"{one_line(', '.join(early))} before it called sync(), so nothing is synced. Call "
                "sync() first, and yield the result after those of sync()."
            )

    def has(self, key: dg.AssetKey) -> bool:
        """Whether there is nothing more to yield for an asset."""
        return key in self._done

    def _keys(self, key: dg.AssetKey | None) -> Collection[dg.AssetKey]:
        """Return the asset of an event. Only a step of one asset may leave it out."""
        return [key] if key else self.outputs.values()

    def has_check(self, key: dg.AssetKey, name: str) -> bool:
        """Whether this attempt has yielded the result of a check: Dagster refuses a second one."""
        return dg.AssetCheckKey(key, name) in self._checks

    def excuse(self, result: SyncResult) -> None:
        """Remember an asset that has no materialization to yield.

        An earlier attempt has reported its sync, its sync is deferred, or it was skipped.
        """
        is_silent = result.metadata is None or result.is_reported
        if result.sync.key is not None and result.error is None and is_silent:
            self._done.add(result.sync.key)

    def check(self, step: str, expected: Iterable[dg.AssetKey]) -> None:
        """Check that the function has yielded each asset that it had to yield.

        Raises:
            InvalidSettingError: If it has not. The cause is the failure of `sync()`, if it failed.
        """
        missing = [key.to_user_string() for key in expected if key not in self._done]
        if missing:
            caught = (
                " It caught a failure of sync(): raise the failure again." if self._failure else ""
            )
            named = one_line(", ".join(missing))
            raise InvalidSettingError(
                f"The function of step {step!r} yielded nothing for {named}. It must yield all "
                f"results of sync() (yield from sync()).{caught}"
            ) from self._failure
