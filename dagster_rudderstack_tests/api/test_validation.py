"""The checks of ids, sync types and addresses, and their messages."""

from urllib.parse import unquote

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagster_rudderstack.api.validation import (
    api_base_url,
    check_dashboard_url,
    check_proxy_is_near,
    checked_choice,
    checked_id,
    checked_proxy_url,
    checked_sync_type,
    is_loopback,
    is_loopback_url,
    quoted_id,
)
from dagster_rudderstack.errors import InvalidSettingError
from dagster_rudderstack.settings import OnDisabled

# --- ids


@pytest.mark.parametrize(
    "good", ["2hkeBOp0lGJpMPyur0oXUxxIDhw", "a", "crm-1_x", "a.b", "a~b", "a:b", "x" * 128]
)
def test_checked_id(good: str) -> None:
    """Blanks around an id are removed."""
    assert checked_id(f" \t{good} ", "connection_id") == good


BAD_IDS = [
    "a/b",
    "a?b",
    "a#b",
    "..",
    ".",
    "a..b",
    "a%2fb",
    "a%2Fb",
    "a\nb",
    "a\n",
    "\na",
    "a\r",
    "a\x00b",
    "a b",
    "a\\b",
    "a;b",
    "a&b",
    "é",
    "\uff11\uff12",
    "x" * 256,
    "https://app.rudderstack.com/connections/abc",
]


@pytest.mark.parametrize("bad", BAD_IDS)
def test_checked_id__refused(bad: str) -> None:
    """An id that could change the URL is refused, with a short message on one line."""
    with pytest.raises(InvalidSettingError, match=r"^connection_id .* is not an id") as caught:
        checked_id(bad, "connection_id")

    assert repr(bad)[:20] in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("", "connection_id is empty"),
        (" \t", "connection_id is blank"),
        (None, "must be a string, got NoneType"),
        (7, "must be a string, got int"),
        (b"a", "must be a string, got bytes"),
        pytest.param(dg.EnvVar("CRM"), r"cannot be an EnvVar.*os\.environ\['CRM'\]", id="EnvVar"),
        pytest.param(dg.EnvVar.int("CRM"), "cannot be an EnvVar", id="EnvVar.int"),
    ],
)
def test_checked_id__no_text(bad: object, message: str) -> None:
    """The message says whether a value is empty, blank, not a string or an EnvVar."""
    with pytest.raises(InvalidSettingError, match=message):
        checked_id(bad, "connection_id")


def test_checked_id__env_var() -> None:
    """The message for an EnvVar says how to read the variable."""
    with pytest.raises(InvalidSettingError) as caught:
        checked_id(dg.EnvVar("CRM"), "connection_id")

    assert str(caught.value) == (
        "connection_id cannot be an EnvVar: Dagster reads those in the settings of resources only. "
        "Read the variable yourself, as in os.environ['CRM']."
    )


@given(st.text() | st.text("aZ9_~:.-% \t"))
def test_quoted_id__is_one_segment(text: str) -> None:
    """An accepted id is one path segment, which the server decodes to the id."""
    try:
        quoted = quoted_id(text, "sync_id")
    except InvalidSettingError:
        return

    assert not set(quoted) & set("/?#\\")
    assert quoted not in (".", "..")
    assert unquote(quoted) == text.strip(" \t")


# --- choices


@pytest.mark.parametrize("sync_type", ["incremental", "full"])
def test_sync_type(sync_type: str) -> None:
    """Both types of RudderStack are accepted."""
    assert checked_sync_type(sync_type) == sync_type


@pytest.mark.parametrize("bad", [None, "Full", "mirror", "", 7, [], "x" * 500])
def test_sync_type__unknown(bad: object) -> None:
    """An unknown type is refused with a short message that lists both."""
    with pytest.raises(InvalidSettingError, match="expected 'incremental' or 'full'") as caught:
        checked_sync_type(bad)

    assert repr(bad)[:20] in str(caught.value)
    assert len(str(caught.value)) < 200


def test_choice() -> None:
    """An unknown choice is an error that lists the known ones."""
    checked_choice("skip", OnDisabled, "on_disabled")

    with pytest.raises(InvalidSettingError, match=r"on_disabled 'no' is unknown.*'fail', 'skip'"):
        checked_choice("no", OnDisabled, "on_disabled")


# --- addresses


@pytest.mark.parametrize(
    ("region", "api_url", "base_url"),
    [
        (None, None, "https://api.rudderstack.com/v2"),
        ("us", None, "https://api.rudderstack.com/v2"),
        ("eu", None, "https://api.eu.rudderstack.com/v2"),
        (None, "https://api.rudderstack.com", "https://api.rudderstack.com/v2"),
        (None, "https://api.rudderstack.com/v2", "https://api.rudderstack.com/v2"),
        (None, "https://api.rudderstack.com/v2//", "https://api.rudderstack.com/v2"),
        (None, " https://gateway.example/rudder/ ", "https://gateway.example/rudder/v2"),
        (None, "https://gateway.example:8443/a/b/v2/", "https://gateway.example:8443/a/b/v2"),
        (None, "http://localhost:8000", "http://localhost:8000/v2"),
        (None, "http://LOCALHOST:8000", "http://localhost:8000/v2"),
        (None, "http://127.0.0.1:8000/proxy", "http://127.0.0.1:8000/proxy/v2"),
        (None, "http://127.8.9.10", "http://127.8.9.10/v2"),
        (None, "http://[::1]:8000", "http://[::1]:8000/v2"),
        (None, "https://bücher.example", "https://xn--bcher-kva.example/v2"),
        (None, "https://rudder_proxy.internal.", "https://rudder_proxy.internal./v2"),
    ],
)
def test_api_base_url(region: str | None, api_url: str | None, base_url: str) -> None:
    """The address is that of a region or `api_url`. A base URL as `api_url` does not change."""
    assert api_base_url(region, api_url) == base_url
    assert api_base_url(None, base_url) == base_url


@pytest.mark.parametrize(
    ("api_url", "message"),
    [
        ("", "api_url '' is not usable"),
        ("api.rudderstack.com", "expected https://host"),
        ("ftp://api.rudderstack.com", "expected https://host"),
        ("file:///etc/passwd", "expected https://host"),
        ("https://", "expected https://host"),
        ("https://a..b", "expected https://host"),
        ("https://" + "a" * 64 + ".com", "expected https://host"),
        ("https://a b", "expected https://host"),
        ("https://a\\b", "expected https://host"),
        ("https://host:0", "expected https://host"),
        ("https://host:65536", "expected https://host"),
        ("https://host:port", "is not a URL"),
        ("https://[::1", "is not a URL"),
        ("https://host\n.com", "is not a URL"),
        ("https://" + "a" * 70_000, "is not a URL"),
        ("https://host?x=1", "has a query or a fragment"),
        ("https://host#x", "has a query or a fragment"),
        ("http://api.rudderstack.com", "unencrypted: use https"),
        ("http://127.0.0.1.evil.example", "unencrypted: use https"),
        ("http://localhost.evil.example", "unencrypted: use https"),
        ("http://0.0.0.0:8000", "unencrypted: use https"),
        ("http://10.0.0.1", "unencrypted: use https"),
        ("http://[fe80::1]", "unencrypted: use https"),
        ("http://[::1%25lo]", "expected https://host"),
    ],
)
def test_api_url__refused(api_url: str, message: str) -> None:
    """A wrong or unencrypted address is refused with a short message that says what is expected."""
    with pytest.raises(InvalidSettingError, match=message) as caught:
        api_base_url(None, api_url)

    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "api_url",
    ["https://me:hush@host", "https://hush@host", "https://host\\@hush", "//me:hush@host"],
)
def test_api_url__with_a_password(api_url: str) -> None:
    """An address with a password is refused, and the message does not show the password."""
    with pytest.raises(InvalidSettingError, match="leave user name and password out") as caught:
        api_base_url(None, api_url)

    assert "hush" not in str(caught.value)


def test_region__unknown() -> None:
    """The error for an unknown region lists the known ones."""
    with pytest.raises(InvalidSettingError, match="region 'EU' is unknown: expected 'us' or 'eu'"):
        api_base_url("EU", None)


def test_region_and_api_url() -> None:
    """Setting both is an error."""
    with pytest.raises(InvalidSettingError, match="Both region and api_url"):
        api_base_url("us", "https://api.rudderstack.com")


@pytest.mark.parametrize(
    ("host", "is_here"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("::1", True),
        ("[::1]", True),
        ("0.0.0.0", False),  # noqa: S104 - nothing is bound
        ("api.rudderstack.com", False),
        ("127.1", False),
        ("", False),
    ],
)
def test_is_loopback(host: str, is_here: bool) -> None:
    """Only `localhost` and loopback addresses are this machine."""
    assert is_loopback(host) is is_here


@pytest.mark.parametrize(
    ("url", "is_here"),
    [
        ("http://localhost:1/x", True),
        ("https://api.rudderstack.com", False),
        (None, False),
        ("http://[", False),
        pytest.param(dg.EnvVar("URL"), False, id="EnvVar"),
    ],
)
def test_is_loopback_url(url: object, is_here: bool) -> None:
    """Only a URL of this machine is a loopback URL."""
    assert is_loopback_url(url) is is_here


@pytest.mark.parametrize(
    "url", ["http://proxy:3128", "https://proxy", "socks5://10.0.0.1:1080", "http://me:pw@proxy:1"]
)
def test_proxy_url(url: str) -> None:
    """A proxy URL has a supported scheme, a host and optional credentials."""
    assert checked_proxy_url(f" {url} ") == url


@pytest.mark.parametrize(
    "url",
    ["", "proxy:3128", "ftp://me:hush@proxy", "http://", "http://me:hush@proxy:99999", "http://["],
)
def test_proxy_url__refused(url: str) -> None:
    """A wrong proxy URL is refused and not shown, since it may have a password."""
    with pytest.raises(InvalidSettingError, match="proxy_url is not usable") as caught:
        checked_proxy_url(url)

    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("base_url", "proxy_url"),
    [
        ("https://api.rudderstack.com/v2", "http://proxy:3128"),
        ("https://localhost:8085/v2", "socks5://proxy:1080"),
        ("http://localhost:8085/v2", "http://127.0.0.1:3128"),
        ("http://127.0.0.1:8085/v2", "http://me:pw@localhost:3128"),
        ("http://[::1]:8085/v2", "socks5h://[::1]:1080"),
    ],
)
def test_proxy_is_near(base_url: str, proxy_url: str) -> None:
    """Any proxy can be used for https. For http, only one on this machine."""
    check_proxy_is_near(base_url, proxy_url)


@pytest.mark.parametrize(
    "proxy_url",
    ["http://me:hush@proxy:3128", "https://proxy", "socks5://10.0.0.1", "http://localhost@proxy:1"],
)
def test_proxy_is_near__refused(proxy_url: str) -> None:
    """A proxy on another machine is refused for http, since it could read the token."""
    with pytest.raises(InvalidSettingError, match=r"proxy_url would .* unencrypted") as caught:
        check_proxy_is_near("http://localhost:8085/v2", proxy_url)

    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("url", ["https://app/{connection_id}/{sync_id}", "http://app/{sync_id}"])
def test_dashboard_url(url: str) -> None:
    """A dashboard URL has the placeholder of an id."""
    check_dashboard_url(url, "dashboard_url", ("{connection_id}", "{sync_id}"))


@pytest.mark.parametrize(
    "url",
    [
        "https://app",
        "javascript:alert({sync_id})",
        "/syncs/{sync_id}",
        "https://app/{sync_id} ",
        "https://app/{sync_id}\n",
        "https://app/{sync_id}\x1b",
        "",
    ],
)
def test_dashboard_url__refused(url: str) -> None:
    """A URL without a placeholder, or that is not a web link, is refused."""
    with pytest.raises(InvalidSettingError, match=r"dashboard_url .* expected https://"):
        check_dashboard_url(url, "dashboard_url", ("{connection_id}", "{sync_id}"))
