"""Finds the system's Chromium, since Playwright's own browsers would have to be downloaded."""

import os
import shutil

import pytest

MISSING = (
    "The tests of Dagster's pages need Chromium, which is not on the PATH. Install it, on Debian "
    "with: apt-get install chromium"
)


def chromium_path() -> str:
    """Return the path of Chromium. Without it the test is skipped, and under CI it fails."""
    path = shutil.which("chromium")
    if path is not None:
        return path
    if os.environ.get("CI"):
        pytest.fail(MISSING, pytrace=False)
    pytest.skip(MISSING)
