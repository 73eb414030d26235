"""Writes the list of messages about wrong settings in the troubleshooting page.

Run `python -m dagster_rudderstack_tests.docs.wrong_settings` after a message was changed.
"""

from pathlib import Path

from dagster_rudderstack_tests.docs.messages import messages

PAGE = Path(__file__).parents[2] / "docs" / "troubleshooting.md"

HEADING = "## Wrong settings and arguments\n"

INTRODUCTION = """
These are the messages of `InvalidSettingError`. Each names the value, and what would be right.
Nothing was sent to RudderStack. On the command line, they have the names of options and variables
instead.
"""


def section() -> str:
    """Return the section with the messages of the code."""
    texts = sorted({each.text for each in messages() if each.kind == "InvalidSettingError"})
    return "\n".join([HEADING + INTRODUCTION, *map(_item, texts), ""])


def _item(text: str) -> str:
    line = " ".join(text.split())
    return f"- `` {line} ``" if "`" in line else f"- `{line}`"


def written(page: str) -> str:
    """Return the page with the section, which is its last one."""
    return page.partition(HEADING)[0].rstrip("\n") + "\n\n" + section()


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
