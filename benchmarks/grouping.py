"""Many syncs in one run: how long beyond Dagster's own overhead, and how much memory."""

import json
import tempfile
from pathlib import Path

from benchmarks.measure import Watched, watch
from dagster_rudderstack.testing import LocalRudderStack, SyncScript

SCRIPT = Path(__file__).with_name("steps.py")
SYNC_SECONDS = 20.0


def run(peer: str, python: str, count: int, *, concurrent: int = 2) -> Watched:
    """Execute one run in a process of its own and watch all processes that it starts.

    Args:
        peer: `ours`, `plain` or `vendor`.
        python: of the environment that has the package.
        count: of connections.
        concurrent: how many steps at once; Dagster's default is the number of cores.
    """
    script = SyncScript(duration_seconds=SYNC_SECONDS, rows_total=100)
    with LocalRudderStack() as server, tempfile.TemporaryDirectory() as home:
        for number in range(count):
            server.add_connection(f"c{number}", script=script)
        command = [python, str(SCRIPT), peer, str(count), str(concurrent)]
        environment = {"DAGSTER_HOME": home, "PATH": "/usr/bin:/bin", "DO_NOT_TRACK": "1"}
        Path(home, "dagster.yaml").write_text("telemetry: {enabled: false}\n")
        watched = watch(
            [*command, server.url, server.access_token], cwd=SCRIPT.parent, env=environment
        )
        outcome = json.loads(watched.output.splitlines()[-1])
        starts = len(server.starts())
    if not outcome["success"] or starts != (0 if peer == "plain" else count):
        raise RuntimeError(f"{peer} with {count} syncs: {outcome}, {starts} starts")
    watched.seconds = outcome["seconds"]
    return watched
