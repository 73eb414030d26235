"""Makes `dg check yaml` and editors name a mistake within an object.

A template may stand for each object, so the schema of pydantic has a union of the object and a
text. For a mistake in the object, a validator would only say that no member of the union fits, and
at the place of the whole object.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

__all__ = ["PreciseSchema"]

_NO_SCHEMAS = frozenset({"const", "default", "enum", "examples"})
_KINDS = ("object", "array")


class PreciseSchema(BaseModel):
    """Base of models whose schema is made so."""

    @classmethod
    def model_json_schema(cls, *args: Any, **options: Any) -> dict[str, Any]:
        """Return the schema."""
        schema = super().model_json_schema(*args, **options)
        found: dict[str, Any] = _precise(schema, schema.get("$defs", {}))
        return found


def _precise(schema: Any, definitions: Mapping[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_precise(each, definitions) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {
        name: each if name in _NO_SCHEMAS else _precise(each, definitions)
        for name, each in schema.items()
    }
    if isinstance(made.get("anyOf"), list):
        _check_by_kind(made, definitions)
    if made.get("additionalProperties") is False:
        # The message for `additionalProperties` has the place of the key, this one what is right.
        made["propertyNames"] = {"enum": sorted(made.get("properties", {}))}
    return made


def _check_by_kind(schema: dict[str, Any], definitions: Mapping[str, Any]) -> None:
    """Let a union accept any object and list, and check these by their own schemas."""
    for kind in _KINDS:
        found = [each for each in schema["anyOf"] if _kind_of(each, definitions) == kind]
        if len(found) == 1:
            rule = {"if": {"type": kind}, "then": found[0]}
            schema["allOf"] = [*schema.get("allOf", []), rule]
            schema["anyOf"] = [*schema["anyOf"], {"type": kind}]


def _kind_of(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Any:
    name = schema.get("$ref", "").removeprefix("#/$defs/")
    return definitions.get(name, schema).get("type")
