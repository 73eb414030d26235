"""What a person may pass to the polling sensor, and how it is checked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import dagster as dg

from dagster_rudderstack.api.validation import checked_choice, is_whole
from dagster_rudderstack.errors import InvalidSettingError
from dagster_rudderstack.text import shown

__all__ = ["WatchedAsset", "check_number", "checked_assets", "checked_status"]

WatchedAsset = dg.AssetsDefinition | dg.AssetSpec


def checked_assets(assets: WatchedAsset | Iterable[WatchedAsset]) -> Iterable[WatchedAsset]:
    """Return definitions and specs, of which there may be one without a list.

    Raises:
        InvalidSettingError: If they are something else.
    """
    if isinstance(assets, WatchedAsset):
        return [assets]
    if isinstance(assets, str | dg.AssetKey) or not isinstance(assets, Iterable):
        raise InvalidSettingError(
            f"assets {shown(assets)}: expected definitions or specs. Give a key as `connections="
            "{connection id: key}`."
        )
    return assets


def checked_status(
    status: dg.DefaultSensorStatus | Literal["RUNNING", "STOPPED"],
) -> dg.DefaultSensorStatus:
    """Return Dagster's status, which may be given by its name.

    Raises:
        InvalidSettingError: If there is no such status.
    """
    if isinstance(status, dg.DefaultSensorStatus):
        return status
    checked_choice(status, Literal["RUNNING", "STOPPED"], "default_status")
    return dg.DefaultSensorStatus[status]


def check_number(name: str, value: object, least: int, most: int) -> None:
    """Raise InvalidSettingError if a value is not a whole number in a range."""
    if not (is_whole(value) and least <= value <= most):
        raise InvalidSettingError(f"{name} {value!r}: expected a whole number, {least} to {most}.")
