"""`check`: its whole output for each thing that keeps syncs from working."""

import errno
import os

import pytest

from dagster_rudderstack.testing import Fault, LocalRudderStack
from dagster_rudderstack_tests.cli.conftest import TOKEN_OF_EU, CommandLine

ACCEPTED = (
    "ok       token        RUDDERSTACK_ACCESS_TOKEN is accepted: workspace Local workspace "
    "(local-workspace).\n"
    "ok       region       region is us: https://api.rudderstack.com\n"
)
PERMITTED = (
    "ok       permissions  The token may read connections and syncs. Whether it may start a sync "
    "is known only after a start.\n"
)
CONNECTION = (
    "ok       connection   crm-contacts (Customers to HubSpot) is enabled, is not scheduled by "
    "RudderStack and writes sync logs.\n"
)
REFUSED = f"[Errno {errno.ECONNREFUSED}] {os.strerror(errno.ECONNREFUSED)}"


def test_no_problem(cli: CommandLine) -> None:
    """If syncs can work, it says what it has checked."""
    result = cli("check")

    assert (result.code, result.err) == (0, "")
    assert result.out == ACCEPTED + PERMITTED + CONNECTION + "No problem.\n"


def test_no_token(cli: CommandLine, us: LocalRudderStack) -> None:
    """Without a token it names the environment variable, and sends no request."""
    result = cli("check", RUDDERSTACK_ACCESS_TOKEN="")

    assert (result.code, result.err) == (1, "")
    assert result.out == (
        "problem  token        The environment variable RUDDERSTACK_ACCESS_TOKEN is not set, or "
        "empty. Set it to a service access token of the RudderStack workspace.\n"
        "1 problem.\n"
    )
    assert us.requests == []


def test_web_page(cli: CommandLine, us: LocalRudderStack) -> None:
    """A web page with 403, as of a proxy, does not mean that the token is accepted."""
    page = "<html>Please log in</html>"
    us.add_fault(Fault("body", status=403, body=page, content_type="text/html", times=None))

    result = cli("check")

    assert result.code == 1
    assert result.out.startswith("problem  api          RudderStack answered 403 to GET ")
    assert "check api_url, and whether a proxy answers instead." in result.out
    assert "is accepted" not in result.out


def test_wrong_token(cli: CommandLine) -> None:
    """A token that neither region accepts is wrong."""
    result = cli("check", RUDDERSTACK_ACCESS_TOKEN="rst-not-the-right-one")

    assert (result.code, result.err) == (1, "")
    assert result.out == (
        "problem  token        RUDDERSTACK_ACCESS_TOKEN is accepted by neither region. RudderStack "
        "says: Unauthorized: the access token is missing or wrong. Set it to a service access "
        "token of the workspace.\n"
        "1 problem.\n"
    )


def test_wrong_region(cli: CommandLine) -> None:
    """A token that the other region accepts is right, and the region is wrong."""
    result = cli("check", RUDDERSTACK_ACCESS_TOKEN=TOKEN_OF_EU)

    assert (result.code, result.err) == (1, "")
    assert result.out == (
        "ok       token        RUDDERSTACK_ACCESS_TOKEN is accepted: workspace Local workspace "
        "(local-workspace).\n"
        "problem  region       The token belongs to the EU region, but region is 'us'. Set "
        "region='eu' in the resource, and RUDDERSTACK_REGION=eu for this command.\n"
        "1 problem.\n"
    )


def test_workspace_refused(cli: CommandLine, us: LocalRudderStack) -> None:
    """A token that is accepted for everything but the workspace is right."""
    us.add_fault(Fault("status", status=401, operation="get_workspace", times=None))

    result = cli("check")

    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("ok       token        RUDDERSTACK_ACCESS_TOKEN is accepted.\n")


def test_other_region_refuses(cli: CommandLine, us: LocalRudderStack, eu: LocalRudderStack) -> None:
    """A 403 of the other region does not prove that the token belongs there."""
    us.add_fault(Fault("status", status=401, times=None))
    eu.add_fault(Fault("status", status=403, times=None))

    result = cli("check")

    assert result.code == 1
    assert "The EU region could not be asked." in result.out
    assert "belongs to" not in result.out


def test_unreadable_syncs(cli: CommandLine, us: LocalRudderStack) -> None:
    """A connection whose syncs cannot be read is not called ok."""
    us.deny("not yours", operation="list_syncs")

    result = cli("check")

    assert result.code == 1
    assert "GET /retl-connections/crm-contacts/syncs" in result.out
    assert "ok       connection" not in result.out


def test_unknown_connection(cli: CommandLine) -> None:
    """For an unknown connection it names the one with the nearest id."""
    result = cli("check", "crm-contact")

    assert (result.code, result.err) == (1, "")
    assert result.out == (
        f"{ACCEPTED}"
        "problem  connection   The workspace has no connection crm-contact. Did you mean "
        "crm-contacts? `dagster-rudderstack connections` lists the ids.\n"
        "1 problem.\n"
    )


def test_missing_permission(cli: CommandLine, us: LocalRudderStack) -> None:
    """If the connections may not be listed, it has RudderStack's words and the permission."""
    us.deny("retl:view is missing", operation="list_connections")

    result = cli("check")

    assert (result.code, result.err) == (1, "")
    assert result.out == (
        f"{ACCEPTED}"
        "problem  permissions  RudderStack answered 403 to GET /retl-connections. RudderStack "
        "says: retl:view is missing (code FORBIDDEN) details: "
        '{"permission": "retl:view is missing"}. The access token may lack a permission: it needs '
        "to view the Reverse ETL connections, the sources and the destinations of the workspace. "
        "Or the account may lack the feature.\n"
        "1 problem.\n"
    )


def test_disabled_connection(cli: CommandLine, us: LocalRudderStack) -> None:
    """A disabled connection is a problem."""
    us.update_connection("crm-contacts", enabled=False)

    result = cli("check", "crm-contacts")

    assert (result.code, result.err) == (1, "")
    assert result.out == (
        f"{ACCEPTED}{PERMITTED}"
        "problem  connection   crm-contacts (Customers to HubSpot) is disabled. Enable it in "
        "RudderStack's dashboard, or set on_disabled='skip'.\n"
        "1 problem.\n"
    )


@pytest.mark.parametrize(
    ("schedule", "shown"),
    [
        ({"type": "basic", "everyMinutes": 60}, "every 60 minutes"),
        ({"type": "cron", "cronExpression": "5 * * * *"}, "cron 5 * * * *"),
    ],
)
def test_own_schedule(
    cli: CommandLine, us: LocalRudderStack, schedule: dict[str, object], shown: str
) -> None:
    """A schedule of RudderStack is a warning: syncs work, but not only Dagster starts them."""
    us.update_connection("crm-contacts", schedule=schedule)

    result = cli("check", "crm-contacts")

    assert (result.code, result.err) == (0, "")
    assert result.out == (
        f"{ACCEPTED}{PERMITTED}"
        "warning  schedule     RudderStack also syncs crm-contacts (Customers to HubSpot) on its "
        f"own schedule ({shown}). Set the schedule to Manual in the dashboard, so that only "
        "Dagster starts its syncs.\n"
        "No problem, 1 warning.\n"
    )


def test_sync_log_off(cli: CommandLine, us: LocalRudderStack) -> None:
    """A sync log that is off is a warning: rejected rows cannot be found."""
    settings = {"syncLogsConfig": {"enabled": False}}
    us.add_connection("crm-contacts", "src-1", "dst-1", syncSettings=settings)

    result = cli("check", "crm-contacts")

    assert (result.code, result.err) == (0, "")
    assert result.out == (
        f"{ACCEPTED}{PERMITTED}"
        "warning  sync log     crm-contacts (Customers to HubSpot) writes no sync logs, so its "
        'rejected rows cannot be listed. Turn on "Retain sync logs" in the Settings tab of the '
        "connection in the dashboard.\n"
        "No problem, 1 warning.\n"
    )


def test_network_down(cli: CommandLine, us: LocalRudderStack) -> None:
    """If RudderStack does not answer, it says so at once, without retries."""
    us.close()

    result = cli("check")

    assert (result.code, result.err, cli.sleeps) == (1, "", [])
    assert result.out == (
        "problem  network      RudderStack at api.rudderstack.com did not answer GET /workspace: "
        f"it could not be reached ({REFUSED}). Check the address, the network, the "
        "firewall and the proxy (HTTPS_PROXY).\n"
        "1 problem.\n"
    )


# --- further cases


@pytest.mark.parametrize("status", [403, 404])
def test_no_workspace_endpoint(cli: CommandLine, us: LocalRudderStack, status: int) -> None:
    """If RudderStack does not show the workspace, the list of connections shows that the token is
    accepted."""
    us.add_fault(Fault("status", operation="get_workspace", status=status))

    result = cli("check")

    assert result.code == 0
    assert result.out.startswith(
        "ok       token        RUDDERSTACK_ACCESS_TOKEN is accepted.\nok       region "
    )


def test_no_workspace_endpoint__wrong_region(cli: CommandLine, eu: LocalRudderStack) -> None:
    """The other region is asked in the same way."""
    eu.add_fault(Fault("status", operation="get_workspace", status=404))

    result = cli("check", RUDDERSTACK_ACCESS_TOKEN=TOKEN_OF_EU)

    assert result.code == 1
    assert "problem  region       The token belongs to the EU region" in result.out


def test_other_region_down(cli: CommandLine, eu: LocalRudderStack) -> None:
    """If the other region cannot be asked, it says so."""
    eu.close()

    result = cli("check", RUDDERSTACK_ACCESS_TOKEN="rst-not-the-right-one")

    assert result.code == 1
    assert result.out == (
        "problem  token        RUDDERSTACK_ACCESS_TOKEN is not accepted by the US region. "
        "RudderStack says: Unauthorized: the access token is missing or wrong. The EU region could "
        "not be asked. RudderStack at api.eu.rudderstack.com did not answer GET /workspace: it "
        f"could not be reached ({REFUSED}).\n"
        "1 problem.\n"
    )


def test_other_host_gets_no_token(cli: CommandLine, eu: LocalRudderStack) -> None:
    """With an address instead of a region, no other host gets the token."""
    with LocalRudderStack("rst-another-token") as gateway:
        result = cli("check", "--api-url", gateway.url)

    assert result.code == 1
    assert result.out.startswith(
        "problem  token        RudderStack answered 401 to GET /retl-connections"
    )
    assert cli.us.requests == eu.requests == []


def test_address_of_a_gateway(cli: CommandLine, us: LocalRudderStack) -> None:
    """The address can come from an environment variable. An option takes precedence."""
    result = cli("check", RUDDERSTACK_API_URL=us.url)
    assert "ok       region       api_url is set: https://api.rudderstack.com\n" in result.out

    result = cli("check", "--region", "us", RUDDERSTACK_API_URL="http://127.0.0.1:9")
    assert result.code == 0


@pytest.mark.parametrize("operation", ["list_sources", "list_destinations"])
def test_missing_permission__names(cli: CommandLine, us: LocalRudderStack, operation: str) -> None:
    """If only names cannot be read, that is a warning, and ids are shown."""
    us.deny("no names", operation=operation)

    result = cli("check")

    lines = result.out.splitlines()
    assert result.code == 0
    assert lines[2].startswith("warning  permissions  RudderStack answered 403 to GET /")
    assert lines[2].endswith("Ids are shown instead of names and tables.")
    names = "src-1 to HubSpot" if operation == "list_sources" else "Customers to dst-1"
    assert lines[3].startswith(f"ok       connection   crm-contacts ({names}) is enabled")


@pytest.mark.parametrize("connection", [[], ["crm-contacts"]])
def test_missing_permission__syncs(
    cli: CommandLine, us: LocalRudderStack, connection: list[str]
) -> None:
    """Syncs that may not be read are a problem: a step could not wait for them."""
    us.deny("no syncs", operation="list_syncs", connection_id="crm-contacts")

    result = cli("check", *connection)

    assert result.code == 1
    assert (
        "problem  permissions  RudderStack answered 403 to GET /retl-connections/crm-contacts/"
        "syncs. RudderStack says: no syncs" in result.out
    )
    assert PERMITTED not in result.out


def test_missing_permission__one_connection(cli: CommandLine, us: LocalRudderStack) -> None:
    """A connection that may not be read is a problem, with RudderStack's words."""
    us.deny("not yours", connection_id="crm-contacts")

    result = cli("check", "crm-contacts")

    assert result.code == 1
    assert "problem  permissions  RudderStack answered 403" in result.out
    assert "RudderStack says: not yours" in result.out


def test_outage(cli: CommandLine, us: LocalRudderStack) -> None:
    """An answer that is no answer is a problem of the API."""
    us.add_fault(Fault("status", operation="get_workspace", status=503))

    result = cli("check")

    assert result.code == 1
    assert result.out.startswith(
        "problem  api          RudderStack answered 503 to GET /workspace."
    )


def test_outage__later(cli: CommandLine, us: LocalRudderStack) -> None:
    """A later request is retried twice, and each retry is reported."""
    us.add_fault(Fault("status", operation="list_connections", status=503, times=3))

    result = cli("check")

    assert result.code == 1
    assert result.err.count("Trying again in") == 2
    assert "problem  api          RudderStack answered 503 to GET /retl-connections." in result.out


def test_network_down__later(cli: CommandLine, us: LocalRudderStack) -> None:
    """A network that fails after the first answer is a problem of the network as well."""
    us.add_fault(Fault("reset", operation="list_syncs", times=None))

    result = cli("check")

    assert result.code == 1
    assert "problem  network      RudderStack at api.rudderstack.com did not answer" in result.out


def test_no_connection(cli: CommandLine, us: LocalRudderStack) -> None:
    """A workspace without connections has nothing to sync."""
    us.remove_connection("crm-contacts")

    result = cli("check")

    assert result.code == 0
    assert result.out == (
        f"{ACCEPTED}{PERMITTED}"
        "warning  connection   The workspace has no Reverse ETL connection.\n"
        "No problem, 1 warning.\n"
    )


def test_source_without_a_sync_log(cli: CommandLine, us: LocalRudderStack) -> None:
    """RudderStack writes no sync log for files, so there is nothing to turn on."""
    us.add_source("src-1", name="Files", definition="s3")
    settings = {"syncLogsConfig": {"enabled": False}}
    us.add_connection("crm-contacts", "src-1", "dst-1", syncSettings=settings)

    result = cli("check")

    assert result.code == 0
    assert result.out.splitlines()[3] == (
        "ok       connection   crm-contacts (Files to HubSpot) is enabled and is not scheduled by "
        "RudderStack."
    )


def test_several_findings(cli: CommandLine, us: LocalRudderStack) -> None:
    """Each finding about each connection has a line."""
    us.add_connection("ads", "src-1", "dst-1", enabled=False, schedule={"type": "basic"})

    result = cli("check")

    kinds = [line.split()[:2] for line in result.out.splitlines()[3:-1]]
    assert kinds == [["ok", "connection"], ["problem", "connection"], ["warning", "schedule"]]
    assert result.out.endswith("\n1 problem, 1 warning.\n")


def test_json(cli: CommandLine, us: LocalRudderStack) -> None:
    """For programs it prints one document with the same findings."""
    us.update_connection("crm-contacts", enabled=False)

    result = cli("check", "crm-contacts", "--json")

    assert (result.code, result.err) == (1, "")
    assert list(result.json) == ["problems", "warnings", "findings"]
    assert (result.json["problems"], result.json["warnings"]) == (1, 0)
    assert [each["check"] for each in result.json["findings"]] == [
        *("token", "region", "permissions", "connection")
    ]
    assert result.json["findings"][3] == {
        "level": "problem",
        "check": "connection",
        "message": (
            "crm-contacts (Customers to HubSpot) is disabled. Enable it in RudderStack's dashboard,"
            " or set on_disabled='skip'."
        ),
        "connection_id": "crm-contacts",
    }


def test_names_of_a_hostile_server(cli: CommandLine, us: LocalRudderStack) -> None:
    """A name cannot control the terminal or add a line."""
    us.add_source("src-1", name="\x1b[2J\nok  all is well\x07", definition="snowflake")

    result = cli("check")

    assert all(char.isprintable() or char == "\n" for char in result.out)
    assert len(result.out.splitlines()) == 5
