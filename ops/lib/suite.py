"""suite: ops/test. A part is a function that runs something and says how many tests passed and failed; see PARTS."""

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import time

import console
import gate
from builds import asan_build, build, release_build, tsan_build
from console import Failure
from ctests import meson_tests, no_reports
from mutants import mutants, refresh
from pytests import STACK_LOGS, pytest
from results import Result, one
from running import FOLDER, LOGS, environment, must, run, run_side_by_side
from servers import leave_nothing, ops, servers, wipe
from state import REPOSITORY

CHAOS_SECONDS = 60
FUZZ_SECONDS = 30
THREADED = re.compile(r"tests/(gateway|log|runtime)/")  # tests of what has threads, by their path


def no_warnings(compiler, log):
    """One test: what was compiled just now."""
    with open(log, errors="replace") as file:
        warnings = [line.strip() for line in file if ": warning: " in line]
    return one(not warnings, f"{compiler} warns {len(warnings)} times, first: {warnings[0]}" if warnings else "")


# --- the parts ---

def check(log):
    """The gate of ops/check, whole: clang-tidy over every source that it has not had nothing to say of."""
    result = gate.form().add(gate.layers())
    folder = asan_build(log)
    release_build(log)
    return result.add(gate.mutants(folder)).add(gate.tidy(folder)[0])


def unit(log, folder=None):
    folder = folder or asan_build(log)
    with servers(log) as where:
        return meson_tests(folder, log, where, 4)


def threads(log):
    """TSan where threads meet: the gateway, the producer, the runtime."""
    folder = tsan_build(log)
    with servers(log) as where:
        # Killing the broker again and again is about time, not about threads.
        result = meson_tests(folder, log, where, 6, lambda test: THREADED.search(" ".join(test["cmd"])) and "killed" not in test["name"])
    result.add(pytest("threads", log, ["tests/integration/test_conversation.py", "tests/integration/test_shutdown.py"],
                      {"AETHER_TEST_BUILD": folder}))
    return result.add(no_reports(STACK_LOGS))


def fuzz(log):
    """Everything is built with clang, too, and has no warnings; the targets bring their own sanitizers."""
    clang = environment(CC="clang-14")
    folder = build("clang", log, "--buildtype=debugoptimized", env=clang)
    result = no_warnings("clang", log)
    told = subprocess.run(["meson", "introspect", "--targets", folder], stdout=subprocess.PIPE, check=True, env=environment())
    targets = {target["name"]: target["filename"][0] for target in json.loads(told.stdout) if target["name"].startswith("fuzz_")}
    if not targets:
        return result.add(one(False, "there are no fuzz targets"))
    must(["ninja", "-C", folder, *(os.path.relpath(path, folder) for path in targets.values())], log, 600, "the build", clang)
    found = {name: os.path.join(FOLDER, "fuzz", name) for name in targets}  # what it learns stays there, for the next run
    for folder in found.values():
        os.makedirs(folder, exist_ok=True)
    statuses = run_side_by_side([[path, f"-max_total_time={FUZZ_SECONDS}", "-timeout=10", "-rss_limit_mb=2048", f"-artifact_prefix={found[name]}/crash-",
                                  "-print_final_stats=1", found[name], os.path.join(REPOSITORY, "tests", "corpus", name.removeprefix("fuzz_"))]
                                 for name, path in targets.items()], log, FUZZ_SECONDS + 120)
    for name, status in zip(targets, statuses):
        result.add(one(status == 0, f"{name} found something; what it was fed is in {found[name]}"))
    return result


def stack(log):
    return pytest("stack", log, ["tests/ops"])


def release(log):
    """What a person does first, on release programs: up, with its conversation; up again; down."""
    state = os.path.join(FOLDER, "release")
    wipe(state, log)
    try:
        result = one(run([ops("up"), "--state", state, "--port-base", "auto", "--no-install"], log, 900) == 0, "ops/up failed")
        result.add(no_warnings("gcc", os.path.join(state, "logs", "build.log")))
        began = time.monotonic()
        result.add(one(run([ops("up"), "--state", state, "--no-install"], log, 120) == 0, "the second ops/up failed"))
        result.add(one(time.monotonic() - began < 15, "the second ops/up took longer than 15 s"))
        result.add(one(run([ops("status"), "--state", state], log, 30) == 0, "ops/status says that something does not run"))
        result.add(one(run([ops("down"), "--state", state], log, 120) == 0, "ops/down failed"))
        return result
    finally:
        wipe(state, log)


def integration(log, folder=None):
    folder = folder or asan_build(log)
    result = pytest("integration", log, ["tests/integration"], {"AETHER_TEST_BUILD": folder}, 3000)
    return result.add(no_reports(STACK_LOGS))


def chaos(log):
    return one(run([ops("chaos/chaos"), "--no-install", "--build", release_build(log), "--seconds", str(CHAOS_SECONDS)], log, CHAOS_SECONDS + 600) == 0, "ops/chaos found a contradiction")


PARTS = {
    "check": (check, "format, layers, no warning of gcc, clang-tidy; every patch of tests/mutants applies"),
    "unit": (unit, "C tests with ASan and UBSan, leaks are failures; on Kafka, PostgreSQL and Redis where they need them"),
    "threads": (threads, "C tests and conversations of the gateway with TSan"),
    "fuzz": (fuzz, f"fuzz targets for {FUZZ_SECONDS} s each, with the saved corpus"),
    "release": (release, "the first contact: up, the conversation, up again, down, on release programs"),
    "stack": (stack, "what ops/up, ops/down and ops/status promise"),
    "integration": (integration, "the system from outside, faults included, with ASan and UBSan"),
    "chaos": (chaos, f"{CHAOS_SECONDS} s of load with everything being killed, on release programs"),
    "mutants": (mutants, "the faults of tests/mutants, one at a time: a test notices each (only with --long, or when named)"),
}
LONG = ("mutants",)
COVERED = ("unit", "integration")


# --- coverage ---

def coverage_build(log):
    """Counters of threads are added up atomically, or some would be lost. The counts of the last time are forgotten."""
    folder = build("coverage", log, "--buildtype=debug", "-Db_coverage=true", "-Dc_args=-fprofile-update=atomic")
    for place, _, files in os.walk(folder):
        for name in files:
            if name.endswith(".gcda"):
                os.unlink(os.path.join(place, name))
    return folder


def coverage_report(folder, log):
    """As HTML; returns gcovr's summary. Processes that tests kill have no time to write their counts."""
    report = os.path.join(FOLDER, "coverage")
    shutil.rmtree(report, ignore_errors=True)
    os.makedirs(report)
    summary = os.path.join(report, "summary")
    must(["gcovr", "-j", str(os.cpu_count() or 1), "-r", REPOSITORY, "--object-directory", folder, "--exclude", "tests/", "--exclude", r"\.state.*",
          "--gcov-ignore-parse-errors", "--html-details", os.path.join(report, "index.html"), "--txt", summary, folder], log, 900, "gcovr")
    return f"{console.tail(summary, 2).splitlines()[0]}\n{os.path.join(report, 'index.html')}"


def parse(argv):
    parser = argparse.ArgumentParser(prog="ops/test", allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     description="Everything that is tested, on real servers, from a clean checkout. The last line is "
                                     "`N passed, N failed`;\nlogs and builds are in .state-test/.",
                                     epilog="parts:\n" + "\n".join(f"  {name:<12} {doc}" for name, (_, doc) in PARTS.items()))
    parser.add_argument("parts", nargs="*", metavar="PART", help="only these")
    parser.add_argument("--list", action="store_true", help="lists the parts")
    parser.add_argument("--long", action="store_true", help=f"also {', '.join(LONG)}, which takes longer than all the others")
    parser.add_argument("--mutants", nargs="*", metavar="AREA|FILE", help="only the part mutants, and of these areas or files of tests/mutants")
    parser.add_argument("--coverage", action="store_true",
                        help=f"runs {' and '.join(COVERED)} (or the one that is named) on a build that counts, and writes an HTML report")
    parser.add_argument("--refresh", nargs="*", metavar="AREA|FILE", help="rewrites patches of tests/mutants that no longer apply to the letter")
    parser.add_argument("--no-install", action="store_true", help="installs no packages; says which are missing")
    return parser.parse_args(argv)


def main(argv):
    options = parse(argv)
    if options.list:
        print("\n".join(f"{name:<12} {doc}" for name, (_, doc) in PARTS.items()))
        return 0
    if options.refresh is not None:
        return 1 if refresh(options.refresh) else 0
    for name in options.parts:
        if name not in PARTS:
            raise Failure(f"there is no part {name}; there are {', '.join(PARTS)}")
    os.makedirs(LOGS, exist_ok=True)
    if shutil.disk_usage(FOLDER).free >> 20 < 4096:
        raise Failure(f"less than 4096 MB are free on the disk of {FOLDER}; make room and run this again")
    total = Result()
    began = time.monotonic()
    if options.coverage:
        parts = options.parts or COVERED
        if not set(parts) <= set(COVERED):
            raise Failure(f"--coverage is of {' and '.join(COVERED)}")
        log = os.path.join(LOGS, "coverage.log")
        folder = coverage_build(log)
        for name in parts:
            total.add(run_part(name, folder))
        print(coverage_report(folder, log))
    elif options.mutants is not None:
        total.add(run_part("mutants", options.mutants))
    else:
        for name in options.parts or [name for name in PARTS if options.long or name not in LONG]:
            total.add(run_part(name))
    minutes = (time.monotonic() - began) / 60
    print(f"\n{minutes:.1f} minutes" + (f", {total.skipped} skipped" if total.skipped else ""))
    if total.unsteady:
        print("passed at the second try only:\n" + "\n".join(f"  {line}" for line in total.unsteady.splitlines()))
    if total.complaint:
        print("failed:\n" + "\n".join(f"  {line}" for line in total.complaint.splitlines()))
    print(f"{total.passed} passed, {total.failed} failed", flush=True)
    return 1 if total.failed or not total.passed else 0


def run_part(name, *arguments):
    log = os.path.join(LOGS, f"{name}.log")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(log)
    print(f"{name:<12} {PARTS[name][1]}", flush=True)
    began = time.monotonic()
    try:
        result = PARTS[name][0](log, *arguments)
    except Failure as failure:
        result = one(False, str(failure))
    finally:
        leave_nothing(log)
    print(f"{'':<12} {result.passed} passed, {result.failed} failed" + (f", {result.skipped} skipped" if result.skipped else "") +
          f"  ({time.monotonic() - began:.0f} s)", flush=True)
    if result.failed or result.unsteady:
        print(f"--- {'of' if result.detail else 'the last lines of'} {log}")
        print(result.detail or console.tail(log, 40))
        print("---", flush=True)
    result.complaint, result.unsteady = ("\n".join(f"{name}: {line}" for line in lines.splitlines())
                                         for lines in (result.complaint, result.unsteady))
    return result
