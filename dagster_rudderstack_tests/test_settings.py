"""Every value is checked where it is given, and every wait is the one that was promised."""

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from dagster_rudderstack.api.validation import (
    api_base_url,
    check_proxy_is_near,
    checked_choice,
    checked_dashboard_url,
    checked_id,
    checked_proxy_url,
    checked_sync_type,
    is_loopback,
    is_loopback_url,
    quoted_id,
)
from dagster_rudderstack.errors import InvalidSettingError
from dagster_rudderstack.settings import (
    MAX_RETRY_AFTER_SECONDS,
    OnDisabled,
    Policy,
    PollPolicy,
    RequestPolicy,
    RetryPolicy,
    SyncPolicy,
)

# --- ids


@pytest.mark.parametrize(
    "good", ["2hkeBOp0lGJpMPyur0oXUxxIDhw", "a", "crm-1_x", "a.b", "a~b", "a:b", "x" * 255]
)
def test_checked_id(good: str) -> None:
    """An id is taken without the blanks that came along when it was copied."""
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
    """Whatever could lead to another URL is refused, and the message shows it on one line."""
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
def test_checked_id__no_id_at_all(bad: object, message: str) -> None:
    """What is empty, or no text, is told from what is no id; an EnvVar's name is not the id."""
    with pytest.raises(InvalidSettingError, match=message):
        checked_id(bad, "connection_id")


def test_checked_id__env_var() -> None:
    """The words fit a definition as well as a call in a run."""
    with pytest.raises(InvalidSettingError) as caught:
        checked_id(dg.EnvVar("CRM"), "connection_id")

    assert str(caught.value) == (
        "connection_id cannot be an EnvVar: Dagster reads those in the settings of resources only. "
        "Read the variable yourself, as in os.environ['CRM']."
    )


@given(st.text())
def test_quoted_id__is_one_segment(text: str) -> None:
    """Whatever passes is one segment of a path, and means itself."""
    try:
        quoted = quoted_id(text, "sync_id")
    except InvalidSettingError:
        return

    assert not set(quoted) & set("/?#\\%")
    assert quoted not in (".", "..")
    assert quoted == text.strip(" \t")


# --- choices


@pytest.mark.parametrize("sync_type", ["incremental", "full", None])
def test_sync_type(sync_type: str | None) -> None:
    """Both types that RudderStack knows are taken, and none: then RudderStack decides."""
    assert checked_sync_type(sync_type) == sync_type


@pytest.mark.parametrize("bad", ["Full", "mirror", "", 7, [], "x" * 500])
def test_sync_type__unknown(bad: object) -> None:
    """An unknown type is refused by a short message that names both."""
    with pytest.raises(InvalidSettingError, match="expected 'incremental', 'full'") as caught:
        checked_sync_type(bad)

    assert repr(bad)[:20] in str(caught.value)
    assert len(str(caught.value)) < 200


def test_choice() -> None:
    """A choice is one of those that there are, or an error that lists them."""
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
    """The address is a region's or one's own, with or without a prefix, and done twice the same."""
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
    """An address that no token should go to is refused, with a short word on what is right."""
    with pytest.raises(InvalidSettingError, match=message) as caught:
        api_base_url(None, api_url)

    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "api_url",
    ["https://me:hush@host", "https://hush@host", "https://host\\@hush", "//me:hush@host"],
)
def test_api_url__with_a_password(api_url: str) -> None:
    """An address with a password in it is refused without showing it."""
    with pytest.raises(InvalidSettingError, match="leave user name and password out") as caught:
        api_base_url(None, api_url)

    assert "hush" not in str(caught.value)


def test_region__unknown() -> None:
    """An unknown region is named, with those that there are."""
    with pytest.raises(InvalidSettingError, match="region 'EU' is unknown: expected 'us' or 'eu'"):
        api_base_url("EU", None)


def test_region_and_api_url() -> None:
    """Only one of the two can be meant."""
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
    """Only names and addresses that cannot lead elsewhere are this machine."""
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
    """What is no URL leads nowhere."""
    assert is_loopback_url(url) is is_here


@pytest.mark.parametrize(
    "url", ["http://proxy:3128", "https://proxy", "socks5://10.0.0.1:1080", "http://me:pw@proxy:1"]
)
def test_proxy_url(url: str) -> None:
    """A proxy has a scheme that we speak, a host, and a user if need be."""
    assert checked_proxy_url(f" {url} ") == url


@pytest.mark.parametrize(
    "url",
    ["", "proxy:3128", "ftp://me:hush@proxy", "http://", "http://me:hush@proxy:99999", "http://["],
)
def test_proxy_url__refused(url: str) -> None:
    """A proxy's address may hold a password, so it is refused without being shown."""
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
    """Any proxy may pass https on; http only one of this machine."""
    check_proxy_is_near(base_url, proxy_url)


@pytest.mark.parametrize(
    "proxy_url",
    ["http://me:hush@proxy:3128", "https://proxy", "socks5://10.0.0.1", "http://localhost@proxy:1"],
)
def test_proxy_is_near__refused(proxy_url: str) -> None:
    """A proxy of another machine would read the token of an http request."""
    with pytest.raises(InvalidSettingError, match=r"proxy_url would .* unencrypted") as caught:
        check_proxy_is_near("http://localhost:8085/v2", proxy_url)

    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("url", ["https://app/{connection_id}/{sync_id}", "http://app/{sync_id}"])
def test_dashboard_url(url: str) -> None:
    """A link has the place of an id in it."""
    assert checked_dashboard_url(url) == url


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
    """What is no link for a browser is refused."""
    with pytest.raises(InvalidSettingError, match=r"dashboard_url .* expected https://"):
        checked_dashboard_url(url)


# --- numbers


@pytest.mark.parametrize(
    ("policy", "setting", "value"),
    [
        (RequestPolicy, "connect_timeout_seconds", 0),
        (RequestPolicy, "read_timeout_seconds", -1),
        (RequestPolicy, "read_timeout_seconds", float("nan")),
        (RequestPolicy, "read_timeout_seconds", float("inf")),
        (RequestPolicy, "read_timeout_seconds", 10**12),
        (RequestPolicy, "max_concurrent_requests", 0),
        (RequestPolicy, "max_requests_per_second", 0),
        (RequestPolicy, "max_requests_per_second", 1e-300),
        (RetryPolicy, "max_retries", -1),
        (RetryPolicy, "max_retries", 1.5),
        (PollPolicy, "min_interval_seconds", 0),
        (PollPolicy, "min_interval_seconds", -1.0),
        (PollPolicy, "max_interval_seconds", float("nan")),
        (PollPolicy, "max_interval_seconds", 1e300),
        (PollPolicy, "growth", -0.1),
        (PollPolicy, "jitter", 1.1),
        (SyncPolicy, "timeout_seconds", 0),
        (SyncPolicy, "outage_tolerance_seconds", -1),
        (SyncPolicy, "settling_seconds", -1),
        (SyncPolicy, "on_running_sync", "queue"),
        (SyncPolicy, "stop_on_termination", "sometimes"),
        (SyncPolicy, "timeout", 5),
    ],
)
def test_policy__refused(policy: type[Policy], setting: str, value: object) -> None:
    """A number that no wait can have, an unknown choice, and an unknown setting are errors."""
    with pytest.raises(ValidationError, match=setting):
        policy(**{setting: value})


def test_poll_policy__crossed() -> None:
    """The shortest interval is not longer than the longest, and the message has both."""
    with pytest.raises(ValidationError, match=r"\(60.0 s\) is longer than the longest \(29.0 s\)"):
        PollPolicy(poll_min_interval_seconds=60)


@pytest.mark.parametrize("policy", [RequestPolicy, RetryPolicy, PollPolicy, SyncPolicy])
def test_policy__immutable(policy: type[Policy]) -> None:
    """A policy can be shared by threads: nobody can change it."""
    with pytest.raises(ValidationError):
        setattr(policy(), next(iter(policy.model_fields)), 1)


# --- waits


def test_poll_interval__an_hour() -> None:
    """A sync of an hour is looked at fewer than 200 times, and its end is noticed within 30 s."""
    policy, elapsed, looks = PollPolicy(), 0.0, 0
    while elapsed < 3600:
        elapsed += policy.interval_seconds(elapsed, jitter=0.5)
        looks += 1

    assert looks < 200
    assert policy.interval_seconds(3600, jitter=1.0) < 30


@given(st.floats(0, 1e7), st.floats(0, 1))
def test_poll_interval__bounds(elapsed: float, jitter: float) -> None:
    """A wait is never longer than the longest, nor shorter than the shortest but for the jitter."""
    policy = PollPolicy()

    assert 0.95 <= policy.interval_seconds(elapsed, jitter) <= 30


def test_poll_interval__steady() -> None:
    """Without growth and jitter, every wait is the shortest."""
    policy = PollPolicy(poll_min_interval_seconds=2, poll_growth=0, poll_jitter=0)

    assert {policy.interval_seconds(elapsed, 0.7) for elapsed in (0, 1, 1e6)} == {2}


def test_retry_delay__doubles() -> None:
    """Waits double up to their limit; six of them bridge about a minute."""
    waits = [RetryPolicy().delay_seconds(attempt, None, jitter=0.0) for attempt in range(1, 8)]

    assert waits == [1, 2, 4, 8, 16, 30, 30]


@given(st.integers(1, 10**6), st.floats(0, 1))
def test_retry_delay__bounds(attempt: int, jitter: float) -> None:
    """However many tries have failed, jitter takes up to a quarter off, and adds nothing."""
    whole = RetryPolicy().delay_seconds(attempt, None, 0.0)

    assert 0.75 * whole <= RetryPolicy().delay_seconds(attempt, None, jitter) <= whole <= 30


@pytest.mark.parametrize(
    ("asked", "wait"),
    [(None, 1), (0.0, 1), (0.2, 1), (7.0, 7), (45.0, 45), (1e18, MAX_RETRY_AFTER_SECONDS)],
)
def test_retry_delay__asked_for(asked: float | None, wait: float) -> None:
    """What the server asks for is obeyed, within reason; less than our own wait is not taken."""
    assert RetryPolicy().delay_seconds(1, asked, 0.0) == wait
