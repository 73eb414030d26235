"""What Dagster's page of a component says about each attribute, and its examples.

The page has an example of a whole file, which is made of these. They are valid together, except
that a Profiles project takes either partitions or a time window.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel, create_model
from pydantic.fields import FieldInfo

from dagster_rudderstack.components.models import words_of_yaml
from dagster_rudderstack.components.schema import PreciseSchema

__all__ = ["EXAMPLES", "described"]

EXAMPLES: Mapping[str, Any] = {
    "connection_id": "2hkeBOp0lGJpMPyur0oXUxxIDhw",
    "source_id": "2hkfQ1bVxSgBbBmZCWGbnQmOs0D",
    "workspace": {"access_token": "{{ env.RUDDERSTACK_ACCESS_TOKEN }}", "region": "eu"},
    "resource_key": "rudderstack_eu",
    "asset": {"key": "crm_contacts", "deps": ["customers"]},
    "assets": [{"key": "user_features", "deps": ["customers"]}],
    "deps": ["orders"],
    "connection_selector": {"destinations": ["HubSpot"]},
    "translation": {"group_name": "activation", "owners": ["team:crm"]},
    "key_by": "id",
    "disabled": "mark",
    "grouping": "destination",
    "upstream_from": ["dbt"],
    "upstream_keys": {"analytics.customers": "dim_customers"},
    "defs_state": {"management_type": "LOCAL_FILESYSTEM"},
    "sync_type": "full",
    "on_running_sync": "attach",
    "on_disabled": "skip",
    "on_running_run": "fail",
    "on_lost_start": "start_again",
    "timeout_seconds": 7200,
    "poll_interval_seconds": 10,
    "checks": {
        "rejected_rows": {"max_failed_ratio": 0.01, "severity": "ERROR", "blocking": True},
        "no_rows": True,
    },
    "wait": True,
    "retry_policy": {"max_retries": 3, "delay": 60, "backoff": "EXPONENTIAL"},
    "pool": "rudderstack",
    "op_tags": {"team": "crm"},
    "partitions_def": {"type": "daily", "start_date": "2026-01-01"},
    "freshness_policy": {"fail_window_hours": 26},
    "polling_sensor": {"default_status": "RUNNING"},
    "model_refs": ["models/user_features"],
    "begin_time": "2026-01-01T00:00:00Z",
    "end_time": "2026-01-02T00:00:00Z",
    "rebase_incremental": True,
}
"""An example of each attribute. An attribute means the same in all components that have it."""


@cache
def described(component: type[BaseModel], model: type[BaseModel]) -> type[BaseModel]:
    """Return a component's model of the YAML with a description and an example of each attribute.

    Dagster takes over neither the descriptions of a component's fields, nor examples.
    """
    fields: dict[str, Any] = {
        name: (field.annotation, _described(field, component.model_fields.get(name), name))
        for name, field in model.model_fields.items()
    }
    base: Any = (PreciseSchema, model)
    return create_model(model.__name__, __base__=base, **fields)


def _described(field: FieldInfo, declared: FieldInfo | None, name: str) -> FieldInfo:
    description = (declared.description if declared else None) or field.description
    example = EXAMPLES.get(name)
    return FieldInfo.merge_field_infos(
        field,
        description=words_of_yaml(description),
        examples=field.examples if example is None else [example],
    )
