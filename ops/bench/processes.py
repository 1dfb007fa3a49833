"""processes: what a stack's processes use, from /proc: CPU seconds and memory, summed over each one's children."""

import os
import threading
import time

from stack import children_of

TICKS = os.sysconf("SC_CLK_TCK")


def tree(pid):
    found, at = [pid], 0
    while at < len(found):
        found += children_of(found[at])
        at += 1
    return found


def cpu_seconds(pid):
    """Of the process, its living children and those it has waited for."""
    total = 0
    for one in tree(pid):
        try:
            with open(f"/proc/{one}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue
        total += int(fields[11]) + int(fields[12])
        if one == pid:
            total += int(fields[13]) + int(fields[14])
    return total / TICKS


def memory_mb(pid):
    """Resident; of a process with children the proportional share, since PostgreSQL's processes share their buffers."""
    pids = tree(pid)
    name, key = ("smaps_rollup", "Pss:") if len(pids) > 1 else ("status", "VmRSS:")
    total = 0
    for one in pids:
        try:
            with open(f"/proc/{one}/{name}") as file:
                total += next(int(line.split()[1]) for line in file if line.startswith(key))
        except (OSError, StopIteration):
            continue
    return total / 1024


class Watch:
    """CPU used and most memory of {name: pid} while the `with` lasts."""

    def __init__(self, pids, pause=0.5):
        self.pids, self.pause = pids, pause
        self.most = dict.fromkeys(pids, 0.0)
        self.ended = threading.Event()
        self.samples = []  # (seconds, {name: MB})

    def sample(self):
        now = {name: memory_mb(pid) for name, pid in self.pids.items()}
        self.samples.append((time.monotonic() - self.began, now))
        for name, mb in now.items():
            self.most[name] = max(self.most[name], mb)

    def run(self):
        while not self.ended.wait(self.pause):
            self.sample()

    def __enter__(self):
        self.began = time.monotonic()
        self.before = {name: cpu_seconds(pid) for name, pid in self.pids.items()}
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()
        self.sample()
        self.cpu = {name: cpu_seconds(pid) - self.before[name] for name, pid in self.pids.items()}
