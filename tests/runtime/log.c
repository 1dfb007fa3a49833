/* Lines, messages of errors, and the wish to stop. */
#include "ops/runtime/log.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>

#include "ops/runtime/err.h"
#include "ops/runtime/stop.h"
#include "tests/runtime/allocations.h"
#include "tests/runtime/captured.h"
#include "tests/suite.h"

static json_t *ck_line(const char *text)
{
    const char *end = strchr(text, '\n');
    ck_assert_ptr_nonnull(end);
    ck_assert_uint_le((size_t)(end - text) + 1, PIPE_BUF);
    json_t *read = json_loadb(text, (size_t)(end - text), JSON_ALLOW_NUL, NULL);
    ck_assert_msg(read != NULL, "no JSON: %.*s", (int)(end - text), text);
    return read;
}

static void ck_field(const json_t *line, const char *name, const char *expected)
{
    ck_assert_str_eq(json_string_value(json_object_get(line, name)), expected);
}

START_TEST(a_line_is_json_with_its_fields_in_order)
{
    log_init("messages", LOG_LEVEL_INFO);
    struct captured c = capture_begin(STDERR_FILENO);
    struct uuid id;
    ck_assert(uuid_parse(STR("017f22e2-79b0-7cc3-98c4-dc0c0c07398f"), &id));
    LOG(WARN, "record parked", F_STR("topic", "rooms.events"), F_INT("offset", -12), F_UUID("room", id),
        F_NUMBER("load", 0.25));
    char *text = capture_end(&c);
    ck_assert_int_eq(strncmp(text, "{\"time\":\"2", 10), 0);
    ck_assert_str_eq(strchr(text, ','), ",\"level\":\"warn\",\"program\":\"messages\","
                                        "\"event\":\"record parked\",\"topic\":\"rooms.events\",\"offset\":-12,"
                                        "\"room\":\"017f22e2-79b0-7cc3-98c4-dc0c0c07398f\",\"load\":0.25}\n");
    free(text);
}
END_TEST

START_TEST(lines_below_the_level_are_dropped)
{
    log_init("test", LOG_LEVEL_WARN);
    struct captured c = capture_begin(STDERR_FILENO);
    LOG(DEBUG, "no");
    LOG(INFO, "no");
    LOG(WARN, "yes");
    LOG(ERROR, "yes");
    char *text = capture_end(&c);
    ck_assert_ptr_null(strstr(text, "no"));
    json_decref(ck_line(text));
    ck_assert_ptr_nonnull(strstr(strchr(text, '\n'), "error"));
    free(text);
}
END_TEST

START_TEST(the_context_of_a_thread_is_on_its_lines_until_it_is_cleared)
{
    log_init("test", LOG_LEVEL_INFO);
    char long_id[100];
    memset(long_id, 'x', sizeof long_id);
    long_id[99] = '\0';
    struct captured c = capture_begin(STDERR_FILENO);
    log_context("req-1", NULL, long_id);
    LOG(INFO, "within");
    log_context(NULL, "", NULL);
    LOG(INFO, "after");
    char *text = capture_end(&c);
    json_t *line = ck_line(text);
    ck_field(line, "request_id", "req-1");
    ck_assert_ptr_null(json_object_get(line, "command_id"));
    ck_assert_uint_eq(json_string_length(json_object_get(line, "trace_id")), 63);
    json_decref(line);
    line = ck_line(strchr(text, '\n') + 1);
    ck_assert_ptr_null(json_object_get(line, "request_id"));
    json_decref(line);
    free(text);
}
END_TEST

START_TEST(bytes_that_are_no_utf8_become_the_replacement_character)
{
    static const struct {
        const char *from, *to;
    } rows[] = {
        { "plain", "plain" },
        { "\xc3\xa9\xe2\x82\xac\xf0\x9f\x99\x82", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x99\x82" },
        { "a\xff"
          "b",
          "a\xef\xbf\xbd"
          "b" },
        { "\xc3", "\xef\xbf\xbd" },
        { "\xc0\x80", "\xef\xbf\xbd\xef\xbf\xbd" },                                 /* overlong NUL */
        { "\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },                 /* a surrogate */
        { "\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" }, /* above U+10FFFF */
        { "\xe2\x82\"", "\xef\xbf\xbd\xef\xbf\xbd\"" },
        { "\"\\\n\t\x01", "\"\\\n\t\x01" },
    };
    log_init("test", LOG_LEVEL_INFO);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct captured c = capture_begin(STDERR_FILENO);
        LOG(INFO, "text", F_STR("field", rows[i].from));
        char *text = capture_end(&c);
        json_t *line = ck_line(text);
        ck_field(line, "field", rows[i].to);
        json_decref(line);
        free(text);
    }
}
END_TEST

START_TEST(a_line_that_is_too_long_is_cut_and_stays_json)
{
    log_init("test", LOG_LEVEL_INFO);
    static char big[3 * PIPE_BUF];
    for (size_t len = PIPE_BUF / 3 * 3 - 300; len < PIPE_BUF + 300; len += 3) {
        for (size_t i = 0; i < len; i += 3)
            memcpy(big + i, len % 2 ? "\xe2\x82\xac" : "\n\"x", 3);
        struct captured c = capture_begin(STDERR_FILENO);
        LOG(INFO, "big", F_INT("before", 1), F_STRN("big", ((struct str){ big, len })), F_INT("after", 2));
        char *text = capture_end(&c);
        json_t *line = ck_line(text);
        ck_assert_ptr_nonnull(json_object_get(line, "before"));
        const char *logged = json_string_value(json_object_get(line, "big"));
        ck_assert_ptr_nonnull(logged);
        if (strlen(logged) < len)
            ck_assert_str_eq(logged + strlen(logged) - 3, "\xe2\x80\xa6"); /* … */
        ck_assert_ptr_null(strchr(text, '\n')[1] ? text : NULL);
        json_decref(line);
        free(text);
    }
}
END_TEST

#define THREADS    4
#define LINES_EACH 400

static void *write_lines(void *context)
{
    char filling[700];
    memset(filling, 'a' + *(int *)context, sizeof filling);
    for (int i = 0; i < LINES_EACH; i++)
        LOG(INFO, "line", F_INT("thread", *(int *)context),
            F_STRN("filling", ((struct str){ filling, sizeof filling })));
    return NULL;
}

START_TEST(lines_of_several_threads_do_not_mix_in_a_pipe)
{
    log_init("test", LOG_LEVEL_INFO);
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    const int saved = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    pthread_t threads[THREADS];
    int numbers[THREADS];
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = i;
        pthread_create(&threads[i], NULL, write_lines, &numbers[i]);
    }
    FILE *reader = fdopen(ends[0], "r");
    char *text = NULL;
    size_t size = 0;
    for (int i = 0; i < THREADS * LINES_EACH; i++) {
        ck_assert_int_gt(getline(&text, &size, reader), 0);
        json_t *line = ck_line(text);
        const char *filling = json_string_value(json_object_get(line, "filling"));
        const char *mixed = filling + strspn(filling, (char[]){ filling[0], '\0' });
        ck_assert_str_eq(mixed, "");
        json_decref(line);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    dup2(saved, STDERR_FILENO);
    free(text);
    fclose(reader);
}
END_TEST

START_TEST(a_line_allocates_nothing_and_leaves_errno_alone)
{
    log_init("test", LOG_LEVEL_INFO);
    struct captured c = capture_begin(STDERR_FILENO);
    const size_t before = allocations();
    errno = ENOENT;
    for (int i = 0; i < 10; i++)
        LOG(INFO, "line", F_STR("a", "b"), F_INT("i", i), F_ERR);
    const size_t after = allocations(); /* before Check's own */
    ck_assert_int_eq(errno, ENOENT);
    ck_assert_uint_eq(after, before);
    free(capture_end(&c));
}
END_TEST

static void *other_message(void *context)
{
    (void)context;
    ck_assert_int_eq(err_set(FATAL, "of the other thread"), FATAL);
    return NULL;
}

START_TEST(the_message_of_an_error_belongs_to_its_thread)
{
    ck_assert_str_eq(err_message(), "");
    ck_assert_int_eq(err_set(RETRY, "%s is away", "Kafka"), RETRY);
    pthread_t thread;
    pthread_create(&thread, NULL, other_message, NULL);
    pthread_join(thread, NULL);
    ck_assert_str_eq(err_message(), "Kafka is away");
    ck_assert_int_eq(err_set(REJECT, "reading: %s", err_message()), REJECT);
    ck_assert_str_eq(err_message(), "reading: Kafka is away");
}
END_TEST

START_TEST(a_message_that_is_too_long_is_cut)
{
    char big[1000];
    memset(big, 'x', sizeof big);
    big[999] = '\0';
    ck_assert_int_eq(err_set(FATAL, "%s", big), FATAL);
    ck_assert_uint_eq(strlen(err_message()), 511);
}
END_TEST

static err fails_at(int number, int *reached)
{
    *reached = 1;
    TRY(number == 1 ? RETRY : OK);
    *reached = 2;
    TRY(number == 2 ? FATAL : OK);
    *reached = 3;
    return OK;
}

START_TEST(try_returns_the_first_error_and_goes_on_without_one)
{
    int reached;
    ck_assert_int_eq(fails_at(1, &reached), RETRY);
    ck_assert_int_eq(reached, 1);
    ck_assert_int_eq(fails_at(2, &reached), FATAL);
    ck_assert_int_eq(fails_at(3, &reached), OK);
    ck_assert_int_eq(reached, 3);
    ck_assert_str_eq(err_name(OK), "ok");
    ck_assert_str_eq(err_name(RETRY), "retry");
    ck_assert_str_eq(err_name(REJECT), "reject");
    ck_assert_str_eq(err_name(FATAL), "fatal");
}
END_TEST

START_TEST(a_signal_asks_to_stop_and_wakes_a_poll)
{
    stop_init();
    stop_init(); /* twice does no harm */
    ck_assert(!stop_requested());
    struct pollfd p = { .fd = stop_fd(), .events = POLLIN };
    ck_assert_int_eq(poll(&p, 1, 0), 0);
    raise(_i == 0 ? SIGTERM : SIGINT);
    ck_assert(stop_requested());
    ck_assert_int_eq(poll(&p, 1, 0), 1);
    stop_request();
    ck_assert_int_eq(poll(&p, 1, 0), 1);
}
END_TEST

START_TEST(a_closed_pipe_does_not_end_the_program)
{
    stop_init();
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    close(ends[0]);
    ck_assert_int_lt(write(ends[1], "x", 1), 0);
    ck_assert_int_eq(errno, EPIPE);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("log");
    TCase *t = suite_case("log");
    tcase_add_test(t, a_line_is_json_with_its_fields_in_order);
    tcase_add_test(t, lines_below_the_level_are_dropped);
    tcase_add_test(t, the_context_of_a_thread_is_on_its_lines_until_it_is_cleared);
    tcase_add_test(t, bytes_that_are_no_utf8_become_the_replacement_character);
    tcase_add_test(t, a_line_that_is_too_long_is_cut_and_stays_json);
    tcase_add_test(t, lines_of_several_threads_do_not_mix_in_a_pipe);
    tcase_add_test(t, a_line_allocates_nothing_and_leaves_errno_alone);
    suite_add_tcase(suite, t);
    t = suite_case("err");
    tcase_add_test(t, the_message_of_an_error_belongs_to_its_thread);
    tcase_add_test(t, a_message_that_is_too_long_is_cut);
    tcase_add_test(t, try_returns_the_first_error_and_goes_on_without_one);
    suite_add_tcase(suite, t);
    t = suite_case("stop");
    tcase_add_loop_test(t, a_signal_asks_to_stop_and_wakes_a_poll, 0, 2);
    tcase_add_test(t, a_closed_pipe_does_not_end_the_program);
    suite_add_tcase(suite, t);
    return suite_run(suite);
}
