"""The parameters of a run of a Profiles project."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone

from pydantic import TypeAdapter, ValidationError

from dagster_rudderstack.errors import InvalidSettingError
from dagster_rudderstack.text import shown

__all__ = ["ProfilesParameters", "api_parameters"]

_DATETIME = TypeAdapter(datetime)


@dataclass(frozen=True)
class ProfilesParameters:
    """What a run of a Profiles project builds. By default, everything up to now.

    The API takes the flags of RudderStack's `pb run`.

    Attributes:
        model_refs: Only these models and what they need, as in `models/user_features`. Empty builds
            all models.
        begin_time: Only data from this time on. A naive time is UTC, and a text is RFC 3339, as in
            `2026-01-31T00:00:00Z`. None sets no limit.
        end_time: Only data up to this time, likewise. None means the time of the run.
        rebase_incremental: Whether to build incremental models anew, from all of their inputs.

    Raises:
        InvalidSettingError: If a value is invalid. The message names it.
    """

    model_refs: Sequence[str] = ()
    begin_time: datetime | str | None = None
    end_time: datetime | str | None = None
    rebase_incremental: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "model_refs", _checked_refs(self.model_refs))
        for name in ("begin_time", "end_time"):
            object.__setattr__(self, name, _checked_time(getattr(self, name), name))
        begin, end = self.begin_time, self.end_time
        if isinstance(begin, datetime) and isinstance(end, datetime) and begin >= end:
            raise InvalidSettingError(
                f"begin_time {_time_text(begin)} must be before end_time {_time_text(end)}."
            )
        if not isinstance(self.rebase_incremental, bool):
            raise InvalidSettingError(
                f"rebase_incremental {shown(self.rebase_incremental)}: expected True or False."
            )

    def within(self, begin: datetime, end: datetime) -> ProfilesParameters:
        """Return the same parameters for the time window of a partition.

        Args:
            begin: The begin of the window.
            end: Its end.
        """
        return replace(self, begin_time=begin, end_time=end)

    def to_api(self) -> tuple[str, ...]:
        """Return the parameters as the API takes them: each a text with its value."""
        flags = [f"--model_refs {ref}" for ref in self.model_refs]
        for name in ("begin_time", "end_time"):
            moment = getattr(self, name)
            if moment is not None:
                flags.append(f"--{name} {_time_text(moment)}")
        return (*flags, *(["--rebase_incremental"] if self.rebase_incremental else []))


def api_parameters(parameters: ProfilesParameters | None) -> tuple[str, ...]:
    """Return the parameters of a run as the API takes them. None means that it has none.

    Raises:
        InvalidSettingError: If they are not `ProfilesParameters`.
    """
    given: object = parameters
    if given is None:
        return ()
    if not isinstance(given, ProfilesParameters):
        raise InvalidSettingError(
            f"parameters {shown(given)}: expected ProfilesParameters(...), or None."
        )
    return given.to_api()


def _checked_refs(refs: object) -> tuple[str, ...]:
    # A set has another order in each process, and an iterator can be read only once.
    if isinstance(refs, (str, bytes)) or not isinstance(refs, Sequence):
        raise InvalidSettingError(
            f"model_refs {shown(refs)}: expected a list of models, as in ['models/user_features']."
        )
    checked = tuple(refs)
    for ref in checked:
        is_one_word = isinstance(ref, str) and ref.isprintable() and len(ref.split()) == 1
        if not is_one_word or ref.startswith("-") or ref != ref.strip():
            raise InvalidSettingError(
                f"model_refs has {shown(ref)}: expected the path of a model, as in "
                "'models/user_features'."
            )
    return checked


def _checked_time(value: object, what: str) -> datetime | None:
    if value is None:
        return None
    try:
        # pydantic also reads numbers, and dates without a time, which may mean anything.
        is_time = isinstance(value, str) and "T" in value.upper()
        moment = _DATETIME.validate_python(value) if is_time else value
        if isinstance(moment, datetime):
            aware = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
            return aware.astimezone(timezone.utc)
    except (ValidationError, OverflowError):
        pass
    raise InvalidSettingError(
        f"{what} {shown(value)}: expected a time, as in '2026-01-31T00:00:00Z'."
    )


def _time_text(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
