"""Reads the sections of the README and of the documentation, and makes the table of settings.

`python -m dagster_rudderstack_tests.project.pages` updates it in `docs/reference/settings.md`.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic.fields import FieldInfo

from dagster_rudderstack import RudderStackResource
from dagster_rudderstack.testing import LocalRudderStack

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
README = ROOT / "README.md"
SETTINGS = DOCS / "reference" / "settings.md"

CONNECTION = "2hkeBOp0lGJpMPyur0oXUxxIDhw"
SECOND_CONNECTION = "2hkeBWdTkWWcBlbJyvsrqGdfGbe"

TABLE_HEAD = "| Setting | Default | |\n|---|---|---|\n"


def section(heading: str, page: Path = README) -> str:
    """Return the text under a heading, up to the next heading of any level."""
    _, _, rest = page.read_text().partition(f"# {heading}\n")
    assert rest, f"{page.name} has no heading {heading!r}"
    # A comment in a shell block looks like a heading.
    lines = []
    in_block = False
    for line in rest.splitlines(keepends=True):
        in_block ^= line.startswith("```")
        if line.startswith("#") and not in_block:
            break
        lines.append(line)
    return "".join(lines)


def block(heading: str, language: str, page: Path = README) -> str:
    """Return the only code block of a language under a heading."""
    blocks = blocks_of(section(heading, page), language)
    assert len(blocks) == 1, f"{heading!r} has {len(blocks)} blocks of {language}"
    return blocks[0]


def blocks_of(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def rows(heading: str, page: Path = README) -> Iterator[list[str]]:
    """Return the rows of the only table under a heading, without its head."""
    lines = [line for line in section(heading, page).splitlines() if line.startswith("|")]
    for line in lines[2:]:
        yield [cell.strip() for cell in line.strip("|").split("|")]


def executed(code: str, page: Path = README, **names: Any) -> dict[str, Any]:
    """Run an example of a page and return its names."""
    namespace: dict[str, Any] = {"__name__": "example", **names}
    exec(compile(code, str(page), "exec"), namespace)  # noqa: S102 - our own pages
    return namespace


def local(server: LocalRudderStack, **settings: Any) -> RudderStackResource:
    """Return the resource of the examples, with the address of a local RudderStack."""
    token = dg.EnvVar("RUDDERSTACK_ACCESS_TOKEN")
    settings = {"poll_min_interval_seconds": 0.05, **settings}
    return RudderStackResource(access_token=token, api_url=server.url, **settings)


def broken_links(page: Path) -> list[str]:
    """Return the links to files that do not exist."""
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())
    return [link for link in links if not (page.parent / link).exists()]


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


def with_settings_table(page: str) -> str:
    """Return the page of settings with the expected table, which ends the page."""
    return page[: page.index(TABLE_HEAD)] + settings_table()


if __name__ == "__main__":
    SETTINGS.write_text(with_settings_table(SETTINGS.read_text()))
