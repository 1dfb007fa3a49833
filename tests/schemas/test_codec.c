/* The codec on the real streams: framing, unions, what is rejected, and codec_check on payloads that lie. */
#include <malloc.h>
#include <stdlib.h>

#include "tests/schemas/codec_fixture.h"
#include "tests/schemas/samples.h"

static struct str encoded(const struct sample *s)
{
    buf_clear(&out);
    ck_assert_msg(s->of->encode(codec, &s->any, &out) == OK, "%s: %s", s->name, err_message());
    return buf_view(&out);
}

static struct any_record *room_for(const struct record_union *u)
{
    return arena_alloc(&arena, u->size);
}

#define assert_rejected(expression, words)                                                                             \
    do {                                                                                                               \
        ck_assert_int_eq((expression), REJECT);                                                                        \
        ck_assert_msg(strstr(err_message(), (words)), "not what was expected: %s", err_message());                     \
    } while (0)

START_TEST(a_record_comes_back_as_it_was_written)
{
    const struct sample *s = &samples[_i];
    struct str framed = arena_str(&arena, encoded(s));
    struct any_record *back = room_for(s->of);
    ck_assert_msg(s->of->decode(codec, framed, &arena, back) == OK, "%s: %s", s->name, err_message());
    ck_assert_int_eq(back->type, s->any.type);
    ck_assert_str_eq(s->of->name(back->type), s->name);
    ck_assert(uuid_equal(back->meta.id, s->any.meta.id));
    ck_assert(uuid_equal(s->of->key(back), s->of->key(&s->any)));
    buf_clear(&out);
    ck_assert_int_eq(s->of->encode(codec, back, &out), OK);
    ck_assert(str_equal(framed, buf_view(&out)));
}
END_TEST

START_TEST(each_field_of_a_fact_is_decoded)
{
    const struct sample *s = &samples[samples_count - 1];
    const struct message_posted *in = &s->rooms_fact.message_posted;
    struct message_posted m;
    ck_assert_int_eq(message_posted_decode(codec, encoded(s), &arena, &m), OK);
    ck_assert(uuid_equal(m.meta.id, in->meta.id) && uuid_equal(m.meta.actor, in->meta.actor));
    ck_assert(uuid_equal(m.meta.command_id, in->meta.command_id));
    ck_assert_int_eq(m.meta.at, 1767225599123);
    ck_assert_int_eq(m.meta.command_offset, 8589934592);
    ck_assert(str_equal(m.meta.request_hash, STR("0123456789abcdef")));
    ck_assert(str_equal(m.meta.trace, in->meta.trace));
    ck_assert(uuid_equal(m.room_id, in->room_id) && uuid_equal(m.message_id, in->message_id));
    ck_assert_int_eq(m.seq, 4711);
    ck_assert(str_equal(m.body.cipher, in->body.cipher));
    ck_assert_int_eq(m.body.state, SEALED);
}
END_TEST

START_TEST(an_outcome_comes_back_as_it_was_written)
{
    struct outcome o;
    ck_assert_int_eq(outcome_encode(codec, &sample_outcome, &out), OK);
    ck_assert_int_eq(outcome_decode(codec, buf_view(&out), &arena, &o), OK);
    ck_assert(uuid_equal(o.command_id, sample_outcome.command_id) && uuid_equal(o.actor, sample_outcome.actor));
    ck_assert_int_eq(o.rejection, 203);
    ck_assert(o.duplicate);
    ck_assert(str_equal(o.stream, STR("rooms")));
    ck_assert_int_eq(o.partition, 5);
    ck_assert_int_eq(o.offset, 1234);
    ck_assert(str_equal(o.fact, sample_outcome.fact) && str_equal(o.request_hash, sample_outcome.request_hash));
    ck_assert_int_eq(o.at, 1767225599123);
}
END_TEST

START_TEST(decoded_text_lives_in_the_arena_and_not_in_the_payload)
{
    struct str framed = arena_str(&arena, encoded(&samples[samples_count - 1]));
    struct message_posted m;
    ck_assert_int_eq(message_posted_decode(codec, framed, &arena, &m), OK);
    memset((char *)framed.ptr, 'x', framed.len);
    ck_assert_int_eq(message_posted_decode(codec, encoded(&samples[1]), &arena, &(struct message_posted){ 0 }), REJECT);
    ck_assert(str_equal(m.meta.request_hash, STR("0123456789abcdef")));
}
END_TEST

START_TEST(a_union_without_records_rejects_everything)
{
    /* The type 0 stands for "none" in every union. */
    const struct any_record none = { 0 };
    assert_rejected(rooms_stream.fact.encode(codec, &none, &out), "no type of record of rooms.events");
    ck_assert_uint_eq(out.len, 0);
    ck_assert_ptr_null(rooms_stream.fact.name(0));
    ck_assert_ptr_null(rooms_stream.fact.name(99));
}
END_TEST

START_TEST(a_payload_that_is_not_framed_is_rejected)
{
    struct rooms_fact f;
    struct any_record *any = (struct any_record *)&f;
    assert_rejected(rooms_stream.fact.decode(codec, STR(""), &arena, any), "shorter than its frame");
    assert_rejected(rooms_stream.fact.decode(codec, STR("\0\0\0\0"), &arena, any), "shorter than its frame");
    assert_rejected(rooms_stream.fact.decode(codec, STR("{\"a\":1}"), &arena, any), "Confluent wire format");
    assert_rejected(rooms_stream.fact.decode(codec, STR("\0\0\0\0\7"), &arena, any), "cut off");
}
END_TEST

START_TEST(a_schema_id_that_nobody_knows_is_rejected)
{
    struct rooms_fact f;
    assert_rejected(rooms_stream.fact.decode(codec, STR("\0\0\1\0\0abc"), &arena, (struct any_record *)&f),
                    "65536 is not known");
    assert_rejected(rooms_stream.fact.decode(codec, STR("\0\377\377\377\377abc"), &arena, (struct any_record *)&f),
                    "-1 is not known");
    assert_rejected(rooms_stream.fact.decode(codec, STR("\0\0\0\0\0abc"), &arena, (struct any_record *)&f),
                    "0 is not known");
}
END_TEST

START_TEST(a_record_of_another_stream_or_kind_is_rejected)
{
    for (size_t i = 0; i < samples_count; i++)
        for (size_t u = 0; union_at(u); u++) {
            struct any_record *back = room_for(union_at(u));
            err e = union_at(u)->decode(codec, encoded(&samples[i]), &arena, back);
            ck_assert_int_eq(e, samples[i].of == union_at(u) ? OK : REJECT);
            ck_assert_int_eq(back->type, e == OK ? samples[i].any.type : 0);
        }
    struct join_room j;
    assert_rejected(join_room_decode(codec, encoded(&samples[samples_count - 1]), &arena, &j),
                    "is no aether.rooms.JoinRoom");
}
END_TEST

START_TEST(a_record_cut_off_anywhere_is_rejected)
{
    const struct sample *s = &samples[_i];
    struct str framed = arena_str(&arena, encoded(s));
    struct any_record *back = room_for(s->of);
    for (size_t len = 0; len < framed.len; len++) {
        /* At the end of an allocation of its own, so that ASan sees a byte too far. */
        char *exact = malloc(len ? len : 1);
        memcpy(exact, framed.ptr, len);
        ck_assert_msg(s->of->decode(codec, (struct str){ exact, len }, &arena, back) == REJECT,
                      "%s is valid at %zu bytes", s->name, len);
        free(exact);
    }
}
END_TEST

START_TEST(a_record_with_a_byte_more_is_rejected)
{
    const struct sample *s = &samples[_i];
    encoded(s);
    buf_char(&out, 0);
    assert_rejected(s->of->decode(codec, buf_view(&out), &arena, room_for(s->of)), "left over");
}
END_TEST

START_TEST(a_sealed_field_is_never_encoded_in_clear)
{
    struct post_message m = { .body = { .clear = STR("secret words"), .state = OPEN } };
    buf_str(&out, STR("before"));
    assert_rejected(post_message_encode(codec, &m, &out), "must be sealed");
    ck_assert(str_equal(buf_view(&out), STR("before")));
}
END_TEST

START_TEST(encoding_appends)
{
    buf_str(&out, STR("before"));
    ck_assert_int_eq(outcome_encode(codec, &sample_outcome, &out), OK);
    ck_assert(memcmp(out.ptr, "before", 6) == 0);
    struct outcome o;
    ck_assert_int_eq(outcome_decode(codec, (struct str){ out.ptr + 6, out.len - 6 }, &arena, &o), OK);
}
END_TEST

START_TEST(an_enum_value_out_of_range_is_not_encoded)
{
    struct sample s = samples[8];
    ck_assert_str_eq(s.name, "aether.rooms.CreateRoom");
    s.rooms_command.create_room.kind = (enum room_kind)3;
    assert_rejected(s.of->encode(codec, &s.any, &out), "no symbol");
}
END_TEST

START_TEST(enum_symbols_are_found_by_name)
{
    enum room_kind kind = ROOM_KIND_PUBLIC;
    ck_assert_str_eq(room_kind_symbol(ROOM_KIND_DIRECT), "DIRECT");
    ck_assert_ptr_null(room_kind_symbol((enum room_kind)3));
    ck_assert(room_kind_parse(STR("DIRECT"), &kind));
    ck_assert_int_eq(kind, ROOM_KIND_DIRECT);
    ck_assert(!room_kind_parse(STR("DIRECTOR"), &kind) && !room_kind_parse(STR("DIREC"), &kind));
}
END_TEST

START_TEST(a_sealed_field_that_an_older_record_did_not_have_is_carried_on_as_nothing)
{
    struct sample s = samples[0];
    struct any_record *back = arena_alloc(&arena, s.of->size);
    s.accounts_command.register_account.address = (struct sealed){ 0 };
    ck_assert_int_eq(s.of->encode(codec, &s.any, &out), OK);
    ck_assert_int_eq(s.of->decode(codec, buf_view(&out), &arena, back), OK);
    ck_assert_uint_eq(((struct accounts_command *)back)->register_account.address.cipher.len, 0);
    s.accounts_command.register_account.address.clear = STR("192.0.2.1");
    assert_rejected(s.of->encode(codec, &s.any, &out), "field address must be sealed");
    s.accounts_command.register_account.address.clear.len = 0;
    s.accounts_command.register_account.email = (struct sealed){ 0 };
    assert_rejected(s.of->encode(codec, &s.any, &out), "field email must be sealed");
}
END_TEST

START_TEST(the_subjects_of_a_record_are_named_once)
{
    struct uuid subjects[8];
    ck_assert_uint_eq(samples[0].of->subjects(&samples[0].any, subjects), 1); /* five fields, one person */
    ck_assert(uuid_equal(subjects[0], samples[0].accounts_command.register_account.user_id));
    ck_assert_uint_eq(samples[10].of->subjects(&samples[10].any, subjects), 0);
    ck_assert_uint_eq(samples[8].of->subjects(&samples[8].any, subjects), 1);
    ck_assert(uuid_equal(subjects[0], samples[8].rooms_command.create_room.room_id));
}
END_TEST

/* There in programs with a sanitizer, whose malloc says nothing to mallinfo2. */
size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

static size_t bytes_in_use(void)
{
    if (__sanitizer_get_current_allocated_bytes)
        return __sanitizer_get_current_allocated_bytes();
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

START_TEST(the_room_a_large_record_took_is_given_back)
{
    struct str before = arena_str(&arena, encoded(&samples[samples_count - 1]));
    struct message_posted m;
    ck_assert_int_eq(message_posted_decode(codec, before, &arena, &m), OK);
    size_t used = bytes_in_use();
    ck_assert_uint_gt(used, 0);
    struct sample large = samples[samples_count - 1];
    large.rooms_fact.message_posted.body.cipher = (struct str){ calloc(1, 900000), 900000 };
    struct arena other;
    arena_init(&other, 0);
    struct buf big = { 0 };
    ck_assert_int_eq(large.of->encode(codec, &large.any, &big), OK);
    ck_assert_int_eq(message_posted_decode(codec, buf_view(&big), &other, &m), OK);
    buf_finish(&big);
    arena_finish(&other);
    free((char *)large.rooms_fact.message_posted.body.cipher.ptr);
    size_t after = bytes_in_use();
    ck_assert_msg(after < used + 65536, "%zu bytes more are in use", after - used);
}
END_TEST

/* --- codec_check --- */

/* What codec_check says of these bytes under this schema; NULL when it takes them. */
static const char *complaint(const char *json, struct str payload)
{
    avro_schema_t schema;
    ck_assert_msg(avro_schema_from_json_length(json, strlen(json), &schema) == 0, "%s", avro_strerror());
    char *exact = malloc(payload.len ? payload.len : 1);
    if (payload.len > 0)
        memcpy(exact, payload.ptr, payload.len);
    err e = codec_check(schema, (struct str){ exact, payload.len });
    free(exact);
    avro_schema_decref(schema);
    ck_assert(e == OK || e == REJECT);
    return e == OK ? NULL : err_message();
}

#define RECORD(type) "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"f\",\"type\":" type "}]}"
#define ARRAY(type)  RECORD("{\"type\":\"array\",\"items\":" type "}")
#define MAP(type)    RECORD("{\"type\":\"map\",\"values\":" type "}")
#define LIST         "{\"type\":\"record\",\"name\":\"L\",\"fields\":[{\"name\":\"next\",\"type\":[\"null\",\"L\"]}]}"
#define T(json, bytes, words)                                                                                          \
    {                                                                                                                  \
        (json), { (bytes), sizeof(bytes) - 1 }, (words)                                                                \
    }

static const struct {
    const char *schema;
    struct str payload;
    const char *complaint; /* NULL: valid */
} payloads[] = {
    T(RECORD("\"long\""), "\0", NULL),
    T(RECORD("\"long\""), "\377\377\377\377\377\377\377\377\377\001", NULL),
    T(RECORD("\"long\""), "\200\200\200\200\200\200\200\200\200\000", NULL),
    T(RECORD("\"long\""), "\377\377\377\377\377\377\377\377\377\002", "more than 64 bits"),
    T(RECORD("\"long\""), "\377\377\377\377\377\377\377\377\377\377\001", "more than 64 bits"),
    T(RECORD("\"long\""), "\200\200", "cut off"),
    T(RECORD("\"int\""), "\376\377\377\377\017", NULL),
    T(RECORD("\"int\""), "\377\377\377\377\017", NULL),
    T(RECORD("\"int\""), "\200\200\200\200\020", "more than 32 bits"),
    T(RECORD("\"boolean\""), "\001", NULL),
    T(RECORD("\"boolean\""), "\002", "neither 0 nor 1"),
    T(RECORD("\"boolean\""), "", "ends before"),
    T(RECORD("\"float\""), "\0\0\0\0", NULL),
    T(RECORD("\"float\""), "\0\0\0", "ends before"),
    T(RECORD("\"double\""), "\0\0\0\0\0\0\0\0", NULL),
    T(RECORD("\"double\""), "\0\0\0\0\0\0\0", "ends before"),
    T(RECORD("\"null\""), "", NULL),
    T(RECORD("\"null\""), "\0", "left over"),
    T(RECORD("\"bytes\""), "\004ab", NULL),
    T(RECORD("\"bytes\""), "\006ab", "beyond the end"),
    T(RECORD("\"bytes\""), "\003ab", "negative length"),
    T(RECORD("\"bytes\""), "\200\204\257\137", "beyond the end"), /* 100 MB, in four bytes */
    T(RECORD("\"bytes\""), "\376\377\377\377\377\377\377\377\377\001", "beyond the end"),
    T(RECORD("\"string\""), "\012h\303\266\xe2\x82", "not UTF-8"), /* cut off in the last sign */
    T(RECORD("\"string\""), "\014h\303\266\xe2\x82\xac", NULL),
    T(RECORD("\"string\""), "\010\xf0\x9f\x98\x80", NULL),
    T(RECORD("\"string\""), "\004\300\200", "not UTF-8"),         /* NUL, the long way */
    T(RECORD("\"string\""), "\006\355\240\200", "not UTF-8"),     /* a surrogate */
    T(RECORD("\"string\""), "\010\364\220\200\200", "not UTF-8"), /* U+110000 */
    T(RECORD("\"string\""), "\002\200", "not UTF-8"),
    T(RECORD("{\"type\":\"fixed\",\"name\":\"F\",\"size\":3}"), "abc", NULL),
    T(RECORD("{\"type\":\"fixed\",\"name\":\"F\",\"size\":3}"), "ab", "ends before"),
    T(RECORD("{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"B\"]}"), "\002", NULL),
    T(RECORD("{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"B\"]}"), "\004", "enum symbol"),
    T(RECORD("{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"B\"]}"), "\001", "enum symbol"),
    T(RECORD("[\"null\",\"long\"]"), "\000", NULL),
    T(RECORD("[\"null\",\"long\"]"), "\002\002", NULL),
    T(RECORD("[\"null\",\"long\"]"), "\004\002", "union branch"),
    T(RECORD("[\"null\",\"long\"]"), "\001\002", "union branch"),
    T(ARRAY("\"long\""), "\004\002\004\000", NULL),
    T(ARRAY("\"long\""), "\004\002\004\002\006\000", NULL), /* two blocks */
    T(ARRAY("\"long\""), "\003\004\002\004\000", NULL),     /* a block with its length */
    T(ARRAY("\"long\""), "\003\002\002\004\000", "not that of its items"),
    T(ARRAY("\"long\""), "\003\003\002\004\000", "longer than the payload"),
    T(ARRAY("\"long\""), "\003\100\002\004\000", "longer than the payload"),
    T(ARRAY("\"long\""), "\004\002\004", "cut off"),
    T(ARRAY("\"null\""), "\200\211\172\000", "too many items"), /* a million of nothing */
    T(ARRAY("\"null\""), "\376\377\377\377\377\377\377\377\377\001\000", "too many items"),
    T(ARRAY("\"null\""), "\377\377\377\377\377\377\377\377\377\001\000\000", "too many items"),
    T(ARRAY("\"null\""), "\310\001\000", NULL),
    T(ARRAY("\"null\""), "\200\200\010\000", NULL),             /* 65,536, as many as may be */
    T(ARRAY("\"null\""), "\202\200\010\000", "too many items"), /* one more */
    T(MAP("\"long\""), "\002\002k\002\000", NULL),
    T(MAP("\"long\""), "\002\002\377\002\000", "not UTF-8"),
    T(MAP("\"long\""), "\002\100k\002\000", "beyond the end"),
    T(LIST, "\002\002\000", NULL),
    T(LIST, "\002\002\002\002\002\002\002\002\002\002\000", NULL),                      /* 32 levels */
    T(RECORD(LIST), "\002\002\002\002\002\002\002\002\002\002\000", "nested too deep"), /* 33 */
    T(LIST, "\002\002\002\002\002\002\002\002\002\002\002\002\002\002\002\002\002\002\002\002\002\002\002\002\002\000",
      "nested too deep"),
};

START_TEST(a_payload_is_checked_against_the_bytes_that_are_there)
{
    const char *said = complaint(payloads[_i].schema, payloads[_i].payload);
    if (!payloads[_i].complaint)
        ck_assert_msg(!said, "%s", said);
    else
        ck_assert_msg(said && strstr(said, payloads[_i].complaint), "expected \"%s\", got \"%s\"",
                      payloads[_i].complaint, said ? said : "valid");
}
END_TEST

START_TEST(a_schema_id_can_be_added_once)
{
    ck_assert_int_eq(codec_add_schema(codec, 900, STR(RECORD("\"long\""))), OK);
    assert_rejected(codec_add_schema(codec, 900, STR(RECORD("\"long\""))), "taken");
    assert_rejected(codec_add_schema(codec, 1, STR(RECORD("\"long\""))), "taken");
    assert_rejected(codec_add_schema(codec, 901, STR("\"long\"")), "no record");
    assert_rejected(codec_add_schema(codec, 902, STR("{\"type\":")), "cannot be parsed");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("codec");
    TCase *all = suite_case("all");
    tcase_add_checked_fixture(all, set_up, tear_down);
    tcase_add_loop_test(all, a_record_comes_back_as_it_was_written, 0, (int)samples_count);
    tcase_add_test(all, each_field_of_a_fact_is_decoded);
    tcase_add_test(all, an_outcome_comes_back_as_it_was_written);
    tcase_add_test(all, decoded_text_lives_in_the_arena_and_not_in_the_payload);
    tcase_add_test(all, a_union_without_records_rejects_everything);
    tcase_add_test(all, a_payload_that_is_not_framed_is_rejected);
    tcase_add_test(all, a_schema_id_that_nobody_knows_is_rejected);
    tcase_add_test(all, a_record_of_another_stream_or_kind_is_rejected);
    tcase_add_loop_test(all, a_record_cut_off_anywhere_is_rejected, 0, (int)samples_count);
    tcase_add_loop_test(all, a_record_with_a_byte_more_is_rejected, 0, (int)samples_count);
    tcase_add_test(all, a_sealed_field_is_never_encoded_in_clear);
    tcase_add_test(all, encoding_appends);
    tcase_add_test(all, an_enum_value_out_of_range_is_not_encoded);
    tcase_add_test(all, enum_symbols_are_found_by_name);
    tcase_add_test(all, the_subjects_of_a_record_are_named_once);
    tcase_add_test(all, a_sealed_field_that_an_older_record_did_not_have_is_carried_on_as_nothing);
    tcase_add_test(all, the_room_a_large_record_took_is_given_back);
    tcase_add_loop_test(all, a_payload_is_checked_against_the_bytes_that_are_there, 0,
                        (int)(sizeof payloads / sizeof *payloads));
    tcase_add_test(all, a_schema_id_can_be_added_once);
    suite_add_tcase(suite, all);
    return suite_run(suite);
}
