"""hooks: what schemathesis is told about this API beside its document. Loaded through SCHEMATHESIS_HOOKS; AETHER_TEST_URL
is a gateway, AETHER_TEST_ADMIN an administrator and AETHER_TEST_OTHER somebody else, both with AETHER_TEST_PASSWORD;
AETHER_TEST_SUBJECT is the id of whom the administrator's routes may change."""

import json
import os
import urllib.request
import uuid

import schemathesis

URL = os.environ["AETHER_TEST_URL"]
# These end sessions, that of the token that they are called with too.
ENDING = ("auth_logout", "auth_logout_all", "sessions_delete", "admin_logout", "admin_suspend", "admin_roles")
# These want the password once more, and it is guessed here, which delays whom it is about: not the administrator.
GUESSING = ("users_me_username", "users_me_email", "password_change")
# These change the account that their path names.
CHANGING = ("admin_suspend", "admin_reinstate", "admin_logout", "admin_roles")


def log_in(username):
    body = {"username": username, "password": os.environ["AETHER_TEST_PASSWORD"]}
    request = urllib.request.Request(f"{URL}/api/v1/auth/login", json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)["accessToken"]


tokens = {}  # by name; one worker calls


@schemathesis.auth(refresh_interval=None)
class Login:
    def get(self, case, context):
        called = case.operation.definition.raw["operationId"]
        name = os.environ["AETHER_TEST_OTHER" if called in GUESSING else "AETHER_TEST_ADMIN"]
        token = tokens.pop(name, None) or log_in(name)
        if called not in ENDING:
            tokens[name] = token
        return token

    def set(self, case, data, context):
        case.headers["Authorization"] = f"Bearer {data}"


@schemathesis.hook
def before_load_schema(context, raw_schema):
    """Answers have exactly the members that are described: an open schema would take anything for good."""
    for schema in raw_schema["components"]["schemas"].values():
        schema.setdefault("additionalProperties", False)
    # A problem is described in two parts, so it is closed where both are known.
    raw_schema["components"]["schemas"]["Problem"].pop("additionalProperties")


@schemathesis.hook
def before_call(context, case, kwargs):
    """The people of other tests are left alone: links lead from the list of accounts to all of them. Ids that no account has
    (nearly all that are made up are not of version 7) are asked for as they are. And the feed is asked for as what it is not,
    since a stream that begins does not end: what it refuses is to be as described."""
    called = case.operation.definition.raw["operationId"]
    if called in CHANGING and is_account(case.path_parameters.get("user")):
        case.path_parameters["user"] = os.environ["AETHER_TEST_SUBJECT"]
    if called == "live_open":
        case.headers.pop("Upgrade", None)
        case.headers["Accept"] = "application/json"


def is_account(text):
    try:
        return uuid.UUID(str(text)).version == 7
    except ValueError:
        return False


@schemathesis.hook
def after_call(context, case, response):
    """What the library refuses by itself is HTML without a Content-Type (ops/adr/0006)."""
    if response.status_code in (414, 431) and response.content.startswith(b"<html>"):
        response.headers.setdefault("content-type", ["text/html"])
