"""The pages of the documentation, and their blocks of code."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>[^\n`]*)\n(?P<code>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A block of code on a page.

    Attributes:
        page: The page, from the root of the repository.
        line: The line of its first fence, from 1.
        language: What stands after the fence. Empty if nothing does.
        code: What is between the fences.
    """

    page: str
    line: int
    language: str
    code: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    """Return the README and all pages of `docs/`."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(*languages: str) -> list[Block]:
    """Return the blocks of all pages in some languages, or in all."""
    return [
        block
        for page in pages()
        for block in _blocks_of(page)
        if not languages or block.language in languages
    ]


def _blocks_of(page: Path) -> Iterator[Block]:
    text = page.read_text()
    for found in _FENCE.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        indent = found["indent"]
        code = "".join(each.removeprefix(indent) for each in found["code"].splitlines(True))
        yield Block(str(page.relative_to(ROOT)), line, found["language"].partition(" ")[0], code)
