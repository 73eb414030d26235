"""`RudderStackResource`: Dagster's config in, typed syncs out."""

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Optional, TypeVar

import dagster as dg
from dagster import get_dagster_logger
from pydantic import ConfigDict, Field, PrivateAttr, ValidationError, model_validator
from pydantic.functional_validators import ModelWrapValidatorHandler

from dagster_rudderstack.api.models import Connection, Sync
from dagster_rudderstack.api.throttle import shared_throttle
from dagster_rudderstack.errors import (
    InvalidSettingError,
    RudderStackError,
)
from dagster_rudderstack.metadata import failure_from
from dagster_rudderstack.settings import (
    OnDisabled,
    OnRunningSync,
    Policy,
    PollPolicy,
    RequestPolicy,
    RetryPolicy,
    StopOnTermination,
    SyncPolicy,
    api_base_url,
    check_names,
    check_one_address,
    check_proxy_is_near,
    checked_dashboard_url,
    checked_headers,
    checked_id,
    checked_proxy_url,
    checked_sync_type,
    checked_token,
    is_loopback_url,
)
from dagster_rudderstack.step.dagster_step import AnyContext, DagsterStep, current_step
from dagster_rudderstack.step.interrupts import StopSettings
from dagster_rudderstack.step.results import StepSync, SyncResult
from dagster_rudderstack.step.runner import Runner
from dagster_rudderstack.sync.request import SyncReport, SyncRequest
from dagster_rudderstack.sync.retry import call_with_retries

if TYPE_CHECKING:
    from typing_extensions import Self

    from dagster_rudderstack.api.client import RudderStackClient

__all__ = ["RudderStackResource"]

STOP_PATIENCE = 5
"""Seconds that a request of a stop may take: some of them must fit into the grace time."""

_T = TypeVar("_T")
_R = TypeVar("_R", bound="RudderStackResource")


def _default(policy: type[Policy], field: str) -> Any:
    return policy.model_fields[field].default


_POLICY_SETTINGS: dict[str, tuple[type[Policy], str]] = {
    "connect_timeout_seconds": (RequestPolicy, "connect_timeout_seconds"),
    "read_timeout_seconds": (RequestPolicy, "read_timeout_seconds"),
    "max_concurrent_requests": (RequestPolicy, "max_concurrent_requests"),
    "max_requests_per_second": (RequestPolicy, "max_requests_per_second"),
    "request_max_retries": (RetryPolicy, "max_retries"),
    "poll_min_interval_seconds": (PollPolicy, "min_interval_seconds"),
    "poll_max_interval_seconds": (PollPolicy, "max_interval_seconds"),
    "poll_growth": (PollPolicy, "growth"),
    "poll_jitter": (PollPolicy, "jitter"),
    "sync_timeout_seconds": (SyncPolicy, "timeout_seconds"),
    "stop_on_timeout": (SyncPolicy, "stop_on_timeout"),
    "outage_tolerance_seconds": (SyncPolicy, "outage_tolerance_seconds"),
    "start_settling_seconds": (SyncPolicy, "settling_seconds"),
    "on_running_sync": (SyncPolicy, "on_running_sync"),
    "stop_on_termination": (SyncPolicy, "stop_on_termination"),
    "check_connection": (SyncPolicy, "check_connection"),
}
"""Which policy checks a setting, and under which name."""


class RudderStackResource(dg.ConfigurableResource["RudderStackResource"]):
    """A RudderStack workspace, to start and watch Reverse ETL syncs with.

    Use it in assets and ops, or outside Dagster:

        with RudderStackResource(access_token=EnvVar("RUDDERSTACK_ACCESS_TOKEN")) as rudderstack:
            report = rudderstack.sync_and_poll("2hkeBOp0lGJpMPyur0oXUxxIDhw")

    Requests share kept-alive connections, opened by the first request and closed with the resource,
    or when nothing refers to it any more. (There is no Dagster teardown on purpose: a resource that
    has one cannot be used with a plain `build_asset_context` in a test.)
    Strings and whole numbers can come from an `EnvVar`; they are checked when it is read.

    Raises:
        pydantic.ValidationError: for a value that cannot be right, naming the setting, the value
            and what would be right; and for a setting that does not exist.
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    access_token: str = Field(
        repr=False,
        json_schema_extra={"dagster__is_secret": True},
        description=(
            "Service access token of the workspace, or a personal access token. Give an EnvVar: "
            "Dagster stores what is written in code."
        ),
    )
    region: Optional[str] = Field(  # noqa: UP045 - Dagster's config takes Optional, not unions
        default=None,
        description="Region of the workspace: 'us' (default) or 'eu'. Leave out with api_url.",
    )
    api_url: Optional[str] = Field(  # noqa: UP045
        default=None,
        description=(
            "Address of the API instead of a region's, for a proxy or a test server: "
            "https://host[/prefix]. Plain http is accepted for this machine only."
        ),
    )
    connect_timeout_seconds: int = Field(
        default=_default(RequestPolicy, "connect_timeout_seconds"),
        description="Seconds to reach the API.",
    )
    read_timeout_seconds: int = Field(
        default=_default(RequestPolicy, "read_timeout_seconds"),
        description="Seconds without a sign of an answer after which a request has failed.",
    )
    request_max_retries: int = Field(
        default=_default(RetryPolicy, "max_retries"),
        description=(
            "How often a request that is safe to repeat is tried again after a passing error, "
            "with growing waits (6: about a minute); 0: never. A start is never simply repeated."
        ),
    )
    max_concurrent_requests: int = Field(
        default=_default(RequestPolicy, "max_concurrent_requests"),
        description="Requests under way at once, for all syncs of one process together.",
    )
    max_requests_per_second: Optional[float] = Field(  # noqa: UP045
        default=None,
        description="Requests per second for all syncs of one process together; none: no limit.",
    )
    ca_bundle: Optional[str] = Field(  # noqa: UP045
        default=None,
        description="File or folder of CA certificates to trust instead of the usual ones.",
    )
    proxy_url: Optional[str] = Field(  # noqa: UP045
        default=None,
        repr=False,
        json_schema_extra={"dagster__is_secret": True},
        description="Proxy for the API; none: HTTPS_PROXY and the like are obeyed.",
    )
    extra_headers: dict[str, str] = Field(
        default={},
        repr=False,
        description="Headers to send with each request, for a gateway in between.",
    )
    poll_min_interval_seconds: float = Field(
        default=_default(PollPolicy, "min_interval_seconds"),
        description="Shortest wait between two looks at a running sync, in seconds.",
    )
    poll_max_interval_seconds: float = Field(
        default=_default(PollPolicy, "max_interval_seconds"),
        description="Longest wait between two looks at a running sync, in seconds.",
    )
    poll_growth: float = Field(
        default=_default(PollPolicy, "growth"),
        description=(
            "The wait as a fraction of the time that the sync has taken: 0.05 looks after 5 % "
            "more; 0 always waits the shortest interval."
        ),
    )
    poll_jitter: float = Field(
        default=_default(PollPolicy, "jitter"),
        description="Share of each wait that is random, 0 to 1, so that syncs do not ask in step.",
    )
    sync_timeout_seconds: int = Field(
        default=_default(SyncPolicy, "timeout_seconds"),
        description=(
            "Seconds that a sync may take, waiting for another one included, before the step fails."
        ),
    )
    stop_on_timeout: bool = Field(
        default=_default(SyncPolicy, "stop_on_timeout"),
        description="Whether the timeout stops the sync in RudderStack, if we started it.",
    )
    outage_tolerance_seconds: int = Field(
        default=_default(SyncPolicy, "outage_tolerance_seconds"),
        description=(
            "Seconds that RudderStack may be out of reach while a sync runs before the step fails."
        ),
    )
    start_settling_seconds: int = Field(
        default=int(_default(SyncPolicy, "settling_seconds")),
        description=(
            "Seconds that a sync may take to show up after a start whose answer was lost, before "
            "another start is sent."
        ),
    )
    on_running_sync: OnRunningSync = Field(
        default=_default(SyncPolicy, "on_running_sync"),
        description=(
            "When a sync of the connection is running already: 'wait' for its end and start ours, "
            "'attach' to it and report it, or 'fail'."
        ),
    )
    stop_on_termination: StopOnTermination = Field(
        default=_default(SyncPolicy, "stop_on_termination"),
        description=(
            "When an interrupted step stops its sync: 'run_canceled' if somebody canceled the run "
            "(an evicted worker leaves it for the retry), 'always' or 'never'."
        ),
    )
    check_connection: bool = Field(
        default=_default(SyncPolicy, "check_connection"),
        description=(
            "Whether to read the connection before a start: a disabled one fails at once, one "
            "that RudderStack also runs on its own schedule gets a warning."
        ),
    )
    dashboard_url: Optional[str] = Field(  # noqa: UP045
        default=None,
        description=(
            "Address of a sync's page in RudderStack's dashboard, with {connection_id} and "
            "{sync_id} in their places; shown as a link. RudderStack documents no such address, "
            "so there is no default."
        ),
    )

    _client: Optional["RudderStackClient"] = PrivateAttr(default=None)
    _lock: Any = PrivateAttr(default_factory=threading.Lock)
    _warned: bool = PrivateAttr(default=False)
    _started: set[str] = PrivateAttr(default_factory=set)
    _outside: list["RudderStackResource"] = PrivateAttr(default_factory=list)

    # --- settings

    @model_validator(mode="wrap")
    @classmethod
    def _checked(cls, data: Any, build: ModelWrapValidatorHandler["Self"]) -> "Self":
        """Check every setting whose value is known; an EnvVar's is checked when it is read.

        Of an EnvVar that is given the model sees its name (0 for EnvVar.int): only what comes in
        tells. One that is a default, as a subclass may have it, comes out as it is.
        """
        if isinstance(data, cls):
            return build(data)
        given = data if isinstance(data, Mapping) else {}
        check_names(given, cls.model_fields, _RENAMED)
        # A subclass may have a default, which counts as given.
        has_default = not cls.model_fields["access_token"].is_required()
        if given.get("access_token", "" if has_default else None) is None:
            raise InvalidSettingError(
                "access_token is missing: expected EnvVar('…') with the name of the environment "
                "variable that holds it."
            )
        resource = build(data)
        values = resource.__dict__
        unread = {name for name in values if _is_env_var(given.get(name, values[name]))}
        _check({name: values[name] for name in values if name not in unread})
        check_one_address(values["region"], values["api_url"])
        return resource

    def sync_policy(
        self, on_running_sync: OnRunningSync | None, timeout_seconds: int | None
    ) -> SyncPolicy:
        """Return the settings of a sync; None: as the resource says."""
        known = {name: _read(name, setting) for name, setting in _settings(self).items()}
        if on_running_sync is not None:
            known["on_running_sync"] = on_running_sync
        if timeout_seconds is not None:
            known["sync_timeout_seconds"] = timeout_seconds
        policy = _policy(SyncPolicy, known)
        return policy.model_copy(
            update={"retry": _policy(RetryPolicy, known), "poll": _policy(PollPolicy, known)}
        )

    # --- the client

    def get_client(self) -> "RudderStackClient":
        """Return the client of the API, one per use of the resource; its calls are not retried."""
        with self._lock:
            if self._client is None:
                self._client = self._new_client()
            return self._client

    @property
    def stop_settings(self) -> StopSettings:
        """When and how an interrupt stops the syncs of a step."""
        return StopSettings(self.stop_on_termination, lambda: self._new_client(STOP_PATIENCE))

    def _new_client(self, patience_seconds: int | None = None) -> "RudderStackClient":
        # httpx comes along, whose import takes longer than all else; definitions load without it.
        from dagster_rudderstack.api.client import (  # noqa: PLC0415 - see above
            ClientSettings,
            RudderStackClient,
        )

        resolved = _resolved(self)
        base_url = api_base_url(resolved.region, resolved.api_url)
        requests = _policy(RequestPolicy, resolved.__dict__)
        if patience_seconds is not None:
            requests = requests.within(patience_seconds)
        settings = ClientSettings(
            base_url=base_url,
            access_token=resolved.access_token,
            requests=requests,
            ca_bundle=resolved.ca_bundle,
            proxy_url=resolved.proxy_url,
            extra_headers=resolved.extra_headers,
            user_agent=f"dagster/{dg.__version__}",
        )
        throttle = shared_throttle(
            base_url,
            max_concurrent=requests.max_concurrent_requests,
            max_per_second=requests.max_requests_per_second,
        )
        return RudderStackClient(settings, throttle=throttle)

    def close(self) -> None:
        """Close the kept-alive connections; a later request opens new ones."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def get_resource_definition(self) -> Any:
        """Return Dagster's definition; tells in the log if the token would be stored with it."""
        is_literal = not _is_env_var(self.access_token) and not is_loopback_url(self.api_url)
        if is_literal and not self._warned:
            self._warned = True
            _LOG.warning(
                "The access token of a RudderStackResource is written in code, so Dagster stores "
                "it in its snapshots of the code location. Use EnvVar('RUDDERSTACK_ACCESS_TOKEN')."
            )
        return super().get_resource_definition()

    def __enter__(self) -> "Self":
        """Use the resource outside Dagster; variables are read now."""
        resolved = _resolved(self)
        self._outside.append(resolved)
        return resolved

    def __exit__(self, *_: object) -> None:
        self._outside.pop().close()

    # --- requests

    def start_sync(self, connection_id: str, sync_type: str | None = None) -> str:
        """Start a sync and return its id; does not wait, and is never sent twice.

        Nobody knows of the sync but the caller: a retry of the step starts another one. What
        `sync_and_poll` starts is found again.

        Args:
            connection_id: the connection.
            sync_type: `incremental`, `full`, or None: RudderStack decides.

        Raises:
            ConflictError: if a sync of the connection is running (409).
            RudderStackError: otherwise. The sync may have been started all the same if no answer
                came; `sync_and_poll` finds that out.
        """
        sync_id = self.get_client().start_sync(connection_id, sync_type)
        self._started.add(sync_id)
        return sync_id

    def stop_sync(self, connection_id: str) -> None:
        """Ask RudderStack to stop whatever sync of the connection runs; does not wait."""
        self._retried(lambda client: client.stop_sync(connection_id))

    def get_sync(self, connection_id: str, sync_id: str) -> Sync:
        """Return the details of one sync."""
        return self._retried(lambda client: client.get_sync(connection_id, sync_id))

    def list_syncs(
        self,
        connection_id: str,
        *,
        status: str | None = None,
        started_after: datetime | None = None,
        started_before: datetime | None = None,
        limit: int | None = None,
    ) -> list[Sync]:
        """Return the syncs of a connection, newest first.

        Args:
            connection_id: the connection.
            status: only those: `running`, `succeeded` or `failed`.
            started_after: only those; aware, or taken as UTC.
            started_before: only those; aware, or taken as UTC.
            limit: at most so many; None: all.
        """
        return self._retried(
            lambda client: client.list_syncs(
                connection_id,
                status=status,
                started_after=started_after,
                started_before=started_before,
                limit=limit,
            )
        )

    def get_connection(self, connection_id: str) -> Connection:
        """Return one connection."""
        return self._retried(lambda client: client.get_connection(connection_id))

    def list_connections(
        self, *, source_id: str | None = None, destination_id: str | None = None
    ) -> list[Connection]:
        """Return the Reverse ETL connections of the workspace."""
        return self._retried(
            lambda client: client.list_connections(
                source_id=source_id, destination_id=destination_id
            )
        )

    def _retried(self, call: Callable[["RudderStackClient"], _T]) -> _T:
        client = self.get_client()
        return call_with_retries(lambda: call(client), self.sync_policy(None, None).retry, _LOG)

    # --- syncs

    def sync_and_poll(
        self,
        connection_id: str,
        sync_type: str | None = None,
        *,
        context: AnyContext | None = None,
        on_running_sync: OnRunningSync | None = None,
        timeout_seconds: int | None = None,
    ) -> SyncReport:
        """Start a sync, wait for its end and return its report.

        In a Dagster step the sync is recorded, so that a retry of the step or of the run resumes it
        instead of starting another. It is stopped when a person cancels the run.

        Args:
            connection_id: The connection.
            sync_type: `incremental` or `full`. None leaves the choice to RudderStack.
            context: Context of the asset or op. None finds it, in the step's own thread.
            on_running_sync: What to do when a sync is already running. None takes the resource's
                choice.
            timeout_seconds: Seconds that the sync may take. None takes the resource's.

        Raises:
            dagster.Failure: In a Dagster step, with the reason, and the facts as metadata. Its
                `__cause__` is the error below.
            RudderStackError: Outside Dagster.
        """
        report = self.sync_in_step(
            context,
            connection_id,
            sync_type,
            on_running_sync=on_running_sync,
            timeout_seconds=timeout_seconds,
        )
        assert report is not None  # noqa: S101 - None is for on_disabled="skip" only
        return report

    def poll_sync(
        self,
        connection_id: str,
        sync_id: str,
        *,
        context: AnyContext | None = None,
        timeout_seconds: int | None = None,
    ) -> SyncReport:
        """Wait for the end of a running sync and return its report.

        If this resource's `start_sync` has started it, it is stopped when a person cancels the run
        and when it takes too long. Otherwise it is left alone.

        Args:
            connection_id: The connection.
            sync_id: The sync.
            context: Context of the asset or op. None finds it, in the step's own thread.
            timeout_seconds: Seconds that the sync may take. None takes the resource's.

        Raises:
            dagster.Failure: In a Dagster step, if the sync did not succeed.
            RudderStackError: Outside Dagster.
        """
        step = current_step(context)
        with self._failures(connection_id, in_dagster=bool(step or context)):
            syncs = [StepSync(SyncRequest(connection_id))]
            policy = self.sync_policy(None, timeout_seconds)
            checked_id(sync_id, "sync_id")
            runner = self.runner(step, syncs, policy)
            by_connection = {syncs[0].request.connection_id: sync_id}
            report = _only_report(runner.attach(by_connection, owned=sync_id in self._started))
            assert report is not None  # noqa: S101 - a sync that is not started is not skipped
            return report

    def sync_in_step(  # noqa: PLR0913 - what ops let a definition choose
        self,
        context: AnyContext | None,
        connection_id: str,
        sync_type: str | None,
        *,
        observed_key: dg.AssetKey | None = None,
        on_running_sync: OnRunningSync | None = None,
        on_disabled: OnDisabled = "fail",
        timeout_seconds: int | None = None,
    ) -> SyncReport | None:
        """Sync a connection for code that reports the result itself, as ops do.

        Args:
            context: Context of the asset or op. None finds it, in the step's own thread.
            connection_id: The connection.
            sync_type: `incremental` or `full`. None leaves the choice to RudderStack.
            observed_key: The asset whose page shows a failed sync. None takes the step's asset, if
                it has exactly one.
            on_running_sync: What to do when a sync is already running. None takes the resource's
                choice.
            on_disabled: `skip` returns None for a disabled connection.
            timeout_seconds: Seconds that the sync may take. None takes the resource's.

        Raises:
            dagster.Failure: In a Dagster step.
            RudderStackError: Outside Dagster.
        """
        step = current_step(context)
        with self._failures(connection_id, in_dagster=bool(step or context)):
            request = SyncRequest(connection_id, checked_sync_type(sync_type))
            policy = self.sync_policy(on_running_sync, timeout_seconds)
            key = observed_key or (step.only_asset if step else None)
            runner = self.runner(step, [StepSync(request, key)], policy)
            runner.is_returned = True
            runner.on_disabled = on_disabled
            return _only_report(runner.run())

    def runner(
        self, step: DagsterStep | None, syncs: Sequence[StepSync], policy: SyncPolicy
    ) -> Runner:
        """Return what runs the syncs of a step."""
        link = self.dashboard_url
        return Runner(
            self.get_client(),
            policy,
            syncs,
            step,
            self.stop_settings,
            log=step.context.log if step else _LOG,
            max_concurrent=self.max_concurrent_requests,
            link_template=link.get_value() if isinstance(link, dg.EnvVar) else link,
        )

    @contextlib.contextmanager
    def _failures(self, connection_id: str, *, in_dagster: bool) -> Iterator[None]:
        """Turn our errors into Dagster's Failure, in a step."""
        try:
            yield
        except RudderStackError as error:
            if not in_dagster:
                raise
            link = self.dashboard_url
            template = link.get_value() if isinstance(link, dg.EnvVar) else link
            raise failure_from(error, connection_id, template) from error


_LOG = get_dagster_logger("rudderstack")


def _only_report(results: Iterable[SyncResult]) -> SyncReport | None:
    """Return the report of the only sync, or raise its error. None if it was skipped."""
    (result,) = results
    if result.error is not None:
        raise result.error
    return result.report


_RENAMED = {
    "rs_cloud_url": "region or api_url",
    "request_timeout": "connect_timeout_seconds and read_timeout_seconds",
    "request_retry_delay": "nothing: the waits grow by themselves",
    "poll_interval": "poll_min_interval_seconds and poll_max_interval_seconds",
    "poll_timeout": "sync_timeout_seconds",
}
"""What the settings of RudderStack's own package 1.3.0 are now."""


def _check(known: dict[str, Any]) -> None:
    """Check settings: all of them, or those whose values are known already."""
    for name in ("region", "api_url", "ca_bundle", "proxy_url", "dashboard_url"):
        if known.get(name) is not None and not known[name].strip():
            raise InvalidSettingError(
                f"{name} is empty: leave it out, or set the variable that it is read from."
            )
    for name, value in checked_headers(known["extra_headers"]).items():
        if not value:
            raise InvalidSettingError(
                f"The value of {name!r} in extra_headers is empty: leave the header out, or set "
                "the variable that it is read from."
            )
    if "access_token" in known:
        checked_token(known["access_token"])
    base_url = api_base_url(known.get("region"), known.get("api_url"))
    if known.get("proxy_url") is not None:
        check_proxy_is_near(base_url, checked_proxy_url(known["proxy_url"]))
    if known.get("dashboard_url") is not None:
        checked_dashboard_url(known["dashboard_url"])
    for policy in (RequestPolicy, RetryPolicy, PollPolicy, SyncPolicy):
        _policy(policy, known)


# What EnvVar.int makes is of a class that has no public name.
_ENV_VARS = (dg.EnvVar, type(dg.EnvVar.int("_")))


def _is_env_var(value: object) -> bool:
    return isinstance(value, _ENV_VARS)


def _settings(resource: RudderStackResource) -> dict[str, Any]:
    return {name: getattr(resource, name) for name in type(resource).model_fields}


def _read(name: str, setting: Any) -> Any:
    """Return the value of a setting, every EnvVar in it read.

    Raises:
        InvalidSettingError: naming the variable that is not set or holds no whole number.
    """
    if isinstance(setting, dict):
        return {key: _read(f"{name}[{key!r}]", item) for key, item in setting.items()}
    if not _is_env_var(setting):
        return setting
    variable = f"The environment variable {setting.env_var_name} (for {name})"
    try:
        value = setting.get_value()
    except ValueError:
        raise InvalidSettingError(f"{variable} does not hold a whole number.") from None
    if value is None:
        raise InvalidSettingError(f"{variable} is not set, or empty.")
    return value


def _resolved(resource: _R) -> _R:
    """Return the resource itself, or a copy in which every EnvVar is read and checked.

    Raises:
        InvalidSettingError: for a variable that is not set, or whose value cannot be right.
    """
    settings = _settings(resource)
    in_headers = any(_is_env_var(value) for value in resource.extra_headers.values())
    if not in_headers and not any(_is_env_var(value) for value in settings.values()):
        return resource
    values = {name: _read(name, setting) for name, setting in settings.items()}
    try:
        return type(resource)(**values)
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, problem['loc']))} {problem['msg']}".strip()
            for problem in error.errors(include_url=False, include_input=False)
        )
        raise InvalidSettingError(wrong.replace("Value error, ", "")) from None


_P = TypeVar("_P", bound=Policy)


def _policy(policy: type[_P], settings: dict[str, Any]) -> _P:
    """Build a policy from settings of the resource, and name the setting that is wrong."""
    names = {
        field: name
        for name, (owner, field) in _POLICY_SETTINGS.items()
        if owner is policy and name in settings
    }
    try:
        return policy(**{field: settings[name] for field, name in names.items()})
    except ValidationError as error:
        problems = [
            f"{names.get(str(problem['loc'][0]), '') if problem['loc'] else ''} "
            f"{problem['input']!r}: {problem['msg']}"
            if problem["loc"]
            else problem["msg"].removeprefix("Value error, ")
            for problem in error.errors(include_url=False)
        ]
        raise InvalidSettingError("; ".join(problems).strip() + ".") from None
