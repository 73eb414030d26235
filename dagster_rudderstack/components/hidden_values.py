"""Keeps the secrets of a workspace in YAML out of the errors about a component.

An error of pydantic shows the wrong value. That may be a token under a misspelled name, or all
settings of the workspace because one is missing. Dagster shows the value again, whatever the
settings of the model are, and prints the lines of the file around an attribute that it cannot
resolve.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import dagster as dg
from pydantic import BaseModel, ValidationError, create_model, model_validator
from pydantic.functional_validators import ModelWrapValidatorHandler

from dagster_rudderstack.components.models import YamlModel, validation_error
from dagster_rudderstack.dagster_internals import ResolutionException
from dagster_rudderstack.errors import RudderStackError
from dagster_rudderstack.resource_settings import setting_error

__all__ = ["without_source_lines", "without_values"]


class _Hidden:
    """Stands for a value in an error."""

    def __repr__(self) -> str:
        return "***"


@cache
def without_values(model: type[BaseModel]) -> type[BaseModel]:
    """Return a model like this one, with errors that show no value of the workspace."""
    hide: Any = model_validator(mode="wrap")(_hide_values)
    base: Any = (YamlModel, model)
    return create_model(model.__name__, __base__=base, __validators__={"hide_values": hide})


def _hide_values(
    cls: type[BaseModel],  # noqa: ARG001 - pydantic's signature
    given: Any,
    build: ModelWrapValidatorHandler[BaseModel],
) -> BaseModel:
    try:
        return build(given)
    except ValidationError as error:
        problems: list[Any] = [
            {**each, "loc": tuple(part for part in each["loc"] if not _is_function(part))}
            for each in error.errors(include_url=False)
        ]
        hidden = [
            each if _is_harmless(each) else {**each, "input": _Hidden()}
            for each in problems
            if not _is_of_another_kind(each, problems)
        ]
        raise validation_error(error.title, hidden) from None


def _is_function(part: object) -> bool:
    """Whether a part of the place of a problem is a function of ours, and no key in the YAML."""
    return isinstance(part, str) and part.startswith("function-")


def _is_of_another_kind(problem: Mapping[str, Any], problems: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a problem only says that an object, in which another problem is, is no text."""
    if not _says_that_an_object_is_another_kind(problem):
        return False
    place = problem["loc"][:-1]
    return any(
        each["loc"][: len(place)] == place and not _says_that_an_object_is_another_kind(each)
        for each in problems
    )


def _says_that_an_object_is_another_kind(problem: Mapping[str, Any]) -> bool:
    kinds = ("string_type", "bool_type")
    return problem["type"] in kinds and isinstance(problem["input"], Mapping)


def _is_harmless(problem: Mapping[str, Any]) -> bool:
    """Whether a value may be shown. An unknown attribute may be a setting of the workspace."""
    is_of_workspace = problem["loc"][:1] == ("workspace",)
    # Our own errors have this type, and the message says what is wrong with the value.
    may_be_secret = is_of_workspace or problem["type"] in ("extra_forbidden", "value_error")
    return not may_be_secret and not isinstance(problem["input"], (dict, list))


@contextmanager
def without_source_lines(
    attribute: str, context: dg.ResolutionContext
) -> Iterator[dg.ResolutionContext]:
    """Resolve an attribute with a context whose errors do not have the lines of the file."""
    try:
        yield context.with_source_position_tree(None)  # type: ignore[arg-type]
    except ValidationError as error:
        raise ResolutionException(f"{attribute}: {setting_error(error)}") from None
    except RudderStackError as error:
        raise ResolutionException(f"{attribute}: {error}") from None
