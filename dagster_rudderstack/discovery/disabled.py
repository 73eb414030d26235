"""What to do with connections that are disabled in RudderStack, and what the log says of them."""

from collections.abc import Iterable, Iterator
from typing import Literal

from dagster_rudderstack.discovery.props import RudderStackConnectionProps
from dagster_rudderstack.text import summary_of

__all__ = ["DisabledConnections", "disabled_warning"]

DisabledConnections = Literal["leave_out", "mark"]


def disabled_warning(connections: Iterable[RudderStackConnectionProps]) -> str:
    """Return what is disabled about connections that are left out, and how to include them."""
    lines = {}
    for props in connections:
        name = f"{props.name!r} ({props.id})"
        parts = list(_disabled_parts(props))
        are = "is" if len(parts) == 1 else "are"
        lines[name] = (
            f"Connection {name} is left out: {' and '.join(parts)} {are} disabled in RudderStack."
        )
    return (
        f"{summary_of(lines, 'connection')}\nTo include a connection, enable it in RudderStack's "
        "dashboard and refresh the snapshot (without one, reload the code location), or pass "
        "disabled='mark' (in YAML: disabled: mark)."
    )


def _disabled_parts(props: RudderStackConnectionProps) -> Iterator[str]:
    if not props.connection.enabled:
        yield "the connection"
    if props.source is not None and not props.source.enabled:
        yield f"its source {props.source_name!r}"
    if props.destination is not None and not props.destination.enabled:
        yield f"its destination {props.destination_name!r}"
