"""Keeps the secrets of a workspace in YAML out of the errors about a component.

An error of pydantic shows the wrong value. That may be a token under a misspelled name, or all
settings of the workspace because one is missing. Dagster shows the value again, whatever the
settings of the model are, and prints the lines of the file around an attribute that it cannot
resolve.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

import dagster as dg
from pydantic import BaseModel, ValidationError, create_model, model_validator
from pydantic.functional_validators import ModelWrapValidatorHandler

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
    return create_model(model.__name__, __base__=model, __validators__={"hide_values": hide})


def _hide_values(
    cls: type[BaseModel],  # noqa: ARG001 - pydantic's signature
    given: Any,
    build: ModelWrapValidatorHandler[BaseModel],
) -> BaseModel:
    try:
        return build(given)
    except ValidationError as error:
        problems: list[Any] = [
            each if _is_harmless(each) else {**each, "input": _Hidden()}
            for each in error.errors(include_url=False)
        ]
        raise _error(error.title, problems) from None


def _error(title: str, problems: list[Any]) -> ValidationError:
    try:
        return ValidationError.from_exception_data(title, problems)
    except KeyError:
        # A user's validator has raised an error of a type that pydantic does not know.
        known = [
            {**each, "type": "value_error", "ctx": {"error": ValueError(each["msg"])}}
            for each in problems
        ]
        return ValidationError.from_exception_data(title, known)  # type: ignore[arg-type]


def _is_harmless(problem: Mapping[str, Any]) -> bool:
    """Whether a value may be shown. An unknown attribute may be a setting of the workspace."""
    is_of_workspace = problem["loc"][:1] == ("workspace",) or problem["type"] == "extra_forbidden"
    return not is_of_workspace and not isinstance(problem["input"], (dict, list))


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
