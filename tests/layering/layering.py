#!/usr/bin/env python3
"""layering: fails, naming file, line and rule, when an #include breaks the layers.

    ops/runtime  <  schemas  <  topics  <  producers  <  consumers  <  gateway  <  gateway/admin          tests and tools see all

It first shows that it can fail: each rule is broken once, in a small tree of its own, and must be named."""

import fnmatch
import os
import re
import sys
import tempfile

LAYERS = ("ops/runtime", "schemas", "topics", "producers", "consumers", "gateway", "gateway/admin")

# Of the consumers: what all workers share, a layer each, and then a folder a worker.
SHARED = ("projection", "outcome", "loop")

# What the gateway may know of the workers: queries over their projections, and what became of a command.
GATEWAY_MAY_SEE = ("consumers/*/view.h", "consumers/*/view_*.h", "consumers/*/cache.h", "consumers/outcome/*")

# What serves every stream names none: a new one costs its schemas, its topics and its worker's folder.
FOR_EVERY_STREAM = ("topics/*", "producers/*", "consumers/loop/*", "consumers/outcome/*", "consumers/projection/*", "gateway/commands/dispatch.*", "gateway/commands/plain.*", "gateway/commands/replies.*", "gateway/commands/waiting.*")
ITS_RECORDS = ("schemas/meta.gen.h", "schemas/replies.gen.h")

# HTTP alone: from bytes to a handler and back. It knows nothing of Kafka, PostgreSQL or the domain.
HTTP = "gateway/http/"
HTTP_MAY_SEE = (HTTP, "ops/runtime/")
HTTP_MAY_NOT_SEE = ("ops/runtime/pg.h", "ops/runtime/redis.h", "ops/runtime/kafka.h")

# The domain is pure: it sees the events, its own state and memory; no store, no log, no clock, no randomness.
PURE = ("decide*.c", "decide.h", "evolve*.c", "state.c", "state.h")
PURE_MAY_SEE = ("schemas/*.gen.h", "schemas/codec.h", "consumers/outcome/rejection.h", "consumers/outcome/rejections.def", "ops/runtime/err.h",
                "ops/runtime/mem.h", "ops/runtime/uuid.h")
PURE_MAY_SEE_OF_THE_SYSTEM = ("assert.h", "ctype.h", "errno.h", "inttypes.h", "limits.h", "stdbool.h", "stddef.h", "stdint.h",
                              "stdlib.h", "string.h", "uthash.h",
                              "sodium/utils.h")  # comparing secrets in constant time

INCLUDE = re.compile(r'^\s*#\s*include\s+(?:"([^"]+)"|<([^>]+)>)')


def layer(path):
    """The index of its layer; None for what sees all (tests, tools)."""
    found = [index for index, folder in enumerate(LAYERS) if path.startswith(folder + "/")]
    return found[-1] if found else None


def worker(path):
    """'messages' for consumers/messages/fold.c; None for what workers share and for other layers."""
    parts = path.split("/")
    return parts[1] if parts[0] == "consumers" and len(parts) == 3 and parts[1] not in SHARED else None


def shared(path):
    """The index in SHARED; None for workers and for other layers."""
    parts = path.split("/")
    return SHARED.index(parts[1]) if parts[0] == "consumers" and len(parts) == 3 and parts[1] in SHARED else None


def matches(path, patterns):
    return any(fnmatch.fnmatchcase(path, pattern) and path.count("/") == pattern.count("/") for pattern in patterns)


def is_pure(path):
    return worker(path) is not None and any(fnmatch.fnmatchcase(os.path.basename(path), name) for name in PURE)


def pure_headers(path, includes):
    """The headers of the consumers that this file sees, through others too: what they see, it sees."""
    seen, waiting = [], [path]
    while waiting:
        for _, quoted, _ in includes.get(waiting.pop(), ()):
            if quoted and quoted.startswith("consumers/") and quoted not in seen:
                seen.append(quoted)
                waiting.append(quoted)
    return seen


def broken(path, includes):
    """(line, rule) for each include of the file that breaks one."""
    mine = layer(path)
    for line, quoted, system in includes[path]:
        if not quoted:
            continue
        theirs = layer(quoted)
        if ".." in quoted.split("/") or (theirs is None and not quoted.startswith(("tests/", "ops/"))):
            yield line, f'"{quoted}": includes are written from the root of the repository, "ops/runtime/err.h"'
            continue
        if mine is None:
            continue
        if theirs is None:
            yield line, f'"{quoted}": {LAYERS[mine]} does not include tests or tools'
        elif theirs > mine:
            yield line, f'"{quoted}": {LAYERS[mine]} is below {LAYERS[theirs]} and does not include it'
        elif LAYERS[mine] == "consumers" and worker(quoted) not in (None, worker(path)):
            who = f"the worker {worker(path)}" if worker(path) else "what workers share"
            yield line, f'"{quoted}": {who} does not include the worker {worker(quoted)}'
        elif None not in (shared(path), shared(quoted)) and shared(quoted) > shared(path):
            yield line, f'"{quoted}": {SHARED[shared(path)]} is below {SHARED[shared(quoted)]} and does not include it'
        elif LAYERS[mine] == "gateway" and LAYERS[theirs] == "consumers" and not matches(quoted, GATEWAY_MAY_SEE):
            yield line, f'"{quoted}": of the consumers the gateway includes only {", ".join(GATEWAY_MAY_SEE)}'
        elif path.startswith(HTTP) and (not quoted.startswith(HTTP_MAY_SEE) or quoted in HTTP_MAY_NOT_SEE):
            yield line, f'"{quoted}": HTTP alone knows nothing of it'
        elif matches(path, FOR_EVERY_STREAM) and quoted.endswith(".gen.h") and not matches(quoted, ITS_RECORDS):
            yield line, f'"{quoted}": what serves every stream names none'
    if is_pure(path):
        yield from impure(path, includes)


def impure(path, includes):
    for place in [path, *pure_headers(path, includes)]:
        for line, quoted, system in includes.get(place, ()):
            through = "" if place == path else f" (in {place}:{line})"
            where = line if place == path else next(number for number, name, _ in includes[path] if name and
                                                    (name == place or place in pure_headers(name, includes)))
            if quoted and not quoted.startswith("consumers/") and not matches(quoted, PURE_MAY_SEE):
                yield where, f'"{quoted}"{through}: the domain is pure and includes no store, log or clock'
            if system and system not in PURE_MAY_SEE_OF_THE_SYSTEM:
                yield where, f"<{system}>{through}: the domain is pure and includes no store, log or clock"


def read(root):
    """{path: [(line, quoted, system)]} of every C file."""
    includes = {}
    for folder in (*LAYERS, "tests", "ops"):
        for place, folders, files in os.walk(os.path.join(root, folder)):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in files:
                if name.endswith((".c", ".h", ".def")):
                    full = os.path.join(place, name)
                    with open(full, encoding="utf-8") as file:
                        found = [(number, *match.groups()) for number, text in enumerate(file, 1) if (match := INCLUDE.match(text))]
                    includes[os.path.relpath(full, root)] = found
    return includes


def complaints(root):
    includes = read(root)
    return [f"{path}:{line}: {rule}" for path in sorted(includes) for line, rule in sorted(set(broken(path, includes)))], len(includes)


# --- it can fail ---

BAD = (
    ("a lower layer includes a higher one", {"schemas/a.c": '#include "topics/topics.h"\n'}, "schemas/a.c:1: "),
    ("the runtime includes the schemas", {"ops/runtime/a.h": '\n#include "schemas/codec.h"\n'}, "ops/runtime/a.h:2: "),
    ("a worker includes another", {"consumers/users/a.c": '#include "consumers/messages/view.h"\n'}, "does not include the worker messages"),
    ("the loop includes a worker", {"consumers/loop/loop.c": '#include "consumers/users/state.h"\n'}, "what workers share does not include the worker users"),
    ("projections know the loop", {"consumers/projection/rows.h": '#include "consumers/loop/worker.h"\n'}, "projection is below loop"),
    ("a consumer includes the gateway", {"consumers/loop/a.c": '#  include "gateway/http/route.h"\n'}, "consumers is below gateway"),
    ("the gateway looks into a worker", {"gateway/a.c": '#include "consumers/users/state.h"\n'}, "the gateway includes only"),
    ("the gateway looks into the loop", {"gateway/a.c": '#include "consumers/loop/worker.h"\n'}, "the gateway includes only"),
    ("the loop knows a stream", {"consumers/loop/batch.c": '#include "schemas/rooms.gen.h"\n'}, "names none"),
    ("the way of a command knows its stream", {"gateway/commands/dispatch.c": '#include "schemas/accounts.gen.h"\n'}, "names none"),
    ("the gateway knows the console", {"gateway/a.c": '#include "gateway/admin/sender.h"\n'}, "gateway is below gateway/admin"),
    ("HTTP knows what is answered over it", {"gateway/http/a.c": '#include "gateway/rooms/rooms.h"\n'}, "HTTP alone"),
    ("HTTP knows PostgreSQL", {"gateway/http/a.c": '#include "ops/runtime/pg.h"\n'}, "HTTP alone"),
    ("production code includes a test", {"gateway/a.c": '#include "tests/unit/fixture.h"\n'}, "does not include tests"),
    ("an include is relative", {"gateway/a.c": '#include "../schemas/codec.h"\n'}, "written from the root"),
    ("an include is by bare name", {"gateway/a.c": '#include "route.h"\n'}, "written from the root"),
    ("decide asks PostgreSQL", {"consumers/users/decide.c": '#include "ops/runtime/pg.h"\n'}, "consumers/users/decide.c:1: "),
    ("decide reads the clock", {"consumers/users/decide.c": "#include <string.h>\n#include <time.h>\n"}, "consumers/users/decide.c:2: "),
    ("decide logs through a header of its own", {"consumers/users/decide.c": '#include "consumers/users/rules.h"\n',
                                                "consumers/users/rules.h": '#include "ops/runtime/log.h"\n'},
     "consumers/users/decide.c:1: \"ops/runtime/log.h\" (in consumers/users/rules.h:1)"),
)
GOOD = {
    "ops/runtime/err.h": "#include <stdint.h>\n",
    "schemas/codec.h": '#include "ops/runtime/err.h"\n',
    "consumers/loop/worker.h": '#include "schemas/codec.h"\n#include "schemas/replies.gen.h"\n#include "producers/producer.h"\n#include <libpq-fe.h>\n',
    "consumers/users/decide.c": '#include "consumers/users/state.h"\n#include "schemas/accounts.gen.h"\n#include <uthash.h>\n',
    "consumers/users/state.h": '#include "consumers/outcome/rejection.h"\n',
    "consumers/users/fold.c": '#include "consumers/loop/worker.h"\n#include "consumers/users/state.h"\n',
    "gateway/accounts/auth.c": '#include "consumers/users/view.h"\n#include "consumers/outcome/operation.h"\n#include <microhttpd.h>\n',
    "tests/users/decide.c": '#include "consumers/users/decide.h"\n#include "gateway/http/route.h"\n',
}


def complaints_of(files):
    with tempfile.TemporaryDirectory() as root:
        for path, text in files.items():
            os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
            with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                file.write(text)
        return complaints(root)[0]


def shows_that_it_can_fail():
    if found := complaints_of(GOOD):
        sys.exit(f"layering: a good tree is complained of: {found}")
    for sentence, files, expected in BAD:
        found = complaints_of(files)
        if len(found) != 1 or expected not in found[0]:
            sys.exit(f"layering: not noticed: {sentence}: {found}")


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    shows_that_it_can_fail()
    found, files = complaints(root)
    for complaint in found:
        print(complaint)
    print(f"layering: {len(found)} includes break the layers, in {files} files; {len(BAD)} bad trees were noticed")
    return 1 if found or not files else 0


sys.exit(main())
