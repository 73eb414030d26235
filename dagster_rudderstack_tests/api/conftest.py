"""Certificates for the test run, and a server that has one."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from dagster_rudderstack_tests.api.raw_server import RawServer, connection, in_json

API_HOST = "api.rudderstack.com"


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """A CA that is not trusted yet."""
    return trustme.CA()


@pytest.fixture(scope="session")
def ca_bundle(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that makes a client trust that CA."""
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return path


@pytest.fixture
def tls_server(authority: trustme.CA) -> Iterator[RawServer]:
    """A server with a certificate of that CA, for this machine and for RudderStack's host."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1", API_HOST).configure_cert(context)
    with RawServer(lambda _: in_json(connection()), tls=context) as server:
        yield server
