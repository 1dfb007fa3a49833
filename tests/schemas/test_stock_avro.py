#!/usr/bin/env python3
"""Stock Avro tools read what we write: Debian's python3-avro decodes each golden file with the JSON schema of history/ alone,
encodes it again to the same bytes, and finds the values that samples.c has. Skipped (exit status 77) where the module is
missing.

    test_stock_avro.py SCHEMAS_FOLDER GOLDEN_FOLDER
"""
import io
import pathlib
import sys
import unittest

try:
    import avro.io
    import avro.schema
except ImportError:
    print("skipped: python3-avro is not installed", file=sys.stderr)
    sys.exit(77)

SCHEMAS, GOLDEN = pathlib.Path(sys.argv.pop(1)), pathlib.Path(sys.argv.pop(1))

ACTOR, ROOM, MESSAGE, SESSION, COMMAND = (f"01930f5a-1122-7a33-8444-5566778899{n}" for n in ("a1", "b2", "c3", "d4", "e5"))
FACT = "01930f5a-1122-7a33-8444-5566778899f6"


def versions():
    for line in (SCHEMAS / "ids.lock").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            number, subject, version, _ = line.split()
            yield int(number), subject, int(version)


def golden(subject, version):
    file = GOLDEN / f"{subject.split('-', 1)[1]}.v{version}.hex"
    return bytes.fromhex(file.read_text(encoding="ascii"))


def decode(subject, version):
    schema = avro.schema.parse((SCHEMAS / "history" / subject / f"{version}.json").read_text(encoding="utf-8"))
    source = io.BytesIO(golden(subject, version)[5:])
    datum = avro.io.DatumReader(schema).read(avro.io.BinaryDecoder(source))
    return schema, datum, source.read()


class StockAvro(unittest.TestCase):
    def test_the_frame_carries_the_pinned_id(self):
        for number, subject, version in versions():
            with self.subTest(subject):
                self.assertEqual(golden(subject, version)[:5], b"\0" + number.to_bytes(4, "big"))

    def test_every_golden_payload_is_read_to_its_last_byte_and_written_the_same(self):
        for _, subject, version in versions():
            with self.subTest(subject):
                schema, datum, rest = decode(subject, version)
                self.assertEqual(rest, b"")
                out = io.BytesIO()
                avro.io.DatumWriter(schema).write(datum, avro.io.BinaryEncoder(out))
                self.assertEqual(out.getvalue(), golden(subject, version)[5:])

    def test_meta_says_what_it_should(self):
        for _, subject, version in versions():
            if subject.startswith("replies-"):
                continue
            with self.subTest(subject):
                fact = subject.split("-")[0].endswith(".events")
                meta = decode(subject, version)[1]["meta"]
                at = meta["at"]  # a datetime where the module knows timestamp-millis
                self.assertEqual(at if isinstance(at, int) else round(at.timestamp() * 1000), 1767225599123)
                self.assertEqual(str(meta["id"]), FACT if fact else COMMAND)
                self.assertEqual(str(meta["actor"]), ACTOR)
                self.assertEqual(str(meta["command_id"]), COMMAND)
                self.assertEqual(meta["command_offset"], 8589934592 if fact else -1)
                self.assertEqual(meta["request_hash"], b"0123456789abcdef")
                self.assertEqual(meta["trace"], "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")

    def test_the_first_versions_have_the_values_of_the_samples(self):
        posted = decode("rooms.events-aether.rooms.MessagePosted", 1)[1]
        self.assertEqual((str(posted["room_id"]), str(posted["message_id"]), posted["seq"]), (ROOM, MESSAGE, 4711))
        self.assertEqual(posted["body"], b"\x01body")
        self.assertEqual(decode("rooms.events-aether.rooms.RoomCreated", 1)[1]["kind"], "PUBLIC")
        self.assertEqual(decode("rooms.commands-aether.rooms.CreateRoom", 1)[1]["kind"], "DIRECT")
        registered = decode("accounts.events-aether.accounts.AccountRegistered", 1)[1]
        self.assertEqual(registered["roles"], ["user", "moderator"])
        self.assertEqual(registered["email"], b"\x01email")
        self.assertEqual(registered["email_index"][:4], b"\xff\xfe\xfd\xfc")
        started = decode("sessions.events-aether.sessions.SessionStarted", 1)[1]
        self.assertEqual((str(started["session_id"]), str(started["user_id"])), (SESSION, ACTOR))
        outcome = decode("replies-aether.replies.Outcome", 1)[1]
        self.assertEqual((outcome["rejection"], outcome["duplicate"], outcome["stream"]), (203, True, "rooms"))
        self.assertEqual((outcome["partition"], outcome["offset"], outcome["fact"]), (5, 1234, b"\0\0\0\0\x07fact"))


if __name__ == "__main__":
    unittest.main()
