#!/usr/bin/env python3
"""Makes the C of every record from schemas/<stream>/*.avsc, and keeps ids.lock and history/.

    generate.py --streams                 the streams, one a line
    generate.py --out DIR [--depfile F]   writes <stream>.gen.{h,c}, meta.gen.{h,c} and versions.gen.c; fails when a schema
                                          is not what its newest locked version says
    generate.py --lock                    gives every new or changed schema the next id and version, and writes its history

Python's standard library only. The schemas folder is the one this file stands in, unless --schemas says otherwise.
"""
import argparse
import hashlib
import json
import pathlib
import re
import sys

TOPIC = {"command": "{}.commands", "fact": "{}.events", "signal": "{}.signals", "reply": "{}"}
PRIMITIVE = {
    "string": ("FIELD_STRING", "struct str"),
    "bytes": ("FIELD_BYTES", "struct str"),
    "int": ("FIELD_INT", "int32_t"),
    "long": ("FIELD_LONG", "int64_t"),
    "double": ("FIELD_DOUBLE", "double"),
    "boolean": ("FIELD_BOOL", "bool"),
}
UUID = ("FIELD_UUID", "struct uuid")
SEALED = ("FIELD_SEALED", "struct sealed")
C_WORDS = set("""auto break case char const continue default do double else enum extern float for goto if inline int long
register restrict return short signed sizeof static struct switch typedef union unsigned void volatile while bool""".split())
MAX_SUBJECTS = 8  # struct record_union.subjects


class SchemaError(Exception):
    pass


def snake(name):
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def c_bytes(raw):
    """A C string literal of ASCII; octal escapes, since a hexadecimal one would swallow the digits behind it."""
    out = []
    for byte in raw:
        char = chr(byte)
        if char in '"\\':
            out.append("\\" + char)
        elif 32 <= byte < 127 and char != "?":  # "??=" would be a trigraph
            out.append(char)
        else:
            out.append("\\%03o" % byte)
    return '"' + "".join(out) + '"'


def c_string(text):
    return c_bytes(text.encode("utf-8"))


# --- reading ---------------------------------------------------------------------------------------------------------


class Record:
    """One .avsc of a stream, its named types resolved."""

    def __init__(self, path, stream, schema):
        self.path, self.stream, self.schema = path, stream, schema
        self.name = schema["name"]
        self.full_name = schema["namespace"] + "." + self.name
        self.kind = schema.get("kind")
        if self.kind not in TOPIC:
            raise SchemaError(f"{path}: \"kind\" must be one of {', '.join(TOPIC)}")
        self.subject = TOPIC[self.kind].format(stream) + "-" + self.full_name

    @property
    def c_name(self):
        return snake(self.name)


class Schemas:
    def __init__(self, root):
        self.root = root
        self.meta = self._load(root / "meta" / "Meta.avsc")
        self.streams = {}
        for folder in sorted(p for p in root.iterdir() if p.is_dir() and p.name not in ("meta", "history")):
            files = sorted(folder.glob("*.avsc"))
            if files:
                self.streams[folder.name] = [self._record(folder.name, f) for f in files]

    def inputs(self):
        yield from sorted(self.root.glob("*/*.avsc"))
        yield from sorted(self.root.glob("history/*/*.json"))
        yield self.root / "ids.lock"
        # A folder's time changes when a file comes or goes, so that ninja sees a new record too.
        yield from sorted(p for p in self.root.rglob("*") if p.is_dir())

    @staticmethod
    def _load(path):
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise SchemaError(f"{path}: {error}")

    def _record(self, stream, path):
        schema = self._load(path)
        if schema.get("type") != "record" or schema.get("name") != path.stem:
            raise SchemaError(f"{path}: must be a record named {path.stem}")
        if schema.get("namespace") != "aether." + stream:
            raise SchemaError(f"{path}: namespace must be aether.{stream}")
        return Record(path, stream, self._resolve(schema, path, {}))

    def _resolve(self, schema, path, seen):
        """The schema with aether.Meta inlined at its first use; anything else must be defined in the file itself."""
        if isinstance(schema, str):
            if schema in PRIMITIVE or schema == "null" or schema in seen:
                return schema
            if schema == "aether.Meta":
                seen[schema] = True
                return self._resolve(self.meta, path, seen)
            raise SchemaError(f"{path}: unknown type {schema}")
        if isinstance(schema, list):
            return [self._resolve(branch, path, seen) for branch in schema]
        out = dict(schema)
        if schema["type"] == "record":
            seen[schema["namespace"] + "." + schema["name"]] = True
            out["fields"] = [dict(f, type=self._resolve(f["type"], path, seen)) for f in schema["fields"]]
        elif schema["type"] == "enum":
            seen[schema["namespace"] + "." + schema["name"]] = True
        elif schema["type"] == "array":
            out["items"] = self._resolve(schema["items"], path, seen)
        elif schema["type"] not in PRIMITIVE:
            raise SchemaError(f"{path}: a type the generator does not know: {schema['type']}")
        return out


# --- locking ---------------------------------------------------------------------------------------------------------


def without_doc(schema):
    if isinstance(schema, list):
        return [without_doc(s) for s in schema]
    if isinstance(schema, dict):
        return {k: (v if k == "default" else without_doc(v)) for k, v in schema.items() if k != "doc"}
    return schema


def fingerprint(schema):
    """Of everything but the docs: a reworded doc is no new version."""
    text = json.dumps(without_doc(schema), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Version:
    def __init__(self, root, number, subject, version, print_):
        self.id, self.subject, self.version, self.fingerprint = number, subject, version, print_
        self.path = root / "history" / subject / f"{version}.json"
        try:
            self.text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise SchemaError(f"{self.path} is missing, but ids.lock names it; history is never deleted")
        self.schema = json.loads(self.text)
        if fingerprint(self.schema) != print_:
            raise SchemaError(f"{self.path} is not what ids.lock pins as id {number}; history is never edited")


LOCK_HEADER = """\
# Pinned schema ids: id subject version fingerprint. Never edited, only extended by `schemas/generate.py --lock`.
"""


def read_lock(root):
    lock = root / "ids.lock"
    versions = []
    if not lock.exists():
        return versions
    for line in lock.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            number, subject, version, print_ = line.split()
            versions.append(Version(root, int(number), subject, int(version), print_))
    ids = [v.id for v in versions]
    if ids != list(range(1, len(ids) + 1)):
        raise SchemaError(f"{lock}: ids must count up from 1 without a gap")
    by_subject = {}
    for v in versions:
        by_subject.setdefault(v.subject, []).append(v.version)
    for subject, numbers in by_subject.items():
        if numbers != list(range(1, len(numbers) + 1)):
            raise SchemaError(f"{lock}: the versions of {subject} must count up from 1 without a gap")
    return versions


def newest(versions):
    return {v.subject: v for v in versions}  # the lock is ordered, so the last one wins


def lock(schemas):
    versions = read_lock(schemas.root)
    known = newest(versions)
    added = []
    for records in schemas.streams.values():
        for record in records:
            old = known.get(record.subject)
            print_ = fingerprint(record.schema)
            if old and old.fingerprint == print_:
                continue
            version = old.version + 1 if old else 1
            path = schemas.root / "history" / record.subject / f"{version}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(record.schema, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
            added.append(f"{len(versions) + len(added) + 1} {record.subject} {version} {print_}")
    if added or not (schemas.root / "ids.lock").exists():
        text = LOCK_HEADER + "".join(f"{v.id} {v.subject} {v.version} {v.fingerprint}\n" for v in versions)
        (schemas.root / "ids.lock").write_text(text + "".join(line + "\n" for line in added), encoding="utf-8")
    for line in added:
        print("locked", line)


def check_locked(schemas, versions):
    known = newest(versions)
    for records in schemas.streams.values():
        for record in records:
            old = known.get(record.subject)
            if old is None:
                raise SchemaError(f"{record.path} has no id yet; run schemas/generate.py --lock and commit ids.lock and history/")
            if old.fingerprint != fingerprint(record.schema):
                raise SchemaError(
                    f"{record.path} differs from its newest locked version, {old.path}; take the change back, or make it a new "
                    "version with schemas/generate.py --lock and commit ids.lock and history/")
            record.schema_id = old.id


# --- C types ---------------------------------------------------------------------------------------------------------


class Field:
    """One field of a record as C sees it."""

    def __init__(self, spec, where, types):
        self.name, self.doc, self.where = spec["name"], spec.get("doc", ""), where
        if self.name in C_WORDS or not re.fullmatch(r"[a-z][a-z0-9_]*", self.name):
            raise SchemaError(f"{where}: a field's name must be lower case with underscores, and no word of C: {self.name}")
        schema = spec["type"]
        self.optional = isinstance(schema, list)
        if self.optional:
            if len(schema) != 2 or schema[0] != "null":
                raise SchemaError(f"{where}.{self.name}: the only union the generator knows is [\"null\", T]")
            schema = schema[1]
        self.item = None
        self.subject = spec.get("subject")
        if spec.get("sealed"):
            if schema != "bytes" or not self.subject:
                raise SchemaError(f"{where}.{self.name}: a sealed field is bytes and names its \"subject\"")
            self.kind, self.c_type, self.extra = *SEALED, ""
        else:
            self.kind, self.c_type, self.extra = types.of(schema, f"{where}.{self.name}")
            if self.kind == "FIELD_ARRAY":
                self.item = Field({"name": "item", "type": schema["items"]}, f"{where}.{self.name}", types)
                if self.item.optional or self.item.item:
                    raise SchemaError(f"{where}.{self.name}: items may not be optional or arrays")
        self.schema = schema
        self.default = self._default(spec) if "default" in spec else None

    def _default(self, spec):
        value = spec["default"]
        at = f"{self.where}.{self.name}"
        wrong = SchemaError(f"{at}: {json.dumps(value)} is no valid default of this type")
        if self.optional:
            if value is not None:
                raise SchemaError(f"{at}: an optional field's default is null")
            return ""
        if self.kind in ("FIELD_STRING", "FIELD_BYTES", "FIELD_SEALED", "FIELD_UUID"):
            if not isinstance(value, str):
                raise wrong
            if self.kind == "FIELD_UUID" and not re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", value):
                raise wrong
            try:  # Avro: the code points of a bytes default are its bytes
                raw = value.encode("utf-8" if self.kind in ("FIELD_STRING", "FIELD_UUID") else "latin-1")
            except UnicodeEncodeError:
                raise wrong
            if 0 in raw:
                raise SchemaError(f"{at}: avro-c cannot parse a schema with a NUL in a default")
            return f".default_text = {{ {c_bytes(raw)}, {len(raw)} }}" if raw else ""
        if self.kind in ("FIELD_INT", "FIELD_LONG"):
            bits = 31 if self.kind == "FIELD_INT" else 63
            if type(value) is not int or not -(2**bits) <= value < 2**bits:
                raise wrong
            return f".default_integer = {'INT64_MIN' if value == -2**63 else f'INT64_C({value})'}"
        if self.kind == "FIELD_BOOL":
            if type(value) is not bool:
                raise wrong
            return f".default_integer = {int(value)}"
        if self.kind == "FIELD_DOUBLE":
            if type(value) not in (int, float):
                raise wrong
            return f".default_number = {float(value)!r}"
        if self.kind == "FIELD_ENUM":
            if value not in self.schema["symbols"]:
                raise wrong
            return f".default_integer = {self.schema['symbols'].index(value)}"
        if self.kind == "FIELD_ARRAY" and value == []:
            return ""
        raise wrong

    def member(self):
        out = f"    bool has_{self.name};\n" if self.optional else ""
        c_type = f"struct {{ const {self.item.c_type} *items; size_t count; }}" if self.item else self.c_type
        doc = f" /* {self.doc.replace('*/', '* /')} */" if self.doc else ""
        return out + f"    {c_type} {self.name};{doc}\n"

    def row(self, struct):
        parts = [c_string(self.name), self.kind, f"offsetof(struct {struct}, {self.name})"]
        if self.optional:
            parts += [".optional = true", f".has_offset = offsetof(struct {struct}, has_{self.name})"]
        if self.extra:
            parts.append(self.extra)
        if self.item:
            item = [c_string("item"), self.item.kind, "0"] + ([self.item.extra] if self.item.extra else [])
            parts += [f".item = &(const struct field){{ {', '.join(item)} }}", f".item_size = sizeof({self.item.c_type})"]
        if self.kind == "FIELD_SEALED":
            parts.append(f".subject_offset = offsetof(struct {struct}, {self.subject})")
        if self.default is not None:
            parts += [".has_default = true"] + ([self.default] if self.default else [])
        return "    { " + ", ".join(parts) + " },\n"


class Types:
    """The named types of one generated file, in the order C needs them."""

    def __init__(self):
        self.records, self.enums = {}, {}

    def of(self, schema, where):
        if isinstance(schema, str):
            if schema in PRIMITIVE:
                return (*PRIMITIVE[schema], "")
            name = snake(schema.rsplit(".", 1)[-1])
            if schema == "aether.Meta":
                return "FIELD_RECORD", "struct meta", ".record = &meta_layout"
            if schema in self.enums:
                return "FIELD_ENUM", f"enum {name}", f".symbols = &{name}_layout"
            if schema in self.records:
                return "FIELD_RECORD", f"struct {name}", f".record = &{name}_layout"
            raise SchemaError(f"{where}: unknown type {schema}")
        kind = schema["type"]
        if kind == "string" and schema.get("logicalType") == "uuid":
            return (*UUID, "")
        if kind in PRIMITIVE:
            return (*PRIMITIVE[kind], "")
        if kind == "array":
            return "FIELD_ARRAY", None, ""
        full = schema["namespace"] + "." + schema["name"]
        if kind == "enum":
            if without_doc(self.enums.setdefault(full, schema)) != without_doc(schema):
                raise SchemaError(f"{where}: {full} is defined elsewhere with other symbols")
            if "default" in schema and schema["default"] not in schema["symbols"]:
                raise SchemaError(f"{where}: the default of {full} is none of its symbols")
        elif full != "aether.Meta":
            self.record(schema, where)
        return self.of(full, where)

    def c_names(self):
        return {snake(full.rsplit(".", 1)[-1]) for full in [*self.records, *self.enums]}

    def record(self, schema, where):
        full = schema["namespace"] + "." + schema["name"]
        fields = [Field(f, full, self) for f in schema["fields"]]
        if full in self.records and without_doc(self.records[full][0]) != without_doc(schema):
            raise SchemaError(f"{where}: {full} is defined elsewhere with other fields")
        self.records[full] = (schema, fields)
        return fields


def fields_of_path(fields, path):
    for field in fields:
        if field.name == path:
            return field
    return None


# --- writing ---------------------------------------------------------------------------------------------------------

BANNER = "/* Generated by schemas/generate.py from {}; do not edit. */\n"


def write_struct(out, c_name, doc, fields):
    if doc:
        out.append(f"/* {doc.replace('*/', '* /')} */\n")
    out.append(f"struct {c_name} {{\n")
    out.extend(f.member() for f in fields)
    out.append("};\n\n")


def write_layout(out, c_name, full_name, fields, more="", storage=""):
    out.append(f"static const struct field {c_name}_fields[] = {{\n")
    out.extend(f.row(c_name) for f in fields)
    out.append("};\n\n")
    out.append(f"{storage}const struct record_layout {c_name}_layout = {{\n"
               f"    .name = {c_string(full_name)},\n    .size = sizeof(struct {c_name}),\n"
               f"    .fields = {c_name}_fields,\n    .field_count = {len(fields)},\n{more}}};\n\n")


def write_enum(header, source, schema):
    c_name = snake(schema["name"])
    constants = [f"{c_name.upper()}_{s}" for s in schema["symbols"]]
    if schema.get("doc"):
        header.append(f"/* {schema['doc']} */\n")
    header.append(f"enum {c_name} {{ {', '.join(constants)} }};\n"
                  f"const char *{c_name}_symbol(enum {c_name} value); /* NULL when it is none */\n"
                  f"bool {c_name}_parse(struct str symbol, enum {c_name} *ret);\n\n")
    rows = "".join(f"    {c_string(s)},\n" for s in schema["symbols"])
    default = schema["symbols"].index(schema["default"]) if "default" in schema else -1
    source.append(f"static const char *const {c_name}_symbols[] = {{\n{rows}}};\n\n"
                  f"static const struct enum_layout {c_name}_layout = {{\n    .symbols = {c_name}_symbols,\n"
                  f"    .count = {len(constants)},\n    .default_symbol = {default},\n}};\n\n"
                  f"const char *{c_name}_symbol(enum {c_name} value)\n{{\n"
                  f"    return enum_layout_symbol(&{c_name}_layout, (int)value);\n}}\n\n"
                  f"bool {c_name}_parse(struct str symbol, enum {c_name} *ret)\n{{\n"
                  f"    int found = enum_layout_find(&{c_name}_layout, symbol);\n    if (found < 0)\n        return false;\n"
                  f"    *ret = (enum {c_name})found;\n    return true;\n}}\n\n")


def meta_files(schemas):
    types = Types()
    fields = [Field(f, "aether.Meta", types) for f in schemas.meta["fields"]]
    if types.enums or types.records:
        raise SchemaError("meta/Meta.avsc: named types are not supported there")
    banner = BANNER.format("schemas/meta/Meta.avsc")
    header = [banner, "#pragma once\n\n#include \"ops/runtime/mem.h\"\n#include \"ops/runtime/uuid.h\"\n\n"]
    write_struct(header, "meta", schemas.meta.get("doc"), fields)
    header.append("struct record_layout;\nextern const struct record_layout meta_layout;\n")
    source = [banner, '#include "schemas/meta.gen.h"\n\n#include "schemas/layout.h"\n\n']
    write_layout(source, "meta", "aether.Meta", fields)
    return "".join(header), "".join(source)


def check_record(record, fields):
    for field in fields:
        if field.subject:
            path = field.subject.split(".")
            of = fields_of_path(fields, path[0])
            good = len(path) == 1 and of and of.kind == "FIELD_UUID" or field.subject in ("meta.actor", "meta.command_id")
            if not good or of.optional:
                raise SchemaError(f"{record.path}: the subject of {field.name} must be a uuid of the record, not {field.subject}")
    if len({f.subject for f in fields if f.kind == "FIELD_SEALED"}) > MAX_SUBJECTS:
        raise SchemaError(f"{record.path}: at most {MAX_SUBJECTS} subjects of sealed fields a record")
    if record.kind in ("command", "fact"):
        if fields[0].name != "meta" or fields[0].c_type != "struct meta":
            raise SchemaError(f"{record.path}: the first field must be meta, of type aether.Meta")
        key = fields_of_path(fields, record.schema.get("key"))
        if key is None or key.kind != "FIELD_UUID" or key.optional:
            raise SchemaError(f"{record.path}: \"key\" must name a uuid field")


def stream_files(stream, records):
    types = Types()
    fields = {r.name: types.record(r.schema, r.path) for r in records}
    for record in records:
        check_record(record, fields[record.name])
    tops = {r.full_name: r for r in records}

    banner = BANNER.format(f"schemas/{stream}/")
    header = [banner, "#pragma once\n\n#include \"schemas/stream.h\"\n\n"]
    source = [banner, f'#include "schemas/{stream}.gen.h"\n\n#include "schemas/layout.h"\n\n']
    for schema in types.enums.values():
        write_enum(header, source, schema)
    for full, (schema, its_fields) in types.records.items():
        c_name = snake(schema["name"])
        write_struct(header, c_name, schema.get("doc"), its_fields)
        record = tops.get(full)
        if record is None:
            if any(f.kind == "FIELD_SEALED" for f in its_fields):
                raise SchemaError(f"{full}: sealed fields stand in the record itself, not in a nested one")
            write_layout(source, c_name, full, its_fields, storage="static ")
            continue
        more = f"    .schema_id = {record.schema_id},\n"
        if record.schema.get("key"):
            more += f"    .key_offset = offsetof(struct {c_name}, {record.schema['key']}),\n"
        write_layout(source, c_name, full, its_fields, more, storage="static ")

    for record in records:
        c, sealed = record.c_name, any(f.kind == "FIELD_SEALED" for f in fields[record.name])
        header.append(f"MUST_CHECK err {c}_encode(struct codec *codec, const struct {c} *record, struct buf *out);\n"
                      f"MUST_CHECK err {c}_decode(struct codec *codec, struct str framed, struct arena *arena, struct {c} *ret);\n")
        source.append(f"err {c}_encode(struct codec *codec, const struct {c} *record, struct buf *out)\n{{\n"
                      f"    return record_encode(&{c}_layout, codec, record, out);\n}}\n\n"
                      f"err {c}_decode(struct codec *codec, struct str framed, struct arena *arena, struct {c} *ret)\n{{\n"
                      f"    return record_decode(&{c}_layout, codec, framed, arena, ret);\n}}\n\n")
        if sealed:
            header.append(f"MUST_CHECK err {c}_seal(struct {c} *record, struct vault *vault, struct arena *arena);\n"
                          f"MUST_CHECK err {c}_open(struct {c} *record, struct vault *vault, struct arena *arena);\n")
            for verb in ("seal", "open"):
                source.append(f"err {c}_{verb}(struct {c} *record, struct vault *vault, struct arena *arena)\n{{\n"
                              f"    return record_{verb}(&{c}_layout, record, vault, arena);\n}}\n\n")

    if any(r.kind in ("command", "fact") for r in records):
        for kind in ("command", "fact"):
            write_union(header, source, stream, kind, [r for r in records if r.kind == kind])
        header.append(f"\nextern const struct stream {stream}_stream;\n")
        source.append(f"const struct stream {stream}_stream = {{\n    .name = \"{stream}\",\n"
                      f"    .commands_topic = \"{stream}.commands\",\n    .events_topic = \"{stream}.events\",\n"
                      + "".join(f"    .{k} = {{\n        .size = sizeof(struct {stream}_{k}),\n"
                                f"        .type_count = {sum(r.kind == k for r in records)},\n"
                                f"        .layout = &{stream}_{k}_layout,\n"
                                + "".join(f"        .{f} = {stream}_{k}_{f},\n"
                                          for f in ("decode", "encode", "subjects", "open", "seal", "key", "name"))
                                + "    },\n" for k in ("command", "fact"))
                      + "};\n")
    return "".join(header), "".join(source), types.c_names()


def write_union(header, source, stream, kind, records):
    union, upper = f"{stream}_{kind}", stream.upper()
    constants = [f"{upper}_{kind.upper()}_NONE"] + [f"{upper}_{r.c_name.upper()}" for r in records]
    header.append(f"\nenum {union}_type {{ {', '.join(constants)} }};\n\nstruct {union} {{\n    int type; /* enum {union}_type */\n"
                  "    union {\n        struct meta meta;\n"
                  + "".join(f"        struct {r.c_name} {r.c_name};\n" for r in records) + "    };\n};\n")
    rows = "".join(f"    &{r.c_name}_layout,\n" for r in records) or "    NULL,\n"
    source.append(f"static_assert(offsetof(struct {union}, meta) == offsetof(struct any_record, meta), \"meta comes first\");\n\n"
                  f"static const struct record_layout *const {union}_records[] = {{\n{rows}}};\n\n"
                  f"static const struct union_layout {union}_layout = {{\n    .name = \"{TOPIC[kind].format(stream)}\",\n"
                  f"    .size = sizeof(struct {union}),\n    .records = {union}_records,\n    .record_count = {len(records)},\n}};\n\n")
    for name, parameters, arguments in (
            ("decode", "struct codec *codec, struct str framed, struct arena *arena, struct any_record *ret", "codec, framed, arena, ret"),
            ("encode", "struct codec *codec, const struct any_record *record, struct buf *out", "codec, record, out"),
            ("open", "struct any_record *record, struct vault *vault, struct arena *arena", "record, vault, arena"),
            ("seal", "struct any_record *record, struct vault *vault, struct arena *arena", "record, vault, arena")):
        source.append(f"static err {union}_{name}({parameters})\n{{\n    return union_{name}(&{union}_layout, {arguments});\n}}\n\n")
    source.append(f"static size_t {union}_subjects(const struct any_record *record, struct uuid ret[8])\n{{\n"
                  f"    return union_subjects(&{union}_layout, record, ret);\n}}\n\n"
                  f"static struct uuid {union}_key(const struct any_record *record)\n{{\n"
                  f"    return union_key(&{union}_layout, record);\n}}\n\n"
                  f"static const char *{union}_name(int type)\n{{\n    return union_name(&{union}_layout, type);\n}}\n\n")


def versions_file(versions, streams):
    out = [BANNER.format("schemas/history/ and ids.lock"), '#include "schemas/codec.h"\n',
           *(f'#include "schemas/{stream}.gen.h"\n' for stream in streams),
           "\nconst struct stream *const all_streams[] = {\n", *(f"    &{stream}_stream,\n" for stream in streams), "    NULL,\n};\n\n",
           "const struct schema_version schema_versions[] = {\n"]
    for v in versions:
        text = json.dumps(v.schema, separators=(",", ":"))
        out.append(f"    { '{' } {v.id}, {c_string(v.subject)}, {v.version},\n      {c_string(text)} {'}'},\n")
    out.append(f"}};\nconst size_t schema_versions_count = {len(versions)};\n")
    return "".join(out)


def generate(schemas, out, depfile):
    versions = read_lock(schemas.root)
    check_locked(schemas, versions)
    files = {}
    files["meta.gen.h"], files["meta.gen.c"] = meta_files(schemas)
    taken = {}
    for stream, records in schemas.streams.items():
        files[f"{stream}.gen.h"], files[f"{stream}.gen.c"], names = stream_files(stream, records)
        for name in names:
            if taken.setdefault(name, stream) != stream:
                raise SchemaError(f"{stream} and {taken[name]} both define a type that is {name} in C; rename one")
    decided = [stream for stream, records in schemas.streams.items() if any(r.kind in ("command", "fact") for r in records)]
    files["versions.gen.c"] = versions_file(versions, decided)
    for name, text in files.items():
        (out / name).write_text(text, encoding="utf-8")
    if depfile:
        inputs = " ".join(str(p).replace(" ", "\\ ") for p in schemas.inputs())
        depfile.write_text(f"{out / 'meta.gen.h'}: {inputs}\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--schemas", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent)
    parser.add_argument("--streams", action="store_true")
    parser.add_argument("--lock", action="store_true")
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("--depfile", type=pathlib.Path)
    arguments = parser.parse_args()
    try:
        schemas = Schemas(arguments.schemas)
        if arguments.streams:
            print("\n".join(schemas.streams))
        if arguments.lock:
            lock(schemas)
        if arguments.out:
            generate(schemas, arguments.out, arguments.depfile)
    except SchemaError as error:
        sys.exit(f"generate.py: {error}")


if __name__ == "__main__":
    main()
