"""The parameters of a run of a Profiles project."""

from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest

from dagster_rudderstack import InvalidSettingError, ProfilesParameters

JANUARY = datetime(2026, 1, 1, tzinfo=timezone.utc)
FEBRUARY = datetime(2026, 2, 1, tzinfo=timezone.utc)


def test_to_api__default() -> None:
    """By default there are no parameters, so that everything up to now is built."""
    assert ProfilesParameters().to_api() == ()


def test_to_api() -> None:
    """Each parameter is one text with its value, in the order of the documentation. Times are
    UTC."""
    parameters = ProfilesParameters(
        model_refs=["models/b", "models/a"],
        begin_time="2026-01-01T01:00:00+01:00",
        end_time=FEBRUARY,
        rebase_incremental=True,
    )

    assert parameters.to_api() == (
        "--model_refs models/b",
        "--model_refs models/a",
        "--begin_time 2026-01-01T00:00:00Z",
        "--end_time 2026-02-01T00:00:00Z",
        "--rebase_incremental",
    )


@pytest.mark.parametrize(
    ("time", "text"),
    [
        ("2026-01-31T00:00:00Z", "2026-01-31T00:00:00Z"),
        ("2026-01-31t00:00:00z", "2026-01-31T00:00:00Z"),
        ("2026-01-31T00:00:00", "2026-01-31T00:00:00Z"),
        ("2026-01-31T00:00:00.5+05:30", "2026-01-30T18:30:00.500000Z"),
        (datetime(2026, 1, 31, 6), "2026-01-31T06:00:00Z"),  # noqa: DTZ001 - naive on purpose
        (datetime(2026, 1, 31, 6, tzinfo=timezone(timedelta(hours=-6))), "2026-01-31T12:00:00Z"),
    ],
)
def test_times(time: datetime | str, text: str) -> None:
    """A time is a datetime or RFC 3339. A naive one is UTC."""
    parameters = ProfilesParameters(begin_time=time)

    assert parameters.to_api() == (f"--begin_time {text}",)
    assert isinstance(parameters.begin_time, datetime)
    assert parameters.begin_time.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    "time",
    [
        "",
        "yesterday",
        "2026-01-31",
        "1769817600",
        1769817600,
        date(2026, 1, 31),
        True,
        "2026-13-01T",
    ],
)
@pytest.mark.parametrize("name", ["begin_time", "end_time"])
def test_times__invalid(name: str, time: Any) -> None:
    """Anything else is refused, also a number and a date, which may mean several times."""
    with pytest.raises(InvalidSettingError) as caught:
        ProfilesParameters(**{name: time})

    assert str(caught.value).startswith(f"{name} ")
    assert str(caught.value).endswith(": expected a time, as in '2026-01-31T00:00:00Z'.")


LAST = datetime.max.replace(tzinfo=timezone(timedelta(hours=-1)))


@pytest.mark.parametrize("time", [LAST, "0001-01-01T00:00:00+14:00"])
def test_times__not_in_utc(time: datetime | str) -> None:
    """A time that UTC cannot express is refused like any other invalid value."""
    with pytest.raises(InvalidSettingError, match=r"^begin_time .*expected a time"):
        ProfilesParameters(begin_time=time)


@pytest.mark.parametrize("end", [JANUARY, "2025-12-31T23:00:00Z", "2026-01-01T01:00:00+01:00"])
def test_times__order(end: datetime | str) -> None:
    """The begin must be before the end, also in different time zones."""
    with pytest.raises(InvalidSettingError) as caught:
        ProfilesParameters(begin_time=JANUARY, end_time=end)

    assert str(caught.value).startswith(
        "begin_time 2026-01-01T00:00:00Z must be before end_time 202"
    )


@pytest.mark.parametrize("refs", ["models/a", None, 7, b"models/a", {"models/a"}])
def test_model_refs__no_list(refs: Any) -> None:
    """One text is no list of models, and a set has no order."""
    with pytest.raises(InvalidSettingError) as caught:
        ProfilesParameters(model_refs=refs)

    assert str(caught.value) == (
        f"model_refs {refs!r}: expected a list of models, as in ['models/user_features']."
    )


@pytest.mark.parametrize(
    "ref", ["", " ", "models/a b", "--rebase_incremental", " models/a", "a\n", "a\x00", 7, None]
)
def test_model_refs__invalid(ref: Any) -> None:
    """A model is one word that is no flag, so that it cannot become another parameter."""
    with pytest.raises(InvalidSettingError) as caught:
        ProfilesParameters(model_refs=["models/a", ref])

    assert str(caught.value).startswith("model_refs has ")
    assert str(caught.value).endswith("expected the path of a model, as in 'models/user_features'.")


def test_model_refs__order() -> None:
    """The models keep their order, and cannot be changed later."""
    refs = ["models/b", "models/a"]
    parameters = ProfilesParameters(model_refs=refs)
    refs.clear()

    assert parameters.model_refs == ("models/b", "models/a")


@pytest.mark.parametrize("value", [None, 1, "true"])
def test_rebase_incremental__invalid(value: Any) -> None:
    """Whether to rebase is a boolean, since a text such as 'false' would be true."""
    with pytest.raises(InvalidSettingError) as caught:
        ProfilesParameters(rebase_incremental=value)

    assert str(caught.value) == f"rebase_incremental {value!r}: expected True or False."


def test_within() -> None:
    """The time window of a partition replaces the times, and keeps the rest."""
    parameters = ProfilesParameters(model_refs=["models/a"], begin_time="2020-01-01T00:00:00Z")

    assert parameters.within(JANUARY, FEBRUARY).to_api() == (
        "--model_refs models/a",
        "--begin_time 2026-01-01T00:00:00Z",
        "--end_time 2026-02-01T00:00:00Z",
    )


def test_equality() -> None:
    """Parameters with the same meaning are equal, however they were written."""
    assert ProfilesParameters(["models/a"], "2026-01-01T00:00:00Z") == ProfilesParameters(
        ("models/a",), JANUARY
    )
