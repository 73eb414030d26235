"""The models of objects in YAML, and how such an object is resolved."""

import dataclasses
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from functools import partial
from types import UnionType
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin, get_type_hints

import dagster as dg
from pydantic import (
    BaseModel,
    Field,
    GetJsonSchemaHandler,
    Strict,
    ValidationError,
    create_model,
    model_validator,
)
from pydantic.functional_validators import ModelWrapValidatorHandler
from pydantic.json_schema import JsonSchemaValue

from dagster_rudderstack.api.validation import name_hint

__all__ = [
    "Number",
    "WholeNumber",
    "YamlModel",
    "given_fields",
    "is_required",
    "resolve_as",
    "resolver_of",
    "validation_error",
    "words_of_yaml",
    "yaml_model",
    "yaml_model_of",
]


class YamlModel(dg.Model):
    """Base of the models of objects in YAML.

    The error for an unknown key suggests the nearest one. The schema, which `dg check yaml` and
    editors use, accepts a text instead of a number, a flag or a choice only if it is a template.
    """

    renamed: ClassVar[Mapping[str, str]] = {}
    """What to use instead of names of other packages, as a sentence."""

    @model_validator(mode="wrap")
    @classmethod
    def _suggest(cls, given: Any, build: ModelWrapValidatorHandler[Any]) -> Any:
        try:
            return build(given)
        except ValidationError as error:
            problems = [cls._explained(each) for each in error.errors(include_url=False)]
            raise validation_error(error.title, problems) from None

    @classmethod
    def _explained(cls, problem: Any) -> Any:
        (name, *inner) = problem["loc"] or (None,)
        if problem["type"] != "extra_forbidden" or inner:
            return problem
        hint = name_hint(str(name), cls.model_fields, cls.renamed)
        return _with_message(problem, f"There is no attribute {name!r}.{hint}")

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: Any, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        schema = handler(core_schema)
        properties = handler.resolve_ref_schema(schema)["properties"]
        for name, field in cls.model_fields.items():
            if pattern := _pattern_of(field.annotation):
                properties[name]["pattern"] = pattern
        return schema


def validation_error(title: str, problems: Sequence[Any]) -> ValidationError:
    """Return an error of pydantic with these problems."""
    try:
        return ValidationError.from_exception_data(title, list(problems))
    except KeyError:
        # A user's validator has raised an error of a type that pydantic does not know.
        known = [_with_message(each, each["msg"]) for each in problems]
        return ValidationError.from_exception_data(title, known)


def _with_message(problem: Mapping[str, Any], message: str) -> Any:
    """Return a problem with a message of its own. Dagster makes the others from the types."""
    return {**problem, "type": "value_error", "ctx": {"error": ValueError(message)}}


def _pattern_of(annotation: Any) -> str | None:
    """Return what a text must match. None if any text may be right."""
    choices = {kind: _words_of(kind) for kind in _kinds_in(annotation) - {str, type(None)}}
    others = {kind for kind, words in choices.items() if not words}
    if not choices or not others <= {int, float, bool}:
        return None
    words = sorted(word for words in choices.values() for word in words)
    exact = f"^({'|'.join(words)})$|" if words else ""
    return exact + r"\{\{"


def _words_of(kind: Any) -> list[str]:
    """Return the words of a choice. Empty for another type."""
    if isinstance(kind, type) and issubclass(kind, Enum):
        return [each.value for each in kind]
    return list(get_args(kind)) if get_origin(kind) is Literal else []


def _kinds_in(annotation: Any) -> set[Any]:
    if get_origin(annotation) is Annotated:
        return _kinds_in(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return {kind for each in get_args(annotation) for kind in _kinds_in(each)}
    return {annotation}


WholeNumber = Annotated[int, Strict()]
"""A number, and not `true`, which Python counts as 1."""
Number = Annotated[float, Strict()]


_WORDS_OF_YAML = {"None": "null", "True": "true", "False": "false"}


def words_of_yaml(description: str | None) -> str | None:
    """Return a description of an argument in the words of someone who writes YAML."""
    if description is None:
        return None
    return re.sub(r"\b(None|True|False)\b", lambda word: _WORDS_OF_YAML[word[0]], description)


def yaml_model(name: str, fields: Mapping[str, tuple[Any, Any, str | None]]) -> type[YamlModel]:
    """Return the model of an object in YAML, from the type, default and description of each field.

    A template is accepted instead of any value.
    """
    given: dict[str, Any] = {
        field: (kind | str, Field(default=default, description=words_of_yaml(description)))
        for field, (kind, default, description) in fields.items()
    }
    return create_model(name, __base__=YamlModel, **given)


def yaml_model_of(name: str, kind: type[Any], *, without: str = "") -> type[YamlModel]:
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
