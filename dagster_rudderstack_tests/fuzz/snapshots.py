"""Snapshots that are damaged, in memory and in a file."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from dagster_rudderstack import (
    RudderStackResource,
    WorkspaceSnapshot,
    build_rudderstack_assets_definitions,
    fetch_rudderstack_workspace,
)
from dagster_rudderstack.discovery.grouping import Grouping
from dagster_rudderstack.errors import RudderStackError
from dagster_rudderstack.testing import LocalRudderStack
from dagster_rudderstack_tests.discovery.conftest import fill
from dagster_rudderstack_tests.discovery.test_damaged_snapshot import DAMAGES
from dagster_rudderstack_tests.fuzz.watch import KEY, TOKEN, Watch

Case = Callable[[random.Random], None]

DAMAGED_SNAPSHOTS = 20
"""How many snapshots a case reads."""
GROUPINGS: tuple[Grouping, ...] = ("connection", "source", "destination", "all")
UNREACHABLE = RudderStackResource(
    access_token=TOKEN, extra_headers={"X-Key": KEY}, api_url="http://127.0.0.1:9"
)


@contextmanager
def snapshots(watch: Watch) -> Iterator[Case]:
    """Give a case: some damaged snapshots, and the assets of those that can be read."""
    with LocalRudderStack() as server:
        fill(server)
        resource = RudderStackResource(access_token=server.access_token, api_url=server.url)
        text = fetch_rudderstack_workspace(resource).dumps()
    yield partial(_case, text, watch)


def _case(text: str, watch: Watch, chance: random.Random) -> None:
    for number in range(DAMAGED_SNAPSHOTS):
        damaged = text
        for _ in range(chance.randrange(1, 3)):
            damaged = _damage(damaged, chance)
        path = Path(f"damaged-{number}.json")
        path.write_bytes(damaged.encode("utf-8", "surrogateescape"))
        try:
            WorkspaceSnapshot.loads(damaged)
            grouping = chance.choice(GROUPINGS)
            watch.show(
                build_rudderstack_assets_definitions(
                    UNREACHABLE, snapshot=path, grouping=grouping, disabled="mark"
                )
            )
        except RudderStackError as error:
            watch.show_error(error)
            _check_line(str(error))


def _check_line(text: str) -> None:
    assert text.isprintable(), f"not one line: {text!r}"


def _damage(text: str, chance: random.Random) -> str:
    """Damage a text. Most damages need JSON, and a text that is none stays as it is."""
    try:
        return chance.choice(DAMAGES)(text, chance)
    except (ValueError, IndexError, RecursionError):
        return text
