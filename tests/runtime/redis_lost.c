/* A server that goes away, hangs, or does not let us in. */
#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ops/runtime/clock.h"
#include "tests/runtime/redis_fixture.h"

/* Asks until it works, at most 5 s. */
static void ck_heals(void)
{
    const int64_t until = clock_mono_us() + 5000000;
    for (;;) {
        err e = add_increment("1");
        if (e == OK)
            e = redis_flush(r, NULL, NULL);
        if (e == OK)
            return;
        ck_assert_int_eq(e, RETRY);
        ck_assert_msg(clock_mono_us() < until, "%s", err_message());
        poll(NULL, 0, 10);
    }
}

START_TEST(a_restarted_server_is_found_again)
{
    ck_heals();
    for (int i = 0; i < 3; i++) {
        server_stop();
        server_start();
        ck_heals();
        ck_heals();
        ck_assert(redis_is_up(r));
    }
}
END_TEST

START_TEST(a_server_that_restarted_while_idle_is_no_error)
{
    ck_heals();
    server_stop();
    server_start();
    poll(NULL, 0, 250); /* the pause between two attempts to connect */
    ck_ok(add_increment("1"));
    ck_ok(redis_flush(r, NULL, NULL));
}
END_TEST

START_TEST(what_was_queued_is_dropped_with_the_connection)
{
    struct seen s = { 0 };
    ck_heals();
    ck_ok(ADD("PING"));
    server_stop();
    ck_assert_int_eq(redis_flush(r, see, &s), RETRY);
    ck_assert_uint_eq(s.count, 0);
    ck_assert(!redis_is_up(r));
    ck_ok(redis_flush(r, see, &s));
    server_start();
    ck_heals();
    ASK(&s, "ECHO", "mine");
    ck_assert_str_eq(s.texts[0], "mine");
}
END_TEST

START_TEST(a_dead_server_costs_nothing)
{
    ck_heals();
    server_stop();
    const int64_t begin = clock_mono_us();
    for (int i = 0; i < 100000; i++)
        if (ADD("PING") != RETRY && redis_flush(r, NULL, NULL) != RETRY)
            ck_abort_msg("a dead server answered");
    ck_assert_int_lt(clock_mono_us() - begin, 2000000);
}
END_TEST

static _Atomic int connections;

/* Takes connections and ends them at once. */
static void *take_connections(void *context)
{
    for (int fd; (fd = accept(*(int *)context, NULL, NULL)) >= 0; close(fd))
        connections++;
    return NULL;
}

START_TEST(a_server_that_ends_each_connection_is_asked_at_most_every_200_ms)
{
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof at;
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&at, sizeof at), 0);
    ck_assert_int_eq(listen(listener, 100), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&at, &len), 0);
    pthread_t thread;
    pthread_create(&thread, NULL, take_connections, &listener);
    char text[64];
    snprintf(text, sizeof text, "redis://127.0.0.1:%d", ntohs(at.sin_port));
    redis_destroy(r);
    r = redis_create(text, TIMEOUT_MS);
    const int64_t begin = clock_mono_us();
    while (clock_mono_us() - begin < 700000)
        if (ADD("PING") != RETRY)
            ck_abort_msg("there is no Redis");
    ck_assert_int_ge(connections, 2);
    ck_assert_int_le(connections, 4);
    shutdown(listener, SHUT_RDWR);
    pthread_join(thread, NULL);
    close(listener);
}
END_TEST

START_TEST(a_server_that_hangs_is_given_up_in_time_and_answers_never_mix)
{
    struct seen s = { 0 };
    redis_destroy(r);
    r = redis_create(server.url, 100);
    ck_heals();
    kill(server.pid, SIGSTOP);
    ck_ok(ADD("ECHO", "old"));
    const int64_t begin = clock_mono_us();
    ck_assert_int_eq(redis_flush(r, see, &s), RETRY);
    ck_assert_int_lt(clock_mono_us() - begin, 1000000);
    kill(server.pid, SIGCONT);
    ck_heals();
    ASK(&s, "ECHO", "new");
    ck_assert_str_eq(s.texts[0], "new");
}
END_TEST

START_TEST(the_database_and_the_password_of_the_url_count)
{
    struct seen s;
    ck_heals();
    ASK(&s, "CLIENT", "INFO");
    ck_assert(redis_is_up(r));
    ASK(&s, "DBSIZE");
    ck_assert_int_eq(s.integers[0], 1);
    ASK(&s, "SELECT", "0");
    ASK(&s, "DBSIZE");
    ck_assert_int_eq(s.integers[0], 0);
}
END_TEST

START_TEST(a_wrong_password_is_fatal_and_not_shown)
{
    static const char *const users[] = { ":hunter2@", "default:hunter2@", "" };
    for (size_t i = 0; i < 3; i++) {
        char text[96];
        snprintf(text, sizeof text, "redis://%s127.0.0.1:%d/0", users[i], server.port);
        struct redis *wrong = redis_create(text, TIMEOUT_MS);
        ck_assert_int_eq(redis_add(wrong, 1, (const struct str[]){ STR("PING") }), FATAL);
        ck_assert_ptr_null(strstr(err_message(), "hunter2"));
        redis_destroy(wrong);
    }
}
END_TEST

int main(void)
{
    url = suite_server("AETHER_TEST_REDIS_URL");
    Suite *suite = suite_create("redis, lost connections");
    TCase *t = suite_case("own server");
    tcase_add_checked_fixture(t, redis_setup_own, redis_teardown);
    tcase_add_test(t, a_restarted_server_is_found_again);
    tcase_add_test(t, a_server_that_restarted_while_idle_is_no_error);
    tcase_add_test(t, what_was_queued_is_dropped_with_the_connection);
    tcase_add_test(t, a_dead_server_costs_nothing);
    tcase_add_test(t, a_server_that_ends_each_connection_is_asked_at_most_every_200_ms);
    tcase_add_test(t, a_server_that_hangs_is_given_up_in_time_and_answers_never_mix);
    tcase_add_test(t, the_database_and_the_password_of_the_url_count);
    tcase_add_test(t, a_wrong_password_is_fatal_and_not_shown);
    suite_add_tcase(suite, t);
    return suite_run(suite);
}
