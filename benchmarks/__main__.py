"""Run the benchmarks and write `RESULTS.md`.

    python -m benchmarks [--vendor-python PATH] [--repeats 3] [--only NAME ...] [--long]

Needs RudderStack's own package 1.3.0 in a separate environment, which `make bench` creates. All
requests go to servers on this machine.
"""

import argparse
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks import cluster, discovery, imports, many_syncs, one_sync, sensor, sensor_load
from benchmarks.report import Section, Settings, report

RESULTS = Path(__file__).with_name("RESULTS.md")

BENCHMARKS: dict[str, Callable[[Settings], Section]] = {
    "one_sync": one_sync.section,
    "many_syncs": many_syncs.section,
    "growth": many_syncs.growth_section,
    "sensor": sensor.section,
    "sensor_load": sensor_load.section,
    "cluster": cluster.section,
    "discovery": discovery.section,
    "imports": imports.section,
}


def main() -> int:
    """Run the benchmarks. Returns 1 if a goal was missed."""
    arguments = _arguments()
    # Let SIGTERM end the processes that a benchmark has started, as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    settings = Settings(arguments.vendor_python, arguments.repeats, arguments.long)
    sections = []
    for name in arguments.only or BENCHMARKS:
        print(f"{name} ...", file=sys.stderr, flush=True)
        sections.append(BENCHMARKS[name](settings))
    text = report(sections)
    if not arguments.only:
        RESULTS.write_text(text)
    print(text)
    return int(any(row.reached is False for section in sections for row in section.rows))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks", description="Run the benchmarks.")
    parser.add_argument("--vendor-python", default=str(Path(".venv-vendor/bin/python").absolute()))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="*", choices=BENCHMARKS, help="writes no file")
    parser.add_argument(
        "--long",
        action="store_true",
        help=f"also run {many_syncs.TOGETHER} syncs of the vendor's package two at a time, which "
        "takes half an hour",
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
