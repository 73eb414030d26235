"""What an import costs beyond that of Dagster."""

import os

from benchmarks.measure import Numbers, watch

PACKAGE = "import dagster_rudderstack"
VENDOR_NAMES = (
    "from dagster_rudderstack.resources.rudderstack import RudderStackRETLResource; "
    "from dagster_rudderstack.ops.retl import rudderstack_sync_op"
)
OUR_NAMES = "from dagster_rudderstack import RudderStackResource, rudderstack_sync_op"
OUR_FACTORIES = (
    "from dagster_rudderstack import RudderStackResource, build_rudderstack_polling_sensor, "
    "build_rudderstack_sync_asset, build_rudderstack_sync_assets, rudderstack_sync_op"
)

# What Dagster's import has left to the garbage collector, some 60 ms of work, falls due in the
# import of one or the other by chance.
_TIMED = """
import gc, time
import dagster
gc.collect()
began = time.perf_counter()
{statement}
print(1000 * (time.perf_counter() - began))
"""


def milliseconds(python: str, statement: str, times: int) -> Numbers:
    """Return what an import takes in a new process that has imported Dagster already."""
    code = _TIMED.format(statement=statement)
    # Without bytecode, which uv does not make, it is the compiler that would be measured.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}

    def once() -> float:
        return float(watch([python, "-c", code], cwd="/", env=environment).output)

    once()
    return Numbers([once() for _ in range(times)])
