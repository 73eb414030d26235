"""The options of a run of a source, each declared, described and checked once.

The factories, the run config and the YAML components use this declaration.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, Literal, Optional, TypedDict, get_type_hints

import dagster as dg
from pydantic import ConfigDict, Field

from dagster_rudderstack.api.profiles import ProfilesParameters
from dagster_rudderstack.api.validation import check_names
from dagster_rudderstack.errors import InvalidSettingError
from dagster_rudderstack.options import (
    StepConfig,
    check_not_of_spec,
    check_resource_key,
    in_run_config,
)
from dagster_rudderstack.options import description_of as description_of_sync
from dagster_rudderstack.settings import RESOURCE_KEY, OnLostStart, OnRunningRun
from dagster_rudderstack.sync.choices import RunChoices
from dagster_rudderstack.vendor_names import RENAMED_OPTIONS

__all__ = [
    "ProfilesAssetOptions",
    "ProfilesOptions",
    "RudderStackProfilesConfig",
    "RudderStackSourceConfig",
    "SourceAssetOptions",
    "SourceRunOptions",
    "choices_of",
    "choices_of_run",
    "description_of",
    "parameters_of",
    "parameters_of_run",
    "run_options",
]


class SourceRunOptions(TypedDict, total=False):
    """How a source is run, in an asset or an op. Each option may be left out."""

    on_running_run: Annotated[
        OnRunningRun | None,
        "What to do when a run of the source is already running: 'wait' until it ends and then "
        "start a new one, or 'fail'. None means 'wait'. The run config can override it.",
    ]
    on_lost_start: Annotated[
        OnLostStart | None,
        "What to do when the answer to the start was lost and RudderStack does not show whether it "
        "runs: 'fail', so that a person decides, or 'start_again', which is right if running twice "
        "does no harm. None means 'fail'. The run config can override it.",
    ]
    timeout_seconds: Annotated[
        int | None,
        "If the source runs longer than this many seconds, the step fails, and the run continues "
        "in RudderStack. The time includes the wait for another run. None uses the resource's "
        "sync_timeout_seconds. The run config can override it.",
    ]
    poll_interval_seconds: Annotated[
        float | None,
        "Seconds between two polls, however long the source has run. None uses the resource's "
        "settings, with which the wait grows. The run config can override it.",
    ]
    resource_key: Annotated[str, description_of_sync("resource_key")]
    retry_policy: Annotated[
        dg.RetryPolicy | None,
        "Retries of the step. A retry resumes a run that is still running.",
    ]
    pool: Annotated[str | None, description_of_sync("pool")]


class ProfilesOptions(SourceRunOptions, total=False):
    """How a Profiles project is run. Each option may be left out."""

    model_refs: Annotated[
        Sequence[str],
        "Only these models and what they need, as in 'models/user_features'. Empty builds all "
        "models. The run config can override it.",
    ]
    begin_time: Annotated[
        datetime | str | None,
        "Only data from this time on, as in '2026-01-31T00:00:00Z'. None sets no limit. The run "
        "config can override it.",
    ]
    end_time: Annotated[
        datetime | str | None,
        "Only data up to this time, as in '2026-01-31T00:00:00Z'. None means the time of the run. "
        "The run config can override it.",
    ]
    rebase_incremental: Annotated[
        bool,
        "Whether to build incremental models anew, from all of their inputs. The run config can "
        "override it.",
    ]


class SourceAssetOptions(SourceRunOptions, total=False):
    """How an ETL source is run in an asset step. Each option may be left out."""

    op_tags: Annotated[Mapping[str, Any] | None, description_of_sync("op_tags")]


class ProfilesAssetOptions(ProfilesOptions, total=False):
    """How a Profiles project is run in an asset step. Each option may be left out."""

    partitions_def: Annotated[
        dg.PartitionsDefinition[str] | None,
        "Time partitions of the assets. Their window is the begin_time and end_time of the run. "
        "None uses those of the specs.",
    ]
    backfill_policy: Annotated[dg.BackfillPolicy | None, description_of_sync("backfill_policy")]
    op_tags: Annotated[Mapping[str, Any] | None, description_of_sync("op_tags")]


_DEFAULTS: ProfilesAssetOptions = {
    "on_running_run": None,
    "on_lost_start": None,
    "timeout_seconds": None,
    "poll_interval_seconds": None,
    "resource_key": RESOURCE_KEY,
    "retry_policy": None,
    "pool": None,
    "model_refs": (),
    "begin_time": None,
    "end_time": None,
    "rebase_incremental": False,
    "partitions_def": None,
    "backfill_policy": None,
    "op_tags": None,
}


_RENAMED = {
    **RENAMED_OPTIONS,
    "partitions_def": "A run of an ETL source takes no time window, and an op has no partitions.",
}


def description_of(option: str) -> str:
    """Return what an option means, for run config and YAML."""
    hint = get_type_hints(ProfilesAssetOptions, include_extras=True)[option]
    description: str = hint.__metadata__[0]
    return description


def run_options(given: Mapping[str, Any], kind: Any) -> ProfilesAssetOptions:
    """Return the options of a run, checked, with the defaults of those that `kind` does not have.

    Args:
        given: The options.
        kind: The class that declares which options there are, such as `SourceRunOptions`.

    Raises:
        InvalidSettingError: For an unknown option, and for an invalid value.
    """
    known = get_type_hints(kind)
    if "op_tags" in known:
        # They are no more possible in the spec of an ETL source.
        check_not_of_spec([each for each in given if each != "partitions_def"], known)
    check_names(given, known, _RENAMED)
    options: ProfilesAssetOptions = {**_DEFAULTS, **given}  # type: ignore[typeddict-item]
    check_resource_key(options["resource_key"])
    choices_of(options)
    parameters_of(options)
    return options


def choices_of(options: SourceRunOptions) -> RunChoices:
    """Return what a definition chooses for its runs."""
    return RunChoices(
        options["on_running_run"],
        options["on_lost_start"],
        options["timeout_seconds"],
        options["poll_interval_seconds"],
    )


def parameters_of(options: ProfilesOptions) -> ProfilesParameters:
    """Return what a definition lets a Profiles project build."""
    return ProfilesParameters(
        options["model_refs"],
        options["begin_time"],
        options["end_time"],
        options["rebase_incremental"],
    )


# --- run config


def _in_run_config(option: str, default: str = "None") -> str:
    """Return what an option means that the run config may leave to the definition."""
    meaning = description_of(option).partition(" The run config can")[0]
    kept = [each for each in meaning.split(". ") if not each.startswith(("None ", "Empty "))]
    return f"{'. '.join(kept).removesuffix('.')}. {default} uses the definition's setting."


class RudderStackSourceConfig(StepConfig):
    """How one Dagster run runs an ETL source. Every setting has a default."""

    on_running_run: Literal["default", "wait", "fail"] = Field(
        default="default", description=_in_run_config("on_running_run", "'default'")
    )
    on_lost_start: Literal["default", "fail", "start_again"] = Field(
        default="default", description=_in_run_config("on_lost_start", "'default'")
    )
    timeout_seconds: Optional[int] = Field(  # noqa: UP045 - Dagster's config takes Optional
        default=None, description=_in_run_config("timeout_seconds")
    )
    poll_interval_seconds: Optional[float] = Field(  # noqa: UP045
        default=None, description=_in_run_config("poll_interval_seconds")
    )


class RudderStackProfilesConfig(RudderStackSourceConfig):
    """How one Dagster run runs a Profiles project. Every setting has a default."""

    # Older versions of pydantic warn of a field whose name begins with `model_`.
    model_config = ConfigDict(protected_namespaces=())

    model_refs: Optional[list[str]] = Field(  # noqa: UP045
        default=None,
        description=f"{_in_run_config('model_refs')} An empty list builds all models.",
    )
    begin_time: Optional[str] = Field(  # noqa: UP045
        default=None, description=_in_run_config("begin_time")
    )
    end_time: Optional[str] = Field(  # noqa: UP045
        default=None, description=_in_run_config("end_time")
    )
    rebase_incremental: Optional[bool] = Field(  # noqa: UP045
        default=None, description=_in_run_config("rebase_incremental")
    )


def choices_of_run(config: RudderStackSourceConfig) -> RunChoices:
    """Return what the run config chooses for a run.

    Raises:
        InvalidSettingError: If a value is invalid.
    """
    with in_run_config():
        return RunChoices(
            None if config.on_running_run == "default" else config.on_running_run,
            None if config.on_lost_start == "default" else config.on_lost_start,
            config.timeout_seconds,
            config.poll_interval_seconds,
        )


def parameters_of_run(
    config: RudderStackSourceConfig,
    definition: ProfilesParameters,
    window: dg.TimeWindow | None = None,
) -> ProfilesParameters:
    """Return what a run of a Profiles project builds.

    Args:
        config: The run config, whose parameters replace those of the definition.
        definition: The parameters of the definition.
        window: The time window of the partitions. None if there are no partitions.

    Raises:
        InvalidSettingError: If a value is invalid, or if there are a window and another time.
    """
    if not isinstance(config, RudderStackProfilesConfig):
        return definition
    names = ("model_refs", "begin_time", "end_time", "rebase_incremental")
    chosen = {name: getattr(config, name) for name in names}
    given = {name: value for name, value in chosen.items() if value is not None}
    times = [name for name in ("begin_time", "end_time") if name in given]
    with in_run_config():
        if window is not None and times:
            raise InvalidSettingError(
                f"{times[0]} {given[times[0]]!r} cannot be used with partitions, whose time window "
                "is the begin_time and end_time of the run. Leave it out, or launch other "
                "partitions."
            )
        parameters = replace(definition, **given)
    return parameters if window is None else parameters.within(window.start, window.end)
