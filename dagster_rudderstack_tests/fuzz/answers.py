"""Answers of a gateway or a workspace that misbehaves, against everything that sends requests."""

from __future__ import annotations

import gzip
import io
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dagster as dg
from dagster._serdes import serialize_value

from dagster_rudderstack import (
    RudderStackResource,
    build_rudderstack_polling_sensor,
    build_rudderstack_sync_asset,
    load_rudderstack_asset_specs,
    refresh_rudderstack_snapshot,
)
from dagster_rudderstack.cli.access import Surroundings
from dagster_rudderstack.cli.main import main
from dagster_rudderstack.errors import RudderStackError
from dagster_rudderstack_tests.api.raw_server import Cut, RawServer, Seen, http
from dagster_rudderstack_tests.fuzz.watch import (
    KEY,
    PASSWORD,
    TOKEN,
    UNKNOWN,
    USER,
    Watch,
    escaped,
)

Case = Callable[[random.Random], None]

ASSET = build_rudderstack_sync_asset(connection_id="crm", spec="contacts")
SENSOR = build_rudderstack_polling_sensor(assets=[ASSET], replay=5)
COMMANDS = (
    ["check"],
    ["check", "crm"],
    ["connections"],
    ["syncs", "crm"],
    ["failed-rows", "crm", "s1"],
    ["sync", "crm", "--timeout", "3"],
    ["stop", "crm"],
)

STATUSES = (200, 201, 204, 301, 304, 307, 400, 401, 403, 404, 409, 418, 429, 500, 502, 503, 504)
ESCAPED_TOKEN = "@escaped-token@"
NOT_A_NUMBER = "@nan@"


UNKNOWN_NAMES = (
    *("origin", "connectionId", "connection_id", "syncType", "failed_rows_sql", "failedRowsNote"),
    *("state", "model_config", "model_extra", "__class__", "__dict__", "copy", "_x", ""),
)


def _unknown(chance: random.Random) -> dict[str, Any]:
    """Return fields that the contract does not have. Their values may be secrets."""
    values = (UNKNOWN, {"apiKey": UNKNOWN}, [UNKNOWN] * 50, 7)
    names = chance.sample(UNKNOWN_NAMES, chance.randrange(5))
    return {name: chance.choice(values) for name in names}


def _sync(chance: random.Random, name: str = "s1") -> dict[str, Any]:
    status = chance.choice(("running", "running", "succeeded", "succeeded", "failed", "aborted"))
    counts = {kind: {"total": chance.randrange(100)} for kind in ("total", "changed", "failed")}
    return {
        "id": name,
        "status": status,
        "startedAt": "2026-01-05T10:00:00Z",
        "finishedAt": None if status == "running" else "2026-01-05T10:01:00Z",
        "error": "no such table" if status == "failed" else None,
        "metrics": {"total": counts["total"], "changed": counts["changed"], **counts},
        **_unknown(chance),
    }


def _connection(chance: random.Random) -> dict[str, Any]:
    return {
        "id": "crm",
        "sourceId": "src",
        "destinationId": "dst",
        "enabled": True,
        "schedule": {"type": "basic", "everyMinutes": 30, **_unknown(chance)},
        "mappings": [{"from": "email", "to": "Email", **_unknown(chance)}],
        "identifiers": [{"from": "id", "to": "Id"}],
        "constants": [{"key": "kind", "value": "x"}],
        **_unknown(chance),
    }


def valid_answer(seen: Seen, chance: random.Random) -> dict[str, Any]:
    """Return what RudderStack could answer."""
    parts = urlsplit(seen.target).path.removeprefix("/v2").strip("/").split("/")
    paging = {"total": 1, "next": None}
    source = {
        "id": "src",
        "name": "People",
        "sourceType": "model",
        "sourceDefinitionName": "snowflake",
        "config": {"sql": "select id, email from crm.people", "primaryKey": "id"},
        **_unknown(chance),
    }
    destination = {
        "id": "dst",
        "name": "CRM",
        "type": "HS",
        "config": {"apiKey": UNKNOWN},
        **_unknown(chance),
    }
    answers: dict[tuple[str, ...], dict[str, Any]] = {
        ("workspace",): {"workspace": {"id": "w1", "name": "Workspace", "region": "us"}},
        ("retl-connections",): {"data": [_connection(chance)], "paging": paging},
        ("retl-sources",): {"data": [source], "paging": paging},
        ("destinations",): {"destinations": [destination], "paging": paging},
    }
    if tuple(parts) in answers:
        return answers[tuple(parts)]
    match parts[2:]:
        case []:
            return source if parts[0] == "retl-sources" else _connection(chance)
        case ["start"]:
            return {"syncId": "s1"}
        case ["stop"]:
            return {}
        case ["syncs"]:
            return {"syncs": [_sync(chance, f"s{n}") for n in range(chance.randrange(4))]}
        case _:
            return _sync(chance)


def _odd_text(chance: random.Random) -> str:
    return chance.choice(
        [
            *(
                "",
                " ",
                "\x00",
                "\ud83d",
                "a\nb\x1b[31m",
                "x" * 20_000,
                "../..",
                "a/b",
                "\u202e",
                "é",
            ),
            *("![x](http://127.0.0.1:9/x.png)", "<img src=x>", "0001-01-01T00:00:00Z", "9" * 5000),
            *(TOKEN, ESCAPED_TOKEN, f"Bearer {TOKEN}", "select " + "(" * 500, "null", "running"),
        ]
    )


def _odd_value(chance: random.Random) -> Any:
    deep: Any = "end"
    for _ in range(chance.choice((3, 50, 600))):
        deep = [deep] if chance.random() < 0.5 else {"a": deep}
    return chance.choice(
        [
            *(None, True, False, 0, -1, 2**63, 10**30, 1.5, 1e308, NOT_A_NUMBER, [], {}, deep),
            *([None] * 3, [[]], {"id": 7}, {"total": "many"}, ["x"] * 2000, _odd_text(chance)),
        ]
    )


def mutated(value: Any, chance: random.Random) -> Any:
    """Return JSON with something odd somewhere."""
    if isinstance(value, dict) and value and chance.random() < 0.9:
        key = chance.choice(list(value))
        how = chance.random()
        if how < 0.1:
            return {name: value[name] for name in value if name != key}
        if how < 0.15:
            return {**value, _odd_text(chance): value[key]}
        return {**value, key: mutated(value[key], chance)}
    if isinstance(value, list) and value and chance.random() < 0.9:
        place = chance.randrange(len(value))
        how = chance.random()
        if how < 0.1:
            return value * chance.choice((2, 100))
        return [*value[:place], mutated(value[place], chance), *value[place + 1 :]]
    return (
        _odd_text(chance)
        if isinstance(value, str) and chance.random() < 0.6
        else _odd_value(chance)
    )


def _json(value: Any) -> bytes:
    text = json.dumps(value)
    text = text.replace(ESCAPED_TOKEN, escaped(TOKEN)).replace(f'"{NOT_A_NUMBER}"', "NaN")
    return text.encode()


def _error_body(seen: Seen, chance: random.Random) -> bytes:
    # A server knows the secrets that it was sent.
    key = seen.headers.get("x-gateway-key", "")
    password = PASSWORD if "proxy-authorization" in seen.headers else ""
    said = chance.choice(
        [
            *(TOKEN, escaped(TOKEN), key, password, f"key {key} and {password}", "no"),
            " ".join(f"{name}: {value}" for name, value in seen.headers.items()),
        ]
    )
    return chance.choice(
        [
            said.encode(),
            _json({"message": said}),
            _json({"error": {"message": said, "code": said}}),
            f'{{"error": "{escaped(said)}"}}'.encode(),
            f"<html><body><h1>{said}</h1><script>{said}</script></body></html>".encode(),
            b"[" * 50_000,
            b"\xff\xfe" + said.encode("utf-16-le"),
        ]
    )


def _packed(body: bytes, chance: random.Random) -> tuple[bytes, dict[str, str]]:
    """Return a body with an encoding that may be wrong."""
    packed = gzip.compress(body)
    return chance.choice(
        [
            (packed, {"Content-Encoding": "gzip"}),
            (packed[: len(packed) // 2], {"Content-Encoding": "gzip"}),
            (gzip.compress(packed), {"Content-Encoding": "gzip, gzip"}),
            (body, {"Content-Encoding": "gzip"}),
            (body, {"Content-Encoding": "br"}),
            (gzip.compress(b" " * 2**25, 1), {"Content-Encoding": "gzip"}),
            (body, {"Content-Type": "application/json; charset=utf-7"}),
            (body, {"Content-Type": "text/html"}),
        ]
    )


def hostile_answer(seen: Seen, chance: random.Random) -> bytes | Cut:
    """Return an answer with something wrong."""
    how = chance.random()
    body = _json(mutated(valid_answer(seen, chance), chance))
    headers: dict[str, str] = {}
    status = 200
    if how < 0.25:
        status, body = chance.choice(STATUSES), _error_body(seen, chance)
        headers["Retry-After"] = chance.choice(("0", "1", "-1", "soon", "", TOKEN))
        headers["Location"] = chance.choice(("http://127.0.0.1:9/", "//", TOKEN, "?", "/v2"))
    elif how < 0.35:
        body, headers = _packed(body, chance)
    elif how < 0.4:
        whole = http(200, body)
        return Cut(whole[: chance.randrange(len(whole))], reset=chance.random() < 0.5)
    headers["X-Echo"] = seen.headers.get("authorization", "")
    return http(status, body, headers)


@contextmanager
def answers(watch: Watch) -> Iterator[Case]:
    """Give a case: one action, while each third answer is hostile."""
    with RawServer(lambda _: Cut()) as server:
        yield partial(_case, server, watch)


def _case(server: RawServer, watch: Watch, chance: random.Random) -> None:
    seed, share = chance.random(), chance.choice((0.1, 0.4, 1.0))
    asked: Counter[str] = Counter()

    def answer(seen: Seen) -> bytes | Cut:
        # Requests that are sent at the same time may come in any order.
        name = f"{seen.method} {seen.target}"
        asked[name] += 1
        for_answers = random.Random(f"{seed} {name} {asked[name]}")  # noqa: S311
        if for_answers.random() < share:
            return hostile_answer(seen, for_answers)
        return http(200, _json(valid_answer(seen, for_answers)))

    server.answer = answer
    server.seen.clear()
    action = chance.choice((_materialize, _materialize, _discover, _tick, _command))
    try:
        action(server, watch, chance)
    except RudderStackError as error:
        watch.show_error(error)


def _resource(server: RawServer, chance: random.Random) -> RudderStackResource:
    proxy = f"http://{USER}:{PASSWORD_IN_URL}@127.0.0.1:{server.port}"
    return RudderStackResource(
        access_token=TOKEN,
        api_url=server.url,
        extra_headers={"X-Gateway-Key": KEY},
        proxy_url=proxy if chance.random() < 0.5 else None,
        connect_timeout_seconds=1,
        read_timeout_seconds=1,
        request_max_retries=1,
        sync_timeout_seconds=3,
        stop_on_timeout=chance.random() < 0.3,
        outage_tolerance_seconds=1,
        start_settling_seconds=1,
        poll_min_interval_seconds=0.05,
        poll_max_interval_seconds=0.2,
    )


PASSWORD_IN_URL = PASSWORD.replace("@", "%40").replace("/", "%2F").replace("+", "%2B")


def _materialize(server: RawServer, watch: Watch, chance: random.Random) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize(
            [ASSET],
            instance=instance,
            resources={"rudderstack": _resource(server, chance)},
            raise_on_error=False,
        )
        for entry in instance.all_logs(result.run_id):
            watch.show(serialize_value(entry))
    for event in result.all_events:
        if event.is_step_failure:
            _check_documented(event.step_failure_data.error)


def _check_documented(error: Any) -> None:
    """Fail if a step has failed with an error that is not one of the library."""
    # A failure stands for an error of the library. Only another error is shown as its cause.
    is_failure = error.cls_name == dg.Failure.__name__ and error.cause is None
    is_known = is_failure or error.cls_name in DOCUMENTED
    assert is_known, f"a step failed with {error.to_string()}"


def _documented(kind: type[Exception] = RudderStackError) -> Iterator[str]:
    yield kind.__name__
    for each in kind.__subclasses__():
        yield from _documented(each)


DOCUMENTED = frozenset(_documented())


def _discover(server: RawServer, watch: Watch, chance: random.Random) -> None:
    resource = _resource(server, chance)
    path = Path("snapshots", f"{chance.random()}.json")
    snapshot = refresh_rudderstack_snapshot(resource, path)
    for spec in load_rudderstack_asset_specs(resource, snapshot=snapshot, disabled="mark"):
        watch.show(spec)


def _tick(server: RawServer, watch: Watch, chance: random.Random) -> None:
    cursor = chance.choice((None, '{"version":1,"position":"","marks":{}}'))
    with (
        dg.DagsterInstance.ephemeral() as instance,
        dg.build_sensor_context(
            instance, cursor=cursor, resources={"rudderstack": _resource(server, chance)}
        ) as context,
    ):
        result = SENSOR(context)
        assert isinstance(result, dg.SensorResult)
        for event in result.asset_events:
            instance.report_runless_asset_event(event)
            watch.show(serialize_value(event))
        watch.show(result.cursor)


def _command(server: RawServer, watch: Watch, chance: random.Random) -> None:
    out, err = io.StringIO(), io.StringIO()
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    surroundings = Surroundings(
        environ={"RUDDERSTACK_ACCESS_TOKEN": TOKEN},
        out=out,
        err=err,
        sleep=sleep,
        monotonic=lambda: now[0],
    )
    extra = ["--json"] if chance.random() < 0.5 else []
    code = main([*chance.choice(COMMANDS), "--api-url", server.url, *extra], surroundings)
    watch.show(out.getvalue() + err.getvalue())
    assert isinstance(code, int)
