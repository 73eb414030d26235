"""The duration of an import, in addition to that of Dagster."""

import os
import sys

from benchmarks.measure import Numbers, ratio_text, watch
from benchmarks.report import Row, Section, Settings

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

# The import of Dagster leaves about 60 ms of garbage collection. Without `gc.collect`, it would
# happen in one of the measured imports.
_TIMED = """
import gc, time
import dagster
gc.collect()
began = time.perf_counter()
{statement}
print(1000 * (time.perf_counter() - began))
"""


def _milliseconds(python: str, statement: str, times: int) -> Numbers:
    """Return the duration of an import in a new process that has already imported Dagster."""
    code = _TIMED.format(statement=statement)
    # uv installs without bytecode. Write it, or the compiler would be measured.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}

    def once() -> float:
        return float(watch([python, "-c", code], cwd="/", env=environment).output)

    once()
    return Numbers([once() for _ in range(times)])


def section(settings: Settings) -> Section:
    """Measure the imports of both packages, and return the rows."""
    times = 4 * settings.repeats

    def row(what: str, vendor: str, ours: str, *, has_goal: bool = False) -> Row:
        theirs = _milliseconds(settings.vendor, vendor, times)
        own = _milliseconds(sys.executable, ours, times)
        ratio = own.median / theirs.median
        return Row(
            what,
            theirs.text(" ms"),
            own.text(" ms"),
            ratio_text(theirs.over(own)),
            "at most 1.5 times the vendor's" if has_goal else "",
            ratio <= 1.5 if has_goal else None,
        )

    return Section(
        [
            row(
                "`import dagster_rudderstack` after `import dagster` (the vendor's is empty)",
                PACKAGE,
                PACKAGE,
            ),
            row(
                "Import of the resource and the op after `import dagster`",
                VENDOR_NAMES,
                OUR_NAMES,
                has_goal=True,
            ),
            row(
                "Same import, with the factories of assets and of the sensor in ours",
                VENDOR_NAMES,
                OUR_FACTORIES,
                has_goal=True,
            ),
        ]
    )
