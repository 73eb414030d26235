"""`snapshot`: a file from which definitions load."""

import os
from pathlib import Path

from dagster_rudderstack import RudderStackResource, load_rudderstack_asset_specs
from dagster_rudderstack.testing import Fault, LocalRudderStack
from dagster_rudderstack_tests.cli.conftest import CommandLine

UNUSED = RudderStackResource(access_token="token", api_url="http://127.0.0.1:9")


def test_snapshot(cli: CommandLine, tmp_path: Path) -> None:
    """The file has the workspace, and definitions load from it without a request."""
    path = tmp_path / "new" / "crm.json"

    result = cli("snapshot", str(path))

    assert result.code == 0
    assert result.out == f"Wrote 1 connection, 1 source and 1 destination to {path}.\n"
    (spec,) = load_rudderstack_asset_specs(UNUSED, snapshot=path)
    assert spec.key.path == ["rudderstack", "hubspot", "customers"]


def test_snapshot__refreshed(cli: CommandLine, us: LocalRudderStack, tmp_path: Path) -> None:
    """A second run replaces the file."""
    path = tmp_path / "crm.json"
    cli("snapshot", str(path))
    us.add_connection("more", "src-1", "dst-1", object="Company")

    result = cli("snapshot", str(path), "--json")

    assert result.json == {"path": str(path), "connections": 2, "sources": 1, "destinations": 1}
    assert len(load_rudderstack_asset_specs(UNUSED, snapshot=path)) == 2


def test_snapshot__outage(cli: CommandLine, us: LocalRudderStack, tmp_path: Path) -> None:
    """If RudderStack does not answer, the old file stays, and the command fails."""
    path = tmp_path / "crm.json"
    cli("snapshot", str(path))
    before = path.read_bytes()
    us.add_fault(Fault("status", operation="list_sources", status=503, times=None))

    result = cli("snapshot", str(path))

    assert result.code == 1
    assert "503" in result.err
    assert path.read_bytes() == before


def test_snapshot__warning(cli: CommandLine, us: LocalRudderStack, tmp_path: Path) -> None:
    """SQL that cannot be read is a warning, which names the source."""
    us.add_source(
        "model",
        name="Broken model",
        source_type="model",
        definition="snowflake",
        config={"sql": "select from where"},
    )
    us.add_connection("broken", "model", "dst-1")

    result = cli("snapshot", str(tmp_path / "crm.json"))

    assert result.code == 0
    assert "Broken model" in result.err


def test_snapshot__folder(cli: CommandLine, us: LocalRudderStack, tmp_path: Path) -> None:
    """A folder is refused before a request is sent."""
    result = cli("snapshot", str(tmp_path))

    assert result.code == 2
    assert f"PATH {str(tmp_path)!r} is a folder: expected a file in it." in result.err
    assert us.requests == []


def test_snapshot__unwritable(cli: CommandLine, tmp_path: Path) -> None:
    """If the file cannot be written, the error names it."""
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "crm.json"

    result = cli("snapshot", str(path))

    assert result.code == 1
    assert f"The snapshot cannot be written to {path}" in result.err


def test_snapshot__special_file(cli: CommandLine, us: LocalRudderStack, tmp_path: Path) -> None:
    """A pipe or a device is refused before a request is sent."""
    path = tmp_path / "pipe"
    os.mkfifo(path)

    result = cli("snapshot", str(path))

    assert result.code == 2
    assert f"PATH {str(path)!r} is not a regular file." in result.err
    assert us.requests == []


def test_snapshot__link(cli: CommandLine, tmp_path: Path) -> None:
    """The target of a link is written, and the link stays."""
    target, link = tmp_path / "target.json", tmp_path / "link.json"
    target.touch()
    link.symlink_to(target)

    assert cli("snapshot", str(link)).code == 0
    assert link.is_symlink()
    assert "crm-contacts" in target.read_text()
