"""rest: HTTP to the gateway and to the workers' metrics, with the standard library."""

import http.client
import json
import re
import urllib.parse


def request(method, url, *, body=None, token=None, headers=None, timeout=10):
    """(status, headers, bytes). OSError when nobody answers."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)
    sent = dict(headers or {})
    if body is not None:
        sent["Content-Type"] = "application/json"
    if token:
        sent["Authorization"] = f"Bearer {token}"
    try:
        connection.request(method, parts.path + (f"?{parts.query}" if parts.query else ""),
                           json.dumps(body).encode() if body is not None else None, sent)
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    except http.client.HTTPException as error:
        raise ConnectionError(f"{url}: {type(error).__name__}") from error
    finally:
        connection.close()


def status(url, timeout=3):
    """The status code; None when nobody answers."""
    try:
        return request("GET", url, timeout=timeout)[0]
    except OSError:
        return None


def json_of(url, timeout=3):
    """What it answers, whatever its status; None when nobody answers, or no JSON."""
    try:
        return json.loads(request("GET", url, timeout=timeout)[2])
    except (OSError, ValueError):
        return None


def metrics(url, name, timeout=2):
    """[(labels, value)] of one metric in Prometheus text; [] when nobody answers."""
    try:
        code, _, text = request("GET", url, timeout=timeout)
    except OSError:
        return []
    if code != 200:
        return []
    rows = re.findall(rf"^{name}(?:\{{([^}}]*)\}})? (\S+)", text.decode("utf-8", "replace"), re.MULTILINE)
    return [(dict(re.findall(r'(\w+)="([^"]*)"', labels)), float(value)) for labels, value in rows]
