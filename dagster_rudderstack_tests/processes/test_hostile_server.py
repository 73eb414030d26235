"""What Dagster stores and shows after runs against a hostile server.

The server repeats the access token and sends markup. All loggers write to the event log, at DEBUG.
"""

import json
import sqlite3
import subprocess
import zlib
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from dagster_rudderstack.testing import Fault, LocalRudderStack, SyncScript
from dagster_rudderstack_tests.api.recorder import Recorder, recorder
from dagster_rudderstack_tests.browser.chromium import chromium_path
from dagster_rudderstack_tests.processes.harness import (
    ASSET_JOB,
    INSTANCE_CONFIG,
    LOCATION,
    Deployment,
    Home,
    Run,
    deployment,
    executor,
)

pytestmark = pytest.mark.processes

TOKEN = "rst-0123456789abcdefghij"
MARK = "hostile-text"
LOG_EVERYTHING = {
    "python_logs": {
        "python_log_level": "DEBUG",
        "managed_python_loggers": ["root", "httpx", "httpcore"],
    }
}
OP_CONFIG = {
    **executor("in_process"),
    "ops": {"rudderstack_sync_op": {"config": {"connection_id": "ops"}}},
}


@dataclass
class FinishedRuns:
    """A deployment whose runs have ended.

    Attributes:
        failed: A run whose sync failed.
        recovered: A run that succeeded after an outage.
        forbidden: A run of an op that got 403.
        other_server: The server that the markup refers to.
    """

    dagster: Deployment
    failed: Run
    recovered: Run
    forbidden: Run
    other_server: Recorder

    @property
    def runs(self) -> list[Run]:
        """All runs."""
        return [self.failed, self.recovered, self.forbidden]


def hostile_text(url: str) -> str:
    """Return text with control characters, a forged line and markup that would load a page."""
    return (
        f"{MARK} \x1b[31mred\x1b[0m \x07\r\n2026-01-01 forged line\n \u202e "
        f"<script>fetch('{url}/script')</script><img src='{url}/img' "
        f"onerror=\"fetch('{url}/onerror')\"><style>@import '{url}/style'</style> "
        f"![image]({url}/markdown) {TOKEN}"
    )


def prepare(server: LocalRudderStack, text: str) -> None:
    """Add a connection for each run, and its faults."""
    brief = SyncScript(duration_seconds=0.5, rows_total=3, running_status=text)
    server.add_connection("crm_quick", script=SyncScript(status="failed", error=text))
    server.add_connection("ads", script=brief)
    server.add_connection("ops")
    outage = Fault("status", status=502, body=text, times=2, connection_id="ads")
    refusal = json.dumps({"error": text})
    server.add_fault(outage)
    server.add_fault(Fault("status", status=403, body=refusal, times=None, connection_id="ops"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FinishedRuns]:
    """Two failed runs and a run that recovered, in an instance of their own."""
    with LocalRudderStack(TOKEN) as server, recorder() as other_server:
        prepare(server, hostile_text(other_server.url))
        path = tmp_path_factory.mktemp("hostile_home")
        home = Home(path, server, {**INSTANCE_CONFIG, **LOG_EVERYTHING})
        with deployment(home, daemon=False) as dagster:
            failed, recovered = dagster.launch("crm_quick"), dagster.launch("ads")
            forbidden = dagster.launch(job="sync_job", config=OP_CONFIG)
            finished = FinishedRuns(dagster, failed, recovered, forbidden, other_server)
            for run in finished.runs:
                run.wait_for_end()
                run.wait_for_exit()
            yield finished
        home.close()
        assert server.errors == []


def test_runs(finished: FinishedRuns) -> None:
    """All runs have the text of the server, and their requests in their logs."""
    assert [run.status for run in finished.runs] == ["FAILURE", "SUCCESS", "FAILURE"]
    assert all(MARK in run.log for run in finished.runs[1:])
    assert MARK in finished.failed.reason
    assert all(run.has_logged("send_request_headers.started") for run in finished.runs)


def test_log_lines(finished: FinishedRuns) -> None:
    """Each message is one printable line, without forged lines and control characters."""
    lines = [line for run in finished.runs for line in run.log_lines if MARK in line]

    assert lines
    assert [line for line in lines if not line.isprintable()] == []


def values_of(database: Path) -> Iterator[bytes]:
    """Yield all values of a database, decompressed."""
    with closing(sqlite3.connect(database)) as connection:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (name,) in names:
            for row in connection.execute(f'SELECT * FROM "{name}"'):
                yield from (_decompressed(value) for value in row)


def _decompressed(value: object) -> bytes:
    if not isinstance(value, bytes):
        return str(value).encode()
    try:
        return zlib.decompress(value)
    except zlib.error:
        return value


def test_files(finished: FinishedRuns) -> None:
    """No file has the token: no database, snapshot, compute log or output of a process."""
    contents = contents_of(finished.dagster.home.path)
    values = [value for path in contents if path.suffix == ".db" for value in values_of(path)]

    for control in (MARK, "send_request_headers", "STEP_FAILURE"):
        assert any(control.encode() in content for content in contents.values()), control
    assert any(b"RUDDERSTACK_ACCESS_TOKEN" in value for value in values)
    assert [path for path, content in contents.items() if TOKEN.encode() in content] == []
    assert [value for value in values if TOKEN.encode() in value] == []


def contents_of(folder: Path) -> dict[Path, bytes]:
    """Return what is in the files of a folder, without those that SQLite deletes meanwhile."""
    contents = {}
    for path in folder.rglob("*"):
        if path.is_file():
            with suppress(FileNotFoundError):
                contents[path] = path.read_bytes()
    return contents


# --- GraphQL

REPOSITORY = {"repositoryLocationName": LOCATION, "repositoryName": "__repository__"}
RESOURCES = """
query ($selector: RepositorySelector!) { repositoryOrError(repositorySelector: $selector) {
  ... on Repository { allTopLevelResourceDetails {
    name description resourceType
    configFields { name defaultValueAsJson } configuredValues { key value type }
    nestedResources { name } } } } }
"""
LAUNCHPAD = """
query ($selector: PipelineSelector!) { runConfigSchemaOrError(selector: $selector) {
  ... on RunConfigSchema { rootDefaultYaml allConfigTypes { key description
    ... on CompositeConfigType { fields { name description defaultValueAsJson } } } } } }
"""
SNAPSHOT = """
query ($snapshotId: String!) { pipelineSnapshotOrError(snapshotId: $snapshotId) {
  ... on PipelineSnapshot { name description modes { resources { name description
    configField { name defaultValueAsJson configType { key
      ... on CompositeConfigType { fields { name defaultValueAsJson } } } } } } } } }
"""
EVENTS = """
fragment Error on PythonError {
  message stack className
  causes { message stack className }
  errorChain { error { message stack className } }
}
query ($runId: ID!) { runOrError(runId: $runId) { ... on Run {
  runConfigYaml tags { key value } pipelineSnapshotId
  eventConnection(limit: 1000) { events {
    ... on MessageEvent { message level eventType }
    ... on DisplayableEvent { description metadataEntries { label description
      ... on TextMetadataEntry { text } ... on JsonMetadataEntry { jsonString } } }
    ... on ExecutionStepFailureEvent { error { ...Error } errorSource
      failureMetadata { description metadataEntries { label ... on TextMetadataEntry { text } } } }
    ... on LogsCapturedEvent { fileKey } } } } } }
"""
CAPTURED = """
query ($runId: ID!, $fileKey: String!) { runOrError(runId: $runId) {
  ... on Run { capturedLogs(fileKey: $fileKey) { stdout stderr } } } }
"""


def ask(finished: FinishedRuns, document: str, **variables: object) -> str:
    """Return the answer to a GraphQL query as text."""
    return json.dumps(finished.dagster.query(document, **variables))


def test_graphql__resources(finished: FinishedRuns) -> None:
    """The resource pages show the name of the environment variable, not its value."""
    answer = ask(finished, RESOURCES, selector=REPOSITORY)

    assert '"value": "RUDDERSTACK_ACCESS_TOKEN", "type": "ENV_VAR"' in answer
    assert TOKEN not in answer


@pytest.mark.parametrize("job", [ASSET_JOB, "sync_job"])
def test_graphql__launchpad(finished: FinishedRuns, job: str) -> None:
    """The launchpad does not have the token."""
    answer = ask(finished, LAUNCHPAD, selector={**REPOSITORY, "pipelineName": job})

    assert "access_token" in answer
    assert TOKEN not in answer


@pytest.mark.parametrize("name", ["failed", "recovered", "forbidden"])
def test_graphql__run(finished: FinishedRuns, name: str) -> None:
    """Config, snapshot, events, failures and output of a run do not have the token."""
    run_id = getattr(finished, name).run_id
    answer = finished.dagster.query(EVENTS, runId=run_id)
    run = answer["runOrError"]
    snapshot = ask(finished, SNAPSHOT, snapshotId=run["pipelineSnapshotId"])
    (file_key,) = [
        event["fileKey"] for event in run["eventConnection"]["events"] if "fileKey" in event
    ]
    captured = ask(finished, CAPTURED, runId=run_id, fileKey=file_key)

    shown = json.dumps(answer)
    assert MARK in shown
    assert MARK in captured
    assert "access_token" in snapshot
    assert TOKEN not in f"{shown} {snapshot} {captured}"


# --- the page


@pytest.mark.parametrize(("name", "filter"), [("failed", "step:crm_quick"), ("recovered", MARK)])
def test_page(finished: FinishedRuns, name: str, filter: str, tmp_path: Path) -> None:  # noqa: A002 - as in the URL
    """A browser shows the markup of the server as text, and loads nothing from it."""
    run: Run = getattr(finished, name)
    page = browse(f"{finished.dagster.url}/runs/{run.run_id}?logs={filter}", tmp_path)

    assert f"{MARK} [31mred [0m 2026-01-01 forged line" in page
    assert "&lt;script&gt;fetch(" in page
    assert f"<script>fetch('{finished.other_server.url}" not in page
    assert finished.other_server.seen == []


def browse(url: str, profile: Path) -> str:
    """Open a page in a browser and return the DOM after its scripts have run."""
    options = (
        *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
        *(f"--user-data-dir={profile}", "--window-size=1600,3000"),
        *("--virtual-time-budget=20000", "--dump-dom"),
    )
    done = subprocess.run(
        [chromium_path(), *options, url], capture_output=True, timeout=120, check=True
    )
    return done.stdout.decode()
