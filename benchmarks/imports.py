"""The duration of an import, in addition to that of Dagster.

There is no goal. The package imports all its modules at once, the components too, so its import
takes longer than that of the vendor's two modules. Names that are imported when they are first used
made it as short, but had to be listed three times.
"""

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

# The import of Dagster leaves about 60 ms of garbage collection. Without `gc.collect`, it would
# happen in one of the measured imports.
_TIMED = """
import gc, time
began = time.perf_counter()
import dagster
after_dagster = time.perf_counter()
gc.collect()
began_package = time.perf_counter()
{statement}
print(1000 * (time.perf_counter() - began_package), 1000 * (after_dagster - began))
"""


def _milliseconds(python: str, statement: str, times: int) -> tuple[Numbers, Numbers]:
    """Return the durations of an import after Dagster's, and of Dagster's, in new processes."""
    code = _TIMED.format(statement=statement)
    # uv installs without bytecode. Write it, or the compiler would be measured.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}

    def once() -> list[float]:
        return [
            float(each)
            for each in watch([python, "-c", code], cwd="/", env=environment).output.split()
        ]

    once()
    package, dagster = zip(*(once() for _ in range(times)), strict=True)
    return Numbers(package), Numbers(dagster)


def section(settings: Settings) -> Section:
    """Measure the imports of both packages, and return the rows."""
    times = 4 * settings.repeats

    def row(what: str, vendor: str, ours: str) -> Row:
        theirs, _ = _milliseconds(settings.vendor, vendor, times)
        own, dagster = _milliseconds(sys.executable, ours, times)
        share = own.median / dagster.median
        return Row(
            what,
            theirs.text(" ms"),
            f"{own.text(' ms')}, {share:.0%} of Dagster's {dagster.median:,.0f} ms",
            ratio_text(theirs.over(own)),
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
            ),
        ]
    )
