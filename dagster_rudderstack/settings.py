"""Where RudderStack is, how long we wait and how often we ask: every default beside its reason.

All durations are in seconds. Values are checked here, where they are given, and nowhere else.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, get_args
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, model_validator

from dagster_rudderstack.errors import InvalidSettingError

if TYPE_CHECKING:
    import httpx

OnRunningSync = Literal["wait", "attach", "fail"]
OnDisabled = Literal["fail", "skip"]
StopOnTermination = Literal["run_canceled", "always", "never"]
SyncType = Literal["incremental", "full"]

SYNC_TYPES: tuple[SyncType, ...] = ("incremental", "full")

API_URLS = {"us": "https://api.rudderstack.com", "eu": "https://api.eu.rudderstack.com"}
API_VERSION = "v2"

MAX_PAGE_SIZE = 100
"""The API's own limit for `pageSize` and `per_page`."""

MAX_RETRY_AFTER_SECONDS = 120.0
"""A longer `Retry-After` is cut to this: a gateway's mistake must not silence us for a day."""

DAY = 24 * 3600
"""No single wait is longer: the operating system refuses what it cannot count."""

_ID = re.compile(r"[A-Za-z0-9_~:.\-]{1,255}")


def checked_id(value: object, what: str) -> str:
    """Return an id without the blanks around it, or say what is wrong with it.

    RudderStack's ids are letters and digits. Whatever could change the path of a URL is refused.

    Raises:
        InvalidSettingError: naming the value and what would be right.
    """
    if hasattr(value, "env_var_name"):
        # Dagster's EnvVar is a string whose text is the variable's name: it would pass for an id.
        raise InvalidSettingError(
            f"{what} cannot be an EnvVar: Dagster reads those in the settings of resources only. "
            f"Read the variable yourself, as in os.environ[{value.env_var_name!r}]."
        )
    if not isinstance(value, str):
        raise InvalidSettingError(f"{what} must be a string, got {type(value).__name__}.")
    stripped = value.strip(" \t")
    if not stripped:
        raise InvalidSettingError(
            f"{what} is {'blank' if value else 'empty'}. Copy it from the RudderStack dashboard."
        )
    if not _ID.fullmatch(stripped) or ".." in stripped or stripped == ".":
        raise InvalidSettingError(
            f"{what} {_shown(value)} is not an id of RudderStack: expected letters, digits, "
            "'-' and '_' only, without a URL around it."
        )
    return stripped


def quoted_id(value: str, what: str) -> str:
    """Return a checked id, safe as one segment of a URL's path."""
    return quote(checked_id(value, what), safe="")


def checked_sync_type(value: object) -> SyncType | None:
    """Return the sync type, None included (RudderStack decides).

    Raises:
        InvalidSettingError: for anything but `incremental`, `full` and None.
    """
    if value is None:
        return None
    for known in SYNC_TYPES:
        if value == known:
            return known
    raise InvalidSettingError(
        f"sync_type {_shown(value)} is unknown: expected 'incremental', 'full' or nothing "
        "(RudderStack decides)."
    )


def checked_choice(value: object, choices: Any, what: str) -> None:
    """Check a value against a Literal.

    Raises:
        InvalidSettingError: naming the value and the choices.
    """
    allowed = get_args(choices)
    if value not in allowed:
        words = ", ".join(repr(choice) for choice in allowed)
        raise InvalidSettingError(f"{what} {_shown(value)} is unknown: expected one of {words}.")


def check_names(
    given: Iterable[str], known: Collection[str], renamed: Mapping[str, str] | None = None
) -> None:
    """Check that all settings exist.

    Args:
        given: the names.
        known: those that there are.
        renamed: what a setting of RudderStack's own package is now.

    Raises:
        InvalidSettingError: naming the one that does not, and the one that may be meant.
    """
    for name in given:
        if name in known:
            continue
        nearest = difflib.get_close_matches(str(name), known, n=1)
        hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
        if renamed and name in renamed:
            hint = f" It was one of RudderStack's own package; here it is {renamed[name]}."
        raise InvalidSettingError(f"There is no setting {name!r}.{hint}")


def checked_seconds(value: object, what: str) -> None:
    """Check a whole number of seconds, or None.

    Raises:
        InvalidSettingError: for anything else, and for less than one second.
    """
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if value is not None and not (is_whole and value > 0):  # type: ignore[operator]
        raise InvalidSettingError(
            f"{what} {_shown(value)}: expected a whole number of seconds from 1, or None."
        )


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."  # noqa: PLR2004 - one line of a log


def api_base_url(region: str | None, api_url: str | None) -> str:
    """Return the URL that all paths of the API follow, ending in `/v2`, without a slash.

    Args:
        region: `us` or `eu`; None means `us`, unless `api_url` is given.
        api_url: scheme, host and, behind a proxy, a path prefix; with or without `/v2`.

    Raises:
        InvalidSettingError: for an unknown region, both arguments at once, or a URL that we would
            not send a token to.
    """
    check_one_address(region, api_url)
    if api_url is not None:
        return _checked_url(api_url)
    name = "us" if region is None else region
    if name not in API_URLS:
        raise InvalidSettingError(
            f"region {_shown(name)} is unknown: expected 'us' or 'eu'. For any other host set "
            "api_url."
        )
    return f"{API_URLS[name]}/{API_VERSION}"


def check_one_address(region: str | None, api_url: str | None) -> None:
    """Check that at most one of the two is given.

    Raises:
        InvalidSettingError: if both are.
    """
    if region is not None and api_url is not None:
        raise InvalidSettingError(
            "Both region and api_url are set: leave one of them out. region names one of "
            "RudderStack's own hosts, api_url any other."
        )


_HOST_NAME = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")
_LARGEST_PORT = 65535


def _checked_url(api_url: str) -> str:
    if "@" in api_url:
        # Not shown: what stands before the @ is a password.
        raise InvalidSettingError(
            "api_url holds an @: leave user name and password out, and use access_token."
        )
    expected = "expected https://host[:port][/prefix]"
    try:
        url = _parsed(api_url.strip())
    except ValueError as error:
        raise InvalidSettingError(
            f"api_url {_shown(api_url)} is not a URL ({error}): {expected}."
        ) from None
    if url.scheme not in ("http", "https") or not _is_address(url):
        raise InvalidSettingError(f"api_url {_shown(api_url)} is not usable: {expected}.")
    if url.query or url.fragment:
        raise InvalidSettingError(
            f"api_url {_shown(api_url)} has a query or a fragment: {expected}."
        )
    if url.scheme == "http" and not is_loopback(url.host):
        raise InvalidSettingError(
            f"api_url {_shown(api_url)} would send the access token unencrypted: use https. "
            "(http is accepted for this machine only: localhost, 127.0.0.1, [::1].)"
        )
    base = str(url).rstrip("/")
    return base if base.endswith(f"/{API_VERSION}") else f"{base}/{API_VERSION}"


def _parsed(url: str) -> httpx.URL:
    """Return a URL as it will be asked for; a ValueError says why it is none."""
    # Importing httpx takes twice the time of the rest, which whoever only loads definitions saves.
    import httpx  # noqa: PLC0415 - see above

    try:
        return httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ValueError(str(error)) from None


def _is_address(url: httpx.URL) -> bool:
    """Whether a socket could be opened to a URL's host and port, as far as their form goes."""
    is_port = url.port is None or 0 < url.port <= _LARGEST_PORT
    if not is_port or "%" in url.host:
        return False
    return _is_ip_address(url.host) or _HOST_NAME.fullmatch(url.raw_host.decode()) is not None


def _is_ip_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def checked_proxy_url(proxy_url: str) -> str:
    """Return the address of a proxy, or say what is wrong with it without showing it.

    Raises:
        InvalidSettingError: if it is not one.
    """
    try:
        url = _parsed(proxy_url.strip())
        usable = url.scheme in ("http", "https", "socks5", "socks5h") and _is_address(url)
    except ValueError:
        usable = False
    if not usable:
        # Neither the URL nor the error is shown: a proxy's URL may hold a password.
        raise InvalidSettingError(
            "proxy_url is not usable: expected http://host:port, https://host:port or "
            "socks5://host:port."
        )
    return proxy_url.strip()


def check_proxy_is_near(base_url: str, proxy_url: str) -> None:
    """Check that no other machine would read the token on its way.

    Over https a proxy sees the name of the host only. A request over http, which is meant for this
    machine, it reads as a whole.

    Raises:
        InvalidSettingError: for an http URL by way of a proxy that is not on this machine.
    """
    if _parsed(base_url).scheme == "http" and not is_loopback_url(proxy_url.strip()):
        raise InvalidSettingError(
            "proxy_url would be sent the access token unencrypted, since api_url is plain http: "
            "leave proxy_url out, or use https in api_url."
        )


def checked_token(value: object) -> str:
    """Return the access token, or say what is wrong with it without showing it.

    Raises:
        InvalidSettingError: if it is empty, blank, or cannot be sent in a header.
    """
    if not isinstance(value, str) or not value.strip():
        raise InvalidSettingError(
            "access_token is empty. Set the environment variable that it is read from to a service "
            "access token of the RudderStack workspace."
        )
    token = value.strip()
    if not re.fullmatch(r"[\x21-\x7e]+", token):
        raise InvalidSettingError(
            "access_token holds blanks, line breaks or characters that are not ASCII: copy it "
            "again, without a 'Bearer ' in front."
        )
    return token


_RESERVED_HEADERS = frozenset(
    {
        "accept",
        "accept-encoding",
        "authorization",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "te",
        "transfer-encoding",
        "upgrade",
        "user-agent",
    }
)


def checked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return extra headers, or say which one cannot be sent, without showing its value.

    Raises:
        InvalidSettingError: for a name that is not one, a value with line breaks, or a header that
            is ours to set.
    """
    for name, value in headers.items():
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
            raise InvalidSettingError(f"extra_headers has {name!r}, which is not a header's name.")
        if name.lower() in _RESERVED_HEADERS:
            raise InvalidSettingError(f"extra_headers may not set {name!r}: it is set for you.")
        if not isinstance(value, str) or not re.fullmatch(r"[\x20-\x7e\t]*", value):
            raise InvalidSettingError(
                f"The value of {name!r} in extra_headers has a line break or is not ASCII text."
            )
    return {name: value.strip() for name, value in headers.items()}


def checked_dashboard_url(template: str) -> str:
    """Return the template of a link to a sync's page, or say what is wrong with it.

    Raises:
        InvalidSettingError: if it is not an http(s) URL with `{connection_id}` or `{sync_id}`.
    """
    is_link = re.fullmatch(r"https?://\S+", template) and template.isprintable()
    if not is_link or not re.search(r"\{(connection|sync)_id\}", template):
        raise InvalidSettingError(
            f"dashboard_url {_shown(template)}: expected https://… with {{connection_id}} or "
            "{sync_id} in it."
        )
    return template


def is_loopback_url(url: object) -> bool:
    """Whether a URL, if it is one, leads to this machine."""
    try:
        return isinstance(url, str) and is_loopback(_parsed(str.__str__(url)).host)
    except ValueError:
        return False


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Policy(BaseModel):
    """Base of the policies: immutable, and a misspelt setting is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class RequestPolicy(Policy):
    """How long a request may take and how many this process sends."""

    connect_timeout_seconds: float = Field(default=10, gt=0, le=DAY)
    """To reach the host."""
    read_timeout_seconds: float = Field(default=60, gt=0, le=DAY)
    """Without a sign of an answer; RudderStack's gateways give up after a minute themselves."""
    max_concurrent_requests: int = Field(default=16, ge=1)
    """Under way at once, for all syncs of the process. RudderStack documents no limit for these
    endpoints; sixteen is polite, and enough for thousands of syncs polled every few seconds."""
    max_requests_per_second: float | None = Field(default=None, ge=1 / DAY)
    """For all syncs of the process; None sets no limit."""

    def within(self, seconds: float) -> RequestPolicy:
        """Return the same for requests that must not take longer than that."""
        return self.model_copy(
            update={
                "connect_timeout_seconds": min(self.connect_timeout_seconds, seconds),
                "read_timeout_seconds": min(self.read_timeout_seconds, seconds),
            }
        )


class RetryPolicy(Policy):
    """How often a single safe request is tried again, and how long we wait in between."""

    max_retries: int = Field(default=6, ge=0)
    """After the first try; 0 means once. Six bridge a gateway's restart: they take a minute."""
    first_delay_seconds: float = Field(default=1.0, gt=0)
    max_delay_seconds: float = Field(default=30.0, gt=0)

    def delay_seconds(
        self, attempt: int, retry_after_seconds: float | None, jitter: float
    ) -> float:
        """Return the wait before try number `attempt` + 1; doubles with each attempt.

        Args:
            attempt: how many tries have failed in a row, from 1.
            retry_after_seconds: what the server asked for; obeyed up to MAX_RETRY_AFTER_SECONDS.
            jitter: 0.0 to 1.0; takes up to a quarter off, so that many clients do not come at once.
        """
        doublings = min(attempt - 1, 30)
        ours = min(self.first_delay_seconds * 2**doublings, self.max_delay_seconds)
        ours *= 1 - 0.25 * jitter
        asked = min(retry_after_seconds or 0.0, MAX_RETRY_AFTER_SECONDS)
        return float(max(ours, asked))


class PollPolicy(Policy):
    """How long to wait between two looks at a running sync.

    The wait is a fraction of the time that the sync has taken, so quick syncs are noticed at once
    and long ones cost few requests: about 190 in the first hour.
    """

    min_interval_seconds: float = Field(default=1.0, gt=0, le=DAY)
    # So that an end is noticed within half a minute, the request that tells it included.
    max_interval_seconds: float = Field(default=29.0, gt=0, le=DAY)
    growth: float = Field(default=0.05, ge=0, le=10)
    """The wait as a fraction of the time since the sync was started; 0 polls at the minimum."""
    jitter: float = Field(default=0.1, ge=0, le=1)
    """The share of each wait that is random, so that many syncs do not ask in step."""

    @model_validator(mode="after")
    def _ordered(self) -> PollPolicy:
        if self.min_interval_seconds > self.max_interval_seconds:
            raise ValueError(
                f"the shortest poll interval ({self.min_interval_seconds} s) is longer than the "
                f"longest ({self.max_interval_seconds} s)"
            )
        return self

    def interval_seconds(self, elapsed_seconds: float, jitter: float) -> float:
        """Return the wait before the next look.

        Args:
            elapsed_seconds: since the sync was started, or since we began to watch it.
            jitter: 0.0 to 1.0.
        """
        steady = max(self.growth * elapsed_seconds, self.min_interval_seconds)
        # Capped before the jitter too, so that even the longest waits are not all the same.
        steady = min(steady, self.max_interval_seconds)
        return min(steady * (1 + self.jitter * (jitter - 0.5)), self.max_interval_seconds)


class SyncPolicy(Policy):
    """What to do around a sync, apart from polling it."""

    on_running_sync: OnRunningSync = "wait"
    """Another sync of the connection runs: `wait` for its end and start ours, because one that
    began before the upstream tables were rebuilt may miss their rows; `attach` to it and report
    it; or `fail`."""
    timeout_seconds: int = Field(default=DAY, gt=0)
    """From the beginning, waiting for another sync included. A day: full syncs of large tables
    take hours, and a worker that waits for ever is noticed by nobody."""
    stop_on_timeout: bool = True
    """Whether the timeout stops the sync, if it is ours."""
    outage_tolerance_seconds: int = Field(default=45 * 60, ge=0)
    """How long RudderStack may be out of reach before we give up. RudderStack's longest public
    incident of 2026 lasted 30 minutes, and running syncs went on meanwhile."""
    settling_seconds: float = Field(default=30.0, ge=0)
    """After a start whose answer was lost: how long a sync may take to show up in the list before
    it is certain enough that there is none."""
    stop_on_termination: StopOnTermination = "run_canceled"
    """When an interrupt stops a sync of ours: if somebody canceled the run, `always` or `never`."""
    check_connection: bool = True
    """Whether to read the connection before a start: is it enabled, does RudderStack also run it
    on a schedule of its own?"""
    retry: RetryPolicy = RetryPolicy()
    poll: PollPolicy = PollPolicy()
