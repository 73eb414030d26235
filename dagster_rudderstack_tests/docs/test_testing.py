"""The tests on the page about testing a project pass in a project of their own."""

import re
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

PAGE = Path(__file__).parents[2] / "docs" / "guides" / "testing.md"
FILES = dict(
    re.findall(r'```python title="(\w+)\.py"\n(.*?)```', PAGE.read_text("utf-8"), re.DOTALL)
)
TESTS = sorted(set(FILES) - {"conftest"})


def test_blocks(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests of the page pass, each file with the page's `conftest.py` only."""
    # The plugins of this project slow down the start, and users do not have them.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTHONPATH", str(PAGE.parents[2]))
    pytester.makeconftest(FILES["conftest"])
    pytester.makepyfile(**{name: FILES[name] for name in TESTS})

    # In a process of its own, since pytester would import parts of Dagster a second time.
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")

    result.assert_outcomes(passed=sum(FILES[name].count("def test_") for name in TESTS))


def test_every_block_has_a_file() -> None:
    """No block of the page is left out."""
    assert len(TESTS) == PAGE.read_text("utf-8").count("```python") - 1
