"""ctests: the tests that meson knows: most are programs in C that use Check."""

import contextlib
import json
import os
import re
import subprocess

from results import Result, one
from running import environment, run_side_by_side

SECOND_TRIES = 3
REPORT = re.compile(r"ERROR: (Address|Leak)Sanitizer|WARNING: ThreadSanitizer|ThreadSanitizer:DEADLYSIGNAL|: runtime error: ")


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


def meson_once(folder, log, env, patience, rows, processes=1, seconds=1200):
    """Each row beside the others: the result of each test by its name, and of those that it did not come to."""
    logs = {row: os.path.join(folder, "meson-logs", f"{row}.json") for row in rows}
    for said in logs.values():  # of the last time
        with contextlib.suppress(FileNotFoundError):
            os.unlink(said)
    run_side_by_side([["meson", "test", "-C", folder, "--no-rebuild", "--num-processes", str(processes), "--print-errorlogs", "-t", str(patience),
                       "--logbase", row, *names] for row, names in rows.items()],
                     log, seconds, environment(CK_TIMEOUT_MULTIPLIER=str(patience), **env))
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


def no_reports(logs):
    """One test: the processes of a sanitized stack had nothing to report, at their end (leaks) either."""
    found = []
    for place, _, files in os.walk(logs):
        for name in files:
            with open(os.path.join(place, name), errors="replace") as file:
                found += [f"{os.path.join(place, name)}: {line.strip()}" for line in file if REPORT.search(line)]
    return one(not found, f"{len(found)} reports of sanitizers, the first is {found[0]}" if found else "")
