"""Run every benchmark and print a table: figure, minimum, median and maximum over the runs.

python -m benchmarks            all
python -m benchmarks store      those whose name holds the word
python -m benchmarks coverage --quick    in two minutes
"""

from __future__ import annotations

import os
import platform
import statistics
import sys

from benchmarks import (
    again,
    agreement,
    choosing,
    coverage,
    lab,
    ladders,
    laws,
    leases,
    million,
    modules,
    nextladders,
    pictures,
    pieces,
    processes,
    report,
    scale,
    sparse,
    startup,
    store,
    studies,
    suspects,
    table,
    workers,
)

BENCHMARKS = {
    "startup": startup.measure,
    "table": table.measure,
    "store": store.measure,
    "leases": leases.measure,
    "scale": scale.measure,
    "workers": workers.measure,
    "million": million.measure,
    "laws": laws.measure,
    "choosing": choosing.measure,
    "coverage": coverage.measure,
    "sparse": sparse.measure,
    "lab": lab.measure,
    "ladders": ladders.measure,
    "pieces": pieces.measure,
    "studies": studies.measure,
    "pictures": pictures.measure,
    "modules": modules.measure,
    "again": again.measure,
    "agreement": agreement.measure,
    "next": nextladders.measure,
    "report": report.measure,
    "suspects": suspects.measure,
    "processes": processes.measure,
}


def main(words: list[str]) -> None:
    """Run the benchmarks asked for."""
    if {"-h", "--help"} & set(words):
        print(f"{__doc__}\n{', '.join(BENCHMARKS)}")
        return
    words = [word for word in words if not word.startswith("--")]
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    print(f"{'figure':68}{'min':>9}{'median':>9}{'max':>9}  unit (runs)")
    for name, measure in BENCHMARKS.items():
        if words and not any(word in name for word in words):
            continue
        for figure, unit, values in measure():
            low, middle, high = min(values), statistics.median(values), max(values)
            print(f"{figure:68}{low:9.3f}{middle:9.3f}{high:9.3f}  {unit} ({len(values)})", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
