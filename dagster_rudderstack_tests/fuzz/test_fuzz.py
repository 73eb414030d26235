"""The fuzzer: each kind of input runs, and each kind of finding is found."""

import io
import json
import logging
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dagster_rudderstack_tests.fuzz import __main__ as fuzzer
from dagster_rudderstack_tests.fuzz.__main__ import KINDS, Open, Outcome, run_cases, watched
from dagster_rudderstack_tests.fuzz.answers import Case
from dagster_rudderstack_tests.fuzz.watch import PASSWORD, TOKEN, USER, Watch, escaped, leaks_in


@pytest.fixture(autouse=True)
def working_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Return to the working folder after the test. Each case changes it."""
    monkeypatch.chdir(tmp_path)


def findings_of(open_kind: Open, numbers: range = range(1)) -> list[str]:
    """Run cases, and return the findings."""
    out = io.StringIO()
    run_cases(open_kind, "planted", 1, numbers, out)
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line[:2] for line in lines if line[0] != "finding"] == [
        [event, number] for number in numbers for event in ("begin", "end")
    ]
    return [text for event, _, text in lines if event == "finding"]


@pytest.mark.parametrize("kind", KINDS)
def test_kinds(kind: str) -> None:
    """The first case of a seed has no finding."""
    assert findings_of(KINDS[kind].open) == []


def planted(fault: Callable[[Watch], object]) -> Open:
    """Return a kind whose only case has a fault."""

    @contextmanager
    def opened(watch: Watch) -> Iterator[Case]:
        def case(_: random.Random) -> None:
            fault(watch)

        yield case

    return opened


def log(_: Watch) -> None:
    logging.getLogger("planted").debug("header %s", f"Bearer {TOKEN}")


def log_a_cause(watch: Watch) -> None:
    error = RuntimeError("no secret")
    error.__cause__ = KeyError(TOKEN)
    watch.show_error(error)


def write(_: Watch) -> None:
    Path("report.json").write_text(f'{{"token": "{escaped(TOKEN)}"}}', encoding="utf-8")


def fail(_: Watch) -> None:
    raise ValueError("a bug")


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (log, "the access token is in"),
        (log_a_cause, "the access token is in"),
        (lambda watch: watch.show(f"http://{USER}:{PASSWORD}@proxy"), "the proxy password is in"),
        (write, "report.json"),
        (fail, "ValueError: a bug"),
    ],
    ids=["log", "cause", "shown", "file", "error"],
)
def test_finding(fault: Callable[[Watch], object], said: str) -> None:
    """A secret in a log, an error, an event or a file is found, and so is an undocumented error."""
    (finding,) = findings_of(planted(fault))

    assert said in finding


def test_no_finding() -> None:
    """A case does not get the findings of the case before."""
    logs = iter([log])

    def log_once(watch: Watch) -> None:
        for first in logs:
            first(watch)

    assert len(findings_of(planted(log_once), range(2))) == 1


def test_leaks_in() -> None:
    """A secret is found as JSON and URLs spell it."""
    assert not list(leaks_in("nothing"))
    url = "rst%2FT0ken-of-the%2Bfuzzed_workspace"
    for text in (TOKEN, escaped(TOKEN), url, TOKEN.replace("/", r"\/")):
        assert list(leaks_in(f"the token is {text}."))


def program(text: str) -> list[str]:
    """Return a command that runs cases as a text says."""
    head = "import json, os, sys, time\nsay = lambda *line: print(json.dumps(line), flush=True)\n"
    return [sys.executable, "-c", f"{head}for n in map(int, sys.argv[1].split(',')):\n {text}"]


@pytest.mark.parametrize(
    ("text", "findings"),
    [
        ("say('begin', n, ''); say('end', n, '')", []),
        (
            "say('begin', n, ''); n == 1 and time.sleep(600); say('end', n, '')",
            ["case 1: it hangs"],
        ),
        (
            "say('begin', n, ''); n == 1 and os.abort(); say('end', n, '')",
            ["case 1: killed by signal 6"],
        ),
        (
            "say('begin', n, ''); n == 1 and sys.exit('memory'); say('end', n, '')",
            ["case 1: ended with 1: memory\n"],
        ),
        (
            "say('begin', n, ''); n == 1 and say('finding', n, 'no'); say('end', n, '')",
            ["case 1: no"],
        ),
    ],
    ids=["good", "hangs", "crashes", "ends", "finds"],
)
def test_watched(text: str, findings: list[str]) -> None:
    """A case that hangs or ends its process is a finding, and the other cases run."""
    outcome = watched(program(text), 3.0, range(3))

    assert outcome.findings == findings
    assert set(outcome.seconds) >= {0, 2}


def test_exit_code(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """With a finding, the exit code is not 0. The output says how to repeat the case."""
    outcomes = iter([Outcome(["case 7: a bug"], {7: 1.0}), Outcome([], {0: 2.0})])
    monkeypatch.setattr(fuzzer, "fuzz", lambda *_: next(outcomes))

    assert fuzzer.main(["sql", "--seed", "5"]) == 1
    printed = capsys.readouterr().out
    assert "Seed 5" in printed
    assert "-m dagster_rudderstack_tests.fuzz sql --seed 5 --only 7" in printed
    assert fuzzer.main(["sql"]) == 0
    assert "No finding" in capsys.readouterr().out
