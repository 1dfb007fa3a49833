"""What the OpenAPI document promises, the system keeps: schemathesis calls every route with what the document allows and with
what it does not, follows its links from answer to request, and holds every answer against it."""

import json
import os
import subprocess
import uuid

import pytest

from client import PASSWORD, Person
from stack import REPOSITORY, http_get
from test_admin import console

FOLDER = os.path.join(REPOSITORY, "tests", "openapi")
SECONDS = 60
# Of one seed each run calls the same, as far as the answers are the same.
SEED = "20261121"
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance," \
         "ignored_auth,use_after_free"


@pytest.fixture(scope="module")
def document(urls):
    status, body = http_get(urls[0] + "/api/openapi.json")[:2]
    assert status == 200
    return json.loads(body)


def test_the_document_is_valid_openapi(openapi_tools, document, tmp_path):
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(document, ensure_ascii=False))
    done = subprocess.run([os.path.join(openapi_tools, "openapi-spec-validator"), file], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=120)
    assert done.returncode == 0, done.stdout
    assert document["openapi"].startswith("3.1")


def test_two_people_talk_through_a_client_that_is_generated_from_the_document(openapi_tools, document, urls, tmp_path):
    """Every schema has one name, or the generator warns and leaves out what it cannot name."""
    (tmp_path / "openapi.json").write_text(json.dumps(document))
    (tmp_path / "config.yml").write_text("post_hooks: []\n")  # its formatter's business is not ours
    done = subprocess.run([os.path.join(openapi_tools, "openapi-python-client"), "generate", "--path", "openapi.json", "--config", "config.yml",
                           "--output-path", "client", "--fail-on-warning"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=120)
    assert done.returncode == 0 and "arning" not in done.stdout, done.stdout
    talk = [os.path.join(openapi_tools, "python3"), "-B", os.path.join(FOLDER, "two_people.py"), urls[0], tmp_path / "client", uuid.uuid4().hex[:8], PASSWORD]
    done = subprocess.run(talk, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    assert done.returncode == 0, done.stdout


def test_every_problem_code_has_an_example(document):
    examples = document["components"]["examples"]
    for path, item in document["paths"].items():
        for method, operation in item.items():
            for status, answer in operation["responses"].items():
                problem = answer.get("content", {}).get("application/problem+json", {}).get("schema", {}).get("allOf")
                for code in problem[1]["properties"]["code"]["enum"] if problem else ():
                    assert examples[code]["value"]["status"] == int(status), f"{method} {path}: {code}"


def test_who_knows_the_document_is_not_sent_it_again(ada):
    first = ada.request("GET", "=/api/openapi.json")
    again = ada.request("GET", "=/api/openapi.json", headers={"If-None-Match": first.headers["ETag"]})
    assert (first.status, again.status, again.body) == (200, 304, b"")


def test_swagger_ui_comes_from_here_and_runs_nothing_else(ada):
    page = ada.request("GET", "=/api/docs")
    assert page.status == 200 and page.headers["Content-Type"].startswith("text/html")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "script-src 'self'" in policy and "unsafe" not in policy
    assert b"//" not in page.body.replace(b"<!doctype", b""), "no other host"
    for name, kind in (("swagger-ui-bundle.js", "text/javascript"), ("swagger-ui.css", "text/css"), ("start.js", "text/javascript")):
        assert name.encode() in page.body
        file = ada.request("GET", f"=/api/docs/{name}")
        assert file.status == 200 and file.headers["Content-Type"].startswith(kind)
    assert ada.request("GET", "=/api/docs/..%2f..%2fstack.json").status in (400, 404)


def test_every_answer_is_as_the_document_says(stack, urls, openapi_tools, people):
    admin, other, subject = own = Person(urls), Person(urls), Person(urls)
    for person in own:
        person.register()
    others = accounts_but(stack, own)
    assert len(others) >= len(people)
    assert console(stack, "set-roles", admin.username, "user,admin")[0] == 0
    told = {"SCHEMATHESIS_HOOKS": "hooks", "AETHER_TEST_URL": urls[0], "AETHER_TEST_ADMIN": admin.username,
            "AETHER_TEST_OTHER": other.username, "AETHER_TEST_SUBJECT": subject.user["id"], "AETHER_TEST_PASSWORD": PASSWORD}
    command = [os.path.join(openapi_tools, "st"), "run", urls[0] + "/api/openapi.json", "--max-time", str(SECONDS), "--checks", CHECKS, "--seed", SEED,
               "--no-shrink", "--continue-on-failure", "--warnings", "off", "--request-timeout", "20"]
    done = subprocess.run(command, cwd=FOLDER, env={**os.environ, **told}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=SECONDS + 240)
    assert done.returncode == 0, done.stdout
    assert others.items() <= accounts_but(stack, own).items(), "the accounts that other tests share were changed"
    assert "Tested" in done.stdout and "test cases" in done.stdout.lower(), done.stdout


def accounts_but(stack, people):
    """{account: where its newest fact is in the log}, of all but these people."""
    return dict(stack.sql("SELECT user_id::text, position FROM users.accounts WHERE user_id <> ALL(%s::uuid[])", ([p.user["id"] for p in people],)))
