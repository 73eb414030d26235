"""The examples of the page on networks reach RudderStack through a proxy and through a gateway."""

import re
from pathlib import Path
from typing import Any

import pytest

from dagster_rudderstack import RudderStackResource
from dagster_rudderstack.settings import API_URLS, RequestPolicy
from dagster_rudderstack.testing import LocalRudderStack
from dagster_rudderstack_tests.api.conftest import (  # noqa: F401 - fixtures
    API_HOST,
    authority,
    ca_bundle,
    tls_server,
)
from dagster_rudderstack_tests.api.raw_server import RawServer
from dagster_rudderstack_tests.api.tunnel import Tunnel

PAGE = (Path(__file__).parents[2] / "docs" / "guides" / "networks.md").read_text("utf-8")
PROXY, GATEWAY = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def resource_of(block: str) -> RudderStackResource:
    """Return the resource of a block, with its variables read."""
    names: dict[str, Any] = {}
    exec(compile(block, "docs/guides/networks.md", "exec"), names)  # noqa: S102 - our own page
    resource: RudderStackResource = names["rudderstack"]
    return resource


def test_proxy(
    tls_server: RawServer,  # noqa: F811 - a fixture
    ca_bundle: Path,  # noqa: F811 - a fixture
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The example reaches RudderStack's host through the proxy, which sees no token."""
    monkeypatch.setenv("RUDDERSTACK_ACCESS_TOKEN", "rst-0123456789")
    with Tunnel(tls_server.port) as tunnel:
        monkeypatch.setenv("RUDDERSTACK_PROXY_URL", tunnel.url)
        block = PROXY.replace("/etc/ssl/certs/company.pem", str(ca_bundle))
        with resource_of(block) as rudderstack:
            assert rudderstack.get_connection("crm").id == "crm"

    assert tunnel.asked == [f"{API_HOST}:443"]
    assert "rst-0123456789" not in "".join(tunnel.heads)


def test_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    """The example reaches RudderStack below the path of the gateway, with its header."""
    monkeypatch.setenv("GATEWAY_API_KEY", "key-0123456789")
    with LocalRudderStack(path_prefix="/rudderstack") as server:
        monkeypatch.setenv("RUDDERSTACK_ACCESS_TOKEN", server.access_token)
        server.add_connection("crm")
        block = GATEWAY.replace("https://gateway.example.com/rudderstack", server.url)
        with resource_of(block) as rudderstack:
            rudderstack.get_connection("crm")

        assert server.url.endswith("/rudderstack")
        assert server.requests[0].headers["x-api-key"] == "key-0123456789"


def test_facts() -> None:
    """The page has the hosts and the timeout of the settings."""
    assert all(f"`{url.removeprefix('https://')}`" in PAGE for url in API_URLS.values())
    assert f"({RequestPolicy().read_timeout_seconds:g} s)" in PAGE
