"""Snapshots that are damaged in every way: they load, or the error says what is wrong."""

import contextlib
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dagster_rudderstack import (
    DiscoveryError,
    RudderStackError,
    RudderStackResource,
    WorkspaceSnapshot,
    fetch_rudderstack_workspace,
    load_rudderstack_asset_specs,
)
from dagster_rudderstack.testing import LocalRudderStack
from dagster_rudderstack_tests.discovery.conftest import UNREACHABLE, fill

SEEDS = range(600)

LONGEST_MESSAGE = 700

VALUES = (
    *("null", "true", "-1", "99", "1e400", "NaN", "-Infinity", "9" * 4_000, "9" * 5_000),
    *('""', '"\\ud83d"', '"\\n"', '"' + "x" * 100_000 + '"', "[]", "{}", '{"\\ud83d\\n": 1}'),
    *('"0001-01-01T00:00:00Z"', '"9999-12-31T23:59:59-14:00"', '{"version": 1}', "[[[]]]"),
    *("[" * 500 + "]" * 500, "[" * 100_000 + "]" * 100_000, '{"a":' * 100_000 + "}" * 100_000),
)
"""JSON that nothing in a snapshot should be."""


def cut(text: str, chance: random.Random) -> str:
    return text[: chance.randrange(len(text))]


def flip_bytes(text: str, chance: random.Random) -> str:
    changed = bytearray(text.encode())
    for _ in range(chance.randrange(1, 5)):
        changed[chance.randrange(len(changed))] = chance.randrange(256)
    return changed.decode(errors="surrogateescape")


def insert(text: str, chance: random.Random) -> str:
    at = chance.randrange(len(text))
    return text[:at] + chance.choice(("\ufeff", "\x00", *VALUES)) + text[at:]


def replace_value(text: str, chance: random.Random) -> str:
    document = json.loads(text)
    parent, key = chance.choice(list(places(document)))
    parent[key] = "here"
    return json.dumps(document).replace('"here"', chance.choice(VALUES))


def rename_key(text: str, chance: random.Random) -> str:
    document = json.loads(text)
    parent, key = chance.choice([each for each in places(document) if isinstance(each[1], str)])
    parent["here"] = parent.pop(key) if chance.random() < 0.5 else 7
    name = chance.choice((key, f"{key}\n\x1b[31m", "x" * 10_000, "table", "id"))
    return json.dumps(document).replace('"here"', json.dumps(name))


def swap_values(text: str, chance: random.Random) -> str:
    document = json.loads(text)
    (one, key), (other, other_key) = chance.sample(list(places(document)), 2)
    with contextlib.suppress(ValueError):  # One may contain the other.
        copy = json.loads(json.dumps(one[key]))
        one[key], other[other_key] = json.loads(json.dumps(other[other_key])), copy
    return json.dumps(document)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each value in a document, as its parent and its key or index in it."""
    if isinstance(value, (dict, list)):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from places(value[key])


DAMAGES: tuple[Callable[[str, random.Random], str], ...] = (
    *(cut, flip_bytes, insert, replace_value, rename_key, swap_values),
)


@pytest.fixture
def text(server: LocalRudderStack, rudderstack: RudderStackResource) -> str:
    """A good snapshot."""
    fill(server)
    return fetch_rudderstack_workspace(rudderstack).dumps()


def outcome(text: str) -> tuple[WorkspaceSnapshot | None, str]:
    """Return the snapshot in a text, or the message of the error."""
    try:
        return WorkspaceSnapshot.loads(text), ""
    except DiscoveryError as error:
        return None, error.message


def test_damaged(text: str) -> None:
    """A damaged snapshot loads, or raises an error with one short line. So do its assets."""
    loaded = 0
    for seed in SEEDS:
        chance = random.Random(seed)  # noqa: S311 - repeatable
        snapshot, message = outcome(chance.choice(DAMAGES)(text, chance))
        assert message.isprintable(), seed
        assert len(message) <= LONGEST_MESSAGE, seed
        if snapshot is None:
            continue
        loaded += 1
        with contextlib.suppress(RudderStackError):
            load_rudderstack_asset_specs(UNREACHABLE, snapshot=snapshot, disabled="mark")
        with contextlib.suppress(DiscoveryError):
            snapshot.dumps()

    assert loaded > len(SEEDS) / 20


def test_cut_anywhere(text: str) -> None:
    """A snapshot that was cut off is damaged, wherever it was cut."""
    for length in range(len(text)):
        with pytest.raises(DiscoveryError, match="is damaged"):
            WorkspaceSnapshot.loads(text[:length])
