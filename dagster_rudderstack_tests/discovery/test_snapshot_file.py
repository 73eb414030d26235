"""The file of a snapshot: when it is written, refreshed and read."""

import json
import logging
import traceback
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
from dagster_rudderstack.api.client import RudderStackClient
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
    """A missing snapshot is written once. After that, no request is sent."""
    fill(server)
    path = tmp_path / "made" / "rudderstack.json"

    first = load_rudderstack_asset_specs(rudderstack, snapshot=path)
    requests = len(server.requests)
    second = load_rudderstack_asset_specs(rudderstack, snapshot=path)

    assert requests == 3
    assert len(server.requests) == requests
    assert second == first
    assert [file.name for file in path.parent.iterdir()] == ["rudderstack.json"]


def test_outage(server: LocalRudderStack, rudderstack: RudderStackResource, tmp_path: Path) -> None:
    """During an outage of RudderStack, definitions load from the snapshot."""
    fill(server)
    path = tmp_path / "rudderstack.json"
    refresh_rudderstack_snapshot(rudderstack, path)

    assert keys_of(load_rudderstack_asset_specs(UNREACHABLE, snapshot=path)) == {CONTACTS, AUDIENCE}


def test_outage__missing_snapshot(tmp_path: Path) -> None:
    """During an outage, the error for a missing snapshot says how to make one."""
    path = tmp_path / "rudderstack.json"

    with pytest.raises(DiscoveryError) as caught:
        load_rudderstack_asset_specs(UNREACHABLE, snapshot=path)

    assert (
        f"`dagster-rudderstack snapshot {path} --api-url http://127.0.0.1:9`."
        in caught.value.message
    )
    assert_is_short(caught.value)


def test_outage__no_snapshot() -> None:
    """During an outage, the error suggests a snapshot if none is used."""
    with pytest.raises(DiscoveryError, match="Set snapshot to the path") as caught:
        load_rudderstack_asset_specs(UNREACHABLE)

    assert "127.0.0.1:9 did not answer GET /retl-connections" in caught.value.message
    assert_is_short(caught.value)


def test_outage__refresh(tmp_path: Path) -> None:
    """The error of a refresh shows the message, and no frames of threads, retries and sockets."""
    with pytest.raises(TransportError) as caught:
        refresh_rudderstack_snapshot(UNREACHABLE, tmp_path / "rudderstack.json")

    assert_is_short(caught.value)


def assert_is_short(error: Exception) -> None:
    """Check that the message ends a traceback with a few frames, and that no cause is shown."""
    printed = traceback.format_exception(error)

    assert printed[-1].endswith(f"{error}\n")
    assert len(printed) <= 6
    assert "caused" not in "".join(printed)


REFUSED = {
    403: "needs to view the Reverse ETL connections",
    404: "Check api_url, or the region",
}


@pytest.mark.parametrize(("status", "words"), REFUSED.items())
@pytest.mark.parametrize("operation", ["list_connections", "list_sources"])
def test_refused_list(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    caplog: pytest.LogCaptureFixture,
    operation: Any,
    status: int,
    words: str,
) -> None:
    """The message for a refused list names the permission for lists, not for syncs."""
    fill(server)
    server.add_fault(Fault("status", operation=operation, status=status, times=None))

    message = ""
    try:
        load_rudderstack_asset_specs(rudderstack)
    except DiscoveryError as error:
        message = error.message

    message += caplog.text
    assert words in message
    assert "Edit and Connect" not in message
    assert "Check the id" not in message


def test_refresh_always(
    server: LocalRudderStack, rudderstack: RudderStackResource, tmp_path: Path
) -> None:
    """With `always`, the workspace is read each time."""
    fill(server)
    path = tmp_path / "rudderstack.json"
    load_rudderstack_asset_specs(rudderstack, snapshot=path)
    server.remove_connection("audience")

    specs = load_rudderstack_asset_specs(rudderstack, snapshot=path, refresh="always")

    assert keys_of(specs) == {CONTACTS}


def test_refresh_always__no_file() -> None:
    """`always` without a file is an error, before a request is sent."""
    with pytest.raises(InvalidSettingError, match="refresh='always' needs a file"):
        load_rudderstack_asset_specs(UNREACHABLE, refresh="always")


def test_refresh_always__outage(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """During an outage, `always` uses the old snapshot and logs a warning."""
    fill(server)
    path = tmp_path / "rudderstack.json"
    refresh_rudderstack_snapshot(rudderstack, path)
    server.add_fault(OUTAGE)

    with caplog.at_level(logging.WARNING):
        specs = load_rudderstack_asset_specs(UNREACHABLE, snapshot=path, refresh="always")

    assert keys_of(specs) == {CONTACTS, AUDIENCE}
    assert "is used as it is" in caplog.text


def test_refresh__fails(
    server: LocalRudderStack, rudderstack: RudderStackResource, tmp_path: Path
) -> None:
    """A failed refresh keeps the old snapshot and leaves no other file."""
    fill(server)
    path = tmp_path / "rudderstack.json"
    refresh_rudderstack_snapshot(rudderstack, path)
    before = path.read_bytes()
    server.add_fault(OUTAGE)

    with pytest.raises(Exception, match="503"):
        refresh_rudderstack_snapshot(rudderstack, path)

    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


class BrokenResource(RudderStackResource):
    """A user's resource whose client fails in the user's own code."""

    def get_client(self) -> RudderStackClient:  # noqa: D102 - overrides
        raise KeyError("vault")


def test_refresh_always__unexpected_error(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """`always` uses the old snapshot after an error of any kind, which the warning names."""
    fill(server)
    path = tmp_path / "rudderstack.json"
    refresh_rudderstack_snapshot(rudderstack, path)
    broken = BrokenResource(access_token=server.access_token, api_url=server.url)

    specs = load_rudderstack_asset_specs(broken, snapshot=path, refresh="always")

    assert keys_of(specs) == {CONTACTS, AUDIENCE}
    assert "KeyError: 'vault'. The snapshot at" in caplog.text


def test_refresh_always__damaged_snapshot(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """`always` replaces a damaged snapshot. If that fails too, the error names both causes."""
    fill(server)
    path = tmp_path / "rudderstack.json"
    path.write_bytes(b"\xff")

    with pytest.raises(DiscoveryError) as caught:
        load_rudderstack_asset_specs(UNREACHABLE, snapshot=path, refresh="always")
    specs = load_rudderstack_asset_specs(rudderstack, snapshot=path, refresh="always")

    assert f"{path} is not a snapshot. " in caught.value.message
    assert "The refresh failed: RudderStack" in caught.value.message
    assert "is used as it is" not in caplog.text
    assert keys_of(specs) == {CONTACTS, AUDIENCE}


@pytest.mark.parametrize("content", [b"{", b'{"version": 99}', b"\xff\xfe"])
def test_unreadable_snapshot(tmp_path: Path, content: bytes) -> None:
    """The error for an unreadable snapshot says how to make a new one."""
    path = tmp_path / "rudderstack.json"
    path.write_bytes(content)

    with pytest.raises(DiscoveryError, match="dagster-rudderstack snapshot"):
        load_rudderstack_asset_specs(UNREACHABLE, snapshot=path)


def test_unset_variable(tmp_path: Path) -> None:
    """The error names an unset environment variable if the workspace must be read."""
    rudderstack = RudderStackResource(access_token=dg.EnvVar("NO_SUCH_RUDDERSTACK_TOKEN"))

    with pytest.raises(InvalidSettingError, match="NO_SUCH_RUDDERSTACK_TOKEN") as caught:
        load_rudderstack_asset_specs(rudderstack, snapshot=tmp_path / "rudderstack.json")

    assert "dagster-rudderstack snapshot " in caught.value.message


def test_refresh_always__unset_variable(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """`always` uses the old snapshot if the token is not set, for example in a build."""
    fill(server)
    path = tmp_path / "rudderstack.json"
    refresh_rudderstack_snapshot(rudderstack, path)
    unset = RudderStackResource(access_token=dg.EnvVar("NO_SUCH_RUDDERSTACK_TOKEN"))

    specs = load_rudderstack_asset_specs(unset, snapshot=path, refresh="always")

    assert keys_of(specs) == {CONTACTS, AUDIENCE}
    assert "NO_SUCH_RUDDERSTACK_TOKEN" in caplog.text


def test_write__error(
    server: LocalRudderStack, rudderstack: RudderStackResource, tmp_path: Path
) -> None:
    """If a snapshot cannot be written, the error names the file and says how to make one."""
    fill(server)
    (tmp_path / "file").write_text("")

    with pytest.raises(
        DiscoveryError, match=r"could not be written: .* `dagster-rudderstack snapshot"
    ):
        load_rudderstack_asset_specs(rudderstack, snapshot=tmp_path / "file" / "rudderstack.json")


def test_refresh_always__write_error(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """`always` uses the old snapshot if a new one cannot be written, and leaves no part of that."""
    fill(server)
    path = tmp_path / "rudderstack.json"
    refresh_rudderstack_snapshot(rudderstack, path)

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "replace", refuse)

    specs = load_rudderstack_asset_specs(rudderstack, snapshot=path, refresh="always")

    assert keys_of(specs) == {CONTACTS, AUDIENCE}
    assert "The snapshot could not be written: [Errno 13] Permission denied" in caplog.text
    assert [each.name for each in tmp_path.iterdir()] == ["rudderstack.json"]


def test_refresh__mode(
    server: LocalRudderStack, rudderstack: RudderStackResource, tmp_path: Path
) -> None:
    """A refresh keeps the mode of the file."""
    fill(server)
    path = tmp_path / "rudderstack.json"
    refresh_rudderstack_snapshot(rudderstack, path)
    path.chmod(0o640)

    refresh_rudderstack_snapshot(rudderstack, path)

    assert path.stat().st_mode & 0o777 == 0o640


def test_refresh_always__long_pause(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """If RudderStack asks to wait for long, the old snapshot is used at once. The second load meets
    the pause that the first one has noted."""
    fill(server)
    path = tmp_path / "rudderstack.json"
    refresh_rudderstack_snapshot(rudderstack, path)
    server.add_fault(Fault("status", status=429, retry_after=100_000, times=None))

    for _ in range(2):
        caplog.clear()
        specs = load_rudderstack_asset_specs(rudderstack, snapshot=path, refresh="always")

        assert keys_of(specs) == {CONTACTS, AUDIENCE}
        assert "RudderStack asks to wait for more than 15 seconds" in caplog.text


@pytest.mark.parametrize("status", [403, 200])
@pytest.mark.parametrize("noun", ["connections", "sources", "destinations"])
def test_refresh_always__empty_list(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    noun: str,
    status: int,
) -> None:
    """A list that is refused or empty is no reason to give up names and assets, until the file is
    deleted."""
    fill(server)
    path = tmp_path / "rudderstack.json"
    refresh_rudderstack_snapshot(rudderstack, path)
    before = path.read_text()
    operation = f"list_{noun}"
    if status == 200:
        key = "destinations" if noun == "destinations" else "data"
        body = json.dumps({key: [], "paging": {"total": 0}})
        server.add_fault(Fault("body", operation=operation, body=body, times=None))
    else:
        server.add_fault(Fault("status", operation=operation, status=status, times=None))

    specs = load_rudderstack_asset_specs(rudderstack, snapshot=path, refresh="always")

    assert keys_of(specs) == {CONTACTS, AUDIENCE}
    assert path.read_text() == before
    assert "is used as it is" in caplog.text
    if (noun, status) != ("connections", 403):
        with pytest.raises(DiscoveryError, match=f"No {noun[:-1]} could be read, but"):
            refresh_rudderstack_snapshot(rudderstack, path)
        path.unlink()
        refresh_rudderstack_snapshot(rudderstack, path)


def test_read__permission_denied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names a snapshot that the process may not read."""
    path = tmp_path / "rudderstack.json"
    path.write_text("{}")

    def refuse(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_text", refuse)

    with pytest.raises(DiscoveryError, match=r"rudderstack.json cannot be read: \[Errno 13\]"):
        load_rudderstack_asset_specs(UNREACHABLE, snapshot=path)


@pytest.mark.parametrize("refresh", ["if_missing", "always"])
def test_folder(tmp_path: Path, refresh: Any) -> None:
    """A folder instead of a file is refused."""
    with pytest.raises(InvalidSettingError, match="is a folder: expected a file in it"):
        load_rudderstack_asset_specs(UNREACHABLE, snapshot=tmp_path, refresh=refresh)
