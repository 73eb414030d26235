"""A local RudderStack for each region, and a command line that takes them for the real ones."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from dagster_rudderstack.cli.access import Surroundings
from dagster_rudderstack.cli.main import main
from dagster_rudderstack.testing import LocalRudderStack, ManualClock

TOKEN = "rst-0123456789abcdefghij"
TOKEN_OF_EU = "rst-abcdefghij0123456789"
URLS = {"us": "https://api.rudderstack.com", "eu": "https://api.eu.rudderstack.com"}


@dataclass
class Result:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The only JSON document of the output."""
        return json.loads(self.out)


@dataclass
class CommandLine:
    """Runs commands in this process. It has the real addresses in its output."""

    us: LocalRudderStack
    eu: LocalRudderStack
    environ: dict[str, str] = field(default_factory=lambda: {"RUDDERSTACK_ACCESS_TOKEN": TOKEN})
    sleeps: list[float] = field(default_factory=list)
    urls: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.urls = {"us": self.us.url, "eu": self.eu.url}

    @property
    def clock(self) -> ManualClock:
        """The clock of the US region."""
        assert isinstance(self.us.clock, ManualClock)
        return self.us.clock

    def sleep(self, seconds: float) -> None:
        """Let the time of the syncs pass instead of waiting."""
        self.sleeps.append(seconds)
        self.clock.advance(seconds)

    def __call__(self, *arguments: str, **environ: str) -> Result:
        """Run a command."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(
                arguments,
                Surroundings(
                    environ={**self.environ, **environ},
                    hosts=self.urls,
                    sleep=self.sleep,
                    monotonic=self.clock.monotonic,
                    jitter=lambda: 0.5,
                ),
            )
        result = Result(code, self.shown(out.getvalue()), self.shown(err.getvalue()))
        assert TOKEN not in result.out + result.err
        assert TOKEN_OF_EU not in result.out + result.err
        return result

    def shown(self, text: str) -> str:
        """Return a text with RudderStack's own addresses."""
        for region, url in self.urls.items():
            text = text.replace(url, URLS[region])
            text = text.replace(url.removeprefix("http://"), URLS[region].removeprefix("https://"))
        return text


@pytest.fixture
def us() -> Iterator[LocalRudderStack]:
    """The US region, whose clock stands still. Its workspace has one connection."""
    with LocalRudderStack(TOKEN, clock=ManualClock()) as server:
        server.add_source("src-1", name="Customers", definition="snowflake")
        server.add_destination("dst-1", name="HubSpot", type="HS")
        server.add_connection("crm-contacts", "src-1", "dst-1")
        yield server
        assert server.errors == []


@pytest.fixture
def eu() -> Iterator[LocalRudderStack]:
    """The EU region, with another token."""
    with LocalRudderStack(TOKEN_OF_EU, clock=ManualClock()) as server:
        yield server
        assert server.errors == []


@pytest.fixture
def cli(us: LocalRudderStack, eu: LocalRudderStack) -> CommandLine:
    """The command line."""
    return CommandLine(us, eu)
