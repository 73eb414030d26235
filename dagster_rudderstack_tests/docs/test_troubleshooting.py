"""The page about messages has each message of the code, and no other."""

import re

import pytest

from dagster_rudderstack import errors
from dagster_rudderstack_tests.docs.messages import (
    Message,
    all_templates,
    dagster_templates,
    messages,
)
from dagster_rudderstack_tests.docs.wrong_settings import HEADING, PAGE, written

TEXT = PAGE.read_text(encoding="utf-8")
BY_HAND = TEXT.partition(HEADING)[0]
MIN_LETTERS = 7


def rows(section: str) -> list[list[str]]:
    """Return the cells of the tables in a section, without the headings."""
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in lines
        if not line.startswith(("| Message", "| Class"))
    ]


CLASSES, _, MESSAGES = BY_HAND.partition("## While the code location loads")
QUOTES = [
    quote for first, *_ in rows(MESSAGES) for quote in re.findall(r"`([^`]+)`", first.strip("| "))
]


def test_classes() -> None:
    """The page has each class of errors once, and says whether a retry may succeed."""
    listed = {cells[0].strip("| `"): cells[-1].strip(" |") for cells in rows(CLASSES)}

    assert sorted(listed) == sorted(errors.__all__)
    for name, retried in listed.items():
        if retried:
            assert retried.startswith("yes") is getattr(errors, name).retryable, name


@pytest.mark.parametrize("message", messages(), ids=lambda message: message.text[:40])
def test_message__has_an_entry(message: Message) -> None:
    """Each error, warning and failure of the code has an entry."""
    if message.kind == "InvalidSettingError":
        assert " ".join(message.text.split()) in TEXT
    else:
        assert any(quote in message.text for quote in QUOTES), message


@pytest.mark.parametrize("quote", QUOTES)
def test_entry__has_a_message(quote: str) -> None:
    """The words of each entry are words of the code."""
    assert sum(map(str.isalpha, quote)) >= MIN_LETTERS
    assert any(quote in text for text in all_templates()), quote


def test_entry__once() -> None:
    """No entry is there twice."""
    assert sorted(set(QUOTES)) == sorted(QUOTES)


def test_entry__has_a_meaning_and_a_remedy() -> None:
    """Each entry has a message, a meaning and something to do."""
    for cells in rows(MESSAGES):
        assert len(cells) == 3, cells
        assert all(cell.strip("| ") for cell in cells), cells


def test_messages_of_dagster() -> None:
    """The words in the list of Dagster's messages are words of Dagster."""
    listed = TEXT.partition("## Messages of Dagster")[2].partition("\n## ")[0]
    quotes = re.findall(r'"([^"]+)"', " ".join(listed.split()))

    assert len(quotes) == 8
    for quote in quotes:
        assert any(quote in text for text in dagster_templates()), quote


def test_wrong_settings() -> None:
    """The list of messages about wrong settings is that of the code.

    If this fails, run `python -m dagster_rudderstack_tests.docs.wrong_settings`.
    """
    assert written(TEXT) == TEXT
