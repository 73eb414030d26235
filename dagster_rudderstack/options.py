"""The options of a sync, each declared, described and checked once.

The factories, the decorator, discovery, the run config and the YAML components use this
declaration.
"""

import contextlib
import inspect
import keyword
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import cache
from typing import Annotated, Any, Literal, Optional, TypedDict, get_type_hints

import dagster as dg
from pydantic import ConfigDict, Field, model_validator

from dagster_rudderstack.api.validation import (
    check_names,
    checked_choice,
    checked_flag,
    checked_id,
    checked_sync_type,
)
from dagster_rudderstack.checks.base import SyncCheck
from dagster_rudderstack.checks.sync_checks import CHECKS, SyncChecks, checked_checks
from dagster_rudderstack.errors import InvalidSettingError
from dagster_rudderstack.settings import (
    DEFAULT_SYNC_TYPE,
    RESOURCE_KEY,
    OnDisabled,
    OnRunningSync,
    SyncType,
)
from dagster_rudderstack.sync.choices import SyncChoices
from dagster_rudderstack.text import shown
from dagster_rudderstack.vendor_names import RENAMED_OPTIONS

__all__ = [
    "AssetOptions",
    "Execute",
    "RudderStackSyncConfig",
    "RudderStackSyncOpConfig",
    "StepConfig",
    "SyncOptions",
    "asset_options",
    "check_not_of_spec",
    "check_resource_key",
    "checked_ids",
    "choices_of",
    "choices_of_run",
    "config_fields",
    "description_of",
    "in_run_config",
    "sync_options",
]

Execute = Callable[..., Any]
"""The user's own code of a step. See `rudderstack_assets` for its parameters and results."""


class SyncOptions(TypedDict, total=False):
    """How a connection is synced, in an asset or an op. Each option may be left out."""

    sync_type: Annotated[
        SyncType,
        "'incremental' syncs the rows that are new or changed since the last sync, 'full' syncs "
        "all rows. A run can override it.",
    ]
    on_running_sync: Annotated[
        OnRunningSync | None,
        "What to do when a sync of the connection is already running: 'wait' until it ends and "
        "then start a new one, 'attach' to it and report it, or 'fail'. None uses the resource's "
        "setting. A run can override it.",
    ]
    on_disabled: Annotated[
        OnDisabled,
        "What to do when the connection is disabled in RudderStack: 'fail', or 'skip' it and "
        "report nothing.",
    ]
    timeout_seconds: Annotated[
        int | None,
        "A sync that takes longer than this many seconds fails its step. The time includes the "
        "wait for another running sync. None uses the resource's sync_timeout_seconds. A run can "
        "override it.",
    ]
    poll_interval_seconds: Annotated[
        float | None,
        "Seconds between two polls, however long the sync has run. None uses the resource's "
        "settings, with which the wait grows. A run can override it.",
    ]
    resource_key: Annotated[str, "Key under which the definitions have the RudderStackResource."]
    retry_policy: Annotated[
        dg.RetryPolicy | None,
        "Retries of the step. A retry resumes a sync that is still running.",
    ]
    pool: Annotated[str | None, "Concurrency pool of the step."]


class AssetOptions(SyncOptions, total=False):
    """How the connections of an asset step are synced. Each option may be left out."""

    checks: Annotated[
        SyncChecks | None,
        "The checks of each sync: rejected rows, no rows, nothing changed, duration. With None, "
        "there is no check.",
    ]
    wait: Annotated[
        bool,
        "Whether the step waits for its syncs. Without waiting, the step ends when they have "
        "started, and the polling sensor reports how they end.",
    ]
    execute: Annotated[
        Execute | None,
        "A function that replaces the code of the step, as with the decorator "
        "`rudderstack_assets`. It is not called if only a check is selected.",
    ]
    required_resource_keys: Annotated[
        AbstractSet[str],
        "Keys of further resources that `execute` reads from the context. Those that are its "
        "parameters need no entry.",
    ]
    partitions_def: Annotated[
        dg.PartitionsDefinition[str] | None,
        "Partitions of the assets. None uses those of the specs.",
    ]
    backfill_policy: Annotated[
        dg.BackfillPolicy | None, "How a backfill groups partitions into runs."
    ]
    op_tags: Annotated[Mapping[str, Any] | None, "Tags of the step."]


_DEFAULTS: AssetOptions = {
    "sync_type": DEFAULT_SYNC_TYPE,
    "on_running_sync": None,
    "on_disabled": "fail",
    "timeout_seconds": None,
    "poll_interval_seconds": None,
    "resource_key": RESOURCE_KEY,
    "retry_policy": None,
    "pool": None,
    "checks": SyncChecks(),
    "wait": True,
    "execute": None,
    "required_resource_keys": frozenset(),
    "partitions_def": None,
    "backfill_policy": None,
    "op_tags": None,
}


def description_of(option: str) -> str:
    """Return what an option means, for run config and YAML."""
    hint = get_type_hints(AssetOptions, include_extras=True)[option]
    description: str = hint.__metadata__[0]
    return description


def sync_options(given: Mapping[str, Any]) -> SyncOptions:
    """Return the options of a sync, checked, with the defaults of those that are left out.

    Raises:
        InvalidSettingError: For an unknown option, and for an invalid value.
    """
    known = SyncOptions.__annotations__.keys()
    check_names(given, known, RENAMED_OPTIONS)
    options: SyncOptions = {name: _DEFAULTS[name] for name in known} | dict(given)  # type: ignore[literal-required,assignment]
    _check(options)
    return options


def asset_options(given: Mapping[str, Any]) -> AssetOptions:
    """Return the options of an asset step, checked, with the defaults of those left out.

    Raises:
        InvalidSettingError: For an unknown option, and for an invalid value.
    """
    check_not_of_spec(given, _DEFAULTS, _IN_DISCOVERY)
    _check_not_of_checks(given)
    check_names(given, _DEFAULTS, RENAMED_OPTIONS)
    options: AssetOptions = {**_DEFAULTS, **given}  # type: ignore[typeddict-item]
    _check(options)
    checked_checks(options["checks"])
    checked_flag(options["wait"], "wait")
    return options


_SPEC_FIELDS = {*inspect.signature(dg.AssetSpec).parameters, "asset_key"} - {"kwargs"}

_IN_DISCOVERY = " For discovered assets, override get_asset_spec of the translator."


def check_not_of_spec(given: Iterable[str], known: Collection[str], note: str = "") -> None:
    """Check that no option is a field of the asset's spec.

    Dagster's own decorators accept such a field as an argument.

    Args:
        given: The names of the options that were given.
        known: The names of the options that exist.
        note: Added to the message.

    Raises:
        InvalidSettingError: If one is.
    """
    for name in given:
        if name in _SPEC_FIELDS and name not in known:
            field = "key" if name == "asset_key" else name
            raise InvalidSettingError(
                f"There is no setting {name!r}: it belongs to the asset's spec, as in "
                f"dg.AssetSpec({'...' if field == 'key' else f'..., {field}=...'}).{note}"
            )


def _check_not_of_checks(given: Mapping[str, Any]) -> None:
    """Raise for a check outside `checks`."""
    for name, value in given.items():
        kind = value.kind if isinstance(value, SyncCheck) else name.removesuffix("_check")
        if name not in _DEFAULTS and kind in CHECKS:
            raise InvalidSettingError(
                f"There is no setting {name!r}: pass the check in checks, as in "
                f"checks=SyncChecks({kind}={CHECKS[kind].__name__}(...))."
            )


def check_resource_key(key: object) -> None:
    """Check that a key of a resource can be the name of a parameter, as Dagster needs it.

    Raises:
        InvalidSettingError: If it cannot.
    """
    if not isinstance(key, str) or not key.isidentifier() or keyword.iskeyword(key):
        raise InvalidSettingError(
            f"resource_key {shown(key)}: expected a name of letters, digits and underscores, such "
            "as 'rudderstack_eu', which is no keyword of Python."
        )


def _check(options: SyncOptions) -> None:
    check_resource_key(options["resource_key"])
    checked_sync_type(options["sync_type"])
    checked_choice(options["on_disabled"], OnDisabled, "on_disabled")
    choices_of(options)


def choices_of(options: SyncOptions) -> SyncChoices:
    """Return what a definition chooses for its syncs."""
    return SyncChoices(
        options["sync_type"],
        options["on_running_sync"],
        options["timeout_seconds"],
        options["poll_interval_seconds"],
    )


def checked_ids(
    factory: str, noun: str, one: str | None, several: Sequence[str] | None
) -> list[str]:
    """Return the ids that an op is about: one, or several.

    Args:
        factory: The factory of the op, for messages.
        noun: What the ids are of: `connection` or `source`.
        one: The argument with one id.
        several: The argument with several ids.

    Raises:
        InvalidSettingError: If not exactly one of both is given, or if an id is invalid.
    """
    is_list = isinstance(several, Iterable) and not isinstance(several, str)
    if (one is None) == (several is None) or (one is None and not is_list):
        raise InvalidSettingError(f"{factory} needs either {noun}_id, or {noun}_ids with a list.")
    ids = [
        checked_id(each, f"{noun}_id" if one is not None else f"{noun}_ids")
        for each in ([one] if several is None else several)
    ]
    if not ids:
        raise InvalidSettingError(f"{noun}_ids is empty: expected at least one.")
    if len(set(ids)) < len(ids):
        raise InvalidSettingError(f"{noun}_ids {ids!r}: expected each {noun} once.")
    return ids


# --- run config


@contextlib.contextmanager
def in_run_config() -> Iterator[None]:
    """Say in the errors of a block that the value is in the run config."""
    try:
        yield
    except InvalidSettingError as error:
        raise InvalidSettingError(f"In the run config: {error}") from None


def _in_run_config(option: str, default: str = "None") -> str:
    """Return what an option means that a run may leave to the definition."""
    of_definition = ("None uses ", "A run can ")
    sentences = description_of(option).removesuffix(".").split(". ")
    kept = [each for each in sentences if not each.startswith(of_definition)]
    return f"{'. '.join(kept)}. {default} uses the definition's setting."


class StepConfig(dg.Config):
    """Base of the run configs: an unknown setting is an error that suggests the nearest one."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _names_checked(cls, data: Any) -> Any:
        # Before pydantic's own check, which suggests no near name. A subclass may allow any name.
        if isinstance(data, Mapping) and cls.model_config.get("extra") == "forbid":
            known = [info.alias or name for name, info in cls.model_fields.items()]
            check_names(data, known, RENAMED_OPTIONS)
        return data


class RudderStackSyncConfig(StepConfig):
    """How one run syncs. Every setting has a default, so a run needs no config."""

    sync_type: Literal["default", "incremental", "full"] = Field(
        default="default",
        description=_in_run_config("sync_type", "'default'"),
    )
    on_running_sync: Literal["default", "wait", "attach", "fail"] = Field(
        default="default",
        description=_in_run_config("on_running_sync", "'default'"),
    )
    timeout_seconds: Optional[int] = Field(  # noqa: UP045 - Dagster's config takes Optional
        default=None, description=_in_run_config("timeout_seconds")
    )
    poll_interval_seconds: Optional[float] = Field(  # noqa: UP045
        default=None, description=_in_run_config("poll_interval_seconds")
    )


def choices_of_run(config: RudderStackSyncConfig) -> SyncChoices:
    """Return what a run chooses for its syncs.

    Raises:
        InvalidSettingError: If a value is invalid.
    """
    with in_run_config():
        return SyncChoices(
            None if config.sync_type == "default" else config.sync_type,
            None if config.on_running_sync == "default" else config.on_running_sync,
            config.timeout_seconds,
            config.poll_interval_seconds,
        )


class RudderStackSyncOpConfig(RudderStackSyncConfig):
    """Run config of `rudderstack_sync_op`."""

    connection_id: str = Field(description="The connection to sync.")
    on_disabled: Literal["fail", "skip"] = Field(
        default="fail", description=description_of("on_disabled")
    )
    asset_key: Optional[list[str]] = Field(  # noqa: UP045
        default=None,
        description="Asset that the op materializes. None: the op materializes no asset.",
    )
    max_failed_rows: Optional[int] = Field(  # noqa: UP045
        default=None,
        description="The op fails if more rows are rejected. None sets no limit.",
    )
    max_failed_ratio: Optional[float] = Field(  # noqa: UP045
        default=None,
        description=(
            "The op fails if a larger share of the rows sent is rejected, 0.0 to 1.0. None sets no "
            "limit."
        ),
    )


@cache
def config_fields(config: type[dg.Config]) -> dict[str, dg.Field]:
    """Return a config as Dagster takes it without an annotation.

    From an annotation Dagster builds the schema again for each asset, which takes a fifth of the
    time in which a workspace of a thousand connections loads.
    """
    return config.to_fields_dict()
