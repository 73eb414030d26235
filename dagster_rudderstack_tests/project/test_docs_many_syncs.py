"""The examples of the page on many syncs."""

import re
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

PAGE = Path(__file__).parents[2] / "docs" / "guides" / "many-syncs.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.mark.parametrize("example", range(len(EXAMPLES)))
def test_example(example: int) -> None:
    """The definitions load without the environment variable of the resource."""
    names: dict[str, Any] = {"__name__": f"example_{example}"}

    exec(EXAMPLES[example], names)  # noqa: S102 - our own page

    dg.Definitions.validate_loadable(names["defs"])


def test_there_are_three() -> None:
    """The page has an example for one step, for a sensor and for `wait=False`."""
    words = ("build_rudderstack_sync_assets(", "assets=[crm_contacts])", "wait=False")

    assert [word in example for word, example in zip(words, EXAMPLES, strict=True)] == [True] * 3
