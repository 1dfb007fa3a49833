"""builds: the build folders of ops/test and ops/check, under .state-test."""

import os
import shutil

from running import FOLDER, TSAN, must
from state import REPOSITORY, write_atomically


def build(name, log, *setup, targets=(), env=None):
    """A build folder of its own under .state-test, where a warning is an error; returns it. Made anew when it is set up otherwise."""
    folder = os.path.join(FOLDER, f"build-{name}")
    how, known = " ".join(("--werror", *setup)), os.path.join(folder, "aether-setup")
    if not os.path.exists(os.path.join(folder, "build.ninja")) or not os.path.exists(known) or open(known).read() != how:
        shutil.rmtree(folder, ignore_errors=True)
        must(["meson", "setup", folder, REPOSITORY, "--werror", *setup], log, 300, "meson setup", env)
        write_atomically(known, how)
    must(["ninja", "-C", folder, *targets], log, 1200, "the build", env)
    return folder


def asan_build(log):
    return build("asan", log, "--buildtype=debugoptimized", "-Db_sanitize=address,undefined")


def release_build(log):
    return build("release", log, "--buildtype=release")


def tsan_build(log):
    c11threads = os.path.join(FOLDER, "c11threads.o")
    must(["gcc", "-std=gnu17", "-D_GNU_SOURCE", "-O2", "-g", "-fPIC", "-c", f"{TSAN}/c11threads.c", "-o", c11threads], log, 60,
         "compiling tests/tsan/c11threads.c")
    return build("tsan", log, "--buildtype=debugoptimized", "-Db_sanitize=thread", f"-Dc_link_args={c11threads}")
