"""The models of objects in YAML, and how such an object is resolved."""

import dataclasses
import inspect
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, get_type_hints

import dagster as dg
from pydantic import BaseModel, Field, create_model

__all__ = [
    "given_fields",
    "is_required",
    "resolve_as",
    "resolver_of",
    "yaml_model",
    "yaml_model_of",
]


def yaml_model(name: str, fields: Mapping[str, tuple[Any, Any, str | None]]) -> type[BaseModel]:
    """Return the model of an object in YAML, from the type, default and description of each field.

    A template is accepted instead of any value.
    """
    given: dict[str, Any] = {
        field: (kind | str, Field(default=default, description=description))
        for field, (kind, default, description) in fields.items()
    }
    return create_model(name, __base__=dg.Model, **given)


def yaml_model_of(name: str, kind: type[Any], *, without: str = "") -> type[BaseModel]:
    """Return the model of an object in YAML that has the fields of a dataclass.

    Its docstring describes them.
    """
    described = _attributes_in_docstring(kind)
    hints = get_type_hints(kind)
    fields = [each for each in dataclasses.fields(kind) if each.init and each.name != without]
    # A field that is left out in YAML is not passed to the class, so its defaults apply.
    return yaml_model(
        name,
        {
            each.name: (hints[each.name], ..., described.get(each.name))
            if is_required(each)
            else (hints[each.name] | None, None, described.get(each.name))
            for each in fields
        },
    )


def _attributes_in_docstring(kind: type[Any]) -> dict[str, str]:
    _, _, text = (inspect.getdoc(kind) or "").partition("\nAttributes:\n")
    found = re.findall(r"^    (\w+): (.*(?:\n     +.*)*)", text, re.MULTILINE)
    return {name: " ".join(words.split()) for name, words in found}


def is_required(field: dataclasses.Field[Any]) -> bool:
    """Whether a field of a dataclass has no default."""
    return field.default is field.default_factory is dataclasses.MISSING


def given_fields(model: BaseModel) -> dict[str, Any]:
    """Return the fields that the YAML has."""
    return {name: getattr(model, name) for name in model.model_fields_set}


def resolve_as(kind: Callable[..., Any], context: dg.ResolutionContext, given: Any) -> Any:
    """Resolve an attribute that is a template of an object, or the arguments to build it."""
    if isinstance(given, BaseModel):
        return kind(**context.resolve_value(given_fields(given)))
    return context.resolve_value(given)


def resolver_of(kind: Callable[..., Any], model: Any, description: str) -> dg.Resolver:
    """Return how an attribute becomes an object: from a template, or with a function."""
    return dg.Resolver(partial(resolve_as, kind), model_field_type=model, description=description)
