"""One stack for the whole session, on real servers. AETHER_TEST_STATE names the state folder of one that runs already; else one
is started in .state-test, with an empty log, from AETHER_TEST_BUILD (a meson build folder, say with sanitizers) or build/.

Two messages workers share the partitions; time-outs are short, so that a test need not wait long for them to pass."""

import contextlib
import json
import os
import subprocess
import sys
import threading

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
sys.path[:0] = [os.path.join(ROOT, "ops", "chaos")]

import client  # noqa: E402
import feed  # noqa: E402
from stack import RAISED_LIMITS, Stack, http_get, wait_until  # noqa: E402

OWN_STATE = os.path.join(ROOT, ".state-test")

# Short enough to wait for, long enough for a machine that is busy with three servers.
DEADLINE_MS = 3000
SESSION_TIMEOUT_MS = 4000
# Few enough that it shows when some hundred listeners come at once.
ADMISSIONS_PER_S = 200
# Guesses are delayed a fifth of a second at first, and not refused later than that; a refresh may be repeated for two; the least
# memory and work of a hash.
LOGIN = {"login.delay_ms": 200, "login.refusal_ms": 1, "auth.refresh_retry_s": 2, "hashing.memory_kib": 8192, "hashing.iterations": 1}
SETTINGS = {"gateway.deadline_ms": DEADLINE_MS, "worker.session_timeout_ms": SESSION_TIMEOUT_MS, **LOGIN, **RAISED_LIMITS,
            "auth.keys_reload_s": 1, "auth.key_settle_s": 1,
            "live.admissions_per_s": ADMISSIONS_PER_S,
            "live.window_events": 512}  # few, so that who comes back is also told from the projection


@pytest.fixture(scope="session")
def stack():
    given = os.environ.get("AETHER_TEST_STATE")
    if given:
        running = Stack(given)
        running.wait_ready()
        yield running
        return
    build = os.environ.get("AETHER_TEST_BUILD")
    options = ["--port-base", "auto", "--gateways", "1", "--workers", "users=1", "--workers", "messages=2"]
    options += [word for name, value in SETTINGS.items() for word in ("--set", f"{name}={value}")]
    options += ["--build", build] if build else []
    running = Stack(OWN_STATE, options)
    running.wipe()
    try:
        running.up()
        running.wait_ready()
        yield running
    finally:
        running.down()


@pytest.fixture(scope="session")
def urls(stack):
    return stack.urls()


@pytest.fixture(autouse=True)
def ready(urls):
    """Each test finds a gateway that would take its writes."""
    wait_until(lambda: all(is_ready(url) for url in urls), 60, "every gateway ready")


def is_ready(url):
    try:
        return http_get(url + "/api/v1/health/ready")[0] == 200
    except OSError:
        return False


@pytest.fixture
def mended(stack):
    """For tests that break something: everything lives again after them."""
    yield stack
    try:
        stack.wait_ready(30)
    except AssertionError:
        stack.up()
        stack.wait_ready()


@pytest.fixture(scope="session")
def people(urls):
    """Sixteen people with accounts; made once, since hashing their passwords takes a while."""
    return client.register_people(urls, 16)


@pytest.fixture
def ada(people):
    return people[0]


@pytest.fixture
def ben(people):
    return people[1]


@pytest.fixture
def eve(people):
    """She is in no room."""
    return people[2]


@pytest.fixture(scope="session")
def admin(stack, urls):
    """An administrator, made as the first one is: at the console."""
    person = client.Person(urls)
    person.register()
    stack.command("aether-admin", "set-roles", person.username, "user,admin")
    person.login()
    return person


@pytest.fixture
def room(ada, ben):
    """A public room of Ada's that Ben has joined."""
    room = ada.room()
    ben.join(room)
    return room


@pytest.fixture(scope="session")
def openapi_tools():
    """The folder of programs of an environment with what checks documents: schemathesis, jsonschema."""
    folder = os.path.join(ROOT, ".state-test", "openapi")
    done = subprocess.run([os.path.join(ROOT, "tests", "openapi", "install"), folder], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=300)
    assert done.returncode == 0, done.stdout
    return os.path.join(folder, "bin")


@pytest.fixture
def url(urls):
    return urls[0]


@pytest.fixture(params=["WebSocket", "EventStream"])
def listen(request, url):
    """Opens the feed in either form: listen(person, last_id=None)."""
    opened = []

    def open_feed(person, last_id=None):
        if request.param == "WebSocket":
            opened.append(feed.WebSocket(url, person.token, "lastEventId=" + last_id if last_id else ""))
        else:
            opened.append(feed.EventStream(url, person.token, last_id))
        return opened[-1]

    yield open_feed
    for each in opened:
        with contextlib.suppress(Exception):
            each.close()


@pytest.fixture
def hear(url):
    """A WebSocket that is closed behind the test: hear(person, …)."""
    with contextlib.ExitStack() as stack:
        def open_socket(person, *arguments, **options):
            socket_ = feed.WebSocket(url, person.token, *arguments, **options)
            stack.callback(lambda: contextlib.suppress(Exception).__enter__() or socket_.break_off())
            return socket_
        yield open_socket


def gateways_beside(stack):
    """Starts gateways beside the stack's own, with its environment and the given settings changed; returns the url of each."""
    started = []

    def start(settings):
        pid = stack.pid("gateway")
        with open(f"/proc/{pid}/environ") as file:
            environment = dict(pair.split("=", 1) for pair in file.read().split("\0") if "=" in pair)
        words = [word for name, value in {"gateway.port": 0, **settings}.items() for word in ("--set", f"{name}={value}")]
        process = subprocess.Popen([os.readlink(f"/proc/{pid}/exe"), *words], env=environment, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        started.append(process)
        said = []
        for line in process.stderr:
            said.append(line)
            if '"gateway listens"' in line:
                break
        else:
            raise AssertionError(f"the gateway did not start: {said}")
        threading.Thread(target=process.stderr.read, daemon=True).start()  # or it stops at a full pipe
        url = f"http://127.0.0.1:{json.loads(line)['port']}"
        wait_until(lambda: is_ready(url), 30, "the other gateway ready")
        return url

    yield start
    for process in started:
        process.terminate()
    assert [process.wait(30) for process in started] == [0] * len(started)


@pytest.fixture
def another_gateway(stack):
    yield from gateways_beside(stack)


@pytest.fixture(scope="module")
def module_gateway(stack):
    yield from gateways_beside(stack)


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes more than ten seconds")
