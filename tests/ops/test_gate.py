"""What ops/check and ops/test hold a change against: that each part of the gate can fail, and says what to do."""

import os
import shutil
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

from commands import ROOT  # noqa: E402

sys.path.insert(0, os.path.join(ROOT, "ops", "lib"))

import check  # noqa: E402
import gate  # noqa: E402
import mutants  # noqa: E402

SOURCE = "int limit(int asked)\n{\n    /* At most ten. */\n    if (asked > 10)\n        return 10;\n    return asked;\n}\n"
DIFF = """--- a/consumers/limit.c
+++ b/consumers/limit.c
@@ -1,7 +1,7 @@
 int limit(int asked)
 {
     /* At most ten. */
-    if (asked > 10)
+    if (asked > 11)
         return 10;
     return asked;
 }
"""
TEST = "tests/integration/test_limit.py::test_ten_is_the_most"


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A tree with one source, one test of each kind and one patch; .write(PATH, TEXT) changes it."""
    class Tree:
        root = tmp_path

        def write(self, path, text):
            path = tmp_path / path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

        def patch(self, text):
            self.write("tests/mutants/limits/eleven.patch", text)

    tree = Tree()
    tree.write("consumers/limit.c", SOURCE)
    tree.write("tests/limits.c", "START_TEST(ten_is_the_most)\n")
    tree.write("tests/integration/test_limit.py", "def test_ten_is_the_most():\n    pass\n")
    tree.patch(f"What: Eleven are taken.\nTests: c:the_limits/ten_is_the_most py:{TEST}\n\n{DIFF}")
    shutil.copy(os.path.join(ROOT, ".clang-format"), tmp_path)
    for module in (gate, mutants, check):
        monkeypatch.setattr(module, "REPOSITORY", str(tmp_path))
    monkeypatch.setattr(mutants, "PATCHES", str(tmp_path / "tests" / "mutants"))
    monkeypatch.setattr(mutants, "FOLDER", str(tmp_path / ".state-test"))
    monkeypatch.setattr(mutants, "TREE", str(tmp_path / ".state-test" / "mutants"))
    for name in ("JARS", "SWAGGER_UI"):
        monkeypatch.setattr(mutants, name, str(tmp_path / ".state" / name))
    told = {"tests": [{"name": "the limits", "depends": ["limits"], "cmd": ["limits"], "suite": []}],
            "targets": [{"id": "limits", "target_sources": [{"sources": [str(tmp_path / "tests" / "limits.c")]}]}]}
    monkeypatch.setattr(mutants, "meson_told", lambda build, what: told[what])
    monkeypatch.setattr(check, "meson_told", lambda build, what: told[what])
    return tree


def test_a_source_that_clang_format_would_write_otherwise_is_named(tree):
    assert gate.form().failed == 0
    tree.write("consumers/limit.c", SOURCE.replace("        return 10;", "   return 10;"))
    result = gate.form()
    assert result.failed == 1 and result.complaint.startswith("consumers/limit.c:4: "), result.complaint


def test_a_list_in_a_comment_stays_a_list(tree):
    tree.write("consumers/limit.h", "/* limit: what is taken.\n *\n *     10   the most\n *     -1   all\n *   - one\n *   - two */\n#pragma once\n")
    assert gate.form().failed == 0, gate.form().complaint


@pytest.mark.parametrize("change, expected", [
    (lambda patch: patch, None),
    (lambda patch: patch.replace("asked > 10", "asked > 12"), "does not apply any more; `ops/test --refresh limits/eleven.patch`"),
    (lambda patch: patch.replace("ten_is_the_most py", "nine_is_the_most py"), "names c:the_limits/nine_is_the_most, and its sources have no"),
    (lambda patch: patch.replace("c:the_limits", "c:limits"), "names c:limits/ten_is_the_most, and meson knows no such test"),
    (lambda patch: patch.replace("::test_ten", "::test_nine"), "names py:tests/integration/test_limit.py::test_nine_is_the_most, and there is no such test"),
    (lambda patch: patch.replace("Tests: c:", "Tests: x:"), "names x:the_limits/ten_is_the_most: a test is c:NAME"),
    (lambda patch: patch.replace("What: ", "It: "), "does not begin with the lines"),
    (lambda patch: patch + patch[patch.index("---"):].replace("limit.c", "other.c"), "is to change one source file"),
])
def test_a_patch_that_does_not_fit_is_named_with_what_is_wrong(tree, change, expected):
    tree.patch(change((tree.root / "tests/mutants/limits/eleven.patch").read_text()))
    said = gate.mutants("build").complaint
    assert said.startswith("tests/mutants/limits/eleven.patch " + expected) if expected else not said, said


def test_a_patch_whose_surroundings_have_changed_is_refreshed(tree):
    tree.write("consumers/limit.c", "/* limit */\n" + SOURCE.replace("At most ten", "Ten at most"))
    assert gate.mutants("build").failed == 1
    assert mutants.refresh([]) == 0
    assert gate.mutants("build").failed == 0
    assert "+    if (asked > 11)" in (tree.root / "tests/mutants/limits/eleven.patch").read_text()


def test_a_patch_whose_line_is_gone_is_not_refreshed(tree):
    tree.write("consumers/limit.c", "int limit(int asked)\n{\n    return asked < 10 ? asked : 10;\n}\n")
    assert mutants.refresh([]) == 1


@pytest.mark.parametrize("with_mutant, without, expected", [
    (False, False, "survives: Eleven are taken."),
    (True, False, None),
    (True, True, "fails without a mutant, too; it shows nothing of limits/eleven.patch"),
])
def test_a_fault_counts_as_noticed_when_a_test_fails_because_of_it(tree, monkeypatch, with_mutant, without, expected):
    planted = []

    def red(run, test):
        with open(os.path.join(mutants.TREE, "consumers", "limit.c"), encoding="utf-8") as file:
            planted.append("asked > 11" in file.read())
        return with_mutant if planted[-1] else without

    monkeypatch.setattr(mutants.Run, "built", lambda run, tests: "")
    monkeypatch.setattr(mutants.Run, "red", red)
    result = mutants.mutants(os.devnull)
    assert planted[0]
    assert (expected in result.complaint) if expected else (result.passed, result.failed) == (1, 0), result.complaint
    assert (tree.root / "consumers/limit.c").read_text() == SOURCE


def test_a_fault_that_does_not_compile_is_a_failure(tree, monkeypatch):
    monkeypatch.setattr(mutants.Run, "built", lambda run, tests: "limit.c:4: error: expected expression")
    result = mutants.mutants(os.devnull)
    assert result.failed == 1 and "does not compile any more: limit.c:4" in result.complaint


@pytest.mark.parametrize("name, c, py", [
    ("the limits", {"the limits"}, []),
    ("tests/limits.c", {"the limits"}, []),
    ("ten is the most", set(), [TEST]),
    ("test_limit", set(), ["tests/integration/test_limit.py"]),
    ("tests/integration/test_limit.py", set(), ["tests/integration/test_limit.py"]),
    (TEST, set(), [TEST]),
    ("limit", {"the limits"}, ["tests/integration/test_limit.py"]),
    ("nothing", set(), []),
])
def test_a_name_finds_its_tests(tree, monkeypatch, name, c, py):
    monkeypatch.chdir(tree.root)
    assert check.matching_c(name, check.meson_told("build", "tests"), "build") == c
    assert check.matching_py(name) == py
