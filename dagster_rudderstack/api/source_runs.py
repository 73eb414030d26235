"""The runs of Profiles projects and of ETL (cloud extract) sources, and their parameters."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, model_validator
from pydantic.alias_generators import to_camel

from dagster_rudderstack.api.fields import ApiModel, Objects, SyncId, Text, Timestamp
from dagster_rudderstack.api.models import Sync, SyncState, sync_state
from dagster_rudderstack.text import well_formed

__all__ = ["SourceRun", "SourceRunTask"]

_RUN_STATES = {
    "running": SyncState.RUNNING,
    "processing": SyncState.RUNNING,
    "finished": SyncState.SUCCEEDED,
    "failed": SyncState.FAILED,
}
"""RudderStack documents no status. These are known to its clients."""


def _error(value: object) -> str | None:
    """Return why a run failed, as a text. None if there is nothing, or only white space.

    A finished run with an error has failed, so that no error may be lost.
    """
    if not value:
        return None
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    return well_formed(text) if text.strip() else None


ErrorText = Annotated[str | None, BeforeValidator(_error)]


def in_camel_case(data: object, names: Iterable[str]) -> object:
    """Return an object of an answer with fields in camel case.

    RudderStack writes camel case, snake case or both, where one of them may be null.
    """
    if not isinstance(data, Mapping):
        return data
    spelled = dict(data)
    for name in names:
        camel = to_camel(name)
        if camel != name and name in spelled:
            snake = spelled.pop(name)
            spelled[camel] = snake if spelled.get(camel) is None else spelled[camel]
    return spelled


class SourceRunTask(ApiModel):
    """A task of a run. What RudderStack does not report is None.

    Attributes:
        task_id: What the task does, such as a model of a Profiles project.
        task_run_id: This execution of the task.
        status: RudderStack's status of the task.
        started_at: When it started, in UTC.
        finished_at: When it ended, in UTC.
        error: Why it failed.
    """

    task_id: Text = None
    task_run_id: Text = None
    status: Text = None
    started_at: Timestamp = None
    finished_at: Timestamp = None
    error: ErrorText = None

    @model_validator(mode="before")
    @classmethod
    def _both_spellings(cls, data: Any) -> Any:
        return in_camel_case(data, cls.model_fields)


class SourceRun(Sync):
    """A run of a Profiles project or of an ETL source.

    It is read like a sync. RudderStack reports no rows for it, so the counts are None.

    Attributes:
        id: The run.
        status: RudderStack's status, such as `running` or `finished`. A run that is `finished` and
            has an `error` has failed.
        started_at: When it started, in UTC. None if unknown.
        finished_at: When it ended, in UTC. None if it runs, or if that is unknown.
        error: Why it failed. None if it did not.
        metrics: None, since RudderStack reports no rows of a run.
        job_id: Its job, which has another id. None if unknown.
        tasks: Its tasks. Empty if RudderStack names none.
    """

    id: SyncId = ""
    error: ErrorText = None
    job_id: Text = None
    tasks: Objects[SourceRunTask] = ()

    @model_validator(mode="before")
    @classmethod
    def _both_spellings(cls, data: Any) -> Any:
        return in_camel_case(data, cls.model_fields)

    @classmethod
    def state_of(cls, status: str, *, finished: bool) -> SyncState:
        """Return what a status means, apart from an error."""
        word = status.strip().lower()
        # A success of a sync is no known status of a run.
        others = "" if word == "succeeded" else status
        return _RUN_STATES.get(word) or sync_state(others, finished=finished)

    @property
    def state(self) -> SyncState:
        """What the status means. A finished run with an error has failed."""
        state = super().state
        return SyncState.FAILED if state is SyncState.SUCCEEDED and self.error else state
