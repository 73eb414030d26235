"""The API of runs, in the form in which the life of a sync uses it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn, Protocol

from dagster_rudderstack.api.deadline import answered_within
from dagster_rudderstack.api.source_runs import SourceRun
from dagster_rudderstack.errors import NotFoundError

__all__ = ["UNKNOWN_NEWEST", "RunClient", "SourceRunApi"]

PATIENCE_SECONDS = 10.0
"""How long to wait for the newest run of a source. It is of use only after a lost start."""

UNKNOWN_NEWEST = SourceRun(id="(unknown)", status="(unknown)")
"""The newest run where the question was not answered. It has no usable id, so that no attempt waits
for it. If it is the newest one before a start, no run can be known to be newer."""


class RunClient(Protocol):
    """The part of the API that a run needs. `RudderStackClient` has it."""

    def start_source_run(self, source_id: str, parameters: Sequence[str]) -> str:
        """Start a run and return its id."""
        ...

    def get_source_run(self, source_id: str, run_id: str) -> SourceRun:
        """Return a run."""
        ...

    def get_newest_source_run(self, source_id: str) -> SourceRun:
        """Return the newest run of a source."""
        ...


@dataclass(frozen=True)
class SourceRunApi:
    """Starts and reads the runs of sources.

    Attributes:
        client: The client.
        parameters: The parameters of a run, by the source.
    """

    client: RunClient
    parameters: Mapping[str, Sequence[str]]

    def start_sync(self, source_id: str, _: str) -> str:
        """Start a run and return its id."""
        return self.client.start_source_run(source_id, self.parameters[source_id])

    def get_sync(self, source_id: str, run_id: str) -> SourceRun:
        """Return a run."""
        return self.client.get_source_run(source_id, run_id)

    def list_syncs(
        self,
        source_id: str,
        *,
        per_page: int,  # noqa: ARG002 - there is only one
        limit: int,
    ) -> list[SourceRun]:
        """Return the newest run. Nothing if RudderStack shows none (404).

        Raises:
            ApiError: For any other error. See `SyncAttempt.list_syncs` for what it means.
        """
        try:
            with answered_within(PATIENCE_SECONDS):
                return [self.client.get_newest_source_run(source_id)][:limit]
        except NotFoundError:
            return []

    def get_connection(self, source_id: str) -> NoReturn:
        """Raise: a source has no connection of its own."""
        raise NotImplementedError(f"Source {source_id} is no connection.")

    def stop_sync(self, source_id: str) -> NoReturn:
        """Raise: RudderStack offers no way to stop a run. See `Request.can_be_stopped`."""
        raise NotImplementedError(f"A run of source {source_id} cannot be stopped.")
