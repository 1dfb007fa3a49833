"""commands: the ops commands, from outside."""

import contextlib
import json
import os
import subprocess
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))


def ops(command, state, *arguments, check=True):
    done = subprocess.run([os.path.join(ROOT, "ops", command), "--state", str(state), *arguments], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=300)
    assert not check or done.returncode == 0, done
    return done


def status(state):
    return json.loads(ops("status", state, "--json").stdout)


def wait_until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {condition.__doc__}"
        time.sleep(0.1)
    return value


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def processes_of(state):
    """Every process that has the folder in its command line, a supervisor or a server."""
    found = []
    for entry in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if entry.isdigit() and int(entry) != os.getpid():
                with open(f"/proc/{entry}/cmdline", "rb") as file:
                    if os.fsencode(str(state)) in file.read():
                        found.append(int(entry))
    return found
