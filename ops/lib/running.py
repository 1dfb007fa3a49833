"""running: programs that ops/test and ops/check run: with a log, a limit of time, and nothing left behind."""

import os
import signal
import subprocess
import time

import programs
from console import Failure
from state import REPOSITORY

FOLDER = os.path.join(REPOSITORY, ".state-test")
LOGS = os.path.join(FOLDER, "report")
TSAN = os.path.join(REPOSITORY, "tests", "tsan")

SANITIZERS = {
    "ASAN_OPTIONS": "detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1:abort_on_error=0",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "TSAN_OPTIONS": f"suppressions={TSAN}/suppressions:second_deadlock_stack=1",
}


def environment(**more):
    return {**os.environ, "PATH": programs.PATH, **SANITIZERS, **more}


def start(argv, log, env):
    with open(log, "ab") as out:
        out.write(f"$ {' '.join(map(str, argv))}\n".encode())
        out.flush()
        return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, env=env or environment(),
                                cwd=REPOSITORY, start_new_session=True)


def stop(process):
    """With all it started in its process group: interrupted, so that it can still say what it found, then killed."""
    process.send_signal(signal.SIGINT)
    for last in (signal.SIGTERM, signal.SIGKILL):
        try:
            process.wait(60)
            break
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, last)
    process.wait()


def run(argv, log, seconds, env=None):
    """Runs with its output added to LOGS/log; its exit status, or None when it took longer and was stopped."""
    return run_side_by_side([argv], log, seconds, env)[0]


def run_side_by_side(commands, log, seconds, env=None):
    """The same of each, two at a time."""
    waiting, running, statuses = list(enumerate(commands)), {}, [None] * len(commands)
    try:
        while waiting or running:
            while waiting and len(running) < 2:
                number, argv = waiting.pop(0)
                running[number] = start(argv, log, env), time.monotonic() + seconds
            for number, (process, deadline) in list(running.items()):
                statuses[number] = process.poll()
                if statuses[number] is None and time.monotonic() > deadline:
                    stop(process)
                    with open(log, "ab") as out:
                        out.write(f"ops/test: stopped after {seconds} s\n".encode())
                if process.returncode is not None:
                    del running[number]
            time.sleep(0.02)
    except KeyboardInterrupt:
        for process, _ in running.values():
            stop(process)
        raise
    return statuses


def must(argv, log, seconds, what, env=None):
    if run(argv, log, seconds, env) != 0:
        raise Failure(f"{what} failed")
