"""Checks that a command in the documentation exists, with its options."""

import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from create_dagster.cli import cli as create_dagster
from dagster._cli import create_dagster_cli as dagster_cli
from dagster_dg_cli.cli import create_dg_cli

import dagster_rudderstack
from dagster_rudderstack.cli.arguments import parse
from dagster_rudderstack.testing import __main__ as testing_main

ROOT = Path(__file__).parents[2]

# Programs of others, whose options are not checked.
OTHERS = {
    *(".", "build", "cat", "cd", "cp", "curl", "docker", "echo", "export", "git", "helm"),
    *("kubectl", "ls", "mkdir", "pytest", "read", "source", "touch", "unset", "venv"),
}


def check_script(code: str, *, is_console: bool = False) -> None:
    """Check each command of a script, or after the prompts of a console.

    Raises:
        ValueError: If a command, an option or a target does not exist.
    """
    lines = code.replace("\\\n", " ").splitlines()
    if is_console:
        lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    for line in lines:
        for command in re.split(r"&&|\|", line.split(" #")[0]):
            words = shlex.split(command.replace("…", "x"), comments=True)
            # Variables in front of a command.
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                words = words[1:]
            if words:
                check_command(words)


def check_command(words: Sequence[str]) -> None:
    """Check one command."""
    words = list(words)
    if words[:2] == ["uv", "run"] or words[:1] == ["uvx"]:
        words = words[2 if words[0] == "uv" else 1 :]
    program, *arguments = words
    program = program.rpartition("/")[2].partition("@")[0]
    if program in {"python", "python3"} and arguments[:1] == ["-m"]:
        program, *arguments = arguments[1:]
    if program in _CHECKS:
        _CHECKS[program](arguments)
    elif program not in OTHERS:
        raise ValueError(
            f"{program!r} is unknown: add how it is checked to {Path(__file__).name}, or to OTHERS."
        )


def _make(arguments: Sequence[str]) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in arguments:
        if "=" not in target and not re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE):
            raise ValueError(f"The Makefile has no target {target!r}.")


def _parsed(parse_arguments: Callable[[Sequence[str]], Any]) -> Callable[[Sequence[str]], None]:
    def check(arguments: Sequence[str]) -> None:
        try:
            parse_arguments(arguments)
        except SystemExit as error:
            if error.code:
                raise ValueError(f"These arguments are wrong: {shlex.join(arguments)}") from error

    return check


def _click(command: Callable[[], click.Command]) -> Callable[[Sequence[str]], None]:
    def check(arguments: Sequence[str]) -> None:
        _check_click(command(), arguments)

    return check


def _check_click(command: click.Command, arguments: Sequence[str]) -> None:
    arguments = list(arguments)
    if isinstance(command, click.Group):
        context = click.Context(command)
        names = [each for each in arguments if not each.startswith("-")]
        if not names:
            return
        if command.name == "defs":
            # `dg scaffold defs` takes the type of a component, and looks for it in the project.
            _check_type(names[0])
            return
        found = command.get_command(context, names[0])
        if found is None:
            known = ", ".join(command.list_commands(context))
            raise ValueError(f"{command.name} has no command {names[0]!r}. It has {known}.")
        _check_click(found, arguments[arguments.index(names[0]) + 1 :])
        return
    known_options = {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
    for argument in arguments:
        option = argument.partition("=")[0]
        if option.startswith("-") and option not in {*known_options, "--help"}:
            raise ValueError(f"{command.name} has no option {option!r}.")


def _check_type(name: str) -> None:
    module, _, component = name.rpartition(".")
    if module == dagster_rudderstack.__name__ and component not in dagster_rudderstack.__all__:
        raise ValueError(f"{module} has no component {component!r}.")


def _installer(arguments: Sequence[str]) -> None:
    """Check the arguments of pip or uv: RudderStack's own package is never installed by mistake."""
    if {"list", "remove", "show", "uninstall"} & set(arguments):
        return
    for word in arguments:
        check_requirement(word)


REQUIREMENT = re.compile(r"^dagster[-_.]rudderstack(?P<extras>\[[\w,-]+\])?(?P<version>.*)$")


def check_requirement(word: str) -> None:
    """Check that a requirement is not met by RudderStack's own package, which ends with 1.3.0.

    Raises:
        ValueError: If it is.
    """
    found = REQUIREMENT.match(word)
    if not found or found["version"].lstrip().startswith((">=2", "==2", "~=2", "@", "==1.3.0")):
        return
    # A wheel.
    if re.match(r"-2[.\d]*\S*\.whl", found["version"]):
        return
    raise ValueError(f"{word!r} may install RudderStack's own package: write {word}>=2 in quotes.")


_CHECKS: dict[str, Callable[[Sequence[str]], Any]] = {
    "create-dagster": _click(lambda: create_dagster),
    "dagster": _click(dagster_cli),
    "dagster-rudderstack": _parsed(parse),
    "dagster_rudderstack": _parsed(parse),
    "dagster_rudderstack.testing": _parsed(
        lambda arguments: testing_main._parser().parse_args(arguments)
    ),
    "dg": _click(create_dg_cli),
    "make": _make,
    "pip": _installer,
    "uv": _installer,
}
