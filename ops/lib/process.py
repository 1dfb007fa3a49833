"""process: facts about processes from /proc. A process is named by its pid and its start time, so that a pid that the
kernel gave to somebody else is never mistaken for ours."""

import os
import signal
import time


def ticks(pid):
    """The start time of a living process in clock ticks since boot; None when there is none (or it is a zombie)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def identity(pid):
    return [pid, ticks(pid)]


def alive(who):
    """Whether the process identity() once named still lives."""
    return bool(who) and who[1] is not None and ticks(who[0]) == who[1]


def send(who, number):
    """Sends a signal to that process and no other; False when it is gone."""
    try:
        # The pidfd keeps the pid from being given away between the check and the signal.
        fd = os.pidfd_open(who[0])
    except OSError:
        return False
    try:
        if not alive(who):
            return False
        signal.pidfd_send_signal(fd, number)
        return True
    except ProcessLookupError:
        return False
    finally:
        os.close(fd)


def wait_gone(whos, seconds):
    """Waits until none of them lives; returns those that still do."""
    deadline = time.monotonic() + seconds
    while True:
        left = [who for who in whos if alive(who)]
        if not left or time.monotonic() >= deadline:
            return left
        time.sleep(0.02)


def name(pid):
    try:
        with open(f"/proc/{pid}/comm") as file:
            return file.read().strip()
    except OSError:
        return None


def all_pids():
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]


def in_folder(folder, comm):
    """Pids of the programs called `comm` whose working directory is `folder`."""
    found = []
    for pid in all_pids():
        try:
            if name(pid) == comm and os.readlink(f"/proc/{pid}/cwd") == folder:
                found.append(pid)
        except OSError:
            continue  # gone, or not ours to look at
    return found
