"""raw: bytes to a port and back, for what no HTTP client would send."""

import re
import socket
import time
import urllib.parse


class Connection:
    def __init__(self, url, timeout=15):
        at = urllib.parse.urlsplit(url)
        self.socket = socket.create_connection((at.hostname, at.port), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        """False when the other side has closed."""
        try:
            self.socket.sendall(data)
            return True
        except OSError:
            return False

    def answer(self):
        """(status, headers, body) of one response; None when the connection was closed instead."""
        while b"\r\n\r\n" not in self.received:
            if not self._more():
                return None
        head, _, rest = self.received.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        length = int(headers.get("content-length", 0))
        while len(rest) < length:
            if not self._more():
                return None
            rest = self.received.partition(b"\r\n\r\n")[2]
        self.received = rest[length:]
        return int(re.match(r"HTTP/1\.1 (\d+)", lines[0])[1]), headers, rest[:length]

    def statuses_until_closed(self, within=15.0):
        """Every status that was sent until the other side closed; AssertionError when it does not close."""
        self.socket.settimeout(within)
        try:
            while self._more():
                pass
        except socket.timeout:
            raise AssertionError(f"the connection stays open after {self.received[:300]!r}")
        return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+)", self.received)]

    def is_closed(self, within=3.0):
        """Whether the other side closes without another byte."""
        self.socket.settimeout(within)
        try:
            return not self.received and self.socket.recv(65536) == b""
        except socket.timeout:
            return False
        except ConnectionError:
            return True

    def seconds_until_closed(self, drip, interval, most):
        """Sends `drip` (an iterator of bytes) piece by piece until the other side closes; None when it never does."""
        started = time.monotonic()
        self.socket.settimeout(interval)
        while time.monotonic() - started < most:
            if not self.send(next(drip)):
                return time.monotonic() - started
            try:
                if self.socket.recv(65536) == b"":
                    return time.monotonic() - started
            except socket.timeout:
                continue
            except OSError:
                return time.monotonic() - started
        return None

    def _more(self):
        try:
            data = self.socket.recv(65536)
        except ConnectionError:
            return False
        self.received += data
        return bool(data)


def is_open_for_more(connection):
    """The connection still answers a plain request."""
    if not connection.send(b"GET /api/v1/health HTTP/1.1\r\nHost: aether\r\n\r\n"):
        return False
    answer = connection.answer()
    return answer is not None and answer[0] == 200
