"""Reads the sections of the README, and makes its table of settings from the resource.

`python -m dagster_rudderstack_tests.project.readme` updates the table in the README.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from pydantic.fields import FieldInfo

from dagster_rudderstack import RudderStackResource

README = Path(__file__).parents[2] / "README.md"

TABLE_HEAD = "| Setting | Default | |\n|---|---|---|\n"


def section(heading: str) -> str:
    """Return the text under a heading, up to the next heading of any level."""
    _, _, rest = README.read_text().partition(f"# {heading}\n")
    assert rest, f"The README has no heading {heading!r}"
    # A comment in a shell block looks like a heading.
    lines = []
    in_block = False
    for line in rest.splitlines(keepends=True):
        in_block ^= line.startswith("```")
        if line.startswith("#") and not in_block:
            break
        lines.append(line)
    return "".join(lines)


def block(heading: str, language: str) -> str:
    """Return the only code block of a language under a heading."""
    blocks = blocks_of(section(heading), language)
    assert len(blocks) == 1, f"{heading!r} has {len(blocks)} blocks of {language}"
    return blocks[0]


def blocks_of(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def rows(heading: str) -> Iterator[list[str]]:
    """Return the rows of the only table under a heading, without its head."""
    lines = [line for line in section(heading).splitlines() if line.startswith("|")]
    for line in lines[2:]:
        yield [cell.strip() for cell in line.strip("|").split("|")]


def settings_table() -> str:
    """Return the expected table of settings."""
    fields = RudderStackResource.model_fields
    lines = [
        f"| `{name}` | {_default(name, field)} | {field.description} |\n"
        for name, field in fields.items()
    ]
    return TABLE_HEAD + "".join(lines)


def _default(name: str, field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True)
    if default is None or default == {}:
        return "none"
    shown = f"{default:g}" if isinstance(default, float) else str(default)
    return f"{shown} s" if name.endswith("_seconds") else f"`{shown}`"


def with_settings_table(readme: str) -> str:
    """Return the README with the expected table of settings."""
    before, heading, rest = readme.partition("## Settings\n")
    _, _, after = rest.partition("\n## ")
    prose = rest[: rest.index("\n\n", 1)]
    return f"{before}{heading}{prose}\n\n{settings_table()}\n## {after}"


if __name__ == "__main__":
    README.write_text(with_settings_table(README.read_text()))
