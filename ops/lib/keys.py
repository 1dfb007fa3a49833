"""keys: ops/keys; and the folder of a stack's signing keys, which ops/up fills with a first one."""

import argparse
import datetime
import os
import subprocess

import console
import programs
from console import Failure, say
from state import State, write_atomically

KEPT = 2  # valid at a time

USAGE = """\
The keys that access tokens are signed with. They lie in the state folder's keys/, one file a key, named by when they were made;
the gateways look there every few seconds. All are good for checking, and the newest signs once it has lain there for
auth.key_settle_s. Without --rotate it lists them.
"""


def parse(argv):
    parser = argparse.ArgumentParser(prog="ops/keys", description=USAGE, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--state", metavar="FOLDER", help="the stack of another state folder")
    parser.add_argument("--rotate", action="store_true", help=f"makes a new key and takes out all but the newest {KEPT}; once "
                        "in the life of a token (auth.access_ttl_s) at most, or tokens that are still in use end")
    return parser.parse_args(argv)


def folder(state):
    return state.path("keys")


def names(state):
    """Oldest first."""
    try:
        return sorted(name for name in os.listdir(folder(state)) if name.endswith(".pem"))
    except FileNotFoundError:
        return []


def make(state):
    """A new key; its file is there whole or not at all."""
    os.makedirs(folder(state), mode=0o700, exist_ok=True)
    made = subprocess.run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
                          env={"PATH": programs.PATH}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if made.returncode:
        raise Failure(f"openssl made no key: {console.last_line(made.stderr)}")
    name = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%S.%fZ.pem")
    write_atomically(os.path.join(folder(state), name), made.stdout)
    return name


def ensure(state):
    """The folder, with a key in it."""
    if not names(state):
        make(state)
    return folder(state)


def main(argv):
    options = parse(argv)
    state = State(options.state)
    if not state.exists():
        raise Failure(f"nothing was started in {state.folder}; run ops/up")
    if options.rotate:
        with state.lock():
            say(f"made       {make(state)}")
            for name in names(state)[:-KEPT]:
                os.unlink(os.path.join(folder(state), name))
                say(f"taken out  {name}")
        return 0
    for name in names(state):
        say(os.path.join(folder(state), name))
    return 0
