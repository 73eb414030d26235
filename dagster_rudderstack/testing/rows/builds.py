"""Builds the tables of a Profiles project in a DuckDB warehouse."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from dagster_rudderstack.testing.builds import TableBuild
from dagster_rudderstack.testing.rows.duckdb_files import (
    InterruptedWork,
    file_lock,
    open_duckdb,
)
from dagster_rudderstack.testing.rows.warehouse import NO_OTHER_FILES

_KNOWN = ("--model_refs", "--begin_time", "--end_time", "--rebase_incremental")
_BOOLEANS = {"": True, "true": True, "false": False}


@dataclass(frozen=True)
class BuildParameters:
    """The parameters of a start. Times are texts as they were sent; no model refs: all models."""

    model_refs: Sequence[str] = ()
    begin_time: str | None = None
    end_time: str | None = None
    rebase_incremental: bool = False

    @property
    def settings(self) -> Sequence[str]:
        """The SQL that sets the variables."""
        return [
            f"SET VARIABLE begin_time = {_literal(self.begin_time)}",
            f"SET VARIABLE end_time = {_literal(self.end_time)}",
            f"SET VARIABLE rebase_incremental = {self.rebase_incremental}",
        ]


def _literal(text: str | None) -> str:
    return "NULL" if text is None else "'" + text.replace("'", "''") + "'"


def read_parameters(parameters: Iterable[str]) -> BuildParameters:
    """Read parameters such as "--model_refs models/users". Raises ValueError for an invalid one."""
    refs: list[str] = []
    values: dict[str, str] = {}
    for parameter in parameters:
        name, _, value = parameter.strip().replace("=", " ", 1).partition(" ")
        value = value.strip()
        if name not in _KNOWN:
            raise ValueError(f"Unknown parameter {parameter!r}. Known: {', '.join(_KNOWN)}")
        if not value and name != "--rebase_incremental":
            raise ValueError(f"The parameter {parameter!r} has no value")
        if name == "--model_refs":
            refs += [each.strip() for each in value.split(",")]
        values[name] = value
    rebase = values.get("--rebase_incremental", "false").lower()
    if rebase not in _BOOLEANS:
        raise ValueError(f"--rebase_incremental must be true or false, not {rebase!r}")
    return BuildParameters(
        refs, values.get("--begin_time"), values.get("--end_time"), _BOOLEANS[rebase]
    )


def selected_models(build: TableBuild, model_refs: Sequence[str]) -> Sequence[str]:
    """Return the models to build, in the order of the project. Raises ValueError for others."""
    for ref in model_refs:
        if ref not in build.models:
            known = ", ".join(build.models)
            raise ValueError(f"The project has no model {ref!r}. Its models: {known}")
    return [ref for ref in build.models if not model_refs or ref in model_refs]


def build_tables(
    build: TableBuild,
    parameters: Iterable[str],
    must_stop: Callable[[], bool],
    begin_model: Callable[[str], None],
    *,
    reads_files: bool = True,
) -> None:
    """Execute the models in one transaction. Calls `begin_model` before each of them.

    Raises InterruptedWork when `must_stop` returns true, ValueError for an invalid parameter, and
    the errors of DuckDB. The warehouse is then unchanged. Without `reads_files`, DuckDB refuses SQL
    that reads or writes another file.
    """
    read = read_parameters(parameters)
    selected = selected_models(build, read.model_refs)
    settings = {} if reads_files else NO_OTHER_FILES
    path = Path(build.warehouse)
    # The connection is closed before the lock is released. Closing rolls back.
    with (
        file_lock(path),
        closing(
            open_duckdb(path, read_only=False, must_stop=must_stop, settings=settings)
        ) as warehouse,
    ):
        warehouse.begin()
        for statement in read.settings:
            warehouse.execute(statement)
        for model in selected:
            if must_stop():
                raise InterruptedWork
            begin_model(model)
            warehouse.execute(build.models[model])
        warehouse.commit()
