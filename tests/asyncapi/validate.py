"""Reads an AsyncAPI document from standard input; says where the AsyncAPI initiative's own JSON Schema (3.0.0.json) does not hold
and exits with 1 then. Run with a Python that has jsonschema 4.18 or later (tests/openapi/install makes one)."""

import json
import os
import sys

import jsonschema

with open(os.path.join(os.path.dirname(os.path.realpath(__file__)), "3.0.0.json")) as file:
    validator = jsonschema.Draft7Validator(json.load(file))

wrong = list(validator.iter_errors(json.load(sys.stdin)))
for error in wrong:
    print(f"{'.'.join(map(str, error.absolute_path))}: {error.message[:500]}")
sys.exit(1 if wrong else 0)
