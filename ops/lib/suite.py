"""suite: ops/test. A part is a function that runs something and says how many tests passed and failed; see PARTS."""

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
import xml.etree.ElementTree

import console
import programs
from console import Failure
from state import REPOSITORY

FOLDER = os.path.join(REPOSITORY, ".state-test")
LOGS = os.path.join(FOLDER, "report")
# The integration tests keep their stack in FOLDER itself.
STACK_LOGS = os.path.join(FOLDER, "logs")
TSAN = os.path.join(REPOSITORY, "tests", "tsan")
CHAOS_SECONDS = 60
FUZZ_SECONDS = 30
SECOND_TRIES = 3
THREADED = re.compile(r"tests/(gateway|log|runtime)/")  # tests of what has threads, by their path

SANITIZERS = {
    "ASAN_OPTIONS": "detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1:abort_on_error=0",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "TSAN_OPTIONS": f"suppressions={TSAN}/suppressions:second_deadlock_stack=1",
}
REPORT = re.compile(r"ERROR: (Address|Leak)Sanitizer|WARNING: ThreadSanitizer|ThreadSanitizer:DEADLYSIGNAL|: runtime error: ")


class Result:
    """`complaint`: one line a failure; `detail`: what it said, where the end of the log would not show it; `unsteady`: one line for
    each that passed only when it was tried again."""

    def __init__(self, passed=0, failed=0, skipped=0, complaint="", detail="", unsteady=""):
        self.passed, self.failed, self.skipped = passed, failed, skipped
        self.complaint, self.detail, self.unsteady, self.said = complaint, detail, unsteady, ""

    def add(self, other):
        self.passed, self.failed, self.skipped = self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped
        self.complaint = "\n".join(filter(None, (self.complaint, other.complaint)))
        self.detail = "\n".join(filter(None, (self.detail, other.detail)))
        self.unsteady = "\n".join(filter(None, (self.unsteady, other.unsteady)))
        return self


def one(good, complaint=""):
    return Result(passed=1) if good else Result(failed=1, complaint=complaint)


# --- running things ---

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


def build(name, log, *setup, targets=(), env=None):
    """A build folder of its own under .state-test; returns it."""
    folder = os.path.join(FOLDER, f"build-{name}")
    if not os.path.exists(os.path.join(folder, "build.ninja")):
        shutil.rmtree(folder, ignore_errors=True)
        must(["meson", "setup", folder, REPOSITORY, *setup], log, 300, "meson setup", env)
    must(["ninja", "-C", folder, *targets], log, 1200, "the build", env)
    return folder


def asan_build(log):
    return build("asan", log, "--buildtype=debugoptimized", "-Db_sanitize=address,undefined")


def tsan_build(log):
    c11threads = os.path.join(FOLDER, "c11threads.o")
    must(["gcc", "-std=gnu17", "-D_GNU_SOURCE", "-O2", "-g", "-fPIC", "-c", f"{TSAN}/c11threads.c", "-o", c11threads], log, 60,
         "compiling tests/tsan/c11threads.c")
    return build("tsan", log, "--buildtype=debugoptimized", "-Db_sanitize=thread", f"-Dc_link_args={c11threads}")


@contextlib.contextmanager
def servers(log):
    """Kafka, PostgreSQL and Redis, empty; yields what the C tests want to know of them."""
    state = os.path.join(FOLDER, "servers")
    wipe(state, log)
    try:
        must([ops("up"), "--state", state, "--servers", "--port-base", "auto", "--no-install"], log, 300, "starting the servers")
        told = json.loads(subprocess.run([ops("status"), "--state", state, "--json"], stdout=subprocess.PIPE, check=True).stdout)
        yield {"AETHER_TEST_KAFKA": told["kafka"]["bootstrap"], "AETHER_TEST_POSTGRES_DSN": told["postgres"]["dsn"],
               "AETHER_TEST_REDIS_URL": told["redis"]["url"]}
    finally:
        wipe(state, log)


def ops(command):
    return os.path.join(REPOSITORY, "ops", command)


def wipe(state, log):
    if os.path.exists(os.path.join(state, "stack.json")):
        run([ops("down"), "--state", state, "--wipe", "--quiet"], log, 300)


def leave_nothing(log):
    """Stops what a part that was cut short left running."""
    inside = [os.path.join(FOLDER, name) for name in os.listdir(FOLDER)]
    for state in (FOLDER, *inside, os.path.join(REPOSITORY, ".state-chaos")):
        if os.path.isdir(os.path.join(state, "run")) and os.listdir(os.path.join(state, "run")):
            run([ops("down"), "--state", state, "--quiet"], log, 300)


# --- counting ---

def meson_tests(folder, log, env, patience, wanted=lambda test: True):
    """`patience`: how many times longer than usual a test may take, under a sanitizer. The tests of brokers that come and go wait
    most of their time, so the others run beside them, one after another."""
    told = json.loads(subprocess.run(["meson", "introspect", "--tests", folder], stdout=subprocess.PIPE, check=True, env=environment()).stdout)
    rows = {"brokers": [], "others": []}
    for test in filter(wanted, told):
        rows["brokers" if "aether:log" in test["suite"] else "others"].append(test["name"])
    results, missing = meson_once(folder, log, env, patience, rows)
    # As with pytest; what a sanitizer reports is never tried again.
    failed = [name for name, result in results.items() if result.failed]
    unsteady = Result()
    if 0 < len(failed) <= SECOND_TRIES and not any(REPORT.search(results[name].said) for name in failed):
        again, _ = meson_once(folder, log, env, patience, {"again": failed})
        for name in failed:
            if name in again and again[name].passed and not again[name].failed:
                unsteady.add(Result(unsteady=name, detail=results[name].detail))
                results[name] = again[name]
    total = missing.add(unsteady)
    for result in results.values():
        total.add(result)
    return total


def meson_once(folder, log, env, patience, rows):
    """Each row beside the others: the result of each test by its name, and of those that it did not come to."""
    logs = {row: os.path.join(folder, "meson-logs", f"{row}.json") for row in rows}
    for said in logs.values():  # of the last time
        with contextlib.suppress(FileNotFoundError):
            os.unlink(said)
    run_side_by_side([["meson", "test", "-C", folder, "--no-rebuild", "--num-processes", "1", "--print-errorlogs", "-t", str(patience),
                       "--logbase", row, *names] for row, names in rows.items()],
                     log, 1200, environment(CK_TIMEOUT_MULTIPLIER=str(patience), **env))
    results, missing = {}, Result()
    for row, names in rows.items():
        found = {}
        with contextlib.suppress(FileNotFoundError), open(logs[row]) as file:
            for line in file:
                test = json.loads(line)
                found[test["name"].rpartition(" / ")[2]] = check_cases(test)
        if len(found) < len(names):
            missing.add(one(False, f"meson test did not come to {len(names) - len(found)} of {row}"))
        results.update(found)
    return results, missing


def check_cases(test):
    """Check and Python's unittest count the tests inside a program; another program is one test."""
    if test["result"] == "SKIP":
        return Result(skipped=1)
    text = f"{test.get('stdout') or ''}\n{test.get('stderr') or ''}"
    checks = re.findall(r"^\d+%: Checks: (\d+), Failures: (\d+), Errors: (\d+)", text, re.MULTILINE)
    every = sum(int(count) for count, _, _ in checks) + sum(int(count) for count in re.findall(r"^Ran (\d+) tests? in ", text, re.MULTILINE))
    bad = sum(int(failures) + int(errors) for _, failures, errors in checks)
    bad += sum(int(count) for row in re.findall(r"^FAILED \((.*)\)", text, re.MULTILINE) for count in re.findall(r"(?:failures|errors)=(\d+)", row))
    if test["result"] in ("OK", "EXPECTEDFAIL"):
        return Result(passed=max(every, 1))
    words = [line[:300] for line in text.splitlines() if line.strip() and not line.startswith('{"time"')]
    result = Result(passed=max(every - bad, 0), failed=max(bad, 1), complaint=f"{test['name']}: {test['result'].lower()}",
                    detail="\n".join([f"{test['name']}:", *words[-25:]]))
    result.said = text
    return result


def pytest(name, log, paths, env=None, seconds=1200):
    """What fails is tried once more, on a stack of its own: on a busy machine a test that kills and pauses servers may meet more than
    it meant to. What passes then is passed and named as unsteady; more than SECOND_TRIES failures are no accident."""
    result, failed = pytest_once(name, log, paths, env, seconds)
    if not 0 < len(failed) <= SECOND_TRIES or result.failed > len(failed) or no_reports(STACK_LOGS).failed:
        return result
    again, _ = pytest_once(f"{name}-again", log, failed, env, seconds)
    if again.failed or again.passed != len(failed):
        return result
    return Result(passed=result.passed + again.passed, skipped=result.skipped, unsteady="\n".join(failed), detail=result.detail)


def pytest_once(name, log, paths, env, seconds):
    """The result, and the tests that failed as pytest names them."""
    report = os.path.join(LOGS, f"{name}.xml")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(report)
    status = run(["/usr/bin/python3", "-B", "-m", "pytest", "-v", "-p", "no:cacheprovider", f"--junitxml={report}", "--durations=30", *paths],
                 log, seconds, environment(**(env or {})))
    result, failed = Result(), []
    if os.path.exists(report):
        for case in xml.etree.ElementTree.parse(report).getroot().iter("testcase"):
            if case.find("skipped") is not None:
                result.skipped += 1
            elif (bad := case.find("failure")) is not None or (bad := case.find("error")) is not None:
                test = f"{case.get('classname').replace('.', '/')}.py::{case.get('name')}"
                failed.append(test)
                words = [line[:300] for line in (bad.text or bad.get("message") or "").splitlines()]
                result.add(Result(failed=1, complaint=test, detail="\n".join([f"{test}:", *words[-25:]])))
            else:
                result.passed += 1
    if status not in (0, 1) or not result.passed + result.failed:
        result.add(one(False, f"pytest ended with {'a time-out' if status is None else f'status {status}'}"))
    return result, failed


def no_reports(logs):
    """One test: the processes of a sanitized stack had nothing to report, at their end (leaks) either."""
    found = []
    for place, _, files in os.walk(logs):
        for name in files:
            with open(os.path.join(place, name), errors="replace") as file:
                found += [f"{os.path.join(place, name)}: {line.strip()}" for line in file if REPORT.search(line)]
    return one(not found, f"{len(found)} reports of sanitizers, the first is {found[0]}" if found else "")


def no_warnings(compiler, log):
    """One test: what was compiled just now."""
    with open(log, errors="replace") as file:
        warnings = [line.strip() for line in file if ": warning: " in line]
    return one(not warnings, f"{compiler} warns {len(warnings)} times, first: {warnings[0]}" if warnings else "")


# --- the parts ---

def layers(log):
    return one(run(["/usr/bin/python3", "tests/layering/layering.py"], log, 60) == 0, "an include breaks the layers")


def unit(log):
    folder = asan_build(log)
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


def integration(log):
    folder = asan_build(log)
    result = pytest("integration", log, ["tests/integration"], {"AETHER_TEST_BUILD": folder}, 3000)
    return result.add(no_reports(STACK_LOGS))


def chaos(log):
    return one(run([ops("chaos/chaos"), "--seconds", str(CHAOS_SECONDS)], log, CHAOS_SECONDS + 600) == 0, "ops/chaos found a contradiction")


PARTS = {
    "layers": (layers, "no include breaks the layers"),
    "unit": (unit, "C tests with ASan and UBSan, leaks are failures; on Kafka, PostgreSQL and Redis where they need them"),
    "threads": (threads, "C tests and conversations of the gateway with TSan"),
    "fuzz": (fuzz, f"fuzz targets for {FUZZ_SECONDS} s each, with the saved corpus"),
    "release": (release, "the first contact: up, the conversation, up again, down, on release programs"),
    "stack": (stack, "what ops/up, ops/down and ops/status promise"),
    "integration": (integration, "the system from outside, faults included, with ASan and UBSan"),
    "chaos": (chaos, f"{CHAOS_SECONDS} s of load with everything being killed, on release programs"),
}


def parse(argv):
    parser = argparse.ArgumentParser(prog="ops/test", allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     description="Everything that is tested, on real servers, from a clean checkout. The last line is "
                                     "`N passed, N failed`;\nlogs and builds are in .state-test/.",
                                     epilog="parts:\n" + "\n".join(f"  {name:<12} {doc}" for name, (_, doc) in PARTS.items()))
    parser.add_argument("parts", nargs="*", metavar="PART", help="only these")
    parser.add_argument("--list", action="store_true", help="lists the parts")
    parser.add_argument("--no-install", action="store_true", help="does not look for missing packages")
    return parser.parse_args(argv)


def main(argv):
    options = parse(argv)
    if options.list:
        print("\n".join(f"{name:<12} {doc}" for name, (_, doc) in PARTS.items()))
        return 0
    for name in options.parts:
        if name not in PARTS:
            raise Failure(f"there is no part {name}; there are {', '.join(PARTS)}")
    os.makedirs(LOGS, exist_ok=True)
    if shutil.disk_usage(FOLDER).free >> 20 < 4096:
        raise Failure(f"less than 4096 MB are free on the disk of {FOLDER}; make room and run this again")
    total = Result()
    began = time.monotonic()
    for name in options.parts or PARTS:
        total.add(run_part(name))
    minutes = (time.monotonic() - began) / 60
    print(f"\n{minutes:.1f} minutes" + (f", {total.skipped} skipped" if total.skipped else ""))
    if total.unsteady:
        print("passed at the second try only:\n" + "\n".join(f"  {line}" for line in total.unsteady.splitlines()))
    if total.complaint:
        print("failed:\n" + "\n".join(f"  {line}" for line in total.complaint.splitlines()))
    print(f"{total.passed} passed, {total.failed} failed", flush=True)
    return 1 if total.failed or not total.passed else 0


def run_part(name):
    log = os.path.join(LOGS, f"{name}.log")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(log)
    print(f"{name:<12} {PARTS[name][1]}", flush=True)
    began = time.monotonic()
    try:
        result = PARTS[name][0](log)
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
