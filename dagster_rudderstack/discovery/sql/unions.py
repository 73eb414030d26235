"""The columns of a union: each is made of the column at the same position in each branch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from dagster_rudderstack.discovery.sql.relations import (
    STAR,
    UNKNOWN,
    ColumnOf,
    Output,
    Relation,
    Result,
    Value,
)

__all__ = ["union_of"]


def union_of(result: Result, branches: Sequence[Relation], *, is_by_name: bool) -> None:
    """Set the columns of a union.

    Args:
        result: The union.
        branches: Its branches.
        is_by_name: Whether columns are matched by their names, not by their positions.
    """
    layouts = [[output.name for output in branch.outputs] for branch in branches]
    if is_by_name:
        result.set_columns(_by_name(branches, layouts))
        return
    # Then the columns behind each `*` are taken to be the same.
    are_same = all(_are_alike(layouts[0], layout) for layout in layouts[1:])
    result.branches = list(branches) if are_same and layouts[0].count(STAR) == 1 else ()
    result.set_columns(
        [
            Output(STAR, source=result if result.branches else None)
            if output.name == STAR
            else Output(output.name, partial(_at, branches, place))
            for place, output in enumerate(branches[0].outputs)
        ]
    )


def _are_alike(first: Sequence[str], other: Sequence[str]) -> bool:
    """Whether two branches have the same columns. A literal often has a name in the first only."""
    return len(first) == len(other) and all(
        one == two or (two == "" and one != STAR) for one, two in zip(first, other, strict=True)
    )


def _by_name(branches: Sequence[Relation], layouts: Sequence[Sequence[str]]) -> list[Output]:
    names = dict.fromkeys(name for layout in layouts for name in layout)
    if STAR in names:
        return [Output(STAR)]
    return [Output(name, partial(_named, branches, name)) for name in names]


def _named(branches: Sequence[Relation], name: str) -> Value:
    """Return the values of the column of a name, of the branches that have it."""
    return tuple(ColumnOf(each, name) for each in branches if each.has(name) is not False)


def _at(branches: Sequence[Relation], place: int) -> Value:
    """Return the values of the columns at a position."""
    first = branches[0].outputs
    from_end = place - len(first)
    found: Value = ()
    for branch in branches:
        outputs = branch.outputs
        if (
            place < len(outputs)
            and _are_placed(outputs[: place + 1])
            and _are_placed(first[:place])
        ):
            found += (outputs[place],)
        elif (
            -from_end <= len(outputs)
            and _are_placed(outputs[from_end:])
            and _are_placed(first[from_end:])
        ):
            found += (outputs[from_end],)
        else:
            return UNKNOWN
    return found


def _are_placed(outputs: Sequence[Output]) -> bool:
    """Whether each of these stands for one column."""
    return all(output.name != STAR and output.has_place for output in outputs)
