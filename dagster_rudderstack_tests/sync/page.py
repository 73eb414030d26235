"""Writes the table of failures as a page of the documentation."""

import re
from collections.abc import Sequence
from pathlib import Path

from dagster_rudderstack_tests.sync.case import Case
from dagster_rudderstack_tests.sync.cases import CASES

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"

_HEAD = """\
# What happens when something fails

Each row is a failure that is tested over real HTTP against the local RudderStack of
`dagster_rudderstack.testing`, with the default settings unless the row says otherwise. The table is
generated from the tests in `dagster_rudderstack_tests/sync/cases.py`.

| What fails | What you see | What RudderStack saw |
|---|---|---|
"""


# The beginning of a row that several cases share.
_SHARED = re.compile(r"(?P<shared>.*? each poll gets |[^:]*: )(?P<kind>.*)\.")


def page() -> str:
    """Return the page. Neighboring cases that differ only in the kind of failure are one row."""
    rows: dict[tuple[str, str, str], list[str]] = {}
    for case in CASES:
        match = _SHARED.fullmatch(case.fault)
        shared, kind = match.group("shared", "kind") if match else (case.fault, "")
        rows.setdefault((shared, case.sees, _requests_seen(case)), []).append(kind)
    return _HEAD + "".join(
        f"| {_fault_text(shared, kinds)} | {sees} | {requests} |\n"
        for (shared, sees, requests), kinds in rows.items()
    )


def _fault_text(shared: str, kinds: Sequence[str]) -> str:
    if kinds == [""]:
        return shared
    if len(kinds) == 1:
        return f"{shared}{kinds[0]}."
    return "<br>".join([shared.rstrip(": ") + ":", *(f"- {kind}" for kind in kinds)])


def _requests_seen(case: Case) -> str:
    sent = case.starts if case.sent is None else case.sent
    stops = {0: "", 1: ", one stop"}[case.stops]
    if sent == case.starts:
        return f"{_times(sent, 'start')}{stops}"
    if sent == 1:
        return f"one start, which had no effect{stops}"
    effect = {0: "none took effect", 1: "one took effect"}[case.starts]
    return f"{_times(sent, 'start')}, of which {effect}{stops}"


def _times(count: int, noun: str) -> str:
    numbers = {0: "no", 1: "one", 2: "two", 3: "three", 4: "four", 7: "seven"}
    return f"{numbers[count]} {noun}{'' if count == 1 else 's'}"


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page())
