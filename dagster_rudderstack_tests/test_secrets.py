"""The secrets of a resource are in no text, log, event or GraphQL answer."""

import json
import logging
import os
import pickle
import pprint
import signal
import socket
import subprocess
import sys
import time
import traceback
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from pydantic import ValidationError

from dagster_rudderstack import RudderStackResource, build_rudderstack_sync_asset
from dagster_rudderstack.errors import ApiError
from dagster_rudderstack.testing import Fault, LocalRudderStack, SyncScript
from dagster_rudderstack_tests.api.raw_server import Cut, client_of, exchange, http

TOKEN = "2hZ9kQ7sT0kenOfTheTest4711"
OTHERS = {
    "proxy_url": "http://me:hush-hush@proxy.example:3128",
    "extra_headers": {"X-Key": "hush-hush"},
}


def test_repr() -> None:
    """No text or schema of a resource has a secret."""
    resource = RudderStackResource(access_token=TOKEN, **OTHERS)  # type: ignore[arg-type]
    shown = [
        repr(resource),
        str(resource),
        f"{resource} {resource!r} {resource!s}",
        f"{resource}",
        pprint.pformat(resource),
        pprint.pformat({"resources": [resource]}),
        str(list(resource.__repr_args__())),
        str(RudderStackResource.model_json_schema()),
        str(RudderStackResource.to_config_schema().as_field()),
    ]
    resource.get_client()
    shown.append(repr(resource))
    resource.close()

    assert [text for text in shown if TOKEN in text or "hush-hush" in text] == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"misspelt": 1},
        {"region": "mars"},
        {"poll_growth": -1},
        {"access_token": f"{TOKEN} and more"},
        {"access_token": f"Bearer {TOKEN}"},
        {"access_token": [TOKEN]},
        {"access_token": TOKEN.encode() + b"\xff"},
        {"connect_timeout_seconds": "soon"},
    ],
    ids=[
        "unknown_setting",
        "unknown_region",
        "negative_number",
        "blank_in_token",
        "bearer_in_token",
        "list_as_token",
        "bytes_as_token",
        "text_as_number",
    ],
)
def test_error__bad_setting(wrong: dict[str, Any]) -> None:
    """The error for a wrong setting has neither the token nor another secret."""
    with pytest.raises(ValidationError) as caught:
        RudderStackResource(**{"access_token": TOKEN, **OTHERS, **wrong})

    printed = f"{caught.value} {caught.value!r} {''.join(traceback.format_exception(caught.value))}"
    assert TOKEN not in printed
    assert "hush-hush" not in printed


@pytest.mark.parametrize(
    "answer",
    [http(401, f"bad token {TOKEN}"), http(200, f"hello {TOKEN}"), Cut(), Cut(reset=True)],
    ids=["401", "no_json", "closed", "reset"],
)
def test_error__bad_answer(answer: Any) -> None:
    """The error of a request has no token, neither in its traceback nor pickled."""
    with (
        exchange(answer, access_token=TOKEN) as (_, client),
        pytest.raises(ApiError) as caught,
    ):
        client.get_connection("crm")

    printed = "".join(traceback.format_exception(caught.value))
    assert TOKEN not in f"{printed} {caught.value!r} {vars(caught.value)}"
    assert TOKEN.encode() not in pickle.dumps(caught.value)


def test_error__no_connection() -> None:
    """The error of a request that could not connect has no token."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with client_of(url, access_token=TOKEN) as client, pytest.raises(ApiError) as caught:
        client.start_sync("crm")

    assert TOKEN not in "".join(traceback.format_exception(caught.value))
    assert TOKEN.encode() not in pickle.dumps(caught.value)


@pytest.fixture
def server() -> Iterator[LocalRudderStack]:
    """A RudderStack with this access token."""
    with LocalRudderStack(access_token=TOKEN) as opened:
        opened.add_connection("crm", script=SyncScript(rows_total=3))
        yield opened


@pytest.mark.parametrize("from_env", [True, False], ids=["env_var", "in_code"])
def test_logs_and_events(
    from_env: bool,
    server: LocalRudderStack,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither the logs of all loggers, at DEBUG, nor the events of a run have the token."""
    monkeypatch.setenv("TOKEN", TOKEN)
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpcore", "dagster", "dagster_rudderstack"):
        caplog.set_level(logging.DEBUG, logger=name)
    server.add_fault(Fault("status", operation="get_connection", status=502))
    asset = build_rudderstack_sync_asset(connection_id="crm", spec="crm")
    resource = RudderStackResource(
        access_token=dg.EnvVar("TOKEN") if from_env else TOKEN,
        api_url=server.url,
        poll_min_interval_seconds=0.01,
    )
    with dg.DagsterInstance.ephemeral() as instance:
        good = dg.materialize([asset], resources={"rudderstack": resource}, instance=instance)
        server.set_script("crm", SyncScript(status="failed", error=f"not with {TOKEN}"))
        bad = dg.materialize(
            [asset],
            resources={"rudderstack": resource},
            instance=instance,
            raise_on_error=False,
        )
        events = [
            dg.serialize_value(entry)
            for result in (good, bad)
            for entry in instance.all_logs(result.run_id)
        ]

    assert good.success
    assert not bad.success
    assert "HTTP Request" in caplog.text
    assert len(events) > 20
    assert TOKEN not in caplog.text
    assert TOKEN not in "".join(capfd.readouterr())
    assert [event for event in events if TOKEN in event] == []


# --- GraphQL

DEFINITIONS = """
import dagster as dg
from dagster_rudderstack import RudderStackResource, build_rudderstack_sync_asset

defs = dg.Definitions(
    assets=[build_rudderstack_sync_asset(connection_id="crm", spec="crm")],
    resources={
        "rudderstack": RudderStackResource(access_token=dg.EnvVar("TOKEN")),
        "in_code": RudderStackResource(
            access_token="literal-token-in-code",
            api_url="http://localhost:1",
            proxy_url="http://me:literal-token-in-code@localhost:1",
            extra_headers={"X-Key": "literal-token-in-code", "X-Env": dg.EnvVar("TOKEN")},
        ),
    },
)
"""
QUERY = """
query { repositoriesOrError { ... on RepositoryConnection { nodes {
  allTopLevelResourceDetails {
    name description resourceType
    configFields { name description configTypeKey defaultValueAsJson }
    configuredValues { key value type }
  } } } } }
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture
def webserver(tmp_path: Path) -> Iterator[str]:
    """A webserver of Dagster, whose definitions have a token in a variable and one in code."""
    (tmp_path / "defs.py").write_text(DEFINITIONS)
    (tmp_path / "home").mkdir()
    port = free_port()
    command = [sys.executable, "-m", "dagster_webserver", "-f", "defs.py", "-p", str(port)]
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(tmp_path / "home"),
        "TOKEN": TOKEN,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "DAGSTER_DISABLE_TELEMETRY": "1",
    }
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            command,
            cwd=tmp_path,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def graphql(url: str, query: str) -> str:
    """Send a query to the webserver, which may still be starting, and return the answer as text."""
    body = json.dumps({"query": query}).encode()
    request = urllib.request.Request(  # noqa: S310 - of this machine
        f"{url}/graphql", body, {"Content-Type": "application/json"}
    )
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                return str(answer.read().decode())
        except (urllib.error.URLError, ConnectionError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


@pytest.mark.processes
def test_graphql(webserver: str) -> None:
    """In GraphQL, a secret is the name of its variable or a mask."""
    answer = graphql(webserver, QUERY)
    (repository,) = json.loads(answer)["data"]["repositoriesOrError"]["nodes"]
    values = {
        details["name"]: {each["key"]: each for each in details["configuredValues"]}
        for details in repository["allTopLevelResourceDetails"]
    }

    assert values["rudderstack"]["access_token"]["value"] == "TOKEN"
    assert values["rudderstack"]["access_token"]["type"] == "ENV_VAR"
    assert set(values["in_code"]["access_token"]["value"]) == {"*"}
    assert TOKEN not in answer
    assert "literal-token-in-code" not in answer
