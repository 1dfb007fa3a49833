"""One stack for the whole session, on real servers. AETHER_TEST_STATE names the state folder of one that runs already; else one
is started in .state-test, with an empty log, from AETHER_TEST_BUILD (a meson build folder, say with sanitizers) or build/.
AETHER_TEST_KEEP names the state folder of one that is started there when it does not run, brought up to date, and left running.

Two messages workers share the partitions, and a lost one is missed soon."""

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
import log  # noqa: E402
from stack import RAISED_LIMITS, Stack, http_get, parse_metrics, total, wait_until  # noqa: E402

OWN_STATE = os.path.join(ROOT, ".state-test")

# Short enough to wait for, long enough for a machine that is busy with three servers.
SESSION_TIMEOUT_MS = 4000
# Longer than it takes to miss a worker and have another in its place: a write that meets that is answered with its outcome all the
# same. Who is to see a deadline pass asks the `hasty` gateway.
DEADLINE_MS, HASTY_MS = 8000, 1000
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
    if kept := os.environ.get("AETHER_TEST_KEEP"):
        started = os.path.exists(os.path.join(kept, "stack.json"))
        running = Stack(kept, options[2:] if started else options)
        running.up()
        running.wait_ready()
        yield running
        return
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
        stack.wait_ready(10)
    except AssertionError:
        stack.up()
        stack.wait_ready()
    wait_until(lambda: all(is_shared_out(stack, worker) for worker in STREAMS), 60, "every partition has an owner, and every worker some")


STREAMS = {"messages": ["rooms"], "users": ["accounts", "sessions"]}


def is_shared_out(stack, worker):
    mine = owned(stack, worker).values()
    return all(mine) and sum(mine) == partitions(stack, worker)


def partitions(stack, worker):
    topics = log.topics(stack.bootstrap())
    return sum(topics[stream + ".commands"] for stream in STREAMS[worker])


def owned(stack, worker):
    """Partitions by the pid of who owns them; a process that does not answer owns none that we know of."""
    found = {}
    for one in stack.workers(worker):
        try:
            found[one["pid"]] = total(parse_metrics(http_get(one["metrics"], timeout=1)[1].decode()), "aether_worker_partitions")
        except OSError:
            found[one["pid"]] = 0
    return found


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


TOOLS = {"openapi_tools": "openapi", "asyncapi_parser": "asyncapi"}
installing = {}  # by the fixture that waits for it


def pytest_collection_finish(session):
    """What has to be fetched is, while others are tested."""
    for name in {name for item in session.items for name in item.fixturenames} & TOOLS.keys():
        installing[name] = subprocess.Popen(["nice", os.path.join(ROOT, "tests", TOOLS[name], "install"), os.path.join(OWN_STATE, TOOLS[name])],
                                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def installed(name):
    """(its folder, what went wrong)"""
    said, _ = installing[name].communicate(timeout=300)
    return os.path.join(OWN_STATE, TOOLS[name]), said if installing[name].returncode else ""


@pytest.fixture(scope="session")
def openapi_tools():
    """The folder of programs of an environment with what checks documents: schemathesis, jsonschema."""
    folder, wrong = installed("openapi_tools")
    assert not wrong, wrong
    return os.path.join(folder, "bin")


@pytest.fixture(scope="session")
def asyncapi_parser():
    """The folder with AsyncAPI's own parser."""
    folder, wrong = installed("asyncapi_parser")
    if wrong:
        pytest.skip("npm cannot install AsyncAPI's parser: " + wrong[-500:])
    return folder


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


@pytest.fixture
def hasty(another_gateway, ada):
    """Ada at a gateway that waits for no outcome longer than HASTY_MS."""
    person = client.Person([another_gateway({"gateway.deadline_ms": HASTY_MS})])
    person.username, person.user, person.token = ada.username, ada.user, ada.token
    return person


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes more than ten seconds")
