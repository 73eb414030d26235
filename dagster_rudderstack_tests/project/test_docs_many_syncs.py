"""The example of the page on many syncs."""

import re
from pathlib import Path
from typing import Any

import dagster as dg

PAGE = Path(__file__).parents[2] / "docs" / "guides" / "many-syncs.md"


def test_example() -> None:
    """The definitions load without the environment variable of the resource."""
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names: dict[str, Any] = {"__name__": "example"}

    exec(example, names)  # noqa: S102 - our own page

    dg.Definitions.validate_loadable(names["defs"])
