"""gate: what a change is held against before any test runs: its format, its layers, clang-tidy, the patches of tests/mutants.

Each returns a Result; what is complained of is in its lines."""

import hashlib
import json
import os
import re
import subprocess
import time

from mutants import complaints
from results import Result, one
from running import FOLDER, environment
from state import REPOSITORY, read_json, write_atomically

C_FOLDERS = ("ops", "schemas", "topics", "producers", "consumers", "gateway", "tests")
TIDY_KNOWN = os.path.join(FOLDER, "tidy.json")  # {source: key of what clang-tidy had nothing to say of}
SHOWN = 20  # complaints


def each(said):
    """One test: that nothing is said."""
    return one(not said, "\n".join([*said[:SHOWN], *([f"and {len(said) - SHOWN} more"] if len(said) > SHOWN else [])]))


def c_files():
    for top in C_FOLDERS:
        for folder, folders, files in os.walk(os.path.join(REPOSITORY, top)):
            folders[:] = [name for name in folders if not name.startswith(".")]
            yield from (os.path.relpath(os.path.join(folder, name), REPOSITORY) for name in files if name.endswith((".c", ".h")))


def told(argv):
    return subprocess.run(argv, cwd=REPOSITORY, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment())


def form():
    said = re.findall(r"^(\S+?:\d+):\d+: (?:error|warning): code should be clang-formatted", told(["clang-format-14", "--dry-run", "--Werror", *sorted(c_files())]).stdout,
                      re.MULTILINE)
    return each([f"{place}: clang-format would write it otherwise; `clang-format-14 -i {place.partition(':')[0]}` does" for place in said])


def layers():
    done = told(["/usr/bin/python3", "tests/layering/layering.py"])
    return one(done.returncode == 0, done.stdout.strip())


def mutants(build):
    return each(complaints(build))


# --- clang-tidy ---

def tidy(build, seconds=None):
    """Over every source that changed, or includes what changed, since clang-tidy had nothing to say of it; the newest first. With a limit
    of time it may leave some: their number is in the second result."""
    known, keys, said = read_json(TIDY_KNOWN) or {}, tidy_keys(build), []
    waiting = sorted((path for path, key in keys.items() if known.get(path) != key),
                     key=lambda path: -os.path.getmtime(os.path.join(REPOSITORY, path)))
    deadline = time.monotonic() + seconds if seconds else None
    running = {}
    try:
        while waiting or running:
            while waiting and len(running) < (os.cpu_count() or 1) and not (deadline and time.monotonic() > deadline):
                path = waiting.pop(0)
                running[path] = subprocess.Popen(["clang-tidy-14", "--quiet", "--warnings-as-errors=*", "-p", build, path], cwd=REPOSITORY,
                                                 stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                                                 env=environment())
            if not running:
                break
            path, process = next(iter(running.items()))
            text, _ = process.communicate()
            del running[path]
            if process.returncode == 0:
                known[path] = keys[path]
            else:
                said += tidy_words(text, build) or [f"{path}: clang-tidy-14 ended with status {process.returncode}"]
    finally:
        for process in running.values():
            process.kill()
        write_atomically(TIDY_KNOWN, json.dumps({path: key for path, key in known.items() if path in keys}))
    return each(sorted(set(said))), len(waiting)


def tidy_words(text, build):
    """The complaints, with their places as seen from the repository."""
    return [os.path.relpath(os.path.normpath(os.path.join(build, place)), REPOSITORY) + rest
            for place, rest in re.findall(r"^(\S+?)(:\d+:\d+: (?:warning|error): .*)$", text, re.MULTILINE)]


def tidy_keys(build):
    """{source: key}: of its own bytes, those of every header of ours that it includes, how it is compiled, and what is looked for."""
    hashes = {}

    def hash_of(path):
        if path not in hashes:
            with open(path, "rb") as file:
                hashes[path] = hashlib.sha256(file.read()).hexdigest()
        return hashes[path]

    includes, output = {}, None
    for line in told(["ninja", "-C", build, "-t", "deps"]).stdout.splitlines():
        if line.startswith("    ") and output:
            if not os.path.isabs(line.strip()):
                includes[output].append(os.path.normpath(os.path.join(build, line.strip())))
        else:
            output = line.partition(": #deps")[0] if ": #deps" in line else None
            includes.setdefault(output, [])
    checks = "".join(hash_of(os.path.join(REPOSITORY, folder, ".clang-tidy")) for folder in ("", "tests", "ops/bench"))
    with open(os.path.join(build, "compile_commands.json")) as file:
        commands = json.load(file)
    keys = {}
    for command in commands:
        full = os.path.normpath(os.path.join(command["directory"], command["file"]))
        path = os.path.relpath(full, REPOSITORY)
        if path.startswith("..") or full.startswith(build) or not full.endswith(".c"):
            continue
        parts = [checks, command["command"].replace(build, ""), *(hash_of(name) for name in sorted({full, *includes.get(command["output"], ())}) if os.path.exists(name))]
        keys[path] = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    return keys
