"""What is on disk, in GraphQL's answers and on the page after runs against a hostile server.

Every logger is at its lowest level and goes into the event log; the server repeats our token.
"""

import json
import shutil
import sqlite3
import subprocess
import zlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from dagster_rudderstack.testing import Fault, LocalRudderStack, SyncScript
from dagster_rudderstack_tests.api.recorder import Recorder, recorder
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
MARK = "hostile-words"
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
class Aftermath:
    """A deployment after its runs.

    Attributes:
        failed: a run whose sync failed.
        troubled: a run that came through an outage.
        refused: a run of an op that was forbidden.
        elsewhere: the server that markup would load things from.
    """

    dagster: Deployment
    failed: Run
    troubled: Run
    refused: Run
    elsewhere: Recorder

    @property
    def runs(self) -> list[Run]:
        """All of them."""
        return [self.failed, self.troubled, self.refused]


def nasty_words(url: str) -> str:
    """Return text with control characters, a forged line and markup that would load a page."""
    return (
        f"{MARK} \x1b[31mred\x1b[0m \x07\r\n2026-01-01 forged line\n \u202e "
        f"<script>fetch('{url}/script')</script><img src='{url}/img' "
        f"onerror=\"fetch('{url}/onerror')\"><style>@import '{url}/style'</style> "
        f"![image]({url}/markdown) {TOKEN}"
    )


def prepare(server: LocalRudderStack, words: str) -> None:
    """Add a connection for each run, and its trouble."""
    brief = SyncScript(duration_seconds=0.5, rows_total=3, running_status=words)
    server.add_connection("crm_quick", script=SyncScript(status="failed", error=words))
    server.add_connection("ads", script=brief)
    server.add_connection("ops")
    outage = Fault("status", status=502, body=words, times=2, connection_id="ads")
    refusal = json.dumps({"error": words})
    server.add_fault(outage)
    server.add_fault(Fault("status", status=403, body=refusal, times=None, connection_id="ops"))


@pytest.fixture(scope="module")
def aftermath(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aftermath]:
    """Runs that failed and a run that had trouble, in an instance of their own."""
    with LocalRudderStack(TOKEN) as server, recorder() as elsewhere:
        prepare(server, nasty_words(elsewhere.url))
        path = tmp_path_factory.mktemp("hostile_home")
        home = Home(path, server, {**INSTANCE_CONFIG, **LOG_EVERYTHING})
        with deployment(home, daemon=False) as dagster:
            failed, troubled = dagster.launch("crm_quick"), dagster.launch("ads")
            refused = dagster.launch(job="sync_job", config=OP_CONFIG)
            after = Aftermath(dagster, failed, troubled, refused, elsewhere)
            for run in after.runs:
                run.ended()
                run.exited()
            yield after
        home.close()
        assert server.errors == []


def test_runs(aftermath: Aftermath) -> None:
    """The server's words were met in all three runs, and every request is in their logs."""
    assert [run.status for run in aftermath.runs] == ["FAILURE", "SUCCESS", "FAILURE"]
    assert all(MARK in run.page for run in aftermath.runs[1:])
    assert MARK in aftermath.failed.reason
    assert all(run.says("send_request_headers.started") for run in aftermath.runs)


def test_log_lines(aftermath: Aftermath) -> None:
    """Each message is one printable line, so no line is forged and no screen is painted."""
    told = [line for run in aftermath.runs for line in run.lines if MARK in line]

    assert told
    assert [line for line in told if not line.isprintable()] == []


def everything_in(database: Path) -> Iterator[bytes]:
    """Yield the values of a database, those that Dagster has compressed unpacked."""
    with closing(sqlite3.connect(database)) as connection:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (name,) in names:
            for row in connection.execute(f'SELECT * FROM "{name}"'):
                yield from (_unpacked(value) for value in row)


def _unpacked(value: object) -> bytes:
    if not isinstance(value, bytes):
        return str(value).encode()
    try:
        return zlib.decompress(value)
    except zlib.error:
        return value


def test_files(aftermath: Aftermath) -> None:
    """No file has the token: databases, snapshots, compute logs, what the processes print."""
    files = [path for path in aftermath.dagster.home.path.rglob("*") if path.is_file()]
    databases = [path for path in files if path.suffix == ".db"]
    values = [value for path in databases for value in everything_in(path)]

    contents = [path.read_bytes() for path in files]
    for control in (MARK, "send_request_headers", "STEP_FAILURE"):
        assert any(control.encode() in content for content in contents), control
    assert any(b"RUDDERSTACK_ACCESS_TOKEN" in value for value in values)
    assert [path for path in files if TOKEN.encode() in path.read_bytes()] == []
    assert [value for value in values if TOKEN.encode() in value] == []


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
fragment Why on PythonError {
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
    ... on ExecutionStepFailureEvent { error { ...Why } errorSource
      failureMetadata { description metadataEntries { label ... on TextMetadataEntry { text } } } }
    ... on LogsCapturedEvent { fileKey } } } } } }
"""
CAPTURED = """
query ($runId: ID!, $fileKey: String!) { runOrError(runId: $runId) {
  ... on Run { capturedLogs(fileKey: $fileKey) { stdout stderr } } } }
"""


def ask(aftermath: Aftermath, document: str, **variables: object) -> str:
    """Return an answer as a text."""
    return json.dumps(aftermath.dagster.query(document, **variables))


def test_graphql__resources(aftermath: Aftermath) -> None:
    """The pages of the resources show the variable's name."""
    answer = ask(aftermath, RESOURCES, selector=REPOSITORY)

    assert '"value": "RUDDERSTACK_ACCESS_TOKEN", "type": "ENV_VAR"' in answer
    assert TOKEN not in answer


@pytest.mark.parametrize("job", [ASSET_JOB, "sync_job"])
def test_graphql__launchpad(aftermath: Aftermath, job: str) -> None:
    """What the launchpad offers holds no value of a resource's variable."""
    answer = ask(aftermath, LAUNCHPAD, selector={**REPOSITORY, "pipelineName": job})

    assert "access_token" in answer
    assert TOKEN not in answer


@pytest.mark.parametrize("name", ["failed", "troubled", "refused"])
def test_graphql__run(aftermath: Aftermath, name: str) -> None:
    """Nor does a run: its config, snapshot, events, failures and their causes, and output."""
    run_id = getattr(aftermath, name).run_id
    answer = aftermath.dagster.query(EVENTS, runId=run_id)
    run = answer["runOrError"]
    snapshot = ask(aftermath, SNAPSHOT, snapshotId=run["pipelineSnapshotId"])
    (file_key,) = [
        event["fileKey"] for event in run["eventConnection"]["events"] if "fileKey" in event
    ]
    captured = ask(aftermath, CAPTURED, runId=run_id, fileKey=file_key)

    told = json.dumps(answer)
    assert MARK in told
    assert MARK in captured
    assert "access_token" in snapshot
    assert TOKEN not in f"{told} {snapshot} {captured}"


# --- the page

CHROMIUM = shutil.which("chromium")


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.parametrize(("name", "filter"), [("failed", "step:crm_quick"), ("troubled", MARK)])
def test_page(aftermath: Aftermath, name: str, filter: str, tmp_path: Path) -> None:  # noqa: A002 - as in the URL
    """A browser shows the words of the server as words: nothing is run or loaded."""
    run: Run = getattr(aftermath, name)
    page = browse(f"{aftermath.dagster.url}/runs/{run.run_id}?logs={filter}", tmp_path)

    assert f"{MARK} [31mred [0m 2026-01-01 forged line" in page
    assert "&lt;script&gt;fetch(" in page
    assert f"<script>fetch('{aftermath.elsewhere.url}" not in page
    assert aftermath.elsewhere.seen == []


def browse(url: str, profile: Path) -> str:
    """Open a page in a browser, let its scripts run, and return what it has become."""
    assert CHROMIUM is not None
    options = (
        *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
        *(f"--user-data-dir={profile}", "--window-size=1600,3000"),
        *("--virtual-time-budget=20000", "--dump-dom"),
    )
    done = subprocess.run([CHROMIUM, *options, url], capture_output=True, timeout=120, check=True)
    return done.stdout.decode()
