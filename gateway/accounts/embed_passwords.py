#!/usr/bin/env python3
"""embed_passwords IN.txt OUT.c: a list of passwords, one a line, as a sorted table for a binary search."""
import sys


def main(source, target):
    with open(source, encoding="ascii") as f:
        words = f.read().split("\n")
    if words.pop() != "" or not all(words):
        sys.exit(f"{source}: every line is one password, and ends with a line feed")
    if any(word != word.lower() for word in words) or len(set(words)) != len(words):
        sys.exit(f"{source}: passwords are in lower case and stand once each")
    words.sort()
    at, offsets = 0, []
    with open(target, "w", encoding="ascii") as out:
        out.write(f'/* Generated from {source.split("/")[-1]} by embed_passwords.py. */\n#include "gateway/accounts/password_rules.h"\n\n')
        out.write("const char common_passwords[] =\n")
        for word in words:
            offsets.append(at)
            at += len(word) + 1
            out.write('    "%s\\0"\n' % word.replace("\\", "\\\\").replace('"', '\\"').replace("?", "\\?"))
        out.write("    ;\n\nconst uint32_t common_password_offsets[] = {\n")
        for i in range(0, len(offsets), 16):
            out.write("    " + " ".join(f"{offset}," for offset in offsets[i:i + 16]) + "\n")
        out.write(f"}};\n\nconst size_t common_passwords_count = {len(words)};\n")


main(*sys.argv[1:])
