/* Golden bytes: what the samples look like on the wire, as <record>.v<version>.hex in tests/golden. A file is written
 * once and never changed: each must decode for ever, and the newest of a record is what is encoded today. A new
 * version's file is made with AETHER_GOLDEN_WRITE=1 in the environment, which writes those that are not there yet: as
 * the record's sample has it, or, without one, by its schema alone. */
#include <avro.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/schemas/codec_fixture.h"
#include "tests/schemas/samples.h"

static const char *folder;
/* The version of a framed payload's schema, by its pinned id. */
static const struct schema_version *version_of(struct str framed)
{
    int32_t id;
    ck_assert_int_eq(wire_schema_id(framed, &id), OK);
    ck_assert(id >= 1 && (size_t)id <= schema_versions_count);
    ck_assert_int_eq(schema_versions[id - 1].id, id);
    return &schema_versions[id - 1];
}

static const char *path_of(const char *name, int version)
{
    return arena_printf(&arena, "%s/%s.v%d.hex", folder, name, version);
}

static void write_hex(const char *path, struct str bytes)
{
    FILE *file = fopen(path, "wx");
    ck_assert_msg(file, "%s cannot be written", path);
    for (size_t i = 0; i < bytes.len; i++)
        fprintf(file, "%02x%s", (uint8_t)bytes.ptr[i], i % 32 == 31 || i + 1 == bytes.len ? "\n" : "");
    fclose(file);
}

static struct str read_hex(const char *path)
{
    FILE *file = fopen(path, "r");
    ck_assert_msg(file, "%s is missing; see the first lines of this test", path);
    struct buf bytes = { 0 };
    unsigned byte;
    while (fscanf(file, "%2x", &byte) == 1)
        buf_char(&bytes, (char)byte);
    fclose(file);
    struct str copy = arena_str(&arena, buf_view(&bytes));
    buf_finish(&bytes);
    return copy;
}

static bool is_to_be_written(const char *path)
{
    return access(path, F_OK) != 0 && getenv("AETHER_GOLDEN_WRITE");
}

static void assert_golden(const char *name, struct str framed)
{
    const char *path = path_of(name, version_of(framed)->version);
    if (is_to_be_written(path))
        write_hex(path, framed);
    struct str golden = read_hex(path);
    ck_assert_msg(str_equal(golden, framed), "%s is not what is encoded today", path);
}

START_TEST(a_record_is_encoded_to_its_golden_bytes)
{
    const struct sample *s = &samples[_i];
    ck_assert_int_eq(s->of->encode(codec, &s->any, &out), OK);
    assert_golden(s->name, buf_view(&out));
}
END_TEST

START_TEST(an_outcome_is_encoded_to_its_golden_bytes)
{
    ck_assert_int_eq(outcome_encode(codec, &sample_outcome, &out), OK);
    assert_golden("aether.replies.Outcome", buf_view(&out));
}
END_TEST

START_TEST(a_signal_is_encoded_to_its_golden_bytes)
{
    ck_assert_int_eq(read_up_to_encode(codec, &sample_read_up_to, &out), OK);
    assert_golden("aether.receipts.ReadUpTo", buf_view(&out));
    buf_clear(&out);
    ck_assert_int_eq(typing_encode(codec, &sample_typing, &out), OK);
    assert_golden("aether.typing.Typing", buf_view(&out));
}
END_TEST

/* --- a record that has no sample: bytes by its schema alone --- */

static const struct schema_version *newest_of(const char *name)
{
    const struct schema_version *newest = NULL;
    for (size_t i = 0; i < schema_versions_count; i++)
        if (strcmp(strchr(schema_versions[i].subject, '-') + 1, name) == 0)
            newest = &schema_versions[i];
    ck_assert_ptr_nonnull(newest);
    return newest;
}

static void fill(avro_value_t *value, const char *field);

/* As samples.c has it, so that readers find the same meta in every golden file. */
static void fill_meta(avro_value_t *meta, bool is_fact)
{
    static const char trace[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    static const char person[] = "01930f5a-1122-7a33-8444-5566778899a1",
                      command[] = "01930f5a-1122-7a33-8444-5566778899e5";
    const struct {
        const char *name, *text;
        int64_t number;
    } fields[] = {
        { "id", is_fact ? "01930f5a-1122-7a33-8444-5566778899f6" : command },
        { "at", NULL, 1767225599123 },
        { "actor", person },
        { "command_id", command },
        { "command_offset", NULL, is_fact ? 8589934592 : -1 },
        { "trace", trace },
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        avro_value_t value;
        ck_assert_int_eq(avro_value_get_by_name(meta, fields[i].name, &value, NULL), 0);
        ck_assert_int_eq(fields[i].text ? avro_value_set_string(&value, fields[i].text)
                                        : avro_value_set_long(&value, fields[i].number),
                         0);
    }
    avro_value_t hash;
    ck_assert_int_eq(avro_value_get_by_name(meta, "request_hash", &hash, NULL), 0);
    ck_assert_int_eq(avro_value_set_bytes(&hash, (void *)"0123456789abcdef", 16), 0);
}

static void fill_record(avro_value_t *record, bool is_fact)
{
    size_t count;
    ck_assert_int_eq(avro_value_get_size(record, &count), 0);
    for (size_t i = 0; i < count; i++) {
        avro_value_t value;
        const char *name;
        ck_assert_int_eq(avro_value_get_by_index(record, i, &value, &name), 0);
        if (strcmp(name, "meta") == 0)
            fill_meta(&value, is_fact);
        else
            fill(&value, name);
    }
}

/* Something that is neither zero nor the default of any field. */
static void fill(avro_value_t *value, const char *field)
{
    avro_value_t inner;
    switch (avro_value_get_type(value)) {
    case AVRO_STRING: /* a text, or an id as text */
        ck_assert_int_eq(avro_value_set_string(value, "01930f5a-1122-7a33-8444-5566778899b2"), 0);
        return;
    case AVRO_BYTES:
        ck_assert_int_eq(avro_value_set_bytes(value, arena_printf(&arena, "\001%s", field), strlen(field) + 1), 0);
        return;
    case AVRO_INT32:
        ck_assert_int_eq(avro_value_set_int(value, 4711), 0);
        return;
    case AVRO_INT64:
        ck_assert_int_eq(avro_value_set_long(value, 1767830399123), 0);
        return;
    case AVRO_DOUBLE:
        ck_assert_int_eq(avro_value_set_double(value, 0.5), 0);
        return;
    case AVRO_BOOLEAN:
        ck_assert_int_eq(avro_value_set_boolean(value, true), 0);
        return;
    case AVRO_ENUM:
        ck_assert_int_eq(avro_value_set_enum(value, 0), 0);
        return;
    case AVRO_ARRAY:
        ck_assert_int_eq(avro_value_append(value, &inner, NULL), 0);
        fill(&inner, field);
        return;
    case AVRO_UNION:
        ck_assert_int_eq(avro_value_set_branch(value, 1, &inner), 0);
        fill(&inner, field);
        return;
    case AVRO_RECORD:
        fill_record(value, false);
        return;
    default:
        ck_abort_msg("%s: the generator knows no such type", field);
    }
}

static struct str made_of(const struct schema_version *version)
{
    avro_schema_t schema;
    avro_value_t value;
    ck_assert_int_eq(avro_schema_from_json_length(version->json, strlen(version->json), &schema), 0);
    avro_value_iface_t *interface = avro_generic_class_from_schema(schema);
    ck_assert_int_eq(avro_generic_value_new(interface, &value), 0);
    fill_record(&value, strstr(version->subject, ".events-") != NULL);
    size_t size;
    ck_assert_int_eq(avro_value_sizeof(&value, &size), 0);
    char *framed = arena_alloc(&arena, 5 + size);
    framed[3] = (char)(version->id >> 8);
    framed[4] = (char)version->id;
    avro_writer_t writer = avro_writer_memory(framed + 5, (int64_t)size);
    ck_assert_int_eq(avro_value_write(writer, &value), 0);
    avro_writer_free(writer);
    avro_value_decref(&value);
    avro_value_iface_decref(interface);
    avro_schema_decref(schema);
    return (struct str){ framed, 5 + size };
}

START_TEST(every_record_is_read_from_its_golden_bytes_and_written_the_same)
{
    for (size_t u = 0; union_at(u); u++)
        for (int type = 1; type <= union_at(u)->type_count; type++) {
            const struct schema_version *newest = newest_of(union_at(u)->name(type));
            const char *path = path_of(union_at(u)->name(type), newest->version);
            if (is_to_be_written(path))
                write_hex(path, made_of(newest));
            const struct str golden = read_hex(path);
            struct any_record *back = arena_alloc(&arena, union_at(u)->size);
            ck_ok(union_at(u)->decode(codec, golden, &arena, back));
            buf_clear(&out);
            ck_ok(union_at(u)->encode(codec, back, &out));
            ck_assert_msg(str_equal(golden, buf_view(&out)), "%s", path);
        }
}
END_TEST

/* As AETHER_GOLDEN_WRITE would do it for every record, if there were no samples. */
START_TEST(bytes_by_the_schema_alone_are_good_for_every_record)
{
    for (size_t u = 0; union_at(u); u++)
        for (int type = 1; type <= union_at(u)->type_count; type++) {
            const char *name = union_at(u)->name(type);
            struct any_record *back = arena_alloc(&arena, union_at(u)->size);
            ck_assert_msg(union_at(u)->decode(codec, made_of(newest_of(name)), &arena, back) == OK, "%s: %s", name,
                          err_message());
        }
}
END_TEST

static err decode_by_subject(struct str framed)
{
    const char *name = strchr(version_of(framed)->subject, '-') + 1;
    struct outcome outcome;
    if (strcmp(name, "aether.replies.Outcome") == 0)
        return outcome_decode(codec, framed, &arena, &outcome);
    struct read_up_to read_up_to;
    struct typing typing;
    if (strcmp(name, "aether.receipts.ReadUpTo") == 0)
        return read_up_to_decode(codec, framed, &arena, &read_up_to);
    if (strcmp(name, "aether.typing.Typing") == 0)
        return typing_decode(codec, framed, &arena, &typing);
    for (size_t u = 0; union_at(u); u++)
        for (int type = 1; type <= union_at(u)->type_count; type++)
            if (strcmp(union_at(u)->name(type), name) == 0) {
                struct any_record *back = arena_alloc(&arena, union_at(u)->size);
                err e = union_at(u)->decode(codec, framed, &arena, back);
                if (e == OK)
                    ck_assert_int_eq(back->meta.at, 1767225599123);
                return e;
            }
    return err_set(REJECT, "no union has %s", name);
}

START_TEST(all_golden_bytes_of_all_versions_are_read)
{
    DIR *dir = opendir(folder);
    ck_assert_ptr_nonnull(dir);
    size_t count = 0;
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (!strstr(entry->d_name, ".hex"))
            continue;
        struct str framed = read_hex(arena_printf(&arena, "%s/%s", folder, entry->d_name));
        ck_assert_msg(decode_by_subject(framed) == OK, "%s: %s", entry->d_name, err_message());
        count++;
    }
    closedir(dir);
    ck_assert_uint_eq(count, schema_versions_count);
}
END_TEST

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: test_golden FOLDER\n");
        return EXIT_FAILURE;
    }
    folder = argv[1];
    Suite *suite = suite_create("golden");
    TCase *all = suite_case("all");
    tcase_add_checked_fixture(all, set_up, tear_down);
    tcase_add_loop_test(all, a_record_is_encoded_to_its_golden_bytes, 0, (int)samples_count);
    tcase_add_test(all, every_record_is_read_from_its_golden_bytes_and_written_the_same);
    tcase_add_test(all, bytes_by_the_schema_alone_are_good_for_every_record);
    tcase_add_test(all, an_outcome_is_encoded_to_its_golden_bytes);
    tcase_add_test(all, a_signal_is_encoded_to_its_golden_bytes);
    tcase_add_test(all, all_golden_bytes_of_all_versions_are_read);
    suite_add_tcase(suite, all);
    return suite_run(suite);
}
