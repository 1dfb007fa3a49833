"""console: what the ops commands say. One line a step; a failure is one line that says what to do."""

import contextlib
import os
import subprocess
import sys
import time

quiet = False


class Failure(Exception):
    """Ends the command with its text as the one line the person sees."""


def run_main(program, main):
    """Runs main(argv) and turns a Failure into one line and exit status 1."""
    try:
        status = main(sys.argv[1:])
    except Failure as failure:
        end_line()
        print(f"{program}: {failure}", file=sys.stderr)
        status = 1
    except KeyboardInterrupt:
        end_line()
        print(f"{program}: interrupted", file=sys.stderr)
        status = 130
    except BrokenPipeError:  # the reader of our output went away (| head)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    sys.exit(status or 0)


_open_line = False


def end_line():
    global _open_line
    if _open_line:
        print(flush=True)
    _open_line = False


def say(text=""):
    if not quiet:
        end_line()
        print(text, flush=True)


def warn(text):
    end_line()
    print(f"warning: {text}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def step(name):
    """`name … note (seconds)`: the body sets .note of what it yields."""

    class Step:
        note = "done"

    global _open_line
    this = Step()
    if quiet:
        yield this
        return
    print(f"{name:<10} ", end="", flush=True)
    _open_line = True
    started = time.monotonic()
    yield this
    seconds = time.monotonic() - started
    took = f"  ({seconds:.1f} s)" if seconds >= 0.95 else ""
    if not _open_line:
        print(f"{'':<10} ", end="")
    print(f"{this.note}{took}", flush=True)
    _open_line = False


def run_logged(argv, log, *, progress=None, env=None, cwd=None):
    """Runs a program with its output in the file `log`; says every few seconds how far it is by progress(last line).
    Returns the exit status."""
    with open(log, "ab") as out:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, env=env, cwd=cwd)
    next_word = time.monotonic() + 5
    while True:
        try:
            return process.wait(timeout=0.2)
        except subprocess.TimeoutExpired:
            pass
        except KeyboardInterrupt:
            process.terminate()
            process.wait()
            raise
        if progress and not quiet and time.monotonic() >= next_word:
            word = progress(tail(log, 1))
            if word:
                say(f"{'':<10} … {word}")
            next_word = time.monotonic() + 5


def tail(path, lines=10):
    """The last lines of a file, as text; '' when there is none."""
    try:
        with open(path, "rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 300 * lines - 4000))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return "\n".join(text.rstrip("\n").split("\n")[-lines:])


def last_line(text):
    lines = text.strip().splitlines()
    return lines[-1] if lines else ""
