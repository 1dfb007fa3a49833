"""ops/kafka/fetch takes no jar but those that the repository knows."""

import os
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

from commands import ROOT  # noqa: E402

sys.path.insert(0, os.path.join(ROOT, "ops", "lib"))
from kafka import JARS  # noqa: E402


@pytest.fixture
def jars(tmp_path):
    """What fetch made before, in a folder of its own."""
    folder = tmp_path / "jars"
    folder.mkdir()
    for name in os.listdir(JARS):
        os.link(os.path.join(JARS, name), folder / name)
    return folder


def fetch(folder, tmp_path, maven):
    """`maven` takes the place of mvn: a repository that gives what it likes."""
    program = tmp_path / "bin" / "mvn"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{maven}\n")
    program.chmod(0o755)
    return subprocess.run([os.path.join(ROOT, "ops/kafka/fetch"), folder], env={**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"},
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)


def damage(jar):
    changed = bytearray(jar.read_bytes())
    changed[len(changed) // 2] ^= 1
    jar.unlink()
    jar.write_bytes(changed)
    return bytes(changed)


def test_a_jar_with_another_checksum_is_refused_whoever_sends_it(jars, tmp_path):
    jar = next(jars.glob("kafka-clients-*.jar"))
    (tmp_path / jar.name).write_bytes(damage(jar))
    refused = fetch(jars, tmp_path, f"cp {tmp_path / jar.name} {jars}")
    assert refused.returncode == 1
    line, = refused.stderr.splitlines()
    assert jar.name in line and "is not what SHA256SUMS lists" in line
