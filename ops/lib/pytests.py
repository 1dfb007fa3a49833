"""pytests: the tests that pytest runs."""

import contextlib
import os
import subprocess
import xml.etree.ElementTree

from ctests import SECOND_TRIES, no_reports
from results import Result, one
from running import FOLDER, LOGS, environment, run
from state import REPOSITORY

# The integration tests keep their stack in FOLDER itself.
STACK_LOGS = os.path.join(FOLDER, "logs")


def seed():
    """No test may count on what another has left: each commit has an order of its own, of the files and of the tests in each. A run of
    the same commit is the same run."""
    told = subprocess.run(["git", "-C", REPOSITORY, "rev-parse", "--short=5", "HEAD"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return os.environ.get("AETHER_TEST_SEED") or str(int(told.stdout.strip()[:5] or "0", 16))


SEED = seed()


def pytest(name, log, paths, env=None, seconds=1200):
    """What fails is tried once more, on a stack of its own: on a busy machine a test that kills and pauses servers may meet more than
    it meant to. What passes then is passed and named as unsteady; more than SECOND_TRIES failures are no accident."""
    print(f"{'':<12} the order of the tests is that of AETHER_TEST_SEED={SEED}", flush=True)
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
    status = run(["/usr/bin/python3", "-B", "-m", "pytest", "-v", "-o", f"cache_dir={os.path.join(FOLDER, 'pytest')}", f"--junitxml={report}", "--durations=30",
                  "--random-order-bucket=module", f"--random-order-seed={SEED}", *paths],
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
