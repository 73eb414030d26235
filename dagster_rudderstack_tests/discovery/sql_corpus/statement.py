"""One statement of the corpus, with what is known about it without the warehouse's schema."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Literal

__all__ = ["NONE", "UNKNOWN", "Known", "Statement"]


class _Unknown(Enum):
    UNKNOWN = "unknown"


UNKNOWN: Final = _Unknown.UNKNOWN
"""The origins of a column cannot be known without the schema. Any answer is a guess."""

NONE: Final[frozenset[str]] = frozenset()
"""A column that is made from no column, such as a constant or a count of rows."""

Known = AbstractSet[str] | Literal[_Unknown.UNKNOWN]


@dataclass(frozen=True)
class Statement:
    """A SQL model and what someone who knows the warehouse can say about it.

    A value is made from the columns in its expression, among them those of a window, of a filter
    and of the conditions of a CASE. Join conditions, WHERE, GROUP BY and QUALIFY make no value. A
    part of an array, a struct or a document has the origin of its whole column. The output of a
    table function has the origins of the arguments.

    Attributes:
        name: What is special about it. Unique within its warehouse.
        warehouse: The kind of warehouse, as RudderStack calls it.
        sql: The statement.
        tables: The tables that it reads, as the statement first spells them.
        columns: The origins of some outputs as `table.column`, as the statement first spells them.
        also: Origins that an answer may have as well, where both readings are defensible.
    """

    name: str
    warehouse: str
    sql: str
    tables: AbstractSet[str]
    columns: Mapping[str, Known]
    also: Mapping[str, AbstractSet[str]] = field(default_factory=dict)
