"""Access tokens: who may sign them, every way to forge one that we know of, and a change of keys while everything runs."""

import base64
import hashlib
import hmac
import json
import os
import time
import uuid

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

from client import PASSWORD, Client
from stack import wait_until

NOWHERE = "01890000-0000-7000-8000-000000000000"


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def parts(token):
    """(header, payload) of a token."""
    return tuple(json.loads(unb64(part)) for part in token.split(".")[:2])


def token(header, payload, sign):
    text = b64(json.dumps(header).encode()) + "." + b64(json.dumps(payload).encode())
    return text + "." + b64(sign(text.encode()))


def es256(key):
    def sign(text):
        r, s = utils.decode_dss_signature(key.sign(text, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")
    return sign


def hs256(secret):
    return lambda text: hmac.new(secret, text, hashlib.sha256).digest()


def unsigned(_):
    return b""


def key_files(stack):
    return stack.command("keys").stdout.split()


@pytest.fixture
def our_key(stack, ada):
    """The private key that Ada's token was signed with: an operator has it, nobody else."""
    kid = parts(ada.token)[0]["kid"]
    for path in key_files(stack):
        with open(path, "rb") as file:
            key = serialization.load_pem_private_key(file.read(), None)
        if thumbprint(key) == kid:
            return key
    raise AssertionError(f"no key in the folder is {kid}")


def thumbprint(key):
    """RFC 7638."""
    at = key.public_key().public_numbers()
    text = '{"crv":"P-256","kty":"EC","x":"%s","y":"%s"}' % (b64(at.x.to_bytes(32, "big")), b64(at.y.to_bytes(32, "big")))
    return b64(hashlib.sha256(text.encode()).digest())


def bearer(text):
    return {"Authorization": f"Bearer {text}"}


def status(ada, text):
    return Client(ada.urls).get("/users/me", headers=bearer(text)).status


@pytest.fixture
def forged(ada, our_key):
    """Tokens that look like Ada's and are not; and, with our own key, those whose claims are wrong."""
    head, good = parts(ada.token)
    header, payload, signature = ada.token.split(".")
    ours, another = es256(our_key), ec.generate_private_key(ec.SECP256R1())
    public = our_key.public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    at = another.public_key().public_numbers()
    jwk = {"kty": "EC", "crv": "P-256", "x": b64(at.x.to_bytes(32, "big")), "y": b64(at.y.to_bytes(32, "big"))}
    now = int(time.time())
    return {
        "no signature": f"{header}.{payload}.",
        "no signature and no dot": f"{header}.{payload}",
        "a signature of zeros": f"{header}.{payload}.{b64(bytes(64))}",
        "a signature in DER": token(head, good, lambda text: our_key.sign(text, ec.ECDSA(hashes.SHA256()))),
        "a signature of another text": f"{header}.{payload}.{signature[::-1]}",
        "another payload": f"{header}.{b64(json.dumps({**good, 'sub': str(uuid.uuid4())}).encode())}.{signature}",
        "algorithm none": token({**head, "alg": "none"}, good, unsigned),
        "algorithm None, signed": token({**head, "alg": "None"}, good, ours),
        "no algorithm": token({k: v for k, v in head.items() if k != "alg"}, good, ours),
        "HS256 with the public key's PEM": token({**head, "alg": "HS256"}, good, hs256(pem)),
        "HS256 with the public key's PEM, trimmed": token({**head, "alg": "HS256"}, good, hs256(pem.strip())),
        "HS256 with the public key's DER": token({**head, "alg": "HS256"}, good, hs256(der)),
        "HS256 with the kid": token({**head, "alg": "HS256"}, good, hs256(head["kid"].encode())),
        "ES256 named, HMAC signed": token(head, good, hs256(pem)),
        "another key under our kid": token(head, good, es256(another)),
        "another key under its own kid": token({**head, "kid": thumbprint(another)}, good, es256(another)),
        "another key, brought along": token({**head, "kid": thumbprint(another), "jwk": jwk}, good, es256(another)),
        "another key, to be fetched": token({**head, "kid": thumbprint(another), "jku": "http://127.0.0.1:1/jwks.json"}, good, es256(another)),
        "an unknown kid": token({**head, "kid": "1"}, good, ours),
        "a kid that is a path": token({**head, "kid": "../../../dev/null"}, good, ours),
        "no kid": token({k: v for k, v in head.items() if k != "kid"}, good, ours),
        "a critical extension": token({**head, "crit": ["b64"], "b64": False}, good, ours),
        "expired": token(head, {**good, "iat": now - 2000, "exp": now - 1000}, ours),
        "for somebody else": token(head, {**good, "aud": "another-api"}, ours),
        "by somebody else": token(head, {**good, "iss": "mallory"}, ours),
        "of another type": token(head, {**good, "typ": "refresh"}, ours),
        "without an end": token(head, {k: v for k, v in good.items() if k != "exp"}, ours),
        "its subject no id": token(head, {**good, "sub": "root"}, ours),
        "a refresh token": ada.refresh_token,
        "garbage": "abc",
        "two dots": "..",
        "ten thousand bytes": "a" * 10_000,
    }


def test_our_own_tokens_can_be_made_with_the_key(ada, our_key):
    """Else the forged ones would prove nothing."""
    assert status(ada, token(*parts(ada.token), es256(our_key))) == 200


def test_who_has_no_good_token_is_401_and_told_how(ada, room, forged):
    client = Client(ada.urls)
    authorizations = {"no token": None, "another scheme": "Basic YWRhOmFkYQ==", "nothing behind Bearer": "Bearer ",
                      **{what: f"Bearer {text}" for what, text in forged.items()}}
    for what, authorization in authorizations.items():
        for method, path, body in (("GET", "/users/me", None), ("POST", f"/rooms/{room}/messages", {"body": "x"}), ("GET", "/rooms", None),
                                   ("GET", f"/operations/{NOWHERE}", None)):
            client.get("/health")
            connection = client.connection
            answer = client.request(method, path, body, headers={"Authorization": authorization} if authorization else {})
            assert answer.status == 401 and answer.json["code"] in ("unauthorized", "invalid_token"), (what, answer)
            assert answer.headers["WWW-Authenticate"].startswith("Bearer"), what
            assert client.connection is connection and client.get("/health").status == 200, what


def jwks(ada):
    return Client(ada.urls).request("GET", "=/.well-known/jwks.json")


def test_anybody_can_check_our_tokens_with_the_published_keys(ada):
    answer = jwks(ada)
    assert answer.status == 200 and answer.headers["Content-Type"] == "application/jwk-set+json", answer
    assert answer.headers.get_all("Cache-Control") == ["public, max-age=1"]
    header, payload, signature = ada.token.split(".")
    found = [key for key in answer.json["keys"] if key["kid"] == parts(ada.token)[0]["kid"]]
    assert len(found) == 1 and set(found[0]) == {"kty", "crv", "x", "y", "use", "alg", "kid"}, "nothing private"
    x, y = (int.from_bytes(unb64(found[0][name]), "big") for name in "xy")
    raw = unb64(signature)
    der = utils.encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key().verify(der, f"{header}.{payload}".encode(), ec.ECDSA(hashes.SHA256()))


def log_in(person):
    answer = Client(person.urls).post("/auth/login", {"username": person.username, "password": PASSWORD})
    assert answer.status == 200, answer
    return answer.json["accessToken"]


def test_keys_change_while_everything_runs_and_old_tokens_stay_good(stack, ada):
    pids = stack.pids("gateway")
    before = parts(ada.token)[0]["kid"]
    old = log_in(ada)
    stack.command("keys", "--rotate")
    assert len(key_files(stack)) == 2

    def new():
        """a token of another key"""
        text = log_in(ada)
        return text if parts(text)[0]["kid"] != parts(old)[0]["kid"] else None

    fresh = wait_until(new, 15)
    assert [status(ada, text) for text in (old, fresh, ada.token)] == [200] * 3
    assert {key["kid"] for key in jwks(ada).json["keys"]} >= {parts(old)[0]["kid"], parts(fresh)[0]["kid"]}
    assert stack.pids("gateway") == pids, "nothing was restarted"

    # The leaked key: its file is taken out, and what it signed ends, also where it was seen before.
    oldest = key_files(stack)[0]
    with open(oldest, "rb") as file:
        pem = file.read()
    os.unlink(oldest)
    try:
        wait_until(lambda: status(ada, old) == 401, 15, "the token of a key that was taken out ends")
        assert status(ada, fresh) == 200
        assert before not in {key["kid"] for key in jwks(ada).json["keys"]}
    finally:
        with open(oldest, "wb") as file:  # the others' tokens were signed with it
            file.write(pem)
        wait_until(lambda: status(ada, old) == 200, 15, "the key is known again")
