"""Selects connections of a workspace."""

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import dagster as dg

from dagster_rudderstack.discovery.props import RudderStackConnectionProps
from dagster_rudderstack.errors import DiscoveryError, InvalidSettingError
from dagster_rudderstack.text import did_you_mean, shown

__all__ = ["RudderStackConnectionSelector", "Selector"]

MAX_CHOICES = 10
"""How many choices an error lists if it has none to suggest."""


@dataclass(frozen=True)
class RudderStackConnectionSelector:
    """Selects connections that meet every criterion. Within a criterion, one value is enough.

        RudderStackConnectionSelector(destinations=["HubSpot"], sources=["customers*"])

    Names are compared without regard to case, and may contain the wildcards `*` and `?`. A single
    value needs no list.

    Attributes:
        ids: Ids of connections.
        names: Names of connections: `source to destination`, plus ` (object)` if there is one.
        sources: Names or ids of sources.
        destinations: Names or ids of destinations.
        tags: Tags of the assets, with their values, after translation.
        predicate: A function of the connection and its upstream tables.

    Raises:
        InvalidSettingError: If a value is not a string, or the predicate is not a function.
        DiscoveryError: When it is applied, if a value does not exist in the workspace. The message
            suggests the nearest one.
    """

    ids: Sequence[str] = ()
    names: Sequence[str] = ()
    sources: Sequence[str] = ()
    destinations: Sequence[str] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    predicate: Callable[[RudderStackConnectionProps], bool] | None = None

    def __post_init__(self) -> None:
        for criterion in _CRITERIA:
            values = _texts(getattr(self, criterion.setting), criterion.setting)
            object.__setattr__(self, criterion.setting, values)
        object.__setattr__(self, "tags", _tags(self.tags))
        if self.predicate is not None and not callable(self.predicate):
            raise InvalidSettingError(
                f"predicate is {shown(self.predicate)}: expected a function of the connection."
            )

    def select(
        self, connections: Iterable[RudderStackConnectionProps]
    ) -> list[RudderStackConnectionProps]:
        """Return the connections that meet all criteria except the tags."""
        return self.select_by_predicate(self.select_by_name(connections))

    def select_by_name(
        self, connections: Iterable[RudderStackConnectionProps]
    ) -> list[RudderStackConnectionProps]:
        """Return the connections that meet all criteria except the tags and the predicate."""
        selected = list(connections)
        everything = list(selected)
        for criterion in _CRITERIA:
            values = getattr(self, criterion.setting)
            if values:
                words = criterion.matching_words(values, everything)
                selected = [props for props in selected if words & criterion.words_of(props)]
        return selected

    def named(
        self, selected: Sequence[RudderStackConnectionProps]
    ) -> Iterator[list[RudderStackConnectionProps]]:
        """Yield, for each value without wildcards, which of the selected connections it names."""
        for criterion in _CRITERIA:
            by_word: dict[str, list[RudderStackConnectionProps]] = defaultdict(list)
            for props in selected:
                for word in criterion.words_of(props):
                    by_word[word].append(props)
            yield from (
                by_word[word]
                for word in map(criterion.fold, getattr(self, criterion.setting))
                if word in by_word
            )

    def select_by_predicate(
        self, connections: Iterable[RudderStackConnectionProps]
    ) -> list[RudderStackConnectionProps]:
        """Return the connections that the predicate accepts. All if there is no predicate."""
        return [props for props in connections if self.predicate is None or self.predicate(props)]

    def select_tagged(self, specs: Sequence[dg.AssetSpec]) -> list[dg.AssetSpec]:
        """Return the assets that have all the tags."""
        tagged = [spec for spec in specs if self.tags.items() <= spec.tags.items()]
        if specs and self.tags and not tagged:
            known = {f"{name}={value}" for spec in specs for name, value in spec.tags.items()}
            for name, value in self.tags.items():
                _check_known(f"{name}={value}", known, "asset has the tag")
        return tagged


def _texts(given: object, setting: str) -> tuple[str, ...]:
    """Return the values of a criterion. Empty for None."""
    if given is None:
        return ()
    if isinstance(given, str):
        return (given,)
    values: tuple[Any, ...] = (given,)
    if isinstance(given, Iterable) and not isinstance(given, Mapping | bytes):
        values = tuple(given)
    if not all(isinstance(value, str) for value in values):
        raise InvalidSettingError(
            f"{setting} of the selector is {shown(given)}: expected a list of strings."
        )
    return values


def _tags(given: object) -> Mapping[str, str]:
    if given is None:
        return {}
    if not isinstance(given, Mapping) or not all(
        isinstance(text, str) for tag in given.items() for text in tag
    ):
        raise InvalidSettingError(
            f"tags of the selector is {shown(given)}: expected a mapping of strings to strings, "
            "such as {'tier': 'gold'}. In YAML, put quotes around true, false and numbers."
        )
    return given


Selector = RudderStackConnectionSelector | Callable[[RudderStackConnectionProps], bool]
"""A selector, or just its predicate."""


@dataclass(frozen=True)
class _Criterion:
    setting: str
    words: Callable[[RudderStackConnectionProps], tuple[str, ...]]
    what: str
    fold: Callable[[str], str]

    def words_of(self, props: RudderStackConnectionProps) -> set[str]:
        return set(map(self.fold, self.words(props)))

    def matching_words(
        self, values: Iterable[str], connections: Sequence[RudderStackConnectionProps]
    ) -> set[str]:
        """Return the words of the connections, as in `words_of`, that match a value."""
        spelling = {self.fold(word): word for props in connections for word in self.words(props)}
        matching = set()
        for value in values:
            found = _matching(self.fold(value), spelling.keys())
            if not found:
                _check_known(value, set(spelling.values()), self.what)
            matching |= found
        return matching


def _folded(word: str) -> str:
    return " ".join(word.casefold().split())


_CRITERIA = (
    _Criterion("ids", lambda props: (props.id,), "connection has the id", str.strip),
    _Criterion("names", lambda props: (props.name,), "connection has the name", _folded),
    _Criterion(
        "sources",
        lambda props: (props.source_name, props.connection.source_id),
        "connection's source has the name or id",
        _folded,
    ),
    _Criterion(
        "destinations",
        lambda props: (props.destination_name, props.connection.destination_id),
        "connection's destination has the name or id",
        _folded,
    ),
)


def _matching(value: str, words: Collection[str]) -> set[str]:
    if value in words:
        return {value}
    if not re.search(r"[*?]", value):
        return set()
    # A bracket is part of a name, not a set of characters.
    pattern = value.replace("[", "[[]")
    return {word for word in words if fnmatchcase(word, pattern)}


def _check_known(value: str, known: set[str], what: str) -> None:
    """Raise an error that suggests the nearest known value, if a value is not known."""
    if value in known:
        return
    hint = did_you_mean(value, known) or f" {_choices(sorted(known))}"
    raise DiscoveryError(f"No {what} {value!r}.{hint}")


def _choices(known: Sequence[str]) -> str:
    if not known:
        return "The workspace has no connections that the access token may read."
    listed = ", ".join(repr(word) for word in known[:MAX_CHOICES])
    more = f" and {len(known) - MAX_CHOICES} more" if len(known) > MAX_CHOICES else ""
    return f"Known: {listed}{more}."
