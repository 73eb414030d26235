"""Which connections a selector selects, and its errors for wrong values."""

import re
from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack import (
    Connection,
    DiscoveryError,
    InvalidSettingError,
    RudderStackConnectionProps,
    RudderStackConnectionSelector,
)
from dagster_rudderstack.api.models import Destination, Source


def props(number: str, source: str, destination: str) -> RudderStackConnectionProps:
    ids = {"id": number, "sourceId": f"s-{source}", "destinationId": f"d-{destination}"}
    return RudderStackConnectionProps(
        connection=Connection.model_validate(ids),
        source=Source(id=ids["sourceId"], name=source, source_type="table"),
        destination=Destination(id=ids["destinationId"], name=destination, type="HS"),
    )


CONNECTIONS = [
    props("c1", "Customers", "HubSpot"),
    props("c2", "Customers", "Braze [EU]"),
    props("c3", "Big spenders", "HubSpot"),
]

SELECTED: dict[str, tuple[dict[str, Any], str]] = {
    "no criterion": ({}, "c1 c2 c3"),
    "id": ({"ids": ["c2"]}, "c2"),
    "ids": ({"ids": ["c3", "c1"]}, "c1 c3"),
    "name": ({"names": ["Customers to HubSpot"]}, "c1"),
    "name in another case": ({"names": ["customers TO  hubspot"]}, "c1"),
    "source": ({"sources": ["Customers"]}, "c1 c2"),
    "id of a source": ({"sources": ["s-Customers"]}, "c1 c2"),
    "destination": ({"destinations": ["HubSpot"]}, "c1 c3"),
    "destinations": ({"destinations": ["HubSpot", "Braze [EU]"]}, "c1 c2 c3"),
    "destination without a list": ({"destinations": "HubSpot"}, "c1 c3"),
    "wildcard": ({"destinations": ["hub*"]}, "c1 c3"),
    "wildcard and bracket": ({"destinations": ["Braze [e?]"]}, "c2"),
    "both source and destination": (
        {"sources": ["Customers"], "destinations": ["HubSpot"]},
        "c1",
    ),
    "no connection meets both": ({"ids": ["c2"], "destinations": ["HubSpot"]}, ""),
    "function": ({"predicate": lambda each: each.id > "c1"}, "c2 c3"),
    "function and name": (
        {"predicate": lambda each: each.id > "c1", "sources": ["Customers"]},
        "c2",
    ),
}


@pytest.mark.parametrize(("criteria", "ids"), SELECTED.values(), ids=SELECTED.keys())
def test_selected(criteria: dict[str, Any], ids: str) -> None:
    """A connection is selected if it meets every criterion."""
    selected = RudderStackConnectionSelector(**criteria).select(CONNECTIONS)

    assert " ".join(each.id for each in selected) == ids


UNKNOWN: dict[str, tuple[dict[str, Any], str]] = {
    "id": ({"ids": ["c12"]}, "No connection has the id 'c12'. Did you mean 'c"),
    "id in another case": ({"ids": ["C1"]}, "No connection has the id 'C1'. Did you mean 'c1'?"),
    "name": (
        {"names": ["Custmers to HubSpot"]},
        "No connection has the name 'Custmers to HubSpot'. Did you mean 'Customers to HubSpot'?",
    ),
    "source": (
        {"sources": ["Big spender"]},
        "No connection's source has the name or id 'Big spender'. Did you mean 'Big spenders'?",
    ),
    "destination": (
        {"destinations": ["Hubspott"]},
        "No connection's destination has the name or id 'Hubspott'. Did you mean 'HubSpot'?",
    ),
    "wildcard": ({"destinations": ["zzz*"]}, "Known: 'Braze [EU]', 'HubSpot', 'd-Braze [EU]'"),
    "one of two": ({"ids": ["c1", "nope"]}, "No connection has the id 'nope'. Known: 'c1', "),
}


@pytest.mark.parametrize(("criteria", "words"), UNKNOWN.values(), ids=UNKNOWN.keys())
def test_unknown_value(criteria: dict[str, Any], words: str) -> None:
    """A value that no connection has is an error that suggests the nearest value."""
    with pytest.raises(DiscoveryError, match=re.escape(words)):
        RudderStackConnectionSelector(**criteria).select(CONNECTIONS)


NONE: dict[str, dict[str, Any]] = {
    name: {name: None} for name in ("ids", "names", "sources", "destinations", "tags", "predicate")
}


@pytest.mark.parametrize("criteria", NONE.values(), ids=NONE.keys())
def test_criterion__none(criteria: dict[str, Any]) -> None:
    """A criterion that is None, such as null in YAML, is ignored."""
    selector = RudderStackConnectionSelector(**criteria)

    assert selector.select(CONNECTIONS) == CONNECTIONS
    assert selector.select_tagged(SPECS) == SPECS


WRONG_TYPES: dict[str, tuple[dict[str, Any], str]] = {
    "number in ids": (
        {"ids": [1]},
        r"ids of the selector is \[1\]: expected a list of strings",
    ),
    "number for names": ({"names": 1}, "names of the selector is 1: expected a list of strings"),
    "mapping for sources": ({"sources": {"a": "b"}}, "sources of the selector is {'a': 'b'}"),
    "string for tags": ({"tags": "x"}, "tags of the selector is 'x': expected a mapping"),
    "list for tags": ({"tags": ["x"]}, r"tags of the selector is \['x'\]: expected a mapping"),
    "bool for a tag": ({"tags": {"a": False}}, "{'a': False}: .* put quotes"),
    "string for the predicate": ({"predicate": "x"}, "predicate is 'x': expected a function"),
}


@pytest.mark.parametrize(("criteria", "words"), WRONG_TYPES.values(), ids=WRONG_TYPES.keys())
def test_criterion__wrong_type(criteria: dict[str, Any], words: str) -> None:
    """A selector with a criterion of a wrong type cannot be made. The error names the criterion."""
    with pytest.raises(InvalidSettingError, match=words):
        RudderStackConnectionSelector(**criteria)


def test_criterion__long_value() -> None:
    """The error shows a long wrong value on one line and cut to 100 characters."""
    with pytest.raises(InvalidSettingError) as caught:
        RudderStackConnectionSelector(ids=[1] * 1_000)  # type: ignore[list-item]

    value = caught.value.message.removeprefix("ids of the selector is ").partition(":")[0]
    assert value == "[" + "1, " * 32 + "1,…"


def test_many_choices() -> None:
    """The error lists a few of many choices if none is similar."""
    many = [props(f"c{number:02}", "S", "D") for number in range(30)]

    with pytest.raises(DiscoveryError, match=r"'c09' and 20 more\.$"):
        RudderStackConnectionSelector(ids=["zzz"]).select(many)


def test_empty_workspace() -> None:
    """The error for an empty workspace says that it has no connections."""
    with pytest.raises(DiscoveryError, match="The workspace has no connections"):
        RudderStackConnectionSelector(ids=["c1"]).select([])


SPECS = [
    dg.AssetSpec("a", tags={"team": "crm", "tier": "1"}),
    dg.AssetSpec("b", tags={"team": "crm"}),
    dg.AssetSpec("c", tags={"team": "ads"}),
]


@pytest.mark.parametrize(
    ("tags", "keys"),
    [({}, "a b c"), ({"team": "crm"}, "a b"), ({"team": "crm", "tier": "1"}, "a")],
    ids=["none", "one", "both"],
)
def test_tags(tags: dict[str, str], keys: str) -> None:
    """An asset is selected if it has all the tags."""
    selected = RudderStackConnectionSelector(tags=tags).select_tagged(SPECS)

    assert " ".join(spec.key.to_user_string() for spec in selected) == keys


def test_tags__unknown() -> None:
    """A tag that no asset has is an error that suggests the nearest tag."""
    with pytest.raises(DiscoveryError, match=r"has the tag 'team=cmr'\. Did you mean 'team=crm'\?"):
        RudderStackConnectionSelector(tags={"team": "cmr"}).select_tagged(SPECS)
