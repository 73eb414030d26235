"""The API's description, and everything that its schemas allow, as hypothesis strategies."""

from collections.abc import Mapping
from datetime import timezone
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st
from openapi_core import OpenAPI
from openapi_schema_validator import OAS31Validator

PATH = Path(__file__).parents[1] / "rudderstack-openapi.yaml"
DOCUMENT: dict[str, Any] = yaml.safe_load(PATH.read_text(encoding="utf-8"))
OPENAPI = OpenAPI.from_dict(DOCUMENT)

Schema = Mapping[str, Any]


def answer_schema(path: str, method: str, status: str = "200") -> Schema:
    """Return the schema of an answer."""
    answer = DOCUMENT["paths"][path][method]["responses"][status]
    schema: Schema = answer["content"]["application/json"]["schema"]
    return schema


def is_allowed(content: Any, schema: Schema) -> bool:
    """Whether the description allows this, as read by another library."""
    whole = {**schema, "components": DOCUMENT["components"]}
    return bool(OAS31Validator(whole).is_valid(content))


# --- what a schema allows

ANY_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=5,
)

# What a schema does not name is allowed, too: also what Python calls a field, or a near miss.
UNNAMED_KEYS = st.sampled_from(
    [
        "x",
        "started_at",
        "finished_at",
        "source_id",
        "sync_behaviour",
        "Id",
        "STATUS",
        "model_config",
    ]
)

# A JSON number without a fraction is an integer, however it is written.
INTEGERS = st.one_of(
    st.integers(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False).map(lambda number: float(round(number))),
)

# A format is a hint; a validator that takes it for a rule must be content as well.
DATE_TIMES = st.datetimes(timezones=st.sampled_from([timezone.utc]) | st.timezones()).map(
    lambda moment: moment.isoformat()
) | st.sampled_from(
    [
        "2026-01-05T10:00:00Z",
        "2026-01-05T10:00:00.123456789Z",
        "2016-12-31T23:59:60Z",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59-23:59",
    ]
)


def allowed(schema: Schema) -> st.SearchStrategy[Any]:
    """Return everything that a schema allows."""
    if "$ref" in schema:
        return allowed(DOCUMENT["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    types = schema.get("type")
    if types is None:
        return ANY_JSON
    names = [types] if isinstance(types, str) else types
    return st.one_of([_of_type(name, schema) for name in names])


def _of_type(name: str, schema: Schema) -> st.SearchStrategy[Any]:
    if name == "object":
        return _objects(schema)
    if name == "array":
        return st.lists(allowed(schema.get("items", {})), max_size=4)
    if name == "string":
        return DATE_TIMES if schema.get("format") == "date-time" else st.text(max_size=30)
    if name == "integer":
        least = schema.get("minimum")
        return INTEGERS if least is None else INTEGERS.map(abs)
    return {"null": st.none(), "boolean": st.booleans(), "number": st.floats()}[name]


def _objects(schema: Schema) -> st.SearchStrategy[Any]:
    named = {key: allowed(each) for key, each in schema.get("properties", {}).items()}
    required = schema.get("required", [])
    objects = st.fixed_dictionaries(
        {key: named[key] for key in required},
        optional={key: each for key, each in named.items() if key not in required},
    )
    extras = st.dictionaries(
        UNNAMED_KEYS.filter(lambda key: key not in named), ANY_JSON, max_size=2
    )
    return st.builds(lambda extra, named_ones: {**extra, **named_ones}, extras, objects)
