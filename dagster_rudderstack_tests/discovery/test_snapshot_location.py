"""Where snapshots are, and how to keep them out of a wheel."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PROJECT = """\
[project]
name = "crm"
version = "0"
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
"""
SNAPSHOTS = {"crm/snapshot.json", "crm/defs/.local_defs_state/us/state"}


def documented() -> str:
    """Return the settings of the page that keep snapshots out of a wheel."""
    page = (DOCS / "guides" / "discovery.md").read_text()
    (settings,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    return str(settings)


@pytest.mark.processes
@pytest.mark.parametrize("is_excluded", [True, False])
def test_wheel(tmp_path: Path, is_excluded: bool) -> None:
    """A wheel has the snapshot and the state, unless the settings of the page leave them out."""
    (tmp_path / "pyproject.toml").write_text(PROJECT + (documented() if is_excluded else ""))
    for name in {"crm/__init__.py", "crm/defs/.local_defs_state/.gitignore"} | SNAPSHOTS:
        file = tmp_path / "src" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("*" if file.name == ".gitignore" else "")

    command = [sys.executable, "-m", "build", "--no-isolation", "--wheel", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True)

    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        found = SNAPSHOTS & set(archive.namelist())
    assert found == (set() if is_excluded else SNAPSHOTS)
