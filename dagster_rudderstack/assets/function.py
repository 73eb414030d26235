"""The user's own function of a step: what it takes, and how it is called.

It is an ordinary function of Dagster: with the context, a config and resources, named and annotated
as in `@dg.asset`. Besides, it may take `sync`, which syncs the connections of the step.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, get_origin, get_type_hints

import dagster as dg

from dagster_rudderstack.dagster_internals import resource_parameters
from dagster_rudderstack.errors import InvalidSettingError
from dagster_rudderstack.options import RudderStackSyncConfig, config_fields
from dagster_rudderstack.settings import RESOURCE_KEY
from dagster_rudderstack.text import shown

__all__ = ["StepFunction", "config_schema", "read_function", "results_in"]

_OWN = ("context", RESOURCE_KEY, "sync")
"""The parameters that need no annotation."""

_REFUSED = {
    inspect.Parameter.VAR_POSITIONAL: "its parameters must have names",
    inspect.Parameter.VAR_KEYWORD: "its parameters must have names",
    inspect.Parameter.POSITIONAL_ONLY: "its parameters are passed by name, so remove the `/`",
}


@dataclass(frozen=True)
class StepFunction:
    """A function, and what it takes.

    Attributes:
        call: The function.
        own: What each parameter stands for that is the context, the resource or `sync`.
        resources: The annotations of further resources, by the parameter, which is their key.
        config: The class of its config. None if it takes none.
    """

    call: Callable[..., Any]
    own: Mapping[str, str]
    resources: Mapping[str, Any]
    config: type[dg.Config] | None

    def arguments(
        self, own: Mapping[str, object], resources: Mapping[str, object], config: dg.Config | None
    ) -> dict[str, object]:
        """Return the arguments of a call.

        Args:
            own: The context, the resource and `sync`, by these names.
            resources: All resources of the step by their keys.
            config: The config, if the function takes one.
        """
        given: dict[str, object] = {name: own[meaning] for name, meaning in self.own.items()}
        given |= {name: resources[name] for name in self.resources}
        return given if config is None else {**given, "config": config}


def read_function(function: object, resource_key: str) -> StepFunction:
    """Return what a function takes.

    Args:
        function: The function of the user.
        resource_key: The key of the step's `RudderStackResource`.

    Raises:
        InvalidSettingError: If it cannot be called with what a step has. The message names the
            parameter, and what it may be.
    """
    name = _name(function)
    if not callable(function):
        raise InvalidSettingError(f"execute is {shown(function)}: expected a function.")
    # The method is also that of an object that can be called.
    if any(map(_is_async, (function, getattr(function, "__call__", None)))):  # noqa: B004
        raise InvalidSettingError(
            f"{name} is async. Write it with `def`: Dagster does not interrupt an async function, "
            "so a canceled run would not stop its sync."
        )
    own, others = {}, []
    for parameter in _parameters(function, name):
        if parameter.kind in _REFUSED:
            raise InvalidSettingError(
                f"{name} takes {str(parameter)!r}: {_REFUSED[parameter.kind]}."
            )
        meaning = _own_meaning(parameter.name, resource_key)
        if meaning:
            own[parameter.name] = meaning
        elif parameter.annotation is not parameter.empty or parameter.default is parameter.empty:
            # Without an annotation, and with a default, it is a value that the user has bound.
            others.append(parameter)
    hints = _hints(function, others, name)
    resources = {each: hints[each] for each in resource_parameters(hints)}
    config = None
    for parameter in others:
        hint = hints.get(parameter.name)
        if parameter.name == "config":
            config = _checked_config(hint, name)
        elif parameter.name not in resources and parameter.default is parameter.empty:
            raise InvalidSettingError(
                f"{name} takes {parameter.name!r}. It can take {', '.join(map(repr, _OWN))}, "
                "'config' (a dagster.Config), and resources by their keys, each annotated with its "
                "class. The values of upstream assets are not loaded: name these assets in deps of "
                "the spec, and read their tables with a resource."
            )
    return StepFunction(function, own, resources, config)


def _is_async(function: object) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)


def _name(function: object) -> str:
    inner = function.func if isinstance(function, partial) else function
    return f"The function {getattr(inner, '__qualname__', shown(inner))}"


def _parameters(function: Callable[..., Any], name: str) -> Iterable[inspect.Parameter]:
    bound = function.keywords if isinstance(function, partial) else {}
    try:
        known = inspect.signature(function).parameters
        return [parameter for parameter in known.values() if parameter.name not in bound]
    except (TypeError, ValueError):
        raise InvalidSettingError(
            f"{name} does not say which parameters it has: expected a function that is written in "
            "Python."
        ) from None


def _own_meaning(parameter: str, resource_key: str) -> str | None:
    """Return what a parameter means. As in Dagster, underscores around it do not count."""
    word = parameter.strip("_")
    if word == resource_key:
        return RESOURCE_KEY
    return word if word in _OWN else None


def _hints(
    function: Callable[..., Any], parameters: Iterable[inspect.Parameter], name: str
) -> dict[str, Any]:
    """Return the annotations of parameters, with those that are strings resolved."""
    annotated = {
        each.name: each.annotation for each in parameters if each.annotation is not each.empty
    }

    def holder() -> None: ...

    holder.__annotations__ = annotated
    inner: Any = function.func if isinstance(function, partial) else function
    inner = inner if hasattr(inner, "__globals__") else getattr(inner, "__call__", inner)  # noqa: B004 - its globals are needed
    known = getattr(inspect.unwrap(inner), "__globals__", {})
    try:
        return get_type_hints(holder, globalns=known, include_extras=True)
    except Exception as error:
        raise InvalidSettingError(
            f"An annotation of {name[0].lower()}{name[1:]} cannot be resolved: {error}. Import its "
            "class at the top of the module, outside `if TYPE_CHECKING`."
        ) from error


def _checked_config(hint: object, name: str) -> type[dg.Config]:
    # In Python 3.10, `dict[str, int]` counts as a type, but not as a class.
    if isinstance(hint, type) and not get_origin(hint) and issubclass(hint, dg.Config):
        return hint
    raise InvalidSettingError(
        f"{name} takes 'config', which must be annotated with a subclass of dagster.Config, not "
        f"{shown(hint)}."
    )


# --- its config


def config_schema(own: type[dg.Config] | None) -> dict[str, dg.Field]:
    """Return the config of a step: how its syncs run, and what the function's own config has.

    Raises:
        InvalidSettingError: If both have a field of the same name, or if the function's own config
            accepts any field.
    """
    ours = config_fields(RudderStackSyncConfig)
    if own is None:
        return ours
    theirs = config_fields(own)
    both = {} if issubclass(own, RudderStackSyncConfig) else ours.keys() & theirs.keys()
    if both:
        raise InvalidSettingError(
            f"The config {own.__name__} has {', '.join(map(repr, sorted(both)))}, which is also a "
            "setting of the sync. Rename it, or make RudderStackSyncConfig the base of the class."
        )
    if own.model_config.get("extra") == "allow":
        raise InvalidSettingError(
            f"The config {own.__name__} accepts any field. Dagster takes such a config only alone, "
            "but a step also has the settings of its syncs. Declare the fields, or one of the type "
            "dict."
        )
    return {**ours, **theirs}


def configs_of(
    own: type[dg.Config] | None, given: Mapping[str, Any]
) -> tuple[RudderStackSyncConfig, dg.Config | None]:
    """Return how the syncs run, and the function's own config. None if it takes none."""
    if own is None:
        return RudderStackSyncConfig(**given), None
    if issubclass(own, RudderStackSyncConfig):
        config = own(**given)
        return config, config
    names = config_fields(RudderStackSyncConfig).keys()
    ours = {name: value for name, value in given.items() if name in names}
    theirs = {name: value for name, value in given.items() if name not in names}
    return RudderStackSyncConfig(**ours), own(**theirs)


# --- its results

# Some of them are tuples, so they must not be taken for several results.
_RESULTS = (
    dg.MaterializeResult,
    dg.ObserveResult,
    dg.AssetCheckResult,
    dg.Output,
    dg.AssetMaterialization,
    dg.AssetObservation,
)


def results_in(returned: object) -> Iterable[Any] | None:
    """Return the results that a function has yielded or returned. None if these are no results.

    As in Dagster, it may yield results, or return one or several.
    """
    if returned is None:
        return ()
    if isinstance(returned, _RESULTS):
        return (returned,)
    if isinstance(returned, str | bytes | Mapping):
        return None
    return returned if isinstance(returned, Iterable) else None
