"""programs: our binaries: how they are built, and which settings each of them knows."""

import os
import re
import subprocess

import console
from console import Failure
from state import REPOSITORY

# The system's own tools first: a Python of pyenv or a JDK of somebody else need not have what the packages bring.
SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
PATH = SYSTEM_PATH + ":" + os.environ.get("PATH", "")


def _workers():
    """The one list of workers is in consumers/meson.build; in its order they are started."""
    with open(os.path.join(REPOSITORY, "consumers", "meson.build")) as file:
        return tuple(re.findall(r"'(\w+)'", re.search(r"^workers = \[(.*?)\]", file.read(), re.MULTILINE | re.DOTALL)[1]))


WORKERS = _workers()


def worker_target(worker):
    return f"consumers/{worker}/aether-{worker}"


GATEWAY, TOPICS, ADMIN = "gateway/aether-gateway", "topics/aether-topics", "gateway/admin/aether-admin"
TARGETS = (TOPICS, *map(worker_target, WORKERS), GATEWAY, ADMIN)


def build(folder, log, targets=TARGETS, setup=("--buildtype=release",)):
    """Builds; a note for the person. Says nothing of what was up to date."""
    environment = {**os.environ, "PATH": PATH}
    if os.path.exists(log):
        os.unlink(log)
    if not os.path.exists(os.path.join(folder, "build.ninja")):
        _must(["meson", "setup", *setup, folder, REPOSITORY], log, environment, "meson setup")
    _must(["ninja", "-C", folder, *targets], log, environment, "the build", progress=_ninja_progress)
    return "up to date" if "ninja: no work to do." in console.tail(log, 1) else "built"


def _must(argv, log, environment, what, progress=None):
    if console.run_logged(argv, log, env=environment, progress=progress) != 0:
        console.end_line()
        print(console.tail(log, 25))
        raise Failure(f"{what} failed; its last lines are above, all of it is in {log}")


def _ninja_progress(line):
    return line.split("]")[0].lstrip("[").replace("/", " of ") if line.startswith("[") else None


class Program:
    """A built binary, asked for the settings it knows: an AETHER_ variable that it does not know stops it."""

    def __init__(self, folder, target):
        self.path = os.path.join(folder, target)
        self.name = os.path.basename(target)

    def settings(self):
        """{name: environment variable}"""
        if not os.path.exists(self.path):
            raise Failure(f"{self.path} is not there; build it, or run ops/up without --only")
        told = subprocess.run([self.path, "--help=markdown"], env={"PATH": PATH}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        rows = [[cell.strip(" `") for cell in line.split("|")] for line in told.stdout.splitlines() if line.startswith("|")]
        known = {row[1]: row[2] for row in rows if len(row) > 3 and row[2].startswith("AETHER_")}
        if told.returncode or not known:
            raise Failure(f"{self.path} --help=markdown does not list its settings: {console.last_line(told.stdout)}")
        return known

    def environment(self, values):
        """AETHER_ variables for those of {setting: value} that this program knows."""
        known = self.settings()
        return {known.get(name) or variable(name): value for name, value in values.items() if name in known or name.startswith("kafka.")}


    def check(self, environment):
        """Failure with the program's own words when a setting is wrong."""
        told = subprocess.run([self.path, "--check"], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        if told.returncode:
            raise Failure(console.last_line(told.stdout))


def variable(setting):
    return "AETHER_" + setting.upper().replace(".", "_")
