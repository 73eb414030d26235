"""Writes the table of failures as a page of the documentation."""

from pathlib import Path

from dagster_rudderstack_tests.sync.case import Case
from dagster_rudderstack_tests.sync.cases import CASES

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"

_HEAD = """\
# What happens when something fails

Each row is a failure that is tested against a real server, with the default settings unless the row
says otherwise. The table is generated from the tests in `dagster_rudderstack_tests/sync/cases.py`.

| What fails | What you see | What RudderStack saw |
|---|---|---|
"""


def page() -> str:
    """Return the page."""
    return _HEAD + "".join(
        f"| {case.fault} | {case.sees} | {_requests_seen(case)} |\n" for case in CASES
    )


def _requests_seen(case: Case) -> str:
    sent = case.starts if case.sent is None else case.sent
    stops = {0: "", 1: ", one stop"}[case.stops]
    if sent == case.starts:
        return f"{_times(sent, 'start')}{stops}"
    effect = {0: "none took effect", 1: "one took effect"}[case.starts]
    return f"{_times(sent, 'start')}, of which {effect}{stops}"


def _times(count: int, noun: str) -> str:
    numbers = {0: "no", 1: "one", 2: "two", 3: "three"}
    return f"{numbers[count]} {noun}{'' if count == 1 else 's'}"


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page())
