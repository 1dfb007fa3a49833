"""Schema resolution of the Avro 1.11 specification, as a question: can a reader with this schema read what a writer with that
one wrote? And our own attributes, which must not change: what was sealed stays sealed, and for the same subject."""

PRIMITIVES = {"null", "boolean", "int", "long", "float", "double", "bytes", "string"}
PROMOTIONS = {  # writer: what may read it
    "int": {"int", "long", "float", "double"},
    "long": {"long", "float", "double"},
    "float": {"float", "double"},
    "string": {"string", "bytes"},
    "bytes": {"bytes", "string"},
}


def collect_names(schema, names):
    """Every named type by its full name, as references may use it."""
    if isinstance(schema, list):
        for branch in schema:
            collect_names(branch, names)
    elif isinstance(schema, dict):
        if schema["type"] in ("record", "enum", "fixed"):
            names[full_name(schema)] = schema
        for field in schema.get("fields", []):
            collect_names(field["type"], names)
        for inner in ("items", "values"):
            if inner in schema:
                collect_names(schema[inner], names)
    return names


def full_name(schema):
    name = schema["name"]
    return name if "." in name or not schema.get("namespace") else schema["namespace"] + "." + name


def kind_of(schema):
    if isinstance(schema, list):
        return "union"
    return schema if isinstance(schema, str) else schema["type"]


class Reading:
    def __init__(self, reader, writer):
        self.readers, self.writers = collect_names(reader, {}), collect_names(writer, {})
        self.busy = set()

    def problems(self, reader, writer, at):
        if isinstance(reader, str) and reader not in PRIMITIVES:
            reader = self.readers[reader]
        if isinstance(writer, str) and writer not in PRIMITIVES:
            writer = self.writers[writer]
        r, w = kind_of(reader), kind_of(writer)
        if w == "union":
            return [p for branch in writer for p in self.problems(reader, branch, at)]
        if r == "union":
            tried = [self.problems(branch, writer, at) for branch in reader]
            return [] if [] in tried else [f"{at}: no branch of the reader's union takes {w}"]
        if w in PRIMITIVES or r in PRIMITIVES:
            good = r == w or r in PROMOTIONS.get(w, ())
            return [] if good else [f"{at}: {w} cannot be read as {r}"]
        if r != w:
            return [f"{at}: {w} cannot be read as {r}"]
        return getattr(self, "_" + r)(reader, writer, at)

    def _record(self, reader, writer, at):
        out = []
        if full_name(reader) != full_name(writer):
            return [f"{at}: {full_name(writer)} cannot be read as {full_name(reader)}"]
        pair = (full_name(reader), full_name(writer))
        if pair in self.busy:  # a recursive type, already being compared
            return []
        self.busy.add(pair)
        written = {f["name"]: f for f in writer["fields"]}
        for field in reader["fields"]:
            place = f"{at}.{field['name']}"
            if field["name"] in written:
                out += self.problems(field["type"], written[field["name"]]["type"], place)
            elif "default" not in field:
                out.append(f"{place}: the writer does not have it, and the reader has no default")
        self.busy.discard(pair)
        return out

    def _enum(self, reader, writer, at):
        if full_name(reader) != full_name(writer):
            return [f"{at}: {full_name(writer)} cannot be read as {full_name(reader)}"]
        missing = [s for s in writer["symbols"] if s not in reader["symbols"]]
        if missing and "default" not in reader:
            return [f"{at}: the reader's enum lacks {', '.join(missing)} and has no default"]
        return []

    def _fixed(self, reader, writer, at):
        same = full_name(reader) == full_name(writer) and reader["size"] == writer["size"]
        return [] if same else [f"{at}: another fixed"]

    def _array(self, reader, writer, at):
        return self.problems(reader["items"], writer["items"], at + "[]")

    def _map(self, reader, writer, at):
        return self.problems(reader["values"], writer["values"], at + "{}")


def unreadable(reader, writer):
    """Why `reader` cannot read what `writer` wrote; empty when it can."""
    return Reading(reader, writer).problems(reader, writer, reader["name"])


def changed_meaning(old, new):
    """What Avro does not see: attributes of our own that must stay as they are."""
    out = [f"{new['name']}: \"{a}\" was {old.get(a)}, is {new.get(a)}" for a in ("kind", "key") if old.get(a) != new.get(a)]
    before = {f["name"]: f for f in old["fields"]}
    for field in new["fields"]:
        was = before.get(field["name"])
        for attribute in ("sealed", "subject"):
            if was and was.get(attribute) != field.get(attribute):
                out.append(f"{new['name']}.{field['name']}: \"{attribute}\" was {was.get(attribute)}, is {field.get(attribute)}")
    return out


def incompatibilities(versions):
    """FULL_TRANSITIVE over the versions of a subject: each reads each."""
    out = []
    for i, old in enumerate(versions):
        for new in versions[i + 1:]:
            out += unreadable(new, old) + unreadable(old, new) + changed_meaning(old, new)
    return out
