"""The AsyncAPI document: the feed and the topics, as they are."""

import copy
import json
import os
import shutil
import subprocess

import pytest

from stack import REPOSITORY, http_get

FOLDER = os.path.join(REPOSITORY, "tests", "asyncapi")


@pytest.fixture(scope="module")
def document(urls):
    status, body = http_get(urls[0] + "/api/asyncapi.json")
    assert status == 200
    return json.loads(body)


def test_the_document_tells_every_topic_and_event_and_all_its_references_lead_somewhere(document):
    assert document["asyncapi"] == "3.0.0"
    assert {"live", "rooms.events", "rooms.commands", "typing.signals"} <= set(document["channels"])
    assert {"event.message.posted", "event.member.removed", "event.typing", "command.post"} <= set(document["components"]["messages"])
    for reference in references(document):
        at = document
        for part in reference[2:].split("/"):
            at = at[part]


def references(node):
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def findings(command, folder, document):
    """What the validator says is wrong."""
    checked = subprocess.run(command, cwd=folder, input=json.dumps(document), capture_output=True, text=True, timeout=120)
    assert not checked.stderr, checked.stderr[-2000:]
    assert (checked.returncode == 0) == (checked.stdout == "")
    return checked.stdout


def test_the_document_is_valid_asyncapi_by_its_schema_and_a_wrong_one_is_not(openapi_tools, document):
    command = [os.path.join(openapi_tools, "python"), "validate.py"]
    assert findings(command, FOLDER, document) == ""
    document = copy.deepcopy(document)
    document["operations"]["tell"]["action"] = "shout"
    name, message = next((n, m) for n, m in document["components"]["messages"].items() if "avro" in m["payload"].get("schemaFormat", ""))
    message["payload"]["schema"]["type"] = "recrd"
    wrong = findings(command, FOLDER, document)
    assert "operations.tell" in wrong and f"components.messages.{name}" in wrong


if shutil.which("npm"):
    def test_the_document_is_valid_asyncapi_by_its_own_parser(asyncapi_parser, document):
        assert findings(["node", "validate.mjs"], asyncapi_parser, document) == ""
