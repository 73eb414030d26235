"""The guide on alerts: each message reaches a local server."""

import json
import ssl
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import URLError

import dagster as dg
import pytest
import trustme

from dagster_rudderstack import (
    RudderStackResource,
    build_rudderstack_polling_sensor,
    build_rudderstack_sync_asset,
)
from dagster_rudderstack.testing import LocalRudderStack, SyncScript
from dagster_rudderstack_tests.docs.guide import AUDIENCE, CONTACTS, Guide
from dagster_rudderstack_tests.docs.receivers import MailServer, Webhook
from dagster_rudderstack_tests.step.world import run

GUIDE = Guide("alerts")

UNREACHABLE = "http://127.0.0.1:1/"

REASON = "column “größe” <is missing>"
ESCAPED = "column “größe” &lt;is missing&gt;"

CRM = build_rudderstack_sync_asset(
    connection_id=CONTACTS, spec="crm_contacts", retry_policy=dg.RetryPolicy(max_retries=1)
)
DEFERRED = build_rudderstack_sync_asset(connection_id=AUDIENCE, spec="ad_audience", wait=False)
OTHERS = dg.Definitions(
    assets=[CRM, DEFERRED],
    resources={"rudderstack": RudderStackResource(access_token=dg.EnvVar("NOT_READ"))},
)


@pytest.fixture
def stored_instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance with Dagster's default storage, which numbers the events of each run anew."""
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        yield instance


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    """A webhook whose address is in the environment."""
    webhook = Webhook()
    with webhook.running() as url:
        monkeypatch.setenv("ALERT_WEBHOOK_URL", url)
        yield webhook


class Sensor:
    """A sensor of the guide that ticks when a test calls it. It has ticked once."""

    def __init__(self, block: int, name: str, instance: dg.DagsterInstance) -> None:
        defs = dg.Definitions.merge(GUIDE.run(block)["defs"], OTHERS)
        self.definition = defs.resolve_sensor_def(name)
        self._repository = defs.get_repository_def()
        self._instance = instance
        self._cursor: str | None = None
        self.tick()

    def tick(self) -> Any:
        """Evaluate it as the daemon does."""
        with dg.build_sensor_context(
            self._instance, cursor=self._cursor, repository_def=self._repository
        ) as context:
            data = self.definition.evaluate_tick(context)
            self._cursor = data.cursor or self._cursor
        return data


def fail(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    **options: object,
) -> str:
    """Run a sync that fails, also when it is retried, and return the id of the run."""
    server.set_script(CONTACTS, SyncScript(status="failed", error=REASON))
    result = run([CRM], rudderstack, instance, **options)
    assert not result.success
    return result.run_id


def test_webhook(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    stored_instance: dg.DagsterInstance,
    webhook: Webhook,
) -> None:
    """The webhook gets the link to the run, and the reason without markup, once."""
    sensor = Sensor(0, "failed_runs", stored_instance)

    run_id = fail(server, rudderstack, stored_instance)
    sensor.tick()
    sensor.tick()

    (body,) = webhook.bodies
    first, second = body["text"].splitlines()
    assert first == f"https://dagster.example.com/runs/{run_id} failed."
    assert second.startswith("crm_contacts: Sync ")
    assert f"RudderStack says: {ESCAPED}. Fix the source or the destination" in second


def test_webhook__deferred(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    stored_instance: dg.DagsterInstance,
    webhook: Webhook,
) -> None:
    """The message about a failed deferred sync links to the run that started the sync."""
    sensor = Sensor(0, "failed_runs", stored_instance)
    polling = build_rudderstack_polling_sensor(assets=[DEFERRED])
    server.set_script(AUDIENCE, SyncScript(status="failed", error=REASON))

    started_by = run([DEFERRED], rudderstack, stored_instance).run_id
    with dg.build_sensor_context(
        stored_instance,
        resources={"rudderstack": rudderstack},
        definitions=OTHERS,
    ) as context:
        tick = polling.evaluate_tick(context)
    for event in tick.asset_events:
        stored_instance.report_runless_asset_event(event)
    assert tick.run_requests
    (request,) = tick.run_requests
    reporting = run([DEFERRED], rudderstack, stored_instance, tags=request.tags)
    sensor.tick()

    (body,) = webhook.bodies
    first, second, third = body["text"].splitlines()
    assert first.endswith(f"/runs/{reporting.run_id} failed.")
    assert f"RudderStack says: {ESCAPED}" in second
    assert third == f"Started by https://dagster.example.com/runs/{started_by}"


def test_webhook__run_that_is_retried(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    stored_instance: dg.DagsterInstance,
    webhook: Webhook,
) -> None:
    """A run that Dagster's daemon will retry sends nothing."""
    sensor = Sensor(0, "failed_runs", stored_instance)

    fail(server, rudderstack, stored_instance, tags={"dagster/will_retry": "true"})
    sensor.tick()

    assert webhook.bodies == []


def test_webhook__unreachable(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    stored_instance: dg.DagsterInstance,
    webhook: Webhook,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A message that cannot be sent is an error of the tick, and is not sent later."""
    sensor = Sensor(0, "failed_runs", stored_instance)

    fail(server, rudderstack, stored_instance)
    with monkeypatch.context() as patch:
        patch.setenv("ALERT_WEBHOOK_URL", UNREACHABLE)
        (reaction,) = sensor.tick().dagster_run_reactions
    sensor.tick()

    assert "Connection refused" in reaction.error.to_string()
    assert webhook.bodies == []


def test_webhook__other_error(stored_instance: dg.DagsterInstance, webhook: Webhook) -> None:
    """A step that fails with an error of another kind is named."""

    @dg.asset
    def broken() -> None:
        raise ValueError("no such column")

    sensor = Sensor(0, "failed_runs", stored_instance)
    dg.materialize([broken], instance=stored_instance, raise_on_error=False)
    sensor.tick()

    (body,) = webhook.bodies
    assert body["text"].splitlines()[1] == "broken: ValueError: no such column"


def test_slack(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    stored_instance: dg.DagsterInstance,
    webhook: Webhook,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Slack's API gets the reason and the link to the run."""
    slack = pytest.importorskip("dagster_slack.sensors")
    with webhook.running() as url:
        monkeypatch.setattr(slack, "WebClient", partial(slack.WebClient, base_url=url))
        sensor = Sensor(1, "slack_on_run_failure", stored_instance)
        run_id = fail(server, rudderstack, stored_instance)
        sensor.tick()

    (body,) = webhook.bodies
    assert body["channel"] == "#data-alerts"
    assert f"RudderStack says: {ESCAPED}." in body["text"]
    assert f"https://dagster.example.com/runs/{run_id}" in json.dumps(body["blocks"])


def test_email(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    stored_instance: dg.DagsterInstance,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The mail server gets the reason as HTML, and the link to the run."""
    pytest.importorskip("dagster_slack")
    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(context)
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    # The other tests share the context that was made first.
    make: Any = ssl.create_default_context
    monkeypatch.setattr(ssl, "create_default_context", make.__wrapped__)
    mail_server = MailServer()
    with mail_server.running(context) as port:
        monkeypatch.setenv("ALERT_SMTP_HOST", "localhost")
        monkeypatch.setenv("ALERT_SMTP_PORT", str(port))
        sensor = Sensor(1, "email_on_run_failure", stored_instance)
        run_id = fail(server, rudderstack, stored_instance)
        sensor.tick()

    (mail,) = mail_server.mails
    assert "To: data-team@example.com" in mail
    assert "column &#8220;gr&#246;&#223;e&#8221; &lt;is missing&gt;. Fix the source" in mail
    assert f'<a href="https://dagster.example.com/runs/{run_id}">' in mail


def test_checks(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    stored_instance: dg.DagsterInstance,
    webhook: Webhook,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each failed check is sent once, also after an error, by a step or by the sensor."""
    sensor = Sensor(2, "failed_checks", stored_instance)
    server.set_script(CONTACTS, SyncScript(rows_total=10, rows_failed=2))
    run([CRM], rudderstack, stored_instance)
    key = dg.AssetKey("ad_audience")
    for name, passed in (("rejected_rows", True), ("sync_succeeded", False)):
        # As the polling sensor does.
        stored_instance.report_runless_asset_event(
            dg.AssetCheckEvaluation(asset_key=key, check_name=name, passed=passed)
        )

    with monkeypatch.context() as patch:
        patch.setenv("ALERT_WEBHOOK_URL", UNREACHABLE)
        with pytest.raises(URLError, match="Connection refused"):
            sensor.tick()
    first, second = sensor.tick(), sensor.tick()

    (body,) = webhook.bodies
    deferred, waited = body["text"].splitlines()
    assert waited.startswith("crm_contacts: rejected_rows: 2 of 10 rows were rejected (20.0 %)")
    assert deferred.startswith("ad_audience: sync_succeeded")
    assert first.skip_message == "2 failed checks were sent."
    assert second.skip_message == "0 failed checks were sent."


def test_checks__again(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    stored_instance: dg.DagsterInstance,
    webhook: Webhook,
) -> None:
    """A check that fails again in a later run is sent again."""
    sensor = Sensor(2, "failed_checks", stored_instance)
    server.set_script(CONTACTS, SyncScript(rows_total=10, rows_failed=2))

    for _ in range(2):
        run([CRM], rudderstack, stored_instance)
        sensor.tick()

    assert len(webhook.bodies) == 2
