#!/usr/bin/env python3
"""History is compatible and complete, the lock holds, and the generator refuses what is wrong. Standard library only.

    test_schemas.py SCHEMAS_FOLDER
"""
import copy
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

from compatibility import changed_meaning, incompatibilities, unreadable

SCHEMAS = pathlib.Path(sys.argv.pop(1)).resolve()


def history():
    """Subject: its versions in order."""
    out = {}
    for folder in sorted((SCHEMAS / "history").iterdir()):
        files = sorted(folder.glob("*.json"), key=lambda p: int(p.stem))
        out[folder.name] = [json.loads(f.read_text(encoding="utf-8")) for f in files]
    return out


class History(unittest.TestCase):
    def test_every_version_reads_every_other(self):
        for subject, versions in history().items():
            with self.subTest(subject):
                self.assertEqual(incompatibilities(versions), [])

    def test_every_locked_version_is_there_and_none_besides(self):
        locked = set()
        for line in (SCHEMAS / "ids.lock").read_text(encoding="utf-8").splitlines():
            if not line.startswith("#"):
                _, subject, version, _ = line.split()
                locked.add((subject, version))
        there = {(p.parent.name, p.stem) for p in (SCHEMAS / "history").glob("*/*.json")}
        self.assertEqual(locked, there)

    def test_every_subject_has_its_record_still(self):
        for subject in history():
            topic, full_name = subject.split("-", 1)
            _, stream, name = full_name.split(".")
            self.assertEqual(topic.split(".")[0], stream)
            self.assertTrue((SCHEMAS / stream / f"{name}.avsc").exists(), subject)


class Compatibility(unittest.TestCase):
    """The checker goes red where it must; a checker that cannot is worth nothing."""

    def setUp(self):
        self.old = history()["rooms.events-aether.rooms.MessagePosted"][0]
        self.new = copy.deepcopy(self.old)

    def field(self, name):
        return next(f for f in self.new["fields"] if f["name"] == name)

    def red(self, words):
        found = incompatibilities([self.old, self.new])
        self.assertTrue(any(words in p for p in found), found)

    def green(self):
        self.assertEqual(incompatibilities([self.old, self.new]), [])

    def test_the_same_schema_is_compatible(self):
        self.green()

    def test_adding_a_field_with_a_default_is_compatible(self):
        self.new["fields"].append({"name": "lang", "type": ["null", "string"], "default": None})
        self.green()

    def test_adding_a_field_without_a_default_is_not(self):
        self.new["fields"].append({"name": "lang", "type": "string"})
        self.red("lang: the writer does not have it")

    def test_removing_a_field_without_a_default_is_not(self):
        self.new["fields"] = [f for f in self.new["fields"] if f["name"] != "seq"]
        self.red("seq: the writer does not have it")

    def test_removing_a_field_with_a_default_of_a_nested_record_is_compatible(self):
        self.new["fields"][0]["type"]["fields"] = [f for f in self.new["fields"][0]["type"]["fields"] if f["name"] != "trace"]
        self.green()

    def test_removing_a_field_without_a_default_of_a_nested_record_is_not(self):
        self.new["fields"][0]["type"]["fields"] = [f for f in self.new["fields"][0]["type"]["fields"] if f["name"] != "actor"]
        self.red("meta.actor: the writer does not have it")

    def test_renaming_a_field_is_not(self):
        self.field("body")["name"] = "text"
        self.red("text: the writer does not have it")

    def test_changing_a_type_is_not(self):
        self.field("seq")["type"] = "string"
        self.red("seq: string cannot be read as long")

    def test_widening_a_type_is_read_by_new_readers_only(self):
        self.old["fields"][3]["type"] = "int"
        self.assertEqual(unreadable(self.new, self.old), [])
        self.red("seq: long cannot be read as int")

    def test_making_a_field_optional_is_read_by_new_readers_only(self):
        self.field("seq")["type"] = ["null", "long"]
        self.assertEqual(unreadable(self.new, self.old), [])
        self.red("seq: null cannot be read as long")

    def test_renaming_the_record_is_not(self):
        self.new["name"] = "MessageSent"
        self.red("cannot be read as")

    def test_a_field_that_is_no_longer_sealed_is_not(self):
        del self.field("body")["sealed"]
        self.red('"sealed" was True')

    def test_a_field_sealed_for_somebody_else_is_not(self):
        self.field("body")["subject"] = "room_id"
        self.red('"subject" was meta.actor')

    def test_another_key_is_not(self):
        self.new["key"] = "message_id"
        self.assertTrue(changed_meaning(self.old, self.new))
        self.red('"key" was room_id')

    def test_an_enum_may_grow_only_where_readers_have_a_default(self):
        self.old = history()["rooms.events-aether.rooms.RoomCreated"][0]
        self.new = copy.deepcopy(self.old)
        kind = self.field("kind")["type"]
        kind["symbols"].append("SECRET")
        self.green()
        del kind["default"]
        self.green()  # the old reader, which lacks SECRET, has its default
        del next(f for f in self.old["fields"] if f["name"] == "kind")["type"]["default"]
        self.red("lacks SECRET")

    def test_each_version_is_compared_with_each_not_only_with_its_neighbour(self):
        """v2 adds a field with a default, v3 takes the default away: v3 reads v2, but not v1."""
        middle = copy.deepcopy(self.old)
        middle["fields"].append({"name": "lang", "type": "string", "default": ""})
        self.new["fields"].append({"name": "lang", "type": "string"})
        self.assertEqual(incompatibilities([self.old, middle]), [])
        self.assertEqual(incompatibilities([middle, self.new]), [])
        self.assertNotEqual(incompatibilities([self.old, middle, self.new]), [])

    def test_unions_arrays_maps_and_fixed(self):
        def record(kind):
            return {"type": "record", "name": "R", "fields": [{"name": "f", "type": kind}]}

        fixed = {"type": "fixed", "name": "F", "size": 4}
        for reader, writer, good in (
            (["null", "long"], ["null", "int"], True),
            (["null", "int"], ["null", "long"], False),
            ("long", ["int", "long"], True),
            ({"type": "array", "items": "long"}, {"type": "array", "items": "int"}, True),
            ({"type": "array", "items": "int"}, {"type": "array", "items": "string"}, False),
            ({"type": "map", "values": "bytes"}, {"type": "map", "values": "string"}, True),
            ({"type": "map", "values": "bytes"}, {"type": "array", "items": "bytes"}, False),
            (fixed, fixed, True),
            (fixed, dict(fixed, size=5), False),
            (["null", "R"], ["null", "R"], True),
            ("double", "float", True),
            ("float", "double", False),
            ("boolean", "int", False),
        ):
            with self.subTest(reader=reader, writer=writer):
                self.assertEqual(unreadable(record(reader), record(writer)) == [], good)


class Generator(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.root = self.folder / "schemas"
        shutil.copytree(SCHEMAS, self.root)
        self.out = self.folder / "out"
        self.out.mkdir()

    def run_generator(self, *arguments):
        return subprocess.run([sys.executable, self.root / "generate.py", *arguments], capture_output=True, text=True)

    def generate(self):
        return self.run_generator("--out", self.out)

    def edit(self, file, change):
        path = self.root / file
        schema = json.loads(path.read_text(encoding="utf-8"))
        change(schema)
        path.write_text(json.dumps(schema), encoding="utf-8")

    def assert_fails(self, result, *words):
        self.assertNotEqual(result.returncode, 0)
        self.assertEqual(len(result.stderr.strip().splitlines()), 1, result.stderr)
        for word in words:
            self.assertIn(word, result.stderr)

    def test_the_schemas_as_they_are_generate(self):
        result = self.generate()
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertTrue((self.out / "rooms.gen.h").exists())

    def test_a_change_that_is_not_locked_fails_the_build(self):
        self.edit("rooms/JoinRoom.avsc", lambda s: s["fields"].append({"name": "why", "type": "string", "default": ""}))
        self.assert_fails(self.generate(), "JoinRoom.avsc differs", "generate.py --lock")

    def test_a_reworded_doc_is_no_change(self):
        self.edit("rooms/JoinRoom.avsc", lambda s: s.update(doc="Reworded."))
        self.assertEqual(self.generate().returncode, 0)

    def test_a_change_of_meta_is_a_change_of_every_record(self):
        self.edit("meta/Meta.avsc", lambda s: s["fields"].append({"name": "hop", "type": "int", "default": 0}))
        self.assert_fails(self.generate(), "differs")

    def test_locking_gives_the_next_id_and_version_and_keeps_the_rest(self):
        before = (self.root / "ids.lock").read_text()
        last = int(before.splitlines()[-1].split()[0])
        self.edit("rooms/JoinRoom.avsc", lambda s: s["fields"].append({"name": "why", "type": "string", "default": ""}))
        self.assertEqual(self.run_generator("--lock").returncode, 0)
        after = (self.root / "ids.lock").read_text()
        self.assertTrue(after.startswith(before))
        added = after[len(before):].split()
        self.assertEqual(added[:3], [str(last + 1), "rooms.commands-aether.rooms.JoinRoom", "2"])
        self.assertTrue((self.root / "history/rooms.commands-aether.rooms.JoinRoom/2.json").exists())
        self.assertEqual(self.generate().returncode, 0)
        self.assertIn(f".schema_id = {last + 1},", (self.out / "rooms.gen.c").read_text())
        self.assertEqual(self.run_generator("--lock").returncode, 0)
        self.assertEqual((self.root / "ids.lock").read_text(), after)

    def test_a_new_record_needs_an_id(self):
        new = json.loads((self.root / "rooms/JoinRoom.avsc").read_text())
        new["name"] = "PaintRoom"
        (self.root / "rooms/PaintRoom.avsc").write_text(json.dumps(new))
        self.assert_fails(self.generate(), "PaintRoom.avsc has no id yet", "generate.py --lock")
        self.assertEqual(self.run_generator("--lock").returncode, 0)
        self.assertEqual(self.generate().returncode, 0)
        self.assertIn("ROOMS_LEAVE_ROOM", (self.out / "rooms.gen.h").read_text())

    def test_two_streams_cannot_have_types_of_one_name(self):
        """Programs include several streams' headers."""
        new = json.loads((self.root / "rooms/JoinRoom.avsc").read_text())
        new["namespace"] = "aether.sessions"
        (self.root / "sessions/JoinRoom.avsc").write_text(json.dumps(new))
        self.assertEqual(self.run_generator("--lock").returncode, 0)
        self.assert_fails(self.generate(), "both define a type that is join_room")

    def test_history_cannot_be_edited(self):
        self.edit("history/rooms.commands-aether.rooms.JoinRoom/1.json", lambda s: s["fields"].pop())
        self.assert_fails(self.generate(), "history is never edited")

    def test_history_cannot_be_deleted(self):
        (self.root / "history/rooms.commands-aether.rooms.JoinRoom/1.json").unlink()
        self.assert_fails(self.generate(), "history is never deleted")

    def test_the_lock_cannot_be_reordered(self):
        lines = (self.root / "ids.lock").read_text().splitlines()
        lines[-1], lines[-2] = lines[-2], lines[-1]
        (self.root / "ids.lock").write_text("\n".join(lines) + "\n")
        self.assert_fails(self.generate(), "ids must count up from 1")

    def test_what_c_or_avro_cannot_have_is_refused_by_name(self):
        def field(**spec):
            return lambda s: s["fields"].append(spec)

        for change, words in (
            (field(name="register", type="int", default=0), "word of C"),
            (field(name="camelCase", type="int", default=0), "lower case"),
            (field(name="n", type="int", default="0"), "no valid default"),
            (field(name="n", type="int", default=True), "no valid default"),
            (field(name="n", type="int", default=2**31), "no valid default"),
            (field(name="n", type="bytes", default=None), "no valid default"),
            (field(name="n", type="bytes", default="\u20ac"), "no valid default"),
            (field(name="n", type="string", default="\0"), "NUL"),
            (field(name="n", type={"type": "string", "logicalType": "uuid"}, default=""), "no valid default"),
            (field(name="n", type=["null", "string"], default=""), "default is null"),
            (field(name="n", type=["string", "null"], default=""), "the only union"),
            (field(name="n", type={"type": "array", "items": "string"}, default=["x"]), "no valid default"),
            (field(name="n", type={"type": "map", "values": "string"}, default={}), "does not know"),
            (field(name="n", type="aether.Nobody"), "unknown type"),
            (field(name="n", type="string", sealed=True, subject="user_id"), "a sealed field is bytes"),
            (field(name="n", type="bytes", sealed=True), "names its \"subject\""),
            (field(name="n", type="bytes", sealed=True, subject="nobody"), "must be a uuid of the record"),
            (field(name="n", type={"type": "enum", "name": "E", "namespace": "aether.rooms", "symbols": ["A"], "default": "B"}), "none of its symbols"),
            (lambda s: s.update(kind="event"), "\"kind\" must be one of"),
            (lambda s: s.update(key="nobody"), "must name a uuid field"),
            (lambda s: s.update(namespace="aether.other"), "namespace must be aether.rooms"),
            (lambda s: s["fields"].reverse(), "first field must be meta"),
        ):
            with self.subTest(words):
                file = self.root / "rooms/JoinRoom.avsc"
                before = file.read_text()
                lock = (self.root / "ids.lock").read_text()
                self.edit("rooms/JoinRoom.avsc", change)
                locked = self.run_generator("--lock")
                self.assert_fails(locked if locked.returncode else self.generate(), words)
                file.write_text(before)
                (self.root / "ids.lock").write_text(lock)
                shutil.rmtree(self.root / "history")
                shutil.copytree(SCHEMAS / "history", self.root / "history")


if __name__ == "__main__":
    unittest.main()
