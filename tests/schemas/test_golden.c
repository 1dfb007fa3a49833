/* Golden bytes: what the samples look like on the wire, as <record>.v<version>.hex in tests/golden. A file is written
 * once and never changed: each must decode for ever, and the newest of a record is what is encoded today. A new
 * version's file is made with AETHER_GOLDEN_WRITE=1 in the environment, which writes those that are not there yet. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/schemas/samples.h"
#include "tests/suite.h"

static const char *folder;
static struct codec *codec;
static struct arena arena;
static struct buf out;

static void set_up(void)
{
    ck_assert_int_eq(codec_create(NULL, &codec), OK);
    arena_init(&arena, 0);
}

static void tear_down(void)
{
    codec_destroy(codec);
    arena_finish(&arena);
    buf_finish(&out);
}

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

static void assert_golden(const char *name, struct str framed)
{
    const char *path = path_of(name, version_of(framed)->version);
    FILE *there = fopen(path, "r");
    if (there)
        fclose(there);
    else if (getenv("AETHER_GOLDEN_WRITE"))
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
    for (size_t u = 0; u < all_unions_count; u++)
        for (int type = 1; type <= all_unions[u]->type_count; type++)
            if (strcmp(all_unions[u]->name(type), name) == 0) {
                struct any_record *back = arena_alloc(&arena, all_unions[u]->size);
                err e = all_unions[u]->decode(codec, framed, &arena, back);
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
    tcase_add_test(all, an_outcome_is_encoded_to_its_golden_bytes);
    tcase_add_test(all, a_signal_is_encoded_to_its_golden_bytes);
    tcase_add_test(all, all_golden_bytes_of_all_versions_are_read);
    suite_add_tcase(suite, all);
    return suite_run(suite);
}
