"""results: what a part of ops/test found out."""


class Result:
    """`complaint`: one line a failure; `detail`: what it said, where the end of the log would not show it; `unsteady`: one line for
    each that passed only when it was tried again."""

    def __init__(self, passed=0, failed=0, skipped=0, complaint="", detail="", unsteady=""):
        self.passed, self.failed, self.skipped = passed, failed, skipped
        self.complaint, self.detail, self.unsteady, self.said = complaint, detail, unsteady, ""

    def add(self, other):
        self.passed, self.failed, self.skipped = self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped
        self.complaint = "\n".join(filter(None, (self.complaint, other.complaint)))
        self.detail = "\n".join(filter(None, (self.detail, other.detail)))
        self.unsteady = "\n".join(filter(None, (self.unsteady, other.unsteady)))
        return self


def one(good, complaint=""):
    return Result(passed=1) if good else Result(failed=1, complaint=complaint)
