"""`TableBuild`: the real tables that the runs of a Profiles project build."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from dagster_rudderstack.testing.tables import check_in_folder


@dataclass(frozen=True)
class TableBuild:
    """The SQL with which the runs of a Profiles project build tables in a DuckDB warehouse.

    A run executes its models in one transaction, in the given order. Each model is a task of the
    run. If the SQL fails, or a parameter is not known, the run builds nothing and ends with the
    error.

    The parameters of the start apply: `--model_refs` selects models (repeated, or separated by
    commas), and the SQL reads the others as `getvariable('begin_time')`,
    `getvariable('end_time')` (texts as they were sent, or null) and
    `getvariable('rebase_incremental')` (a boolean).

    Attributes:
        warehouse: DuckDB file. It is open for writing while the models are built.
        models: Model ref, such as "models/user_features", to its SQL statements.
    """

    warehouse: str | Path
    models: Mapping[str, str]

    def __post_init__(self) -> None:
        if not isinstance(self.models, Mapping) or not self.models:
            raise ValueError(
                "models of a TableBuild must map model refs to SQL, such as "
                f"{{'models/users': 'CREATE TABLE users AS ...'}}, not {self.models!r}"
            )

    def in_folder(self, folder: Path) -> "TableBuild":
        """Return a copy whose relative path is relative to the folder."""
        return replace(self, warehouse=folder / self.warehouse)

    def check_folder(self, folder: Path) -> None:
        """Check that the warehouse is in a folder.

        Raises:
            ValueError: If it is not, also if it is a link to a file elsewhere.
        """
        check_in_folder("build.warehouse", self.warehouse, folder)
