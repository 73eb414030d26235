"""Which connections a selector selects, and what it says about names that are wrong."""

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
    "nothing said": ({}, "c1 c2 c3"),
    "id": ({"ids": ["c2"]}, "c2"),
    "ids": ({"ids": ["c3", "c1"]}, "c1 c3"),
    "name": ({"names": ["Customers to HubSpot"]}, "c1"),
    "name in another case": ({"names": ["customers TO  hubspot"]}, "c1"),
    "source": ({"sources": ["Customers"]}, "c1 c2"),
    "source's id": ({"sources": ["s-Customers"]}, "c1 c2"),
    "destination": ({"destinations": ["HubSpot"]}, "c1 c3"),
    "destinations": ({"destinations": ["HubSpot", "Braze [EU]"]}, "c1 c2 c3"),
    "destination without a list": ({"destinations": "HubSpot"}, "c1 c3"),
    "wildcard": ({"destinations": ["hub*"]}, "c1 c3"),
    "wildcard beside a bracket": ({"destinations": ["Braze [e?]"]}, "c2"),
    "both source and destination": (
        {"sources": ["Customers"], "destinations": ["HubSpot"]},
        "c1",
    ),
    "none has both": ({"ids": ["c2"], "destinations": ["HubSpot"]}, ""),
    "function": ({"predicate": lambda each: each.id > "c1"}, "c2 c3"),
    "function and name": (
        {"predicate": lambda each: each.id > "c1", "sources": ["Customers"]},
        "c2",
    ),
}


@pytest.mark.parametrize(("criteria", "ids"), SELECTED.values(), ids=SELECTED.keys())
def test_selected(criteria: dict[str, Any], ids: str) -> None:
    """Connections are selected that meet every criterion given."""
    selected = RudderStackConnectionSelector(**criteria).select(CONNECTIONS)

    assert " ".join(each.id for each in selected) == ids


WRONG: dict[str, tuple[dict[str, Any], str]] = {
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
    "wildcard": ({"destinations": ["zzz*"]}, "There are 'Braze [EU]', 'HubSpot', 'd-Braze [EU]'"),
    "one of two": ({"ids": ["c1", "nope"]}, "No connection has the id 'nope'. There are 'c1', "),
}


@pytest.mark.parametrize(("criteria", "words"), WRONG.values(), ids=WRONG.keys())
def test_wrong_name(criteria: dict[str, Any], words: str) -> None:
    """A value that no connection has is an error that names the nearest one."""
    with pytest.raises(DiscoveryError, match=re.escape(words)):
        RudderStackConnectionSelector(**criteria).select(CONNECTIONS)


NOTHING: dict[str, dict[str, Any]] = {
    name: {name: None} for name in ("ids", "names", "sources", "destinations", "tags", "predicate")
}


@pytest.mark.parametrize("criteria", NOTHING.values(), ids=NOTHING.keys())
def test_criterion_that_is_nothing(criteria: dict[str, Any]) -> None:
    """None, as YAML's null, is no criterion."""
    selector = RudderStackConnectionSelector(**criteria)

    assert selector.select(CONNECTIONS) == CONNECTIONS
    assert selector.select_tagged(SPECS) == SPECS


MISTAKEN: dict[str, tuple[dict[str, Any], str]] = {
    "a number among ids": (
        {"ids": [1]},
        r"ids of the selector is \[1\]: expected a list of strings",
    ),
    "a number for names": ({"names": 1}, "names of the selector is 1: expected a list of strings"),
    "a mapping for sources": ({"sources": {"a": "b"}}, "sources of the selector is {'a': 'b'}"),
    "a text for tags": ({"tags": "x"}, "tags of the selector is 'x': expected a mapping"),
    "a list for tags": ({"tags": ["x"]}, r"tags of the selector is \['x'\]: expected a mapping"),
    "a bool for a tag": ({"tags": {"a": False}}, "{'a': False}: .* put quotes"),
    "a text for the function": ({"predicate": "x"}, "predicate is 'x': expected a function"),
}


@pytest.mark.parametrize(("criteria", "words"), MISTAKEN.values(), ids=MISTAKEN.keys())
def test_mistaken_criterion(criteria: dict[str, Any], words: str) -> None:
    """A criterion of a wrong type is refused when the selector is made, with its name."""
    with pytest.raises(InvalidSettingError, match=words):
        RudderStackConnectionSelector(**criteria)


def test_many_choices() -> None:
    """Of many choices, none of them near, a few are listed."""
    many = [props(f"c{number:02}", "S", "D") for number in range(30)]

    with pytest.raises(DiscoveryError, match=r"'c09' and 20 more\.$"):
        RudderStackConnectionSelector(ids=["zzz"]).select(many)


def test_empty_workspace() -> None:
    """In an empty workspace a name is wrong for a reason of its own."""
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
    """Assets are selected that have all the tags."""
    selected = RudderStackConnectionSelector(tags=tags).select_tagged(SPECS)

    assert " ".join(spec.key.to_user_string() for spec in selected) == keys


def test_wrong_tag() -> None:
    """A tag that no asset has is an error that names the nearest one."""
    with pytest.raises(DiscoveryError, match=r"has the tag 'team=cmr'\. Did you mean 'team=crm'\?"):
        RudderStackConnectionSelector(tags={"team": "cmr"}).select_tagged(SPECS)
