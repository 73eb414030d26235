"""The commands and options of the command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from dagster_rudderstack.api.validation import checked_id
from dagster_rudderstack.errors import InvalidSettingError
from dagster_rudderstack.text import nearest
from dagster_rudderstack.version import __version__

__all__ = [
    "API_URL_VARIABLE",
    "PROGRAM",
    "REGION_VARIABLE",
    "TOKEN_VARIABLE",
    "WRONG_USAGE",
    "checked_connection",
    "parse",
]

PROGRAM = "dagster-rudderstack"
TOKEN_VARIABLE = "RUDDERSTACK_ACCESS_TOKEN"  # noqa: S105 - the name, not the token
REGION_VARIABLE = "RUDDERSTACK_REGION"
API_URL_VARIABLE = "RUDDERSTACK_API_URL"

WRONG_USAGE = 2
"""The exit code if an argument or a setting is wrong, as of argparse."""

COMMANDS = {
    "check": "check the token, the region, the permissions and the connections",
    "connections": "list the connections with their ids",
    "syncs": "list the newest syncs of a connection",
    "sync": "start a sync and wait until it ends",
    "stop": "stop the running sync of a connection",
    "failed-rows": "print the SQL that lists the rejected rows of a sync",
    "snapshot": "write the snapshot of the workspace, from which definitions load, to a file",
}

EPILOG = f"""\
environment variables:
  {TOKEN_VARIABLE}  access token of the workspace; required
  {REGION_VARIABLE}        us or eu; default: us
  {API_URL_VARIABLE}       address of the API, instead of the region

exit codes:
  0  success; `check` found no problem
  1  `check` found a problem, a sync did not succeed, or RudderStack refused a request
  2  an argument or a setting is wrong
  130  interrupted by Ctrl-C
"""


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the command and its options.

    Raises:
        SystemExit: If they are wrong (2), or only help was asked for (0).
    """
    parser, commands = _parsers()
    _refuse_token(parser, arguments)
    if not arguments:
        parser.print_help(sys.stderr)
        sys.exit(WRONG_USAGE)
    first = arguments[0]
    if first not in COMMANDS and first not in ("-h", "--help", "--version"):
        _refuse_command(parser, first)
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        _refuse_unknown(commands[options.command], unknown)
    return options


def checked_connection(text: str) -> str:
    """Return the id of a connection.

    Raises:
        InvalidSettingError: If it is not an id.
    """
    try:
        return checked_id(text, "CONNECTION")
    except InvalidSettingError as error:
        raise InvalidSettingError(f"{error} `{PROGRAM} connections` lists the ids.") from None


def _refuse_token(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> None:
    """Refuse a token on the command line. Its value is not shown."""
    names = [each.partition("=")[0].lower() for each in arguments]
    if any(name.startswith("-") and "token" in name for name in names):
        parser.error(
            "the token is not an option, since other users of this machine could read it. Set the "
            f"environment variable {TOKEN_VARIABLE}."
        )


def _refuse_command(parser: argparse.ArgumentParser, first: str) -> NoReturn:
    if first.startswith("-"):
        parser.error(f"options follow the command, as in {PROGRAM} check --region eu.")
    near = nearest(first, COMMANDS)
    hint = f"did you mean {near}?" if near else f"the commands are {', '.join(COMMANDS)}."
    parser.error(f"there is no such command; {hint}")


def _refuse_unknown(parser: argparse.ArgumentParser, unknown: Sequence[str]) -> NoReturn:
    """Refuse arguments that the command does not have. Values are not shown: they may be secret."""
    options = [each.partition("=")[0] for each in unknown if each.startswith("-")]
    if options:
        parser.error(f"there is no option {options[0]}.")
    parser.error("there are too many arguments.")


def _parsers() -> tuple[_Parser, dict[str, _Parser]]:
    parser = _Parser(
        prog=PROGRAM,
        usage=f"{PROGRAM} COMMAND [ARGUMENTS] [OPTIONS]",
        description="See why RudderStack's syncs do not work, and run them without Dagster.",
        epilog=EPILOG,
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    actions = parser.add_subparsers(dest="command", title="commands", metavar="COMMAND")
    commands = {
        name: actions.add_parser(
            name,
            prog=f"{PROGRAM} {name}",
            help=text,
            description=f"{text[0].upper()}{text[1:]}.",
            epilog=EPILOG,
        )
        for name, text in COMMANDS.items()
    }
    _add_arguments(commands)
    return parser, commands


class _Parser(argparse.ArgumentParser):
    """A parser whose options cannot be abbreviated, and whose help keeps its line breaks."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(
            formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **settings
        )


def _add_arguments(commands: dict[str, _Parser]) -> None:
    connection = f"id of a connection; `{PROGRAM} connections` lists them"
    commands["check"].add_argument("connection", metavar="CONNECTION", nargs="?", help=connection)
    for name in ("syncs", "sync", "stop", "failed-rows"):
        commands[name].add_argument("connection", metavar="CONNECTION", help=connection)
    add = commands["syncs"].add_argument
    add("--limit", type=int, default=20, metavar="N", help="how many; default: 20")
    add("--status", metavar="STATUS", help="only running, succeeded or failed syncs")
    add = commands["sync"].add_argument
    add("--full", action="store_true", help="sync all rows, not only what is new or changed")
    add(
        "--on-running-sync",
        metavar="CHOICE",
        help="if a sync is running: wait until it ends (default), attach to it, or fail",
    )
    add(
        "--timeout",
        type=int,
        metavar="SECONDS",
        help="stop the sync after this time; stopping may take 20 seconds; default: a day",
    )
    help_text = f"id of a sync; `{PROGRAM} syncs CONNECTION` lists them"
    commands["failed-rows"].add_argument("sync", metavar="SYNC", help=help_text)
    commands["snapshot"].add_argument("path", metavar="PATH", help="the file, such as crm.json")
    for command in commands.values():
        command.add_argument("--json", action="store_true", help="print one JSON document")
        command.add_argument("--region", metavar="REGION", help="us or eu")
        command.add_argument("--api-url", metavar="URL", help="address of the API")
        command.add_argument(
            "--ca-bundle", metavar="PATH", help="file or folder of CA certificates to trust"
        )
