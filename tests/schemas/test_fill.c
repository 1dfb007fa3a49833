/* A record's fields by their names, on the stream "trials" of fixture/, which has a field of every type. */
#include "schemas/fill.h"
#include "schemas/trials.gen.h"
#include "tests/schemas/codec_fixture.h"

static const struct uuid some_id = { { 1, 2, 3, 4, 5, 6, 0x7a, 8, 0x8b, 10, 11, 12, 13, 14, 15, 16 } };
static const struct str words[] = { { "red", 3 }, { "", 0 } };

static struct trials_fact *fact;

static void begin(void)
{
    struct any_record *record;
    set_up();
    ck_ok(record_begin(&trials_stream.fact, TRIALS_TRIAL_HELD, &arena, &record));
    fact = (struct trials_fact *)record;
}

static err put(const char *name, struct value value)
{
    return record_put(&trials_stream.fact, (struct any_record *)fact, name, &value, &arena);
}

static err put_text(const char *name, const char *text)
{
    return put(name, (struct value){ VALUE_TEXT, .text = str_of(text) });
}

START_TEST(a_new_record_is_what_its_schema_says_and_else_nothing)
{
    const struct trial_held *t = &fact->trial_held;
    ck_assert_int_eq(fact->type, TRIALS_TRIAL_HELD);
    ck_assert(t->count == -7 && t->total == 9007199254740993 && t->ratio == 0.5 && t->flag && t->mood == MOOD_WILD);
    ck_assert(str_equal(t->remark, STR("nöne")) && t->judge.bytes[15] == 0xff);
    ck_assert(uuid_is_nil(t->trial_id) && t->note.len == 0 && t->tags.count == 0 && !t->has_hint && !t->has_secret);
}
END_TEST

START_TEST(a_text_becomes_what_its_field_is)
{
    const struct trial_held *t = &fact->trial_held;
    ck_ok(put_text("note", "nöte"));
    ck_ok(put_text("trial_id", "01020304-0506-7a08-8b0a-0b0c0d0e0f10"));
    ck_ok(put_text("total", "1970-01-01T00:00:01.5Z"));
    ck_ok(put_text("mood", "calm"));
    ck_ok(put_text("hint", "h"));
    ck_ok(put_text("last_mood", "other"));
    ck_ok(put_text("secret", "clear"));
    ck_assert(str_equal(t->note, STR("nöte")) && uuid_equal(t->trial_id, some_id));
    ck_assert(t->total == 1500 && t->mood == MOOD_CALM && t->last_mood == MOOD_OTHER);
    ck_assert(str_equal(t->hint, STR("h")) && str_equal(t->secret.clear, STR("clear")) && t->secret.cipher.len == 0);
    ck_assert_msg(t->has_hint && t->has_last_mood && t->has_secret, "what is optional is there now");
}
END_TEST

START_TEST(a_number_a_truth_an_id_and_texts_go_where_they_fit)
{
    const struct trial_held *t = &fact->trial_held;
    ck_ok(put("count", (struct value){ VALUE_INTEGER, .integer = INT32_MIN }));
    ck_ok(put("total", (struct value){ VALUE_INTEGER, .integer = INT64_MAX }));
    ck_ok(put("flag", (struct value){ VALUE_BOOL, .boolean = false }));
    ck_ok(put("witness", (struct value){ VALUE_UUID, .uuid = some_id }));
    ck_ok(put("tags", (struct value){ VALUE_TEXTS, .texts = { words, 2 } }));
    ck_assert(t->count == INT32_MIN && t->total == INT64_MAX && !t->flag);
    ck_assert(t->has_witness && uuid_equal(t->witness, some_id));
    ck_assert(t->tags.count == 2 && str_equal(t->tags.items[0], STR("red")) && t->tags.items[1].len == 0);
    ck_assert(uuid_equal(record_uuid(&trials_stream.fact, (struct any_record *)fact, "witness"), some_id));
    ck_assert(uuid_is_nil(record_uuid(&trials_stream.fact, (struct any_record *)fact, "note")));
}
END_TEST

START_TEST(what_does_not_fit_is_said_by_name_and_not_put)
{
    static const struct {
        const char *name;
        struct value value;
    } wrong[] = {
        { "mood", { VALUE_TEXT, .text = STR("WILD") } },
        { "mood", { VALUE_TEXT, .text = STR("wil") } },
        { "mood", { VALUE_TEXT, .text = STR("wilder") } },
        { "mood", { VALUE_TEXT, .text = STR("") } },
        { "trial_id", { VALUE_TEXT, .text = STR("1") } },
        { "total", { VALUE_TEXT, .text = STR("7") } },
        { "count", { VALUE_TEXT, .text = STR("7") } },
        { "digest", { VALUE_TEXT, .text = STR("7") } },
        { "tags", { VALUE_TEXT, .text = STR("red") } },
        { "note", { VALUE_TEXTS, .texts = { words, 2 } } },
        { "numbers", { VALUE_TEXTS, .texts = { words, 2 } } },
        { "count", { VALUE_INTEGER, .integer = INT32_MAX + 1LL } },
        { "count", { VALUE_INTEGER, .integer = INT32_MIN - 1LL } },
        { "flag", { VALUE_INTEGER, .integer = 1 } },
        { "count", { VALUE_BOOL, .boolean = true } },
        { "note", { VALUE_UUID } },
    };
    struct trials_fact before = *fact;
    char name[64];
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        ck_assert_msg(put(wrong[i].name, wrong[i].value) == FATAL, "%zu is put into %s", i, wrong[i].name);
        snprintf(name, sizeof name, "the field %s of aether.trials.TrialHeld", wrong[i].name);
        ck_assert_msg(strstr(err_message(), name) != NULL, "%s", err_message());
    }
    ck_assert_int_eq(memcmp((const char *)&before, (const char *)fact, sizeof before), 0);
    ck_assert_int_eq(put_text("notes", "x"), FATAL);
    ck_assert_str_eq(err_message(), "aether.trials.TrialHeld has no field notes");
}
END_TEST

START_TEST(the_fields_of_a_record_are_known_but_for_its_meta)
{
    size_t count = 0;
    const char *name, *last = NULL;
    for (; (name = record_field_name(&trials_stream.fact, TRIALS_TRIAL_HELD, count)); last = name)
        count++;
    ck_assert_uint_eq(count, 18);
    ck_assert_str_eq(record_field_name(&trials_stream.fact, TRIALS_TRIAL_HELD, 0), "trial_id");
    ck_assert_str_eq(last, "secret");
    ck_assert(record_has_field(&trials_stream.fact, TRIALS_TRIAL_HELD, "note"));
    ck_assert(!record_has_field(&trials_stream.fact, TRIALS_TRIAL_HELD, "not"));
    ck_assert(record_has_default(&trials_stream.fact, TRIALS_TRIAL_HELD, "flag"));
    ck_assert(!record_has_default(&trials_stream.fact, TRIALS_TRIAL_HELD, "note"));
}
END_TEST

START_TEST(a_type_that_there_is_not_has_no_record)
{
    struct any_record *record;
    ck_assert_int_eq(record_begin(&trials_stream.fact, 2, &arena, &record), FATAL);
    ck_assert_int_eq(record_begin(&trials_stream.command, 1, &arena, &record), FATAL);
    ck_assert(!record_field_name(&trials_stream.fact, 2, 0) && !record_has_field(&trials_stream.fact, 2, "note"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fill");
    TCase *all = suite_case("all");
    tcase_add_checked_fixture(all, begin, tear_down);
    tcase_add_test(all, a_new_record_is_what_its_schema_says_and_else_nothing);
    tcase_add_test(all, a_text_becomes_what_its_field_is);
    tcase_add_test(all, a_number_a_truth_an_id_and_texts_go_where_they_fit);
    tcase_add_test(all, what_does_not_fit_is_said_by_name_and_not_put);
    tcase_add_test(all, the_fields_of_a_record_are_known_but_for_its_meta);
    tcase_add_test(all, a_type_that_there_is_not_has_no_record);
    suite_add_tcase(suite, all);
    return suite_run(suite);
}
