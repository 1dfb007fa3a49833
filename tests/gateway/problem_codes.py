"""problem_codes: every code that the gateway's sources say stands in problems.def or rejections.def, with its status."""

import pathlib
import re
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SAID = re.compile(r'(?:problem|problem_fields|fault|unavailable|refuse)\(\s*[\w&>-]+,\s*(?:(\d{3}),\s*)?"([a-z_]+)"')
PROBLEM = re.compile(r'^PROBLEM\((\d{3}),\s*"([a-z_]+)"', re.MULTILINE)
REJECTION = re.compile(r'^REJECTION\(\d+,\s*\w+,\s*(\d{3}),\s*"([a-z_]+)"', re.MULTILINE)


def table():
    rows = PROBLEM.findall((ROOT / "gateway/docs/problems.def").read_text()) + REJECTION.findall((ROOT / "consumers/outcome/rejections.def").read_text())
    return {code: status for status, code in rows}


def said():
    """(file, status or "", code)"""
    for path in sorted((ROOT / "gateway").rglob("*.c")):
        for status, code in SAID.findall(path.read_text()):
            yield path.relative_to(ROOT), status, code


class Codes(unittest.TestCase):
    def test_every_code_is_in_the_table_with_its_status(self):
        known, found = table(), list(said())
        self.assertGreater(len(found), 40, "the sources are read")
        for path, status, code in found:
            self.assertIn(code, known, f"{path}: a row of problems.def is missing")
            self.assertIn(status, ("", known[code]), f"{path}: {code} has another status in the table")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
