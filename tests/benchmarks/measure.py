"""Run a shell command, and print as JSON what it took and when it said what; runs inside the root."""

import json
import os
import subprocess
import sys
import time


def measure(command: str) -> dict[str, object]:
    """Return wall and CPU seconds, the largest process's memory in KiB, and each line with its second.

    The kernel counts a child with all of its own that were waited for (getrusage(2)).
    """
    start = time.monotonic()
    process = subprocess.Popen(
        ["/bin/sh", "-c", command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    assert process.stdout
    lines = [(time.monotonic() - start, line.rstrip("\n")) for line in process.stdout]
    _, status, usage = os.wait4(process.pid, 0)
    return {
        "status": os.waitstatus_to_exitcode(status),
        "wall_s": time.monotonic() - start,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_kb": usage.ru_maxrss,
        "lines": lines,
    }


if __name__ == "__main__":
    json.dump(measure(sys.argv[1]), sys.stdout)
