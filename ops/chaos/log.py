"""log: reads topics with stock tools only (kcat, Avro's Python reader, the schemas of schemas/history), as an analytics team
would."""

import functools
import io
import json
import os
import re
import struct
import subprocess

import avro.io
import avro.schema

from stack import REPOSITORY


class Record:
    __slots__ = ("topic", "partition", "offset", "timestamp", "key", "value", "header_text")

    @property
    def headers(self):
        pairs = (pair.partition("=") for pair in self.header_text.decode().split(",") if pair)
        return {name: value for name, _, value in pairs}

    def __repr__(self):
        return f"<{self.topic}[{self.partition}]@{self.offset} {self.key!r} {self.value!r:.80}>"


def kcat(bootstrap, *arguments, timeout=60, stdin=None):
    result = subprocess.run(["kcat", "-b", bootstrap, "-X", "reconnect.backoff.max.ms=500", *arguments], timeout=timeout, input=stdin,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if result.returncode:
        raise RuntimeError(f"kcat {' '.join(arguments)}: {result.stderr.decode('utf-8', 'replace')}")
    return result.stdout


@functools.lru_cache
def topics(bootstrap):
    """{topic: number of partitions}, Kafka's own left out. Asked once: they do not change."""
    known = json.loads(kcat(bootstrap, "-L", "-J"))
    return {t["topic"]: len(t["partitions"]) for t in known["topics"] if not t["topic"].startswith("__")}


def offsets(bootstrap, topic, partitions, which=-1):
    """[end offset of each partition] (`which` -2: the first offset)."""
    query = [word for p in range(partitions) for word in ("-t", f"{topic}:{p}:{which}")]
    found = {int(p): int(o) for p, o in re.findall(r"\[(\d+)\] offset (-?\d+)", kcat(bootstrap, "-Q", *query).decode())}
    return [found[p] for p in range(partitions)]


def end_offsets(bootstrap):
    """{(topic, partition): end offset} of everything."""
    query = [word for topic, count in topics(bootstrap).items() for p in range(count) for word in ("-t", f"{topic}:{p}:-1")]
    return {(topic, int(p)): int(o) for topic, p, o in re.findall(r"(\S+) \[(\d+)\] offset (-?\d+)", kcat(bootstrap, "-Q", *query).decode())}


def read(bootstrap, topic, partition=None, offset="beginning", count=None):
    """Every record to the present end, in the order of each partition."""
    where = [] if partition is None else ["-p", str(partition)]
    if count:
        where += ["-c", str(count)]
    # The end is told by a fetch that brings nothing, which the broker answers only after fetch.wait.max.ms.
    out = kcat(bootstrap, "-C", "-t", topic, *where, "-o", str(offset), "-e", "-q", "-X", "check.crcs=true", "-X", "fetch.wait.max.ms=10",
               "-f", "%p %o %T %K %S\\n%h\\n%k%s\\n", timeout=180)
    at, records = 0, []
    while at < len(out):
        end = out.index(b"\n", at)
        partition_, offset_, timestamp, key, size = map(int, out[at:end].split())
        headers_end = out.index(b"\n", end + 1)
        record = Record()
        record.topic, record.partition, record.offset, record.timestamp = topic, partition_, offset_, timestamp
        record.header_text = out[end + 1:headers_end]
        at = headers_end + 1
        record.key = out[at:at + key] if key >= 0 else None
        at += max(key, 0)
        record.value = out[at:at + size] if size >= 0 else None
        at += max(size, 0)
        assert out[at:at + 1] == b"\n", (topic, partition_, offset_)
        at += 1
        records.append(record)
    return records


def produce(bootstrap, topic, partition, value, key=None, headers=None, scratch="/tmp"):
    """Appends one record as it is. None: a record without a value."""
    words = ["-P", "-t", topic, "-p", str(partition)]
    for name, text in (headers or {}).items():
        words += ["-H", f"{name}={text}"]
    key = key.decode() if isinstance(key, bytes) else key
    if value is None:  # kcat passes over empty lines, but not over a key without a value
        kcat(bootstrap, *words, "-Z", "-K", "|", stdin=f"{key or ''}|\n".encode())
        return
    if key is not None:
        words += ["-k", key]
    path = os.path.join(str(scratch), "record")  # as a file, kcat takes it whole
    with open(path, "wb") as file:
        file.write(value)
    kcat(bootstrap, *words, path)


# --- schemas ---

class Schemas:
    """Writer's schemas by pinned id, from the checked-in history."""

    readers, decoded = {}, {}  # of all: what a record says stays, and is asked for again and again

    def __init__(self):
        self.subjects = {}
        with open(os.path.join(REPOSITORY, "schemas", "ids.lock")) as file:
            for line in file:
                if line.strip() and not line.startswith("#"):
                    number, subject, version, _ = line.split()
                    self.subjects[int(number)] = (subject, int(version))

    def subject(self, number):
        return self.subjects[number][0]

    def schema(self, number):
        subject, version = self.subjects[number]
        with open(os.path.join(REPOSITORY, "schemas", "history", subject, f"{version}.json")) as file:
            return avro.schema.parse(file.read())

    def reader(self, number):
        if number not in self.readers:
            self.readers[number] = avro.io.DatumReader(self.schema(number))
        return self.readers[number]

    def edited(self, value, change):
        """A framed record once more, after `change` had its fields."""
        _, fields = self.decode_anew(value)
        change(fields)
        out = io.BytesIO()
        avro.io.DatumWriter(self.schema(*struct.unpack(">I", value[1:5]))).write(fields, avro.io.BinaryEncoder(out))
        return value[:5] + out.getvalue()

    def decode(self, value):
        """(full name of the record, its fields, to be left as they are). ValueError when it is no framed record of ours."""
        if value not in self.decoded:
            self.decoded[value] = self.decode_anew(value)
        return self.decoded[value]

    def decode_anew(self, value):
        if value is None or len(value) < 5 or value[0] != 0:
            raise ValueError("no Confluent frame")
        number = struct.unpack(">I", value[1:5])[0]
        if number not in self.subjects:
            raise ValueError(f"no schema with id {number}")
        stream = io.BytesIO(value[5:])
        reader = self.reader(number)
        datum = reader.read(avro.io.BinaryDecoder(stream))
        if stream.read(1):
            raise ValueError("bytes behind the record")
        return reader.writers_schema.fullname, datum


def facts(schemas, records):
    """What a reader of one events topic sees: [(record, name, fact)], with the duplicates of fenced writers dropped by the
    published rule, and those duplicates. Records that are none of ours are left out."""
    last, kept, dropped = {}, [], []
    for record in records:
        try:
            name, fact = schemas.decode(record.value)
        except Exception:  # parked by the worker; the reader passes over it too
            continue
        offset = fact["meta"]["command_offset"]
        if offset > last.get(record.partition, -1):
            last[record.partition] = offset
            kept.append((record, name, fact))
        else:
            dropped.append((record, name, fact))
    return kept, dropped
