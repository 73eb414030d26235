"""Retry policies, freshness policies and partitions in YAML."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal

import dagster as dg
from dagster.components.resolved.core_models import AssetSpecKwargs, resolve_partitions_def

from dagster_rudderstack.api.validation import checked_choice
from dagster_rudderstack.components.models import resolver_of, yaml_model
from dagster_rudderstack.dagster_internals import CheckError
from dagster_rudderstack.errors import InvalidSettingError
from dagster_rudderstack.options import description_of
from dagster_rudderstack.text import sentence, shown

__all__ = ["FreshnessAttribute", "PartitionsAttribute", "RetryAttribute", "with_freshness"]

Backoff = Literal["LINEAR", "EXPONENTIAL"]
Jitter = Literal["FULL", "PLUS_MINUS"]


def _retry_policy(
    backoff: Backoff | None = None, jitter: Jitter | None = None, **given: Any
) -> dg.RetryPolicy:
    if backoff is not None:
        checked_choice(backoff, Backoff, "backoff")
    if jitter is not None:
        checked_choice(jitter, Jitter, "jitter")
    return dg.RetryPolicy(
        **given,
        backoff=dg.Backoff[backoff] if backoff else None,
        jitter=dg.Jitter[jitter] if jitter else None,
    )


def with_freshness(spec: dg.AssetSpec, policy: dg.FreshnessPolicy | None) -> dg.AssetSpec:
    """Return an asset with a freshness policy, if it has none of its own."""
    if policy is None or spec.freshness_policy is not None:
        return spec
    return spec.replace_attributes(freshness_policy=policy)


RetryAttribute = Annotated[
    dg.RetryPolicy | None,
    resolver_of(
        _retry_policy,
        yaml_model(
            "RetryPolicyModel",
            {
                "max_retries": (int, 1, "Maximum number of retries."),
                "delay": (float, 0, "Seconds before a retry."),
                "backoff": (Backoff | None, None, "How the delay grows with each retry."),
                "jitter": (Jitter | None, None, "How much of the delay is random."),
            },
        )
        | str
        | None,
        description_of("retry_policy"),
    ),
]


def _freshness_policy(
    fail_window_hours: float | None = None,
    deadline_cron: str | None = None,
    *,
    warn_window_hours: float | None = None,
    lower_bound_hours: float | None = None,
    timezone: str | None = None,
) -> dg.FreshnessPolicy:
    of_cron = {"deadline_cron": deadline_cron, "lower_bound_hours": lower_bound_hours}
    if fail_window_hours is not None:
        _check_none_of({**of_cron, "timezone": timezone}, "fail_window_hours")
        fail_window = _hours("fail_window_hours", fail_window_hours)
        has_warning = warn_window_hours is not None
        warning = _hours("warn_window_hours", warn_window_hours) if has_warning else None
        return _made(dg.FreshnessPolicy.time_window, fail_window, warning)
    if deadline_cron is None or lower_bound_hours is None:
        raise InvalidSettingError(
            "freshness_policy needs fail_window_hours, or deadline_cron and lower_bound_hours."
        )
    _check_none_of({"warn_window_hours": warn_window_hours}, "deadline_cron")
    lower_bound = _hours("lower_bound_hours", lower_bound_hours)
    return _made(dg.FreshnessPolicy.cron, deadline_cron, lower_bound, timezone or "UTC")


def _made(make: Callable[..., dg.FreshnessPolicy], *arguments: object) -> dg.FreshnessPolicy:
    try:
        return make(*arguments)
    except CheckError as error:
        raise InvalidSettingError(f"freshness_policy: {sentence(str(error))}") from None


MAX_HOURS = 24 * 366
"""A year. Longer windows are mistakes, and Python's own limit has no readable error."""


def _hours(name: str, hours: Any) -> timedelta:
    is_number = isinstance(hours, (int, float)) and not isinstance(hours, bool)
    if not is_number or not 0 < hours <= MAX_HOURS:
        raise InvalidSettingError(
            f"{name} {shown(hours)} of freshness_policy: expected a number of hours above 0 and up "
            f"to {MAX_HOURS:,}."
        )
    return timedelta(hours=hours)


def _check_none_of(others: Mapping[str, object], chosen: str) -> None:
    for name, value in others.items():
        if value is not None:
            raise InvalidSettingError(
                f"{name} of freshness_policy has no meaning together with {chosen}: leave out one "
                "of them."
            )


FreshnessAttribute = Annotated[
    dg.FreshnessPolicy | None,
    resolver_of(
        _freshness_policy,
        yaml_model(
            "FreshnessPolicyModel",
            {
                "fail_window_hours": (
                    float | None,
                    None,
                    "The asset is not fresh if its last sync is older than this many hours.",
                ),
                "warn_window_hours": (
                    float | None,
                    None,
                    "The asset has a warning if its last sync is older than this many hours.",
                ),
                "deadline_cron": (
                    str | None,
                    None,
                    "Or: when a sync must have succeeded, as a cron schedule.",
                ),
                "lower_bound_hours": (
                    float | None,
                    None,
                    "How many hours before that deadline the sync may have been.",
                ),
                "timezone": (str | None, None, "Time zone of the cron schedule. null means UTC."),
            },
        )
        | str
        | None,
        "When an asset is fresh. It holds for assets that have no freshness policy of their own.",
    ),
]
PartitionsAttribute = Annotated[
    dg.PartitionsDefinition[str] | None,
    dg.Resolver(
        resolve_partitions_def,
        # pydantic declares more kinds of annotations than Dagster, which gets back its own here.
        model_field_type=AssetSpecKwargs.model().model_fields["partitions_def"].annotation,  # pyright: ignore[reportArgumentType]
        description=description_of("partitions_def"),
    ),
]
