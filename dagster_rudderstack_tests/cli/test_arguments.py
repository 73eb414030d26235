"""Wrong arguments and settings: one line that says what is right, exit code 2, and no request."""

import pytest

from dagster_rudderstack import __version__
from dagster_rudderstack.testing import LocalRudderStack
from dagster_rudderstack_tests.cli.conftest import CommandLine

SECRET = "rst-a-token-of-someone"


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "--token", SECRET],
        ["check", f"--token={SECRET}"],
        ["--token", SECRET, "check"],
        [f"--access-token={SECRET}", "check"],
        ["sync", "crm-contacts", "--rudderstack-access-token", SECRET],
        ["check", "-token", SECRET],
    ],
)
def test_token(cli: CommandLine, us: LocalRudderStack, arguments: list[str]) -> None:
    """A token is refused as an option, is not shown, and the environment variable is named."""
    result = cli(*arguments)

    assert (result.code, result.out, us.requests) == (2, "", [])
    assert result.err.endswith(
        "dagster-rudderstack: error: the token is not an option, since other users of this machine "
        "could read it. Set the environment variable RUDDERSTACK_ACCESS_TOKEN.\n"
    )
    assert SECRET not in result.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["chek"], "dagster-rudderstack: error: there is no such command; did you mean check?"),
        (
            [SECRET],
            "dagster-rudderstack: error: there is no such command; the commands are check, ",
        ),
        (
            ["--region", "eu", "check"],
            "dagster-rudderstack: error: options follow the command, as ",
        ),
        (
            ["check", "--regoin=eu"],
            "dagster-rudderstack check: error: there is no option --regoin.",
        ),
        (["check", "--reg", "eu"], "dagster-rudderstack check: error: there is no option --reg."),
        (["stop", "a", SECRET], "dagster-rudderstack stop: error: there are too many arguments."),
        (
            ["sync"],
            "dagster-rudderstack sync: error: the following arguments are required: CONNECT",
        ),
        (["syncs", "crm", "--limit", "0"], "error: --limit 0: expected a whole number from 1."),
        (["syncs", "crm", "--status", "done"], "error: status 'done' is unknown: expected one of "),
        (["sync", "crm", "--timeout", "-1"], "error: --timeout -1: expected a whole number of sec"),
        (
            ["sync", "crm", "--on-running-sync", "stop"],
            "error: --on-running-sync 'stop' is unknown",
        ),
        (
            ["check", "--region", "asia"],
            "error: --region 'asia' is unknown: expected 'us' or 'eu'.",
        ),
        (
            ["check", "--api-url", "http://a.example"],
            "error: --api-url 'http://a.example' would send",
        ),
        (
            ["check", "--region", "us", "--api-url", "https://x"],
            "error: Both --region and --api-url are",
        ),
        (
            ["check", "--ca-bundle", "/none"],
            "error: --ca-bundle '/none' cannot be used: [Errno 2] No",
        ),
        (["check", "--ca-bundle", " "], "error: --ca-bundle is empty: leave it out, or set its "),
        (["check", "a/b"], "error: CONNECTION 'a/b' is not an id of RudderStack: expected letters"),
        (
            ["sync", "../x"],
            "error: CONNECTION '../x' is not an id of RudderStack: expected letters",
        ),
        (["stop", ""], "error: CONNECTION is empty. Copy it from the RudderStack dashboard."),
    ],
)
def test_wrong_argument(
    cli: CommandLine, us: LocalRudderStack, arguments: list[str], message: str
) -> None:
    """The last line says what is wrong. Nothing is sent, and no value that may be secret shown."""
    result = cli(*arguments)

    assert (result.code, result.out, us.requests) == (2, "", [])
    assert result.err.splitlines()[-1].startswith(message)
    assert SECRET not in result.err


def test_name_of_a_connection(cli: CommandLine) -> None:
    """A name is not an id, and the message says where to find the id."""
    assert cli("sync", "CRM contacts").err == (
        "error: CONNECTION 'CRM contacts' is not an id of RudderStack: expected letters, digits "
        "and '-', '_', '.', ':' or '~', without a URL around it. `dagster-rudderstack connections` "
        "lists the ids.\n"
    )


@pytest.mark.parametrize("token", ["", "  ", "two words"])
def test_unusable_token(cli: CommandLine, us: LocalRudderStack, token: str) -> None:
    """All commands except `check` stop with exit code 2 if there is no usable token."""
    result = cli("connections", RUDDERSTACK_ACCESS_TOKEN=token)

    assert (result.code, result.out, us.requests) == (2, "", [])
    assert "RUDDERSTACK_ACCESS_TOKEN" in result.err or "without 'Bearer'" in result.err


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"RUDDERSTACK_REGION": "asia"}, "error: RUDDERSTACK_REGION 'asia' is unknown"),
        (
            {"RUDDERSTACK_REGION": "eu", "RUDDERSTACK_API_URL": "https://rudderstack.example"},
            "error: Both RUDDERSTACK_REGION and RUDDERSTACK_API_URL are set",
        ),
    ],
)
def test_wrong_variable(cli: CommandLine, environ: dict[str, str], message: str) -> None:
    """A variable of the environment is checked like an option."""
    result = cli("check", **environ)

    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(message)


def test_json(cli: CommandLine) -> None:
    """With --json, an error of a setting is a document as well."""
    result = cli("check", "--region", "asia", "--json")

    assert result.code == 2
    assert result.json["error"]["type"] == "InvalidSettingError"
    assert result.json["error"]["message"].startswith("--region 'asia' is unknown")


def test_region(cli: CommandLine) -> None:
    """The region comes from an option or a variable, and the option takes precedence."""
    assert "region is eu" not in cli("check").out
    assert "region='us'" in cli("check", "--region", "eu").out
    assert "region='us'" in cli("check", RUDDERSTACK_REGION="eu").out
    assert cli("check", "--region", "us", RUDDERSTACK_REGION="eu").code == 0


def test_version(cli: CommandLine) -> None:
    """--version prints the version."""
    result = cli("--version")

    assert (result.code, result.out) == (0, f"dagster-rudderstack {__version__}\n")


def test_help(cli: CommandLine) -> None:
    """The help lists the commands, the variables and the exit codes."""
    result = cli("--help")

    assert (result.code, result.err) == (0, "")
    for word in ("check", "failed-rows", "RUDDERSTACK_ACCESS_TOKEN", "exit codes:"):
        assert word in result.out


def test_no_command(cli: CommandLine) -> None:
    """Without a command, the help is an error."""
    result = cli()

    assert (result.code, result.out) == (2, "")
    assert result.err == cli("--help").out
