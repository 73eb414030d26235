"""The file of a snapshot: when it is written, refreshed and read."""

import logging
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack import (
    DiscoveryError,
    InvalidSettingError,
    RudderStackResource,
    TransportError,
    load_rudderstack_asset_specs,
    refresh_rudderstack_snapshot,
)
from dagster_rudderstack.testing import Fault, LocalRudderStack
from dagster_rudderstack_tests.discovery.conftest import (
    AUDIENCE,
    CONTACTS,
    OUTAGE,
    UNREACHABLE,
    fill,
    keys_of,
)


def test_snapshot_file(
    server: LocalRudderStack, rudderstack: RudderStackResource, tmp_path: Path
) -> None:
    """A snapshot that is missing is made; from then on nothing is asked."""
    fill(server)
    path = tmp_path / "made" / "rudderstack.json"

    first = load_rudderstack_asset_specs(rudderstack, snapshot=path)
    asked = len(server.requests)
    second = load_rudderstack_asset_specs(rudderstack, snapshot=path)

    assert asked == 3
    assert len(server.requests) == asked
    assert second == first
    assert [file.name for file in path.parent.iterdir()] == ["rudderstack.json"]


def test_rudderstack_out_of_reach(
    server: LocalRudderStack, rudderstack: RudderStackResource, tmp_path: Path
) -> None:
    """With RudderStack out of reach, definitions load from the snapshot."""
    fill(server)
    path = tmp_path / "rudderstack.json"
    refresh_rudderstack_snapshot(rudderstack, path)

    assert keys_of(load_rudderstack_asset_specs(UNREACHABLE, snapshot=path)) == {CONTACTS, AUDIENCE}


def test_no_snapshot_and_out_of_reach(tmp_path: Path) -> None:
    """Without a snapshot, the error says how to make one."""
    path = tmp_path / "rudderstack.json"

    with pytest.raises(DiscoveryError) as caught:
        load_rudderstack_asset_specs(UNREACHABLE, snapshot=path)

    assert f"refresh_rudderstack_snapshot(resource, {str(path)!r})" in caught.value.message
    assert isinstance(caught.value.__cause__, TransportError)


def test_out_of_reach_and_no_snapshot_asked_for() -> None:
    """Who asks for no snapshot is told, when RudderStack is out of reach, to ask for one."""
    with pytest.raises(DiscoveryError, match="snapshot=") as caught:
        load_rudderstack_asset_specs(UNREACHABLE)

    assert isinstance(caught.value.__cause__, TransportError)


REFUSED = {
    403: "needs permission to view the Reverse ETL connections",
    404: "Check api_url, or the region",
}


@pytest.mark.parametrize(("status", "words"), REFUSED.items())
@pytest.mark.parametrize("operation", ["list_connections", "list_sources"])
def test_list_that_is_refused(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    caplog: pytest.LogCaptureFixture,
    operation: Any,
    status: int,
    words: str,
) -> None:
    """Where a list is refused, one is told what lists need, and not what syncs need."""
    fill(server)
    server.add_fault(Fault("status", operation=operation, status=status, times=None))

    told = ""
    try:
        load_rudderstack_asset_specs(rudderstack)
    except DiscoveryError as error:
        told = error.message

    told += caplog.text
    assert words in told
    assert "Edit and Connect" not in told
    assert "Check the id" not in told


def test_refresh_always(
    server: LocalRudderStack, rudderstack: RudderStackResource, tmp_path: Path
) -> None:
    """`always` makes the snapshot anew each time."""
    fill(server)
    path = tmp_path / "rudderstack.json"
    load_rudderstack_asset_specs(rudderstack, snapshot=path)
    server.remove_connection("audience")

    specs = load_rudderstack_asset_specs(rudderstack, snapshot=path, refresh="always")

    assert keys_of(specs) == {CONTACTS}


def test_refresh_always_and_out_of_reach(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """`always` falls back on the old snapshot, and says so."""
    fill(server)
    path = tmp_path / "rudderstack.json"
    refresh_rudderstack_snapshot(rudderstack, path)
    server.add_fault(OUTAGE)

    with caplog.at_level(logging.WARNING):
        specs = load_rudderstack_asset_specs(UNREACHABLE, snapshot=path, refresh="always")

    assert keys_of(specs) == {CONTACTS, AUDIENCE}
    assert "is used as it is" in caplog.text


def test_failed_refresh_keeps_the_snapshot(
    server: LocalRudderStack, rudderstack: RudderStackResource, tmp_path: Path
) -> None:
    """A refresh that fails leaves the old snapshot, and nothing beside it."""
    fill(server)
    path = tmp_path / "rudderstack.json"
    refresh_rudderstack_snapshot(rudderstack, path)
    before = path.read_bytes()
    server.add_fault(OUTAGE)

    with pytest.raises(Exception, match="503"):
        refresh_rudderstack_snapshot(rudderstack, path)

    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", [b"{", b'{"version": 99}', b"\xff\xfe"])
def test_unreadable_snapshot(tmp_path: Path, content: bytes) -> None:
    """A snapshot that cannot be read says how to make a new one."""
    path = tmp_path / "rudderstack.json"
    path.write_bytes(content)

    with pytest.raises(DiscoveryError, match="refresh_rudderstack_snapshot"):
        load_rudderstack_asset_specs(UNREACHABLE, snapshot=path)


def test_unset_variable_is_named(tmp_path: Path) -> None:
    """A variable that is not set is named, when the workspace has to be read."""
    rudderstack = RudderStackResource(access_token=dg.EnvVar("NO_SUCH_RUDDERSTACK_TOKEN"))

    with pytest.raises(InvalidSettingError, match="NO_SUCH_RUDDERSTACK_TOKEN") as caught:
        load_rudderstack_asset_specs(rudderstack, snapshot=tmp_path / "rudderstack.json")

    assert "refresh_rudderstack_snapshot(resource, " in caught.value.message


def test_refresh_always_and_unset_variable(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """`always` falls back on the old snapshot where the token is not set, as in a build."""
    fill(server)
    path = tmp_path / "rudderstack.json"
    refresh_rudderstack_snapshot(rudderstack, path)
    unset = RudderStackResource(access_token=dg.EnvVar("NO_SUCH_RUDDERSTACK_TOKEN"))

    specs = load_rudderstack_asset_specs(unset, snapshot=path, refresh="always")

    assert keys_of(specs) == {CONTACTS, AUDIENCE}
    assert "NO_SUCH_RUDDERSTACK_TOKEN" in caplog.text


def test_snapshot_that_cannot_be_written(
    server: LocalRudderStack, rudderstack: RudderStackResource, tmp_path: Path
) -> None:
    """A place where no snapshot can be written is named, with the way to make one."""
    fill(server)
    (tmp_path / "file").write_text("")

    with pytest.raises(
        DiscoveryError, match=r"could not be written: .* refresh_rudderstack_snapshot"
    ):
        load_rudderstack_asset_specs(rudderstack, snapshot=tmp_path / "file" / "rudderstack.json")


def test_refresh_always_in_a_place_that_cannot_be_written(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """`always` falls back on the old snapshot where a new one cannot be written."""
    fill(server)
    path = tmp_path / "rudderstack.json"
    refresh_rudderstack_snapshot(rudderstack, path)

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "replace", refuse)

    specs = load_rudderstack_asset_specs(rudderstack, snapshot=path, refresh="always")

    assert keys_of(specs) == {CONTACTS, AUDIENCE}
    assert "It could not be written: [Errno 13] Permission denied" in caplog.text


def test_snapshot_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A snapshot that the process may not read is named."""
    path = tmp_path / "rudderstack.json"
    path.write_text("{}")

    def refuse(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_text", refuse)

    with pytest.raises(DiscoveryError, match=r"rudderstack.json cannot be read: \[Errno 13\]"):
        load_rudderstack_asset_specs(UNREACHABLE, snapshot=path)


@pytest.mark.parametrize("refresh", ["if_missing", "always"])
def test_folder_for_a_snapshot(tmp_path: Path, refresh: Any) -> None:
    """A folder is no snapshot, and stays as it is."""
    with pytest.raises(InvalidSettingError, match="is a folder: expected a file in it"):
        load_rudderstack_asset_specs(UNREACHABLE, snapshot=tmp_path, refresh=refresh)
