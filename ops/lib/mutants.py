"""mutants: the faults of tests/mutants, planted one at a time in a copy of the tree; the tests that a patch names must notice.

What a patch looks like, and how one is made, is in tests/mutants/README.md."""

import ast
import contextlib
import filecmp
import glob
import json
import os
import re
import shutil
import subprocess
import time

import programs
from console import Failure
from results import Result, one
from running import FOLDER, TSAN, environment, must, run
from servers import ops, servers
from state import JARS, REPOSITORY, SWAGGER_UI

PATCHES = os.path.join(REPOSITORY, "tests", "mutants")
TREE = os.path.join(FOLDER, "mutants")  # the copy, with builds and a stack of its own in .state-test
BUILDS = {"c": ("asan", ("-Db_sanitize=address,undefined",)), "tsan": ("tsan", ("-Db_sanitize=thread",)), "release": ("release", ())}
PYTEST = {"py": "c", "release": "release"}  # the kinds that pytest runs, and on which build
C_SECONDS, PY_SECONDS, BUILD_SECONDS = 120, 400, 600  # of one test, of all pytest tests of a mutant, of a build
FUZZ = 3  # lines of context that may have changed for a patch to be refreshed

HEAD = re.compile(r"What: (?P<what>\S.*)\nTests: (?P<tests>\S.*)\n\n(?=diff |--- )")
EXTENSIONS = (".c", ".h", ".def", ".sql", ".avsc", ".py")


class Mutant:
    """One patch. `complaint` says what is wrong with it, as far as its text shows."""

    def __init__(self, path):
        self.path, self.name = path, os.path.relpath(path, PATCHES)
        with open(path, encoding="utf-8") as file:
            text = file.read()
        head = HEAD.match(text)
        self.what, self.tests = (head["what"], head["tests"].split()) if head else ("", [])
        self.diff = text[head.end():] if head else ""
        self.files = re.findall(r"^\+\+\+ b/(\S+)", self.diff, re.MULTILINE)
        self.complaint = ""
        if not head:
            self.complaint = "does not begin with the lines `What: …`, `Tests: …` and an empty one"
        elif len(self.files) != 1 or not self.files[0].endswith(EXTENSIONS):
            self.complaint = f"is to change one source file, and changes {', '.join(self.files) or 'none'}"

    def apply(self, root, *options):
        """Whether it applies to the tree in `root`; with "--dry-run" only that."""
        return subprocess.run(["patch", "-p1", "--force", "--silent", "--no-backup-if-mismatch", "--reject-file=-", "-d", root, *options],
                              input=self.diff.encode(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def found(names=()):
    """All, or those of these areas (folders of tests/mutants) and files; in the order of the files that they change, so that little
    is built again from one to the next."""
    paths = sorted(glob.glob(os.path.join(PATCHES, "**", "*.patch"), recursive=True))
    for name in names:
        if not any(is_named(path, name) for path in paths):
            raise Failure(f"there is no mutant {name}; areas are {', '.join(sorted({os.path.dirname(os.path.relpath(p, PATCHES)) for p in paths}))}")
    chosen = [Mutant(path) for path in paths if not names or any(is_named(path, name) for name in names)]
    return sorted(chosen, key=lambda mutant: (mutant.files, mutant.path))


def is_named(path, name):
    relative = os.path.relpath(path, PATCHES)
    return os.path.abspath(name) == path or name.removeprefix("tests/mutants/").rstrip("/") in (relative, relative.removesuffix(".patch"),
                                                                                              os.path.dirname(relative))


# --- what is wrong with a patch, without running it ---

def complaints(build):
    """One line for each patch that does not apply to this tree, or names a test that is not there; `build`: a build folder."""
    sources = {target["id"]: [path for group in target["target_sources"] for path in group.get("sources", ())]
               for target in meson_told(build, "targets")}
    known = {spelled(test["name"]): {path for target in test["depends"] for path in sources.get(target, ())} | set(test["cmd"][1:])
             for test in meson_told(build, "tests")}
    said = []
    for mutant in found():
        if wrong := mutant.complaint or unknown(mutant, known):
            said.append(f"tests/mutants/{mutant.name} {wrong}")
        elif not mutant.apply(REPOSITORY, "--dry-run", "--fuzz=0"):
            said.append(f"tests/mutants/{mutant.name} does not apply any more; `ops/test --refresh {mutant.name}` mends it where only lines "
                        "around the change are others, else make the change again (tests/mutants/README.md)")
    return said


def unknown(mutant, known):
    """What is not there of what it names; `known`: the source files of meson's tests."""
    for test in mutant.tests:
        kind, _, rest = test.partition(":")
        if kind in PYTEST:
            path, _, function = rest.partition("::")
            if not function or function.partition("[")[0] not in pytest_functions(path):
                return f"names {test}, and there is no such test"
        elif kind in BUILDS:
            name, _, case = rest.partition("/")
            if name not in known:
                return f"names {test}, and meson knows no such test"
            if case and not any(case in words for words in texts(known[name])):
                return f"names {test}, and its sources have no {case}"
        else:
            return f"names {test}: a test is c:NAME, c:NAME/CASE, tsan:NAME, py:FILE::NAME or release:FILE::NAME"
    return ""


def spelled(name):
    return name.replace(" ", "_")


def meson_told(build, what):
    told = subprocess.run(["meson", "introspect", f"--{what}", build], stdout=subprocess.PIPE, check=True, env=environment())
    return json.loads(told.stdout)


def texts(paths):
    for path in paths:
        if path.endswith((".c", ".py")) and os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                yield file.read()


def pytest_functions(path):
    """The names in a file of pytest tests; those in classes as pytest spells them."""
    try:
        with open(os.path.join(REPOSITORY, path), encoding="utf-8") as file:
            tree = ast.parse(file.read())
    except OSError:
        return set()
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}::{inner.name}" for inner in node.body if isinstance(inner, ast.FunctionDef)}
    return names


# --- refreshing ---

def refresh(names):
    """Rewrites the patches that no longer apply to the letter, and only where lines around the change have changed."""
    wrong = 0
    for mutant in found(names):
        if not mutant.complaint and mutant.apply(REPOSITORY, "--dry-run", "--fuzz=0"):
            continue
        wrong += not (not mutant.complaint and rewritten(mutant))
    return wrong


def rewritten(mutant):
    before, after = (os.path.join(FOLDER, "refresh", side) for side in "ab")
    path = mutant.files[0]
    shutil.rmtree(os.path.dirname(before), ignore_errors=True)
    for side in (before, after):
        os.makedirs(os.path.dirname(os.path.join(side, path)))
        if os.path.exists(os.path.join(REPOSITORY, path)):
            shutil.copy(os.path.join(REPOSITORY, path), os.path.join(side, path))
    if not mutant.apply(after, f"--fuzz={FUZZ}"):
        print(f"{mutant.name}: what it changes is not there any more; make the change again, and see that a test turns red")
        return False
    diff = subprocess.run(["diff", "-U3", "--label", f"a/{path}", "--label", f"b/{path}", os.path.join(before, path), os.path.join(after, path)],
                          stdout=subprocess.PIPE, text=True).stdout
    with open(mutant.path, "w", encoding="utf-8") as file:
        file.write(f"What: {mutant.what}\nTests: {' '.join(mutant.tests)}\n\n{diff}")
    print(f"{mutant.name}: rewritten; look whether the change is still where it was meant: {mutant.what}")
    return True


# --- running them ---

def copy_tree():
    """Brings TREE up to date. What differs is written anew, never with its old time: ninja must see it."""
    def left_out(folder, name):
        return name in (".git", "__pycache__", ".schemathesis") or folder == REPOSITORY and name.startswith((".state", "build"))

    kept = set()
    for folder, folders, files in os.walk(REPOSITORY):
        folders[:] = [name for name in folders if not left_out(folder, name)]
        there = os.path.join(TREE, os.path.relpath(folder, REPOSITORY))
        os.makedirs(there, exist_ok=True)
        for name in [name for name in folders if os.path.islink(os.path.join(folder, name))]:
            if not os.path.lexists(os.path.join(there, name)):
                os.symlink(os.readlink(os.path.join(folder, name)), os.path.join(there, name))
        for name in files:
            source, copy = os.path.join(folder, name), os.path.join(there, name)
            kept.add(os.path.normpath(copy))
            if os.path.isfile(source) and not (os.path.isfile(copy) and filecmp.cmp(source, copy, shallow=False)):
                shutil.copyfile(source, copy)
                shutil.copymode(source, copy)
    for folder, folders, files in os.walk(TREE):
        folders[:] = [name for name in folders if not left_out(folder, name) and not (folder == TREE and name.startswith(".state"))]
        for name in files:
            if os.path.normpath(os.path.join(folder, name)) not in kept:
                os.unlink(os.path.join(folder, name))
    # What the ops commands have fetched is shared.
    os.makedirs(os.path.join(TREE, ".state"), exist_ok=True)
    os.makedirs(os.path.join(TREE, ".state-test"), exist_ok=True)
    tools = [os.path.join(FOLDER, name) for name in ("openapi_tools", "asyncapi_parser") if os.path.exists(os.path.join(FOLDER, name))]
    for folder in (JARS, SWAGGER_UI, *tools):
        os.makedirs(folder, exist_ok=True)
        link = os.path.join(TREE, os.path.relpath(folder, REPOSITORY))
        if not os.path.islink(link):
            shutil.rmtree(link, ignore_errors=True)
            os.symlink(folder, link)


class Run:
    """Mutants one after another: one copy of the tree, one set of servers, one pass of the named tests without a mutant."""

    def __init__(self, log, resources):
        self.log, self.resources, self.servers, self.tests = log, resources, None, {}

    def folder(self, kind):
        return os.path.join(TREE, ".state-test", f"build-{BUILDS[kind][0]}")

    def set_up(self, kind):
        if kind in self.tests:
            return
        name, options = BUILDS[kind]
        if kind == "tsan":
            threads = os.path.join(FOLDER, "c11threads.o")
            must(["gcc", "-std=gnu17", "-D_GNU_SOURCE", "-O2", "-g", "-fPIC", "-c", f"{TSAN}/c11threads.c", "-o", threads], self.log, 60,
                 "compiling tests/tsan/c11threads.c")
            options = (*options, f"-Dc_link_args={threads}")
        if not os.path.exists(os.path.join(self.folder(kind), "build.ninja")):
            must(["meson", "setup", self.folder(kind), TREE, "--buildtype=debugoptimized", *options], self.log, 300, "meson setup")
        must(["ninja", "-C", self.folder(kind), "build.ninja"], self.log, 300, "meson, whose files may have changed")
        files = {target["id"]: [os.path.relpath(path, self.folder(kind)) for path in target["filename"]]
                 for target in meson_told(self.folder(kind), "targets")}
        self.tests[kind] = {}
        for test in meson_told(self.folder(kind), "tests"):
            self.tests[kind][spelled(test["name"])] = {**test, "targets": [path for target in test["depends"] for path in files.get(target, ())]}

    def built(self, tests):
        """Builds what these tests run, and no more. The words of the compiler when that fails."""
        for kind in sorted({test.partition(":")[0] for test in tests}):
            targets = programs.TARGETS if kind in PYTEST else []
            kind = PYTEST.get(kind, kind)
            self.set_up(kind)
            targets = [*targets, *(target for test in tests if test.startswith(f"{kind}:") and kind not in PYTEST
                                   for target in self.tests[kind][test.partition(":")[2].partition("/")[0]]["targets"])]
            said = os.path.join(FOLDER, "mutants.build")
            with contextlib.suppress(FileNotFoundError):
                os.unlink(said)
            if targets and run(["ninja", "-C", self.folder(kind), *sorted(set(targets))], said, BUILD_SECONDS) != 0:
                with open(said, errors="replace") as file:
                    lines = file.read().strip().splitlines()
                return next((line.strip() for line in lines if ": error:" in line or "undefined reference" in line), " … ".join(lines[-2:]))
        return ""

    def red(self, test):
        """Whether the test fails; Failure when it cannot be run."""
        kind, _, rest = test.partition(":")
        if kind in PYTEST:
            return self.red_in_pytest(rest, PYTEST[kind])
        name, _, case = rest.partition("/")
        known, said = self.tests[kind][name], os.path.join(FOLDER, "mutants.said")
        status = self.run_c(known, said)
        if status == 77 and not self.servers:
            self.servers = self.resources.enter_context(servers(self.log, "servers-of-mutants"))
            status = self.run_c(known, said)
        if status == 77:
            raise Failure(f"{test} is skipped: {last(said)}")
        with open(said, errors="replace") as file:
            text = file.read()
        with open(self.log, "a") as file:
            file.write(text[-20000:])
        if not case or status is None:
            return status != 0
        failed = re.findall(r":[FE]:([^:]*):([^:]*):\d+: ", text)
        # A crash beyond Check's reach, or what a sanitizer says at the end, belongs to every case.
        return any(name.startswith(case) for names in failed for name in names) or status != 0 and not failed

    def run_c(self, test, said):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(said)
        return run(test["cmd"], said, C_SECONDS, environment(CK_TIMEOUT_MULTIPLIER="2", **test["env"], **(self.servers or {})))

    def red_in_pytest(self, test, build):
        """On a stack of its own, emptied: what the last mutant did to the data must not be held against this one."""
        status = run(["/usr/bin/python3", "-B", "-m", "pytest", "-v", "-x", "-o", f"cache_dir={os.path.join(FOLDER, 'pytest')}", os.path.join(TREE, test)],
                     self.log, PY_SECONDS,
                     environment(AETHER_TEST_BUILD=self.folder(build)))
        if status is None:  # nor may what it started
            run([os.path.join(TREE, "ops", "down"), "--state", os.path.join(TREE, ".state-test"), "--wipe", "--quiet"], self.log, 300)
        elif status not in (0, 1):
            raise Failure(f"pytest ended with status {status}")
        return status != 0

    def outcome(self, mutant):
        """(whether it was noticed, how it went)"""
        if mutant.complaint:
            return False, mutant.complaint
        path = os.path.join(TREE, mutant.files[0])
        if not os.path.exists(path):
            return False, f"changes {mutant.files[0]}, which is not there"
        with open(path, "rb") as file:
            clean = file.read()
        try:
            if not mutant.apply(TREE, "--fuzz=0"):
                return False, f"does not apply any more; see `ops/test --refresh {mutant.name}`"
            if wrong := self.built(mutant.tests):
                return False, f"does not compile any more: {wrong}"
            for test in mutant.tests:
                if self.red(test):
                    return True, f"noticed by {test}"
            return False, f"survives: {mutant.what}"
        except (Failure, KeyError) as failure:
            return False, f"could not be run: {failure}"
        finally:
            with open(path, "wb") as file:
                file.write(clean)

    def red_without(self, tests):
        """Those that are red on the tree as it is: what they said of mutants counts for nothing."""
        if tests and (wrong := self.built(tests)):
            raise Failure(f"the tree itself does not compile: {wrong}")
        return [test for test in tests if self.red(test)]


def last(path):
    with open(path, errors="replace") as file:
        return (file.read().strip().splitlines() or [""])[-1]


def mutants(log, names=()):
    """Each mutant is a test, and so is each test that noticed one: without a mutant it passes."""
    chosen = found(names)
    copy_tree()
    result, noticed = Result(), {}
    with contextlib.ExitStack() as resources:
        current = Run(log, resources)
        for mutant in chosen:
            began = time.monotonic()
            good, how = current.outcome(mutant)
            print(f"{'':<12} {mutant.name}: {how}  ({time.monotonic() - began:.0f} s)", flush=True)
            result.add(one(good, f"{mutant.name} {how}"))
            if good:
                noticed.setdefault(how.removeprefix("noticed by "), []).append(mutant.name)
        for test in current.red_without(sorted(noticed)):
            result.add(one(False, f"{test} fails without a mutant, too; it shows nothing of {', '.join(noticed[test])}"))
    return result if chosen else one(False, "there are no mutants")
