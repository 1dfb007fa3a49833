#!/usr/bin/env python3
"""embed_sql NAME IN.sql OUT.c: the migrations of a tables.sql as `const struct migration NAME_migrations[]`.

A migration begins at a line `-- migration N`; numbers run from 1 without a gap. What stands before the first is a comment.
"""
import re
import sys


def literal(sql):
    lines = sql.strip("\n").split("\n")
    return "\n".join('        "%s\\n"' % line.replace("\\", "\\\\").replace('"', '\\"') for line in lines)


def main(name, source, target):
    with open(source, encoding="utf-8") as f:
        parts = re.split(r"(?m)^-- migration (\d+).*$", f.read())
    numbers = [int(n) for n in parts[1::2]]
    if numbers != list(range(1, len(numbers) + 1)):
        sys.exit(f"{source}: migrations must be numbered 1, 2, 3 … without a gap; found {numbers}")
    with open(target, "w", encoding="utf-8") as out:
        out.write(f'/* Generated from {source.split("/")[-1]} by embed_sql.py. */\n#include "consumers/loop/worker.h"\n\n')
        out.write(f"extern const struct migration {name}_migrations[];\n\nconst struct migration {name}_migrations[] = {{\n")
        for number, sql in zip(numbers, parts[2::2]):
            out.write(f"    {{ {number},\n{literal(sql)} }},\n")
        out.write("    { 0, NULL },\n};\n")


main(*sys.argv[1:])
