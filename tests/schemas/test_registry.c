/* Writer schemas from a registry: a real HTTP server on loopback that answers as a Confluent-compatible one does. */
#include <microhttpd.h>
#include <stdlib.h>

#include "tests/schemas/samples.h"
#include "tests/settings.h"

#define WRITER_ID 70001

/* A MessagePosted as some other team's program may write it: no trace, and a field of its own. */
static const char writer_json[] =
    "{\"type\":\"record\",\"name\":\"MessagePosted\",\"namespace\":\"aether.rooms\",\"fields\":["
    "{\"name\":\"extra\",\"type\":\"long\"},{\"name\":\"meta\",\"type\":{\"type\":\"record\",\"name\":\"Meta\","
    "\"namespace\":"
    "\"aether\",\"fields\":[{\"name\":\"id\",\"type\":\"string\"},{\"name\":\"at\",\"type\":\"long\"},{\"name\":"
    "\"actor\",\"type\":"
    "\"string\"},{\"name\":\"command_id\",\"type\":\"string\"}]}},{\"name\":\"room_id\",\"type\":\"string\"},{\"name\":"
    "\"message_id\",\"type\":\"string\"},{\"name\":\"seq\",\"type\":\"int\"},{\"name\":\"body\",\"type\":\"bytes\"}]}";

#define UUID_BYTES "\11001930f5a-1122-7a33-8444-5566778899a1"
static const char written[] =
    "\0\0\1\21\161\006" UUID_BYTES "\004" UUID_BYTES UUID_BYTES UUID_BYTES UUID_BYTES "\014\006abc";

static struct MHD_Daemon *daemon_;
static unsigned status = 200; /* what the server answers */
static const char *body;
static _Atomic int requests;
static char last_path[64];

static enum MHD_Result answer(void *context, struct MHD_Connection *connection, const char *url, const char *method,
                              const char *version, const char *upload, size_t *upload_size, void **state)
{
    (void)context, (void)method, (void)version, (void)upload, (void)upload_size, (void)state;
    snprintf(last_path, sizeof last_path, "%s", url);
    requests++;
    struct MHD_Response *response = MHD_create_response_from_buffer(strlen(body), (void *)body, MHD_RESPMEM_MUST_COPY);
    enum MHD_Result queued = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return queued;
}

static int server_start(void)
{
    daemon_ = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL, NULL, answer, NULL, MHD_OPTION_END);
    ck_assert_ptr_nonnull(daemon_);
    return MHD_get_daemon_info(daemon_, MHD_DAEMON_INFO_BIND_PORT)->port;
}

static struct config *config;
static struct codec *codec;
static struct arena arena;

static void set_up(void)
{
    static const struct setting *const tables[] = { codec_settings, NULL };
    char url[96];
    snprintf(url, sizeof url, "schemas.registry_url=http://127.0.0.1:%d/", server_start());
    config = settings_of(tables, (const char *[]){ url, NULL });
    ck_assert_int_eq(codec_create(config, &codec), OK);
    arena_init(&arena, 0);
}

static void tear_down(void)
{
    if (daemon_)
        MHD_stop_daemon(daemon_);
    codec_destroy(codec);
    config_destroy(config);
    arena_finish(&arena);
}

static const char *schema_answer(const char *more)
{
    /* The schema is a string in the answer, so its quotes are escaped. */
    struct buf text = { 0 };
    buf_printf(&text, "{%s\"schema\":\"", more);
    for (const char *c = writer_json; *c; c++) {
        if (*c == '"')
            buf_char(&text, '\\');
        buf_char(&text, *c);
    }
    buf_append(&text, "\"}", 3);
    const char *copy = arena_str(&arena, buf_view(&text)).ptr;
    buf_finish(&text);
    return copy;
}

static err decode(struct message_posted *ret)
{
    return message_posted_decode(codec, STR(written), &arena, ret);
}

START_TEST(a_writer_schema_is_looked_up_once_and_kept)
{
    struct message_posted m;
    body = schema_answer("");
    for (int i = 0; i < 3; i++) {
        ck_assert_msg(decode(&m) == OK, "%s", err_message());
        ck_assert_int_eq(m.seq, 6);
        ck_assert_int_eq(m.meta.command_offset, -1);
        ck_assert(str_equal(m.body.cipher, STR("abc")));
    }
    ck_assert_int_eq(requests, 1);
    ck_assert_str_eq(last_path, "/schemas/ids/70001");
}
END_TEST

START_TEST(compiled_in_schemas_need_no_registry)
{
    struct buf out = { 0 };
    struct outcome o;
    ck_assert_int_eq(outcome_encode(codec, &sample_outcome, &out), OK);
    ck_assert_int_eq(outcome_decode(codec, buf_view(&out), &arena, &o), OK);
    ck_assert_int_eq(requests, 0);
    buf_finish(&out);
}
END_TEST

START_TEST(an_id_that_the_registry_does_not_know_is_rejected)
{
    struct message_posted m;
    status = 404;
    body = "{\"error_code\":40403,\"message\":\"Schema not found\"}";
    ck_assert_int_eq(decode(&m), REJECT);
    ck_assert_ptr_nonnull(strstr(err_message(), "70001 is not known to the registry"));
}
END_TEST

START_TEST(a_registry_that_fails_is_asked_again)
{
    struct message_posted m;
    status = 500;
    body = "";
    ck_assert_int_eq(decode(&m), RETRY);
    status = 200;
    body = schema_answer("");
    ck_assert_int_eq(decode(&m), OK);
    ck_assert_int_eq(requests, 2);
}
END_TEST

START_TEST(a_registry_that_is_away_means_retry)
{
    struct message_posted m;
    MHD_stop_daemon(daemon_);
    daemon_ = NULL;
    ck_assert_int_eq(decode(&m), RETRY);
}
END_TEST

START_TEST(an_answer_that_is_no_avro_schema_is_rejected)
{
    struct message_posted m;
    static const char *const answers[] = {
        "",
        "[]",
        "{}",
        "not json",
        "{\"schema\":5}",
        "{\"schema\":\"{\"}",
        "{\"schema\":\"\\\"long\\\"\"}",
        "{\"schema\":\"{}\",\"schemaType\":\"PROTOBUF\"}",
    };
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        body = answers[i];
        ck_assert_msg(decode(&m) == REJECT, "\"%s\" was taken", answers[i]);
    }
    body = schema_answer("\"references\":[{\"name\":\"x\"}],");
    ck_assert_int_eq(decode(&m), REJECT);
    body = schema_answer("\"schemaType\":\"AVRO\",\"references\":[],");
    ck_assert_int_eq(decode(&m), OK);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("registry");
    TCase *all = suite_case("all");
    tcase_add_checked_fixture(all, set_up, tear_down);
    tcase_add_test(all, a_writer_schema_is_looked_up_once_and_kept);
    tcase_add_test(all, compiled_in_schemas_need_no_registry);
    tcase_add_test(all, an_id_that_the_registry_does_not_know_is_rejected);
    tcase_add_test(all, a_registry_that_fails_is_asked_again);
    tcase_add_test(all, a_registry_that_is_away_means_retry);
    tcase_add_test(all, an_answer_that_is_no_avro_schema_is_rejected);
    suite_add_tcase(suite, all);
    return suite_run(suite);
}
