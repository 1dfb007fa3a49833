"""builds: the build folders of ops/test and ops/check, under .state-test."""

import os
import shutil

from running import FOLDER, TSAN, must
from state import REPOSITORY


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
