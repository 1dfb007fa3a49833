/* Fuzz target: a framed payload, as it may lie in a topic. It goes to the decoders of every stream, with the writer
 * schemas that are compiled in and three that use what ours do not: maps, fixed, floats, recursion, unions, arrays of
 * nothing.
 *
 * What must hold: no fault, avro-c takes whatever codec_check took, and what was decoded and encoded again is decoded
 * to the same. */
#include <stdio.h>
#include <stdlib.h>

#include "schemas/accounts.gen.h"
#include "schemas/layout.h"
#include "schemas/replies.gen.h"
#include "schemas/rooms.gen.h"
#include "schemas/sessions.gen.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);
const char *__lsan_default_options(void);

/* avro-c lays the fields of a generic record out without alignment, and the leak checker does not find
 * pointers there. */
const char *__lsan_default_options(void)
{
    return "use_unaligned=1";
}

#define META                                                                                                           \
    "{\"name\":\"meta\",\"type\":{\"type\":\"record\",\"name\":\"Meta\",\"namespace\":\"aether\",\"fields\":["         \
    "{\"name\":\"id\",\"type\":\"string\"},{\"name\":\"at\",\"type\":\"int\"},{\"name\":\"actor\",\"type\":\"bytes\"}" \
    ","                                                                                                                \
    "{\"name\":\"command_id\",\"type\":[\"null\",\"string\"]}]}}"

static const char *const foreign[] = {
    /* a MessagePosted with fields that are skipped */
    "{\"type\":\"record\",\"name\":\"MessagePosted\",\"namespace\":\"aether.rooms\",\"fields\":[" META
    ",{\"name\":\"x\",\"type\":{\"type\":\"map\",\"values\":[\"null\",\"float\",\"string\"]}}"
    ",{\"name\":\"y\",\"type\":{\"type\":\"array\",\"items\":\"null\"}}"
    ",{\"name\":\"z\",\"type\":{\"type\":\"record\",\"name\":\"List\",\"fields\":[{\"name\":\"next\",\"type\":["
    "\"null\",\"List\"]}]}}"
    ",{\"name\":\"f\",\"type\":{\"type\":\"fixed\",\"name\":\"Four\",\"size\":4}},{\"name\":\"d\",\"type\":\"double\"}"
    ",{\"name\":\"room_id\",\"type\":\"string\"},{\"name\":\"message_id\",\"type\":\"string\"}"
    ",{\"name\":\"seq\",\"type\":\"int\"},{\"name\":\"body\",\"type\":\"string\"}]}",
    /* a RoomCreated whose enum has other symbols */
    "{\"type\":\"record\",\"name\":\"RoomCreated\",\"namespace\":\"aether.rooms\",\"fields\":[" META
    ",{\"name\":\"kind\",\"type\":{\"type\":\"enum\",\"name\":\"RoomKind\",\"symbols\":[\"SECRET\",\"DIRECT\"]}}"
    ",{\"name\":\"room_id\",\"type\":\"string\"},{\"name\":\"name\",\"type\":[\"long\",\"bytes\",\"string\"]}]}",
    /* an AccountRegistered with roles of several types */
    "{\"type\":\"record\",\"name\":\"AccountRegistered\",\"namespace\":\"aether.accounts\",\"fields\":[" META
    ",{\"name\":\"roles\",\"type\":{\"type\":\"array\",\"items\":[\"string\",\"bytes\",\"boolean\"]}}"
    ",{\"name\":\"deep\",\"type\":{\"type\":\"array\",\"items\":{\"type\":\"array\",\"items\":{\"type\":\"map\","
    "\"values\":\"int\"}}}}"
    ",{\"name\":\"user_id\",\"type\":\"string\"},{\"name\":\"username\",\"type\":\"bytes\"},{\"name\":\"username_"
    "index\",\"type\":\"bytes\"}"
    ",{\"name\":\"email\",\"type\":\"bytes\"},{\"name\":\"email_index\",\"type\":\"bytes\"},{\"name\":\"first_name\","
    "\"type\":\"bytes\"}"
    ",{\"name\":\"last_name\",\"type\":\"bytes\"},{\"name\":\"password_hash\",\"type\":\"bytes\"}]}",
};

static struct codec *codec;
static struct arena arena;
static struct buf first, second;

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "%s (%s)\n", what, err_message());
        abort();
    }
}

static void set_up(void)
{
    must(codec_create(NULL, &codec) == OK, "codec_create");
    arena_init(&arena, 0);
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        must(codec_add_schema(codec, 200 + (int32_t)i, str_of(foreign[i])) == OK, "a foreign schema is added");
}

/* Decodes; true when it was a record of the union. */
static bool decode(const struct record_union *of, struct str framed, struct any_record *ret)
{
    err e = of->decode(codec, framed, &arena, ret);
    must(e == OK || e == REJECT, "decoding says OK or REJECT");
    must(e == OK || !strstr(err_message(), "avro-c refuses"), "avro-c takes what codec_check took");
    must((e == OK) == (ret->type > 0), "a type only for a record");
    return e == OK;
}

static void round_trip(const struct record_union *of, struct any_record *record)
{
    buf_clear(&first);
    if (of->encode(codec, record, &first) != OK) {
        must(strstr(err_message(), "must be sealed") != NULL, "only an empty cipher text cannot be encoded again");
        return;
    }
    struct any_record *again = arena_alloc(&arena, of->size);
    must(decode(of, buf_view(&first), again), "what was encoded is decoded");
    buf_clear(&second);
    must(of->encode(codec, again, &second) == OK, "and encoded again");
    must(str_equal(buf_view(&first), buf_view(&second)), "to the same bytes");
}

static void read_as(const struct record_union *of, struct str framed)
{
    struct any_record *record = arena_alloc(&arena, of->size);
    if (!decode(of, framed, record))
        return;
    struct uuid subjects[8];
    must(of->subjects(record, subjects) <= 8, "eight subjects at most");
    round_trip(of, record);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    if (!codec)
        set_up();
    arena_reset(&arena);
    struct str framed = { (const char *)bytes, len };
    for (const struct stream *const *stream = all_streams; *stream; stream++) {
        read_as(&(*stream)->command, framed);
        read_as(&(*stream)->fact, framed);
    }
    struct outcome outcome;
    if (outcome_decode(codec, framed, &arena, &outcome) == OK) {
        buf_clear(&first);
        must(outcome_encode(codec, &outcome, &first) == OK, "an outcome is encoded again");
    }
    return 0;
}
