"""What an import costs beyond that of Dagster."""

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

_TIMED = """
import time
import dagster
began = time.perf_counter()
{statement}
print(1000 * (time.perf_counter() - began))
"""


def milliseconds(python: str, statement: str, times: int) -> Numbers:
    """Return what an import takes in a new process that has imported Dagster already."""
    code = _TIMED.format(statement=statement)
    return Numbers([float(watch([python, "-c", code], cwd="/").output) for _ in range(times)])
