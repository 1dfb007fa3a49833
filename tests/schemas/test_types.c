/* Every type the generator knows, and writers whose schema is not ours, on the stream "trials" of fixture/: its
 * schemas, history and lock take the place of the real ones in this program. */
#include <stdlib.h>

#include "schemas/trials.gen.h"
#include "tests/schemas/codec_fixture.h"

static const struct uuid some_id = { { 1, 2, 3, 4, 5, 6, 0x7a, 8, 0x8b, 10, 11, 12, 13, 14, 15, 16 } };
static const struct str some_tags[] = { { "red", 3 }, { "", 0 }, { "b\0w", 3 } };
static const int64_t some_numbers[] = { 0, -1, 63, 64, -65, INT64_MAX, INT64_MIN };
static const struct mark some_marks[] = {
    { .label = { "first", 5 }, .has_weight = true, .weight = 12 },
    { .label = { "second", 6 } },
};

static struct trial_held full_trial(void)
{
    return (struct trial_held){
        .meta = { .id = some_id, .at = -1, .command_offset = 5, .trace = STR("t") },
        .trial_id = some_id,
        .place = { .x = 1.5, .y = -1e300 },
        .note = STR("nöte"),
        .remark = STR("r"),
        .digest = STR("\0\377"),
        .count = INT32_MIN,
        .total = INT64_MIN,
        .ratio = 0.1,
        .flag = false,
        .mood = MOOD_CALM,
        .judge = some_id,
        .tags = { some_tags, 3 },
        .numbers = { some_numbers, 7 },
        .marks = { some_marks, 2 },
        .has_hint = true,
        .hint = STR("hint"),
        .has_witness = true,
        .witness = some_id,
        .has_last_mood = true,
        .last_mood = MOOD_WILD,
        .has_secret = true,
        .secret = { .cipher = STR("cipher") },
    };
}

START_TEST(a_value_of_every_type_comes_back_as_it_was_written)
{
    struct trial_held in = full_trial(), t;
    ck_assert_int_eq(trial_held_encode(codec, &in, &out), OK);
    ck_assert_msg(trial_held_decode(codec, buf_view(&out), &arena, &t) == OK, "%s", err_message());
    ck_assert(t.place.x == 1.5 && t.place.y == -1e300);
    ck_assert(str_equal(t.note, in.note) && str_equal(t.remark, STR("r")) && str_equal(t.digest, in.digest));
    ck_assert_int_eq(t.count, INT32_MIN);
    ck_assert_int_eq(t.total, INT64_MIN);
    ck_assert(t.ratio == 0.1 && !t.flag && t.mood == MOOD_CALM && uuid_equal(t.judge, some_id));
    ck_assert_uint_eq(t.tags.count, 3);
    for (size_t i = 0; i < 3; i++)
        ck_assert(str_equal(t.tags.items[i], some_tags[i]));
    ck_assert_uint_eq(t.numbers.count, 7);
    for (size_t i = 0; i < 7; i++)
        ck_assert_int_eq(t.numbers.items[i], some_numbers[i]);
    ck_assert_uint_eq(t.marks.count, 2);
    ck_assert(str_equal(t.marks.items[0].label, STR("first")) && t.marks.items[0].has_weight);
    ck_assert_int_eq(t.marks.items[0].weight, 12);
    ck_assert(str_equal(t.marks.items[1].label, STR("second")) && !t.marks.items[1].has_weight);
    ck_assert(t.has_hint && str_equal(t.hint, STR("hint")));
    ck_assert(t.has_witness && uuid_equal(t.witness, some_id));
    ck_assert(t.has_last_mood && t.last_mood == MOOD_WILD);
    ck_assert(t.has_secret && str_equal(t.secret.cipher, STR("cipher")) && t.secret.state == SEALED);
}
END_TEST

START_TEST(what_is_absent_stays_absent)
{
    struct trial_held in = { .note = STR("") }, t = full_trial();
    ck_assert_int_eq(trial_held_encode(codec, &in, &out), OK);
    ck_assert_int_eq(trial_held_decode(codec, buf_view(&out), &arena, &t), OK);
    ck_assert(!t.has_hint && !t.has_witness && !t.has_last_mood && !t.has_secret);
    ck_assert_uint_eq(t.tags.count + t.numbers.count + t.marks.count + t.hint.len, 0);
    ck_assert(t.mood == MOOD_CALM && uuid_is_nil(t.judge));
}
END_TEST

START_TEST(an_optional_sealed_field_has_a_subject_only_when_it_is_there)
{
    struct uuid subjects[8];
    struct trials_fact f = { .type = TRIALS_TRIAL_HELD, .trial_held = full_trial() };
    const struct any_record *any = (const struct any_record *)&f;
    ck_assert_uint_eq(trials_stream.fact.subjects(any, subjects), 1);
    f.trial_held.has_secret = false;
    ck_assert_uint_eq(trials_stream.fact.subjects(any, subjects), 0);
}
END_TEST

START_TEST(a_kind_that_a_stream_has_no_records_of_is_an_empty_union)
{
    struct trial_held in = { .note = STR("") };
    struct trials_command none;
    ck_assert_int_eq(trials_stream.command.type_count, 0);
    ck_assert_int_eq(trial_held_encode(codec, &in, &out), OK);
    ck_assert_int_eq(trials_stream.command.decode(codec, buf_view(&out), &arena, (struct any_record *)&none), REJECT);
    ck_assert_int_eq(none.type, 0);
}
END_TEST

/* --- writers with another schema --- */

#define UUID_TEXT "01020304-0506-7a08-8b0a-0b0c0d0e0f10"
#define META_OF(trace)                                                                                                 \
    "{\"name\":\"meta\",\"type\":{\"type\":\"record\",\"name\":\"Meta\",\"namespace\":\"aether\",\"fields\":["         \
    "{\"name\":\"id\",\"type\":\"string\"},{\"name\":\"at\",\"type\":\"long\"},{\"name\":\"actor\",\"type\":"          \
    "\"string\"},"                                                                                                     \
    "{\"name\":\"command_id\",\"type\":\"string\"}" trace "]}}"
#define PLACE                                                                                                          \
    "{\"name\":\"place\",\"type\":{\"type\":\"record\",\"name\":\"Place\",\"fields\":["                                \
    "{\"name\":\"x\",\"type\":\"double\"},{\"name\":\"y\",\"type\":\"double\"}]}}"
#define TRIAL(fields)                                                                                                  \
    "{\"type\":\"record\",\"name\":\"TrialHeld\",\"namespace\":\"aether.trials\",\"fields\":[" META_OF(                \
        "") ","                                                                                                        \
            "{\"name\":\"trial_id\",\"type\":\"string\"}," PLACE ",{\"name\":\"note\",\"type\":\"string\"}" fields     \
            "]}"
#define FIELD(name, type) ",{\"name\":\"" name "\",\"type\":" type "}"

/* The bytes of the fields that TRIAL always has. */
#define UUID_BYTES  "\110" UUID_TEXT
#define META_BYTES  UUID_BYTES "\006" UUID_BYTES UUID_BYTES
#define PLACE_BYTES "\0\0\0\0\0\0\360\077\0\0\0\0\0\0\0\100"
#define TRIAL_BYTES META_BYTES UUID_BYTES PLACE_BYTES "\004ok"

static err decode_from(const char *schema, struct str payload, struct trial_held *ret)
{
    static int32_t id = 1000;
    id++;
    ck_assert_msg(codec_add_schema(codec, id, str_of(schema)) == OK, "%s", err_message());
    buf_clear(&out);
    const char frame[] = { 0, 0, 0, (char)(id >> 8), (char)id };
    buf_append(&out, frame, sizeof frame);
    buf_str(&out, payload);
    return trial_held_decode(codec, buf_view(&out), &arena, ret);
}

#define assert_read(schema, bytes, ret)                                                                                \
    ck_assert_msg(decode_from((schema), STR(bytes), (ret)) == OK, "%s", err_message())

#define assert_rejected(schema, bytes, words)                                                                          \
    do {                                                                                                               \
        struct trial_held rejected_;                                                                                   \
        ck_assert_int_eq(decode_from((schema), STR(bytes), &rejected_), REJECT);                                       \
        ck_assert_msg(strstr(err_message(), (words)), "not what was expected: %s", err_message());                     \
    } while (0)

START_TEST(a_field_the_writer_did_not_have_gets_its_default)
{
    struct trial_held t;
    assert_read(TRIAL(""), TRIAL_BYTES, &t);
    ck_assert_int_eq(t.meta.at, 3);
    ck_assert_int_eq(t.meta.command_offset, -1);
    ck_assert_uint_eq(t.meta.trace.len + t.meta.request_hash.len, 0);
    ck_assert(t.place.x == 1.0 && t.place.y == 2.0 && str_equal(t.note, STR("ok")));
    ck_assert(str_equal(t.remark, STR("nöne")));
    ck_assert(str_equal(t.digest, STR("\377\1")));
    ck_assert_int_eq(t.count, -7);
    ck_assert_int_eq(t.total, 9007199254740993);
    ck_assert(t.ratio == 0.5 && t.flag);
    ck_assert_int_eq(t.mood, MOOD_WILD);
    ck_assert_int_eq(t.judge.bytes[15], 0xff);
    ck_assert_uint_eq(t.tags.count + t.numbers.count + t.marks.count, 0);
    ck_assert(!t.has_hint && !t.has_witness && !t.has_last_mood && !t.has_secret);
}
END_TEST

START_TEST(version_1_of_the_history_is_still_read)
{
    /* meta whole, as version 1 has it */
    static const char bytes[] =
        "\0\0\0\0\001" UUID_BYTES "\006" UUID_BYTES UUID_BYTES "\012\002h\002t" UUID_BYTES PLACE_BYTES "\004ok";
    struct trials_fact f;
    ck_assert_msg(trials_stream.fact.decode(codec, STR(bytes), &arena, (struct any_record *)&f) == OK, "%s",
                  err_message());
    ck_assert_int_eq(f.type, TRIALS_TRIAL_HELD);
    ck_assert_int_eq(f.trial_held.meta.command_offset, 5);
    ck_assert(str_equal(f.trial_held.note, STR("ok")));
    ck_assert_int_eq(f.trial_held.count, -7);
}
END_TEST

START_TEST(a_field_the_reader_does_not_know_is_skipped)
{
    struct trial_held t;
    assert_read(
        TRIAL(FIELD("u1", "{\"type\":\"map\",\"values\":[\"null\",\"float\"]}") FIELD(
            "u2", "{\"type\":\"fixed\",\"name\":\"F\",\"size\":3}")
                  FIELD("u3", "{\"type\":\"array\",\"items\":{\"type\":\"array\",\"items\":\"bytes\"}}") FIELD(
                      "u4",
                      "{\"type\":\"record\",\"name\":\"L\",\"fields\":[{\"name\":\"n\",\"type\":[\"null\",\"L\"]}]}")
                      FIELD("count", "\"int\"")),
        TRIAL_BYTES "\002\002k\002\0\0\0\0\0"
                    "abc"
                    "\002\004\002x\004yz\0\0"
                    "\002\002\0"
                    "\006",
        &t);
    ck_assert_int_eq(t.count, 3);
}
END_TEST

START_TEST(fields_are_found_by_name_in_any_order)
{
    struct trial_held t;
    assert_read(
        "{\"type\":\"record\",\"name\":\"TrialHeld\",\"namespace\":\"aether.trials\",\"fields\":["
        "{\"name\":\"note\",\"type\":\"string\"}," PLACE
        ",{\"name\":\"trial_id\",\"type\":\"string\"}," META_OF(",{\"name\":\"trace\",\"type\":\"string\"}") "]}",
        "\004ok" PLACE_BYTES UUID_BYTES META_BYTES "\004tr", &t);
    ck_assert(str_equal(t.note, STR("ok")) && uuid_equal(t.trial_id, some_id) && str_equal(t.meta.trace, STR("tr")));
}
END_TEST

START_TEST(types_are_promoted_as_avro_says)
{
    struct trial_held t;
    assert_read(TRIAL(FIELD("total", "\"int\"") FIELD("ratio", "\"int\"") FIELD("remark", "\"bytes\"")
                          FIELD("digest", "\"string\"")),
                TRIAL_BYTES "\003\010\004by\006str", &t);
    ck_assert_int_eq(t.total, -2);
    ck_assert(t.ratio == 4.0 && str_equal(t.remark, STR("by")) && str_equal(t.digest, STR("str")));
    assert_read(TRIAL(FIELD("ratio", "\"float\"")), TRIAL_BYTES "\0\0\0\077", &t);
    ck_assert(t.ratio == 0.5);
    assert_read(TRIAL(FIELD("ratio", "\"long\"")), TRIAL_BYTES "\003", &t);
    ck_assert(t.ratio == -2.0);
}
END_TEST

START_TEST(bytes_that_become_a_string_must_be_utf8)
{
    assert_rejected(TRIAL(FIELD("remark", "\"bytes\"")), TRIAL_BYTES "\004a\377", "remark is not UTF-8");
    assert_rejected(TRIAL(FIELD("tags", "{\"type\":\"array\",\"items\":\"bytes\"}")), TRIAL_BYTES "\002\002\342\0",
                    "item is not UTF-8");
}
END_TEST

START_TEST(a_string_that_nobody_could_read_is_not_encoded)
{
    struct trial_held in = full_trial();
    in.remark = STR("\303");
    ck_assert_int_eq(trial_held_encode(codec, &in, &out), REJECT);
    ck_assert_ptr_nonnull(strstr(err_message(), "remark is not UTF-8"));
    ck_assert_uint_eq(out.len, 0);
}
END_TEST

START_TEST(a_type_that_cannot_become_ours_is_rejected)
{
    assert_rejected(TRIAL(FIELD("count", "\"long\"")), TRIAL_BYTES "\002", "count");
    assert_rejected(TRIAL(FIELD("count", "\"string\"")), TRIAL_BYTES "\0021", "count");
    assert_rejected(TRIAL(FIELD("remark", "\"long\"")), TRIAL_BYTES "\002", "remark");
    assert_rejected(TRIAL(FIELD("tags", "\"string\"")), TRIAL_BYTES "\002t", "tags");
    assert_rejected(TRIAL(FIELD("flag", "\"null\"")), TRIAL_BYTES "", "flag");
    assert_rejected(TRIAL(FIELD("tags", "{\"type\":\"array\",\"items\":\"long\"}")), TRIAL_BYTES "\0", "item");
}
END_TEST

START_TEST(a_required_field_that_the_writer_lacks_is_rejected_by_name)
{
    assert_rejected("{\"type\":\"record\",\"name\":\"TrialHeld\",\"namespace\":\"aether.trials\",\"fields\":[" META_OF(
                        "") ",{\"name\":\"trial_id\",\"type\":\"string\"}," PLACE "]}",
                    META_BYTES UUID_BYTES PLACE_BYTES, "no field note");
}
END_TEST

START_TEST(an_optional_field_is_read_from_any_union_or_plain_type)
{
    struct trial_held t;
    assert_read(TRIAL(FIELD("hint", "\"string\"")), TRIAL_BYTES "\004hi", &t);
    ck_assert(t.has_hint && str_equal(t.hint, STR("hi")));
    assert_read(TRIAL(FIELD("hint", "[\"long\",\"string\",\"null\"]")), TRIAL_BYTES "\002\004hi", &t);
    ck_assert(t.has_hint && str_equal(t.hint, STR("hi")));
    assert_read(TRIAL(FIELD("hint", "[\"long\",\"string\",\"null\"]")), TRIAL_BYTES "\004", &t);
    ck_assert(!t.has_hint);
    assert_rejected(TRIAL(FIELD("hint", "[\"long\",\"string\",\"null\"]")), TRIAL_BYTES "\000\004", "hint");
    assert_read(TRIAL(FIELD("count", "[\"null\",\"int\"]")), TRIAL_BYTES "\002\004", &t);
    ck_assert_int_eq(t.count, 2);
    assert_rejected(TRIAL(FIELD("count", "[\"null\",\"int\"]")), TRIAL_BYTES "\000", "count");
    assert_rejected(TRIAL(FIELD("count", "[\"null\",\"string\"]")), TRIAL_BYTES "\000", "count");
}
END_TEST

#define MOODS(symbols) "{\"type\":\"enum\",\"name\":\"Mood\",\"symbols\":[" symbols "]}"

START_TEST(enum_symbols_go_by_name_and_an_unknown_one_becomes_the_default)
{
    struct trial_held t;
    assert_read(TRIAL(FIELD("mood", MOODS("\"WILD\",\"FURIOUS\",\"CALM\""))), TRIAL_BYTES "\004", &t);
    ck_assert_int_eq(t.mood, MOOD_CALM);
    assert_read(TRIAL(FIELD("mood", MOODS("\"WILD\",\"FURIOUS\",\"CALM\""))), TRIAL_BYTES "\000", &t);
    ck_assert_int_eq(t.mood, MOOD_WILD);
    assert_read(TRIAL(FIELD("mood", MOODS("\"WILD\",\"FURIOUS\",\"CALM\""))), TRIAL_BYTES "\002", &t);
    ck_assert_int_eq(t.mood, MOOD_OTHER);
}
END_TEST

START_TEST(a_uuid_is_read_strictly)
{
    struct trial_held t;
    assert_read(TRIAL(FIELD("judge", "\"string\"")), TRIAL_BYTES UUID_BYTES, &t);
    ck_assert(uuid_equal(t.judge, some_id));
    assert_rejected(TRIAL(FIELD("judge", "\"string\"")), TRIAL_BYTES "\0", "judge is no UUID");
    assert_rejected(TRIAL(FIELD("judge", "\"string\"")),
                    TRIAL_BYTES "\110"
                                "01020304-0506-7a08-8b0a-0b0c0d0e0f1g",
                    "no UUID");
    assert_rejected(TRIAL(FIELD("judge", "\"string\"")),
                    TRIAL_BYTES "\110"
                                "0102030400506-7a08-8b0a-0b0c0d0e0f10",
                    "no UUID");
    assert_rejected(TRIAL(FIELD("judge", "\"string\"")), TRIAL_BYTES "\112" UUID_TEXT " ", "no UUID");
    assert_rejected(TRIAL(FIELD("judge", "\"string\"")), TRIAL_BYTES "\112" UUID_TEXT "\0", "no UUID");
}
END_TEST

START_TEST(arrays_of_records_are_read_by_the_writers_item)
{
    struct trial_held t;
    assert_read(TRIAL(FIELD("marks", "{\"type\":\"array\",\"items\":{\"type\":\"record\",\"name\":\"Mark\",\"fields\":["
                                     "{\"name\":\"x\",\"type\":\"long\"},{\"name\":\"label\",\"type\":\"string\"}]}}")),
                TRIAL_BYTES "\004\002\002a\002\002b\002\002\002c\0", &t);
    ck_assert_uint_eq(t.marks.count, 3);
    ck_assert(str_equal(t.marks.items[2].label, STR("c")) && !t.marks.items[2].has_weight);
}
END_TEST

START_TEST(a_record_that_fails_leaves_the_codec_usable)
{
    struct trial_held in = full_trial(), t;
    for (int i = 0; i < 3; i++) {
        buf_clear(&out);
        ck_assert_int_eq(trial_held_encode(codec, &in, &out), OK);
        ck_assert_int_eq(trial_held_decode(codec, buf_view(&out), &arena, &t), OK);
        ck_assert_uint_eq(t.tags.count, 3);
        ck_assert_int_eq(trial_held_decode(codec, (struct str){ out.ptr, out.len - 3 }, &arena, &t), REJECT);
        assert_rejected(TRIAL(FIELD("judge", "\"string\"")), TRIAL_BYTES "\0", "judge is no UUID");
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("types");
    TCase *all = suite_case("all");
    tcase_add_checked_fixture(all, set_up, tear_down);
    tcase_add_test(all, a_value_of_every_type_comes_back_as_it_was_written);
    tcase_add_test(all, what_is_absent_stays_absent);
    tcase_add_test(all, an_optional_sealed_field_has_a_subject_only_when_it_is_there);
    tcase_add_test(all, a_kind_that_a_stream_has_no_records_of_is_an_empty_union);
    tcase_add_test(all, a_field_the_writer_did_not_have_gets_its_default);
    tcase_add_test(all, version_1_of_the_history_is_still_read);
    tcase_add_test(all, a_field_the_reader_does_not_know_is_skipped);
    tcase_add_test(all, fields_are_found_by_name_in_any_order);
    tcase_add_test(all, types_are_promoted_as_avro_says);
    tcase_add_test(all, bytes_that_become_a_string_must_be_utf8);
    tcase_add_test(all, a_string_that_nobody_could_read_is_not_encoded);
    tcase_add_test(all, a_type_that_cannot_become_ours_is_rejected);
    tcase_add_test(all, a_required_field_that_the_writer_lacks_is_rejected_by_name);
    tcase_add_test(all, an_optional_field_is_read_from_any_union_or_plain_type);
    tcase_add_test(all, enum_symbols_go_by_name_and_an_unknown_one_becomes_the_default);
    tcase_add_test(all, a_uuid_is_read_strictly);
    tcase_add_test(all, arrays_of_records_are_read_by_the_writers_item);
    tcase_add_test(all, a_record_that_fails_leaves_the_codec_usable);
    suite_add_tcase(suite, all);
    return suite_run(suite);
}
