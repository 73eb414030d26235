"""Many syncs while every fifth request fails, with both packages.

    python -m benchmarks.chaos --syncs 200 --seed 1

Both packages get the same connections, scripts and faults, from the same seed. Their reports are
compared with the state of the server at the end. Ours runs as in CI (see
`dagster_rudderstack_tests.sync.chaos`). The vendor's package blocks in `time.sleep`, so its clock
and the server's run `SCALE` times as fast as the real one. A sync that it does not report within
six hours of this clock counts as hanging.
"""

import argparse
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

from dagster_rudderstack.testing import LocalRudderStack, ScaledClock
from dagster_rudderstack_tests.sync.chaos import MUST_BE_ZERO, populate, run

SCALE = 200.0
HANG_SECONDS = 6 * 3600 / SCALE
VENDOR_PYTHON = Path(".venv-vendor/bin/python")
COLUMNS = ("right reports", *MUST_BE_ZERO)


def vendor(seed: int, syncs: int, python: Path) -> Counter[str]:
    """Run the syncs with the vendor's package, and return the verdicts."""
    clock = ScaledClock(scale=SCALE)
    with LocalRudderStack(clock=clock, seed=seed) as server:
        ids = populate(server, syncs, seed)
        script = Path(__file__).with_name("vendor_chaos.py")
        arguments = [server.url, server.access_token, str(SCALE), str(HANG_SECONDS)]
        ended = subprocess.run(
            [str(python), str(script), *arguments],
            input="\n".join(ids),
            stdout=subprocess.PIPE,
            # The package logs each request.
            stderr=subprocess.DEVNULL,
            text=True,
            check=True,
        )
        outcomes = json.loads(ended.stdout)
        return Counter(_verdict(server, each, outcomes[each]) for each in ids)


def _verdict(server: LocalRudderStack, connection_id: str, outcome: dict[str, str] | None) -> str:
    ours = [sync for sync in server.syncs(connection_id) if sync.origin == "api"]
    if len(ours) > 1:
        return "duplicate starts"
    if outcome is None:
        return "hangs"
    if "status" in outcome:
        known = {sync.id: sync.status for sync in ours}
        return "right reports" if known == {outcome["id"]: "succeeded"} else "false successes"
    if not ours:
        return "false failures"
    if ours[0].status in ("running", "succeeded"):
        return "lost or orphaned" if ours[0].status == "running" else "false failures"
    # Its error names the sync if the sync failed, but not if the polling failed.
    return "right reports" if ours[0].id in outcome["error"] else "wrong reports"


def table(rows: dict[str, Counter[str]]) -> str:
    """Return a table of the verdicts, with one row for each package."""
    heads = ["", *COLUMNS]
    lines = [heads, ["---"] * len(heads)]
    lines += [[name, *(str(counts[column]) for column in COLUMNS)] for name, counts in rows.items()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> int:
    """Run both packages and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--syncs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--vendor-python", type=Path, default=VENDOR_PYTHON)
    arguments = parser.parse_args()
    rows = {
        "ours": run(arguments.seed, arguments.syncs).verdicts,
        "vendor 1.3.0": vendor(arguments.seed, arguments.syncs, arguments.vendor_python),
    }
    print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
