"""`snapshot`: a file from which definitions load."""

import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dagster_rudderstack import (
    InvalidSettingError,
    RudderStackResource,
    load_rudderstack_asset_specs,
    refresh_rudderstack_snapshot,
)
from dagster_rudderstack.discovery.replaceable import CONFIGURATION_KEYS
from dagster_rudderstack.testing import Fault, LocalRudderStack, WorkspaceConfig
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


@pytest.mark.parametrize(
    "content",
    ['{"name": "web", "version": "1.0.0"}', "[1]", "# Notes", "SELECT 1", "\ufffd", "5"],
)
def test_snapshot__other_file(
    cli: CommandLine, us: LocalRudderStack, tmp_path: Path, content: str
) -> None:
    """A file that is not a snapshot is not overwritten, and no request is sent."""
    path = tmp_path / "crm.json"
    path.write_text(content)

    result = cli("snapshot", str(path))

    assert result.code == 2
    assert result.err == (
        f"error: {path} is not a snapshot, and would be overwritten. Use the path of another file, "
        "or delete this one first.\n"
    )
    assert path.read_text() == content
    assert us.requests == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: "",
        lambda _: "\0" * 100,
        lambda _: "{}",
        lambda _: "{",
        lambda text: text[:40],
        lambda text: text[:-1],
        lambda text: f"\ufeff{text[:-1]}",
        lambda text: f"<<<<<<< HEAD\n{text}\n=======\n{text}\n>>>>>>> main\n",
        lambda text: json.dumps(json.loads(text), indent=2, sort_keys=True),
        lambda text: json.dumps({**json.loads(text), "version": 99}),
    ],
)
def test_snapshot__damaged(cli: CommandLine, tmp_path: Path, damage: Callable[[str], str]) -> None:
    """An empty file and a snapshot that is damaged or was formatted are replaced."""
    path = tmp_path / "crm.json"
    cli("snapshot", str(path))
    path.write_text(damage(path.read_text()))

    result = cli("snapshot", str(path))

    assert result.code == 0
    assert len(load_rudderstack_asset_specs(UNUSED, snapshot=path)) == 1


def test_configuration_of_the_local_rudderstack(
    cli: CommandLine, us: LocalRudderStack, tmp_path: Path
) -> None:
    """It is neither overwritten nor read as a snapshot, and no message advises to overwrite it."""
    path = tmp_path / "rudderstack.json"
    content = json.dumps({"connections": [{"id": "crm"}], "fault": []})
    path.write_text(content)
    message = (
        f"{path} is a configuration of the local RudderStack, not a snapshot of a workspace. Use "
        "the path of another file for the snapshot."
    )
    resource = RudderStackResource(access_token=us.access_token, api_url=us.url)

    result = cli("snapshot", str(path))
    errors = []
    for call in (
        lambda: refresh_rudderstack_snapshot(resource, path),
        lambda: load_rudderstack_asset_specs(resource, snapshot=path),
        lambda: load_rudderstack_asset_specs(resource, snapshot=path, refresh="always"),
    ):
        with pytest.raises(InvalidSettingError) as caught:
            call()
        errors.append(str(caught.value))

    assert (result.code, result.err) == (2, f"error: {message}\n")
    assert errors == [message] * 3
    assert path.read_text() == content
    assert us.requests == []


def test_keys_of_a_configuration() -> None:
    """The library knows the keys of the local RudderStack, from which it imports nothing."""
    assert {each.name for each in dataclasses.fields(WorkspaceConfig)} == CONFIGURATION_KEYS


def test_snapshot__unreadable(
    cli: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that may not be read is not overwritten."""
    path = tmp_path / "crm.json"
    path.write_text("secret")

    def refuse(*_: object, **__: object) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    result = cli("snapshot", str(path))

    assert result.code == 1
    assert f"The snapshot cannot be written to {path}: [Errno 13]" in result.err
    assert path.read_text() == "secret"
