"""conversation: two people talk through the REST API; each request is printed with its answer. Also how a person goes on."""

import json
import secrets
import time

import rest
from console import Failure, say

# What is shown of an answer; … stands for the rest. Requests are shown whole, but for passwords.
SHOWN = {"user": ("id", "username"), "message": ("seq", "body", "postedAt"), "room": ("id", "name", "memberCount")}
PASSWORD = "correct horse battery staple"


class Somebody:
    def __init__(self, api, name, surname):
        self.api, self.name, self.token = api, name, None
        self.username = f"{name.lower()}-{secrets.token_hex(3)}"
        self.account = {"username": self.username, "email": f"{self.username}@example.org", "password": PASSWORD,
                        "firstName": name, "lastName": surname}

    def does(self, what, method, path, body=None, expected=200):
        """Prints the request and its answer, and returns the answer's JSON."""
        say(f"\n  {self.name} {what}")
        say(f"    {method} {path}" + (f"  {shown(body)}" if body is not None else ""))
        started = time.monotonic()
        try:
            code, headers, text = rest.request(method, self.api + path, body=body, token=self.token, timeout=30)
        except OSError as error:
            raise Failure(f"{method} {self.api}{path} was not answered: {error}") from error
        took = (time.monotonic() - started) * 1000
        position = headers.get("Aether-Position")
        answer = json.loads(text) if text else None
        say(f"    {code}" + (f" at {position}" if position else "") + f", {took:.1f} ms")
        for line in lines_of(answer):
            say(f"      {line}")
        if code != expected:
            raise Failure(f"{method} {path} was answered {code} instead of {expected}: {text.decode('utf-8', 'replace')}")
        return answer

    def registers(self):
        self.token = self.does("registers", "POST", "/auth/register", self.account, 201)["accessToken"]

    def logs_in(self):
        self.token = self.does("logs in", "POST", "/auth/login", {"username": self.username, "password": PASSWORD})["accessToken"]

    def posts(self, room, text):
        return self.does("posts", "POST", f"/rooms/{room}/messages", {"body": text}, 201)

    def reads(self, room):
        return self.does("reads the history", "GET", f"/rooms/{room}/messages?limit=10")["items"]


def shown(body):
    return json.dumps({name: "…" if name == "password" else value for name, value in body.items()}, ensure_ascii=False)


def lines_of(answer):
    """An answer's resources, one a line."""
    for resource in answer["items"] if "items" in answer else [answer.get("user", answer)]:
        kind = "user" if "username" in resource else "message" if "seq" in resource else "room"
        fields = {name: resource[name] for name in SHOWN[kind] if name in resource}
        yield json.dumps(fields or resource, ensure_ascii=False)[:-1] + (", …}" if fields else "}")


def play(stack):
    """Raises Failure at the first answer that is not what it must be."""
    api = stack.gateway_url() + "/api/v1"
    say("\nA conversation through " + api)
    ada, ben = Somebody(api, "Ada", "Lovelace"), Somebody(api, "Ben", "Hecht")
    ada.registers()
    ben.registers()
    ada.logs_in()
    ben.logs_in()
    room = ada.does("makes a room", "POST", "/rooms", {"name": "The quiet harbour", "kind": "public"}, 201)["id"]
    ben.does("joins it", "POST", f"/rooms/{room}/join")
    lines = ((ada, "Is anybody here?"), (ben, "I am. The log has every word."), (ada, "And each of them once. 👋"))
    for who, text in lines:
        who.posts(room, text)
    for who in (ada, ben):
        history = [(message["seq"], message["body"]) for message in who.reads(room)]
        if history != [(number, text) for number, (_, text) in enumerate(lines, 1)]:
            raise Failure(f"the history is not what was posted: {history}")
    go_on(api, ada, room)


def go_on(api, somebody, room):
    login = json.dumps({"username": somebody.username, "password": PASSWORD})
    say("\nGo on as Ada:\n")
    say(f"  TOKEN=$(curl -s {api}/auth/login -H 'Content-Type: application/json' -d '{login}' | sed 's/.*\"accessToken\":\"\\([^\"]*\\)\".*/\\1/')")
    say(f"  curl -sw '\\n' {api}/rooms/{room}/messages -H \"Authorization: Bearer $TOKEN\" -H 'Content-Type: application/json' "
        "-d '{\"body\": \"Hello from curl\"}'")
    say(f"  curl -sw '\\n' '{api}/rooms/{room}/messages?limit=5' -H \"Authorization: Bearer $TOKEN\"")
