"""check: ops/check: the gate and the quick tests, or only the tests that are named."""

import argparse
import ast
import contextlib
import glob
import os
import subprocess
import time

import gate
from builds import asan_build
from console import Failure
from ctests import meson_once
from mutants import meson_told, spelled
from pytests import pytest_once
from results import one
from running import LOGS, must
from servers import addresses, ops
from state import REPOSITORY

KEPT = os.path.join(REPOSITORY, ".state-check")  # servers for C tests, and a stack for those of pytest; they run on after the command
SERVERS, STACK = os.path.join(KEPT, "servers"), os.path.join(KEPT, "stack")
TIDY_SECONDS = 15
C_SECONDS, PY_SECONDS = 900, 1800
SLOW = "aether:log"  # tests that start and kill brokers of their own


def parse(argv):
    parser = argparse.ArgumentParser(prog="ops/check", allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, description="""\
A quick look at a change. Without NAME: its format, layers and mutants, a build with warnings as errors (ASan and UBSan),
clang-tidy on what changed, and the C tests that need no server. With NAME: a build, and just the tests that NAME matches.""", epilog="""\
NAME is a part of the name of a C test (as meson knows it) or of a test of pytest, a file of tests, or FILE::TEST.
Kafka, PostgreSQL and Redis, or a whole stack, are started when a test asks for them, and run on in .state-check/ for the
next time; ops/check --down stops and empties them.

    ops/check "master keys"
    ops/check tests/consumers/room_views.c
    ops/check test_a_ban_keeps_out
    ops/check tests/integration/test_rooms.py""")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only the tests that it matches")
    parser.add_argument("--down", action="store_true", help="stops the servers that tests were run on, and deletes their data")
    parser.add_argument("--no-install", action="store_true", help="installs no packages; says which are missing")
    return parser.parse_args(argv)


def main(argv):
    options = parse(argv)
    if options.down:
        return down()
    os.makedirs(LOGS, exist_ok=True)
    log = os.path.join(LOGS, "check.log")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(log)
    began = time.monotonic()
    result = named(options.names, log) if options.names else everything(log)
    print(f"{time.monotonic() - began:.0f} s; the log is {os.path.relpath(log)}")
    print(f"{result.passed} passed, {result.failed} failed" + (f", {result.skipped} skipped" if result.skipped else ""), flush=True)
    return 1 if result.failed or not result.passed else 0


def down():
    for state in (SERVERS, STACK):
        if os.path.exists(os.path.join(state, "stack.json")):
            subprocess.run([ops("down"), "--state", state, "--wipe"], check=True)
    return 0


def step(name, function, *arguments):
    """Runs it and says how it went. What it says is wrong is shown at once."""
    print(f"{name:<10} ", end="", flush=True)
    began = time.monotonic()
    note = ""
    try:
        result = function(*arguments)
        if isinstance(result, tuple):
            result, note = result
    except Failure as failure:
        result = one(False, str(failure))
    took = time.monotonic() - began
    count = f"{result.passed} passed, {result.failed} failed" if result.passed + result.failed > 1 else "good" if result.passed else "wrong"
    print(count + (f", {result.skipped} skipped" if result.skipped else "") + note + (f"  ({took:.1f} s)" if took >= 0.95 else ""), flush=True)
    for text in (result.detail, result.complaint):
        if result.failed and text:
            print("\n".join("  " + line for line in text.splitlines()), flush=True)
    return result


def compiled(log):
    try:
        asan_build(log)
        return one(True)
    except Failure as failure:
        with open(log, errors="replace") as file:
            words = [line.strip() for line in file if ": error:" in line or "undefined reference" in line or "ERROR:" in line]
        return one(False, "\n".join(words[:20] or [str(failure)]))


def everything(log):
    total = step("format", gate.form).add(step("layers", gate.layers))
    build = step("build", compiled, log)
    total.add(build)
    if build.failed:
        return total
    folder = asan_build(log)
    total.add(step("mutants", gate.mutants, folder))
    total.add(step("tidy", tidy, folder))
    quick = [test["name"] for test in meson_told(folder, "tests") if SLOW not in test["suite"]]
    return total.add(step("tests", c_tests, folder, log, quick, None))


def tidy(folder):
    result, left = gate.tidy(folder, TIDY_SECONDS)
    return result, f"; {left} files are left to ops/test" if left else ""


# --- tests by their names ---

def named(names, log):
    build = step("build", compiled, log)
    if build.failed:
        return build
    folder = asan_build(log)
    tests = meson_told(folder, "tests")
    c, py = set(), []
    for name in names:
        mine, theirs = matching_c(name, tests, folder), matching_py(name)
        if not mine and not theirs:
            raise Failure(f"no test matches {name}; C tests are listed by: meson test -C {os.path.relpath(folder)} --list")
        c |= mine
        py += [path for path in theirs if path not in py]
    total = build
    if c:
        total.add(step("C tests", c_tests, folder, log, sorted(c), servers_env))
    if py:
        print("           " + "\n           ".join(py))
        total.add(step("pytest", py_tests, folder, log, py))
    return total


def matching_c(name, tests, folder):
    wanted = spelled(name).lower()
    if name.endswith((".c", ".py")):
        path = os.path.abspath(name)
        targets = {target["id"] for target in meson_told(folder, "targets")
                   if any(path in group.get("sources", ()) for group in target["target_sources"])}
        return {test["name"] for test in tests if targets & set(test["depends"]) or any(os.path.normpath(word) == path for word in test["cmd"])}
    return {test["name"] for test in tests if wanted in spelled(test["name"]).lower()}


def matching_py(name):
    path, _, test = name.partition("::")
    if path.endswith(".py"):
        relative = os.path.relpath(os.path.abspath(path), REPOSITORY)
        return [name.replace(path, relative)] if os.path.basename(relative).startswith("test_") and os.path.exists(os.path.join(REPOSITORY, relative)) else []
    wanted, found = spelled(name).lower(), []
    for full in sorted(glob.glob(os.path.join(REPOSITORY, "tests", "integration", "test_*.py")) + glob.glob(os.path.join(REPOSITORY, "tests", "ops", "test_*.py"))):
        relative = os.path.relpath(full, REPOSITORY)
        if wanted in os.path.basename(full):
            found.append(relative)
            continue
        with open(full, encoding="utf-8") as file:
            tree = ast.parse(file.read())
        for node in tree.body:
            inside = [(f"{node.name}::", one_) for one_ in node.body] if isinstance(node, ast.ClassDef) else [("", node)]
            found += [f"{relative}::{where}{function.name}" for where, function in inside
                      if isinstance(function, ast.FunctionDef) and function.name.startswith("test") and wanted in function.name.lower()]
    return found


def c_tests(folder, log, names, servers):
    """Those that are skipped for want of a server run again with it, when `servers` says where it is."""
    results, missing = meson_once(folder, log, {}, 2, {"check": names}, processes=os.cpu_count() or 1, seconds=C_SECONDS)
    skipped = [name for name, result in results.items() if result.skipped]
    if skipped and servers:
        results.update(meson_once(folder, log, servers(log), 2, {"check": skipped}, seconds=C_SECONDS)[0])
    total = missing
    for result in results.values():
        total.add(result)
    return total


def servers_env(log):
    must([ops("up"), "--state", SERVERS, "--servers", "--no-install", *new(SERVERS)], log, 300, "starting the servers")
    return addresses(SERVERS)


def new(state):
    return [] if os.path.exists(os.path.join(state, "stack.json")) else ["--port-base", "auto"]


def py_tests(folder, log, paths):
    result, _ = pytest_once("check", log, paths, {"AETHER_TEST_BUILD": folder, "AETHER_TEST_KEEP": STACK}, PY_SECONDS)
    return result
