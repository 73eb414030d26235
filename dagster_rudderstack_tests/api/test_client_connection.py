"""How the client connects: certificates, proxies and environment variables."""

import importlib.util
import ssl
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import trustme

from dagster_rudderstack.api.http_client import _ssl_context
from dagster_rudderstack.errors import InvalidSettingError, TransportError
from dagster_rudderstack.settings import RequestPolicy
from dagster_rudderstack_tests.api.conftest import API_HOST
from dagster_rudderstack_tests.api.raw_server import (
    TOKEN,
    RawServer,
    client_of,
    connection,
    http,
    in_json,
)
from dagster_rudderstack_tests.api.tunnel import Tunnel

PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ignore the proxies of the machine that runs the tests."""
    for name in (*PROXY_VARIABLES, *(name.lower() for name in PROXY_VARIABLES)):
        monkeypatch.delenv(name, raising=False)


# --- certificates


def test_ca_bundle(tls_server: RawServer, ca_bundle: Path) -> None:
    """A server whose CA is in the bundle is trusted."""
    with client_of(tls_server.url, ca_bundle=str(ca_bundle)) as client:
        assert client.get_connection("crm").id == "crm"


def test_ca_bundle__wrong(tls_server: RawServer, tmp_path: Path) -> None:
    """A server of another CA gets no request. The error names the setting that fixes it."""
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(other)
    with (
        client_of(tls_server.url, ca_bundle=str(other)) as client,
        pytest.raises(TransportError, match=r"certificate is not trusted.*set ca_bundle") as caught,
    ):
        client.start_sync("crm")

    assert not caught.value.request_sent
    assert tls_server.seen == []


def test_ca_bundle__none(tls_server: RawServer) -> None:
    """Without a bundle the usual CAs are trusted, and no others."""
    with (
        client_of(tls_server.url) as client,
        pytest.raises(TransportError, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        client.get_connection("crm")

    assert tls_server.seen == []


def test_certificate__of_another_host(tls_server: RawServer, ca_bundle: Path) -> None:
    """A certificate of a trusted CA for another host is refused."""
    with (
        client_of(f"https://localhost:{tls_server.port}", ca_bundle=str(ca_bundle)) as client,
        pytest.raises(TransportError, match=r"certificate is for another host: check api_url"),
    ):
        client.get_connection("crm")

    assert tls_server.seen == []


@pytest.mark.parametrize("days", [(-9, -2), (2, 9)], ids=["expired", "not yet valid"])
def test_certificate__dates(days: tuple[int, int], authority: trustme.CA, ca_bundle: Path) -> None:
    """A certificate that is not valid now has a hint of its own."""
    begin, end = (datetime.now(timezone.utc) + timedelta(days=each) for each in days)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1", not_before=begin, not_after=end).configure_cert(context)
    with (
        RawServer(lambda _: in_json(connection()), tls=context) as server,
        client_of(server.url, ca_bundle=str(ca_bundle)) as client,
        pytest.raises(TransportError, match="certificate is not valid now: look at its dates"),
    ):
        client.get_connection("crm")


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_certificates_of_the_environment(
    content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong SSL_CERT_FILE is an error that names it, before any request."""
    path = tmp_path / "certs.pem"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))

    with (
        pytest.raises(InvalidSettingError, match=r"SSL_CERT_FILE, '.*certs\.pem' cannot be used"),
        client_of("https://api.rudderstack.com"),
    ):
        pass


def test_ca_bundle__replaces_the_usual_ones(ca_bundle: Path) -> None:
    """With a bundle, only what it holds is trusted."""
    context = _ssl_context(str(ca_bundle))

    assert isinstance(context, ssl.SSLContext)
    assert len(context.get_ca_certs()) == 1
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED


@pytest.mark.parametrize(
    "content", [None, "", "no certificate", "-----BEGIN CERTIFICATE-----\nAA=="]
)
def test_ca_bundle__unreadable(content: str | None, tmp_path: Path) -> None:
    """A bundle that is missing or is not a bundle is an error that names it."""
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)

    with (
        pytest.raises(InvalidSettingError, match=r"ca_bundle .*ca\.pem.*Expected a PEM file"),
        client_of("https://api.rudderstack.com", ca_bundle=str(path)),
    ):
        pass


def test_ca_bundle__a_folder(tmp_path: Path) -> None:
    """A folder is accepted as well. OpenSSL reads it when it checks a certificate."""
    context = _ssl_context(str(tmp_path))

    assert isinstance(context, ssl.SSLContext)
    assert context.get_ca_certs() == []


def test_https_with_a_server_of_http(ca_bundle: Path) -> None:
    """A server that speaks no TLS cannot be reached, and sees no token."""
    requests = RequestPolicy(connect_timeout_seconds=0.5)
    with (
        RawServer(lambda _: in_json(connection())) as server,
        client_of(
            f"https://127.0.0.1:{server.port}", ca_bundle=str(ca_bundle), requests=requests
        ) as client,
        pytest.raises(TransportError),
    ):
        client.get_connection("crm")

    assert TOKEN not in str(server.seen)


# --- proxies


def test_proxy(tls_server: RawServer, ca_bundle: Path) -> None:
    """All requests go through the proxy, which sees the name of the host and no token."""
    with (
        Tunnel(tls_server.port) as tunnel,
        client_of(f"https://{API_HOST}", proxy_url=tunnel.url, ca_bundle=str(ca_bundle)) as client,
    ):
        for _ in range(3):
            client.get_connection("crm")

    assert tunnel.asked == [f"{API_HOST}:443"]
    assert TOKEN not in "".join(tunnel.heads)
    assert [seen.headers["host"] for seen in tls_server.seen] == [API_HOST] * 3


def test_proxy__another_machine_and_http() -> None:
    """No client sends its token to a proxy on another machine over plain http."""
    with (
        pytest.raises(InvalidSettingError, match="unencrypted"),
        client_of("http://localhost:8085", proxy_url="http://proxy.example:3128"),
    ):
        pass


def test_proxy__of_the_environment(
    tls_server: RawServer, ca_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a setting, HTTPS_PROXY is used for other machines, but not for this one."""
    with Tunnel(tls_server.port) as tunnel:
        monkeypatch.setenv("HTTPS_PROXY", tunnel.url)
        for url in (f"https://{API_HOST}", tls_server.url):
            with client_of(url, ca_bundle=str(ca_bundle)) as client:
                client.get_connection("crm")

    assert tunnel.asked == [f"{API_HOST}:443"]
    assert len(tls_server.seen) == 2


def test_proxy__refuses() -> None:
    """The error names a proxy that refuses, without its password. Nothing was sent."""
    with RawServer(lambda _: http(407, "who are you?")) as proxy:
        proxy_url = proxy.url.replace("http://", "http://me:hush@")
        with (
            client_of("https://api.rudderstack.com", proxy_url=proxy_url) as client,
            pytest.raises(TransportError, match="the proxy refused") as caught,
        ):
            client.start_sync("crm")

    assert not caught.value.request_sent
    assert "hush" not in f"{caught.value} {caught.value.__cause__}"
    assert proxy.targets == ["CONNECT api.rudderstack.com:443"]
    assert TOKEN not in str(proxy.seen)


def test_proxy__not_there() -> None:
    """A proxy that does not run makes the API unreachable."""
    with RawServer(lambda _: b"") as gone:
        pass
    with (
        client_of("https://api.rudderstack.com", proxy_url=gone.url) as client,
        pytest.raises(TransportError, match="could not be reached") as caught,
    ):
        client.start_sync("crm")

    assert not caught.value.request_sent


@pytest.mark.parametrize(
    ("value", "message"),
    [
        pytest.param(
            "socks5://127.0.0.1:1",
            r"httpx\[socks\]",
            marks=pytest.mark.skipif(
                importlib.util.find_spec("socksio") is not None, reason="SOCKS is spoken here"
            ),
        ),
        ("ftp://me:hush@proxy", "HTTPS_PROXY"),
    ],
)
def test_proxy__of_the_environment__unusable(
    value: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says that the proxy in the environment cannot be used."""
    monkeypatch.setenv("ALL_PROXY", value)

    with (
        pytest.raises(InvalidSettingError, match=message) as caught,
        client_of("https://api.rudderstack.com"),
    ):
        pass
    assert "hush" not in str(caught.value)


# --- credentials of others


@pytest.mark.parametrize("variable", ["NETRC", "HOME"])
def test_netrc(
    variable: str,
    tls_server: RawServer,
    ca_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A ~/.netrc with an entry for RudderStack's host does not replace the token."""
    netrc = tmp_path / ".netrc"
    netrc.write_text(
        f"machine {API_HOST} login me password other\ndefault login me password other\n"
    )
    netrc.chmod(0o600)
    monkeypatch.setenv(variable, str(netrc if variable == "NETRC" else tmp_path))
    with Tunnel(tls_server.port) as tunnel:
        monkeypatch.setenv("HTTPS_PROXY", tunnel.url)
        with client_of(f"https://{API_HOST}", ca_bundle=str(ca_bundle)) as client:
            client.get_connection("crm")

    assert tls_server.seen[0].headers["authorization"] == f"Bearer {TOKEN}"
