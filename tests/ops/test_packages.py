"""The commands that need the packages of tests see to them before anything else, and say so in a sentence when they cannot."""

import os
import shutil
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

from commands import ROOT  # noqa: E402

COMMANDS = ["test", "check", "bench/bench", "bench/feed", "chaos/chaos"]


@pytest.fixture
def run(tmp_path):
    """Runs a command of a copy of ops/ whose install only notes how it was called, and fails when it is told to. What runs behind it is a
    Python that has no packages."""
    ops = tmp_path / "ops"
    for folder in ("lib", "bench", "chaos"):
        shutil.copytree(os.path.join(ROOT, "ops", folder), ops / folder)
    for command in ("test", "check"):
        shutil.copy(os.path.join(ROOT, "ops", command), ops / command)
    (tmp_path / "consumers").mkdir()
    shutil.copy(os.path.join(ROOT, "consumers", "meson.build"), tmp_path / "consumers")
    (ops / "install").write_text('#!/bin/bash\necho "$@" >>"$0.said"\n[ "${INSTALL_FAILS:-}" ] || exit 0\n'
                                 'echo "ops/install: apt-get update failed; put it right and run this again" >&2\nexit 1\n')
    (ops / "install").chmod(0o755)

    def call(command, *arguments, fails=False):
        done = subprocess.run([ops / command, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              env={"PATH": "/usr/bin:/bin", **({"INSTALL_FAILS": "yes"} if fails else {})}, timeout=60)
        said = ops / "install.said"
        return done, said.read_text().splitlines() if said.exists() else []

    return call


@pytest.mark.parametrize("command", COMMANDS)
def test_a_failed_installation_is_a_sentence_and_the_command_does_not_begin(run, command):
    done, asked = run(command, fails=True)
    assert done.returncode == 1
    assert asked == ["--test --quiet"]
    assert done.stdout.splitlines() == ["ops/install: apt-get update failed; put it right and run this again",
                                        f"{os.path.basename(command)}: its packages are not all there, so nothing was run; what to do is said above"]


@pytest.mark.parametrize("option", ["--no-install", "--help"])
@pytest.mark.parametrize("command", COMMANDS)
def test_who_wants_nothing_installed_is_told_what_is_missing(run, command, option):
    done, asked = run(command, option, "--help", fails=True)
    assert done.returncode == 1 and "Traceback" not in done.stdout
    assert asked == ["--test --no-install --quiet"]


@pytest.mark.parametrize("command", COMMANDS)
def test_with_its_packages_a_command_says_how_it_is_used(run, command):
    done, _ = run(command, "--help")
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith("usage: ") and "--no-install" in done.stdout
