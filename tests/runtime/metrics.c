#include "ops/runtime/metrics.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "ops/runtime/clock.h"
#include "tests/runtime/allocations.h"
#include "tests/suite.h"

enum { POSTED, FAILED, CONNECTIONS, LATENCY, LATENCY_OTHER, COUNT };

static const struct metric table[] = {
    [POSTED] = { "test_requests_total", "code=\"201\"", METRIC_COUNTER, "Requests." },
    [FAILED] = { "test_requests_total", "code=\"503\"", METRIC_COUNTER, "Requests." },
    [CONNECTIONS] = { "test_connections", NULL, METRIC_GAUGE, "Open connections." },
    [LATENCY] = { "test_seconds", "route=\"a\"", METRIC_HISTOGRAM, "Latency." },
    [LATENCY_OTHER] = { "test_seconds", "route=\"b\"", METRIC_HISTOGRAM, "Latency." },
};

static struct metrics *m;

static void setup(void)
{
    m = metrics_create(table, COUNT);
}

static void teardown(void)
{
    metrics_destroy(m);
}

static const char *rendered(void)
{
    static struct buf out;
    buf_clear(&out);
    metrics_render(m, &out);
    buf_char(&out, '\0');
    return out.ptr;
}

static void ck_has(const char *text, const char *part)
{
    ck_assert_msg(strstr(text, part) != NULL, "'%s' is missing in:\n%s", part, text);
}

START_TEST(rows_of_one_name_share_help_and_type)
{
    metrics_add(m, POSTED, 2);
    metrics_add(m, POSTED, 1);
    metrics_set(m, CONNECTIONS, 7);
    metrics_add(m, CONNECTIONS, -2);
    const char *text = rendered();
    static const char expected[] = "# HELP test_requests_total Requests.\n"
                                   "# TYPE test_requests_total counter\n"
                                   "test_requests_total{code=\"201\"} 3\n"
                                   "test_requests_total{code=\"503\"} 0\n"
                                   "# HELP test_connections Open connections.\n"
                                   "# TYPE test_connections gauge\n"
                                   "test_connections 5\n"
                                   "# HELP test_seconds Latency.\n"
                                   "# TYPE test_seconds histogram\n"
                                   "test_seconds_bucket{route=\"a\",le=\"0.0001\"} 0\n";
    ck_assert_mem_eq(text, expected, sizeof expected - 1);
    ck_assert_int_eq(metrics_read(m, POSTED), 3);
    ck_assert_int_eq(metrics_read(m, CONNECTIONS), 5);
}
END_TEST

START_TEST(buckets_are_cumulative_and_include_their_bound)
{
    static const int64_t observed[] = { 0, 100, 101, 1000, 9999999, 10000000, 10000001, 60000000 };
    for (size_t i = 0; i < sizeof observed / sizeof *observed; i++)
        metrics_observe_us(m, LATENCY, observed[i]);
    const char *text = rendered();
    ck_has(text, "test_seconds_bucket{route=\"a\",le=\"0.0001\"} 2\n"
                 "test_seconds_bucket{route=\"a\",le=\"0.00025\"} 3\n"
                 "test_seconds_bucket{route=\"a\",le=\"0.0005\"} 3\n"
                 "test_seconds_bucket{route=\"a\",le=\"0.001\"} 4\n");
    ck_has(text, "test_seconds_bucket{route=\"a\",le=\"5\"} 4\n"
                 "test_seconds_bucket{route=\"a\",le=\"10\"} 6\n"
                 "test_seconds_bucket{route=\"a\",le=\"+Inf\"} 8\n"
                 "test_seconds_sum{route=\"a\"} 90.001201\n"
                 "test_seconds_count{route=\"a\"} 8\n");
    ck_has(text, "test_seconds_count{route=\"b\"} 0\n");
    ck_assert_int_eq(metrics_read(m, LATENCY), 8);
}
END_TEST

static double value_of(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    ck_assert_ptr_nonnull(at);
    return atof(at + strlen(name));
}

START_TEST(the_process_tells_about_itself)
{
    const char *text = rendered();
    ck_assert_double_gt(value_of(text, "\nprocess_resident_memory_bytes "), 1e6);
    ck_assert_double_ge(value_of(text, "\nprocess_cpu_seconds_total "), 0);
    ck_assert_double_ge(value_of(text, "\nprocess_open_fds "), 3);
    const double started = value_of(text, "\nprocess_start_time_seconds ");
    ck_assert_double_gt(started, (double)time(NULL) - 3600);
    ck_assert_double_le(started, (double)time(NULL) + 1);
    ck_has(text, "\naether_build_info{version=\"");

    const double fds = value_of(text, "\nprocess_open_fds ");
    const int extra = dup(0);
    ck_assert_double_eq(value_of(rendered(), "\nprocess_open_fds "), fds + 1);
    close(extra);
}
END_TEST

#define THREADS 4
#define EACH    500000 /* long enough that they meet on a busy machine, too */

static pthread_barrier_t all_there;

static void *count(void *context)
{
    (void)context;
    pthread_barrier_wait(&all_there);
    for (int i = 0; i < EACH; i++) {
        metrics_add(m, POSTED, 1);
        metrics_observe_us(m, LATENCY, i);
    }
    return NULL;
}

START_TEST(no_count_of_several_threads_is_lost)
{
    pthread_t threads[THREADS];
    pthread_barrier_init(&all_there, NULL, THREADS);
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, count, NULL);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&all_there);
    ck_assert_int_eq(metrics_read(m, POSTED), THREADS * EACH);
    ck_assert_int_eq(metrics_read(m, LATENCY), THREADS * EACH);
}
END_TEST

START_TEST(counting_allocates_nothing)
{
    const size_t before = allocations();
    for (int i = 0; i < 1000; i++) {
        metrics_add(m, POSTED, 1);
        metrics_set(m, CONNECTIONS, i);
        metrics_observe_us(m, LATENCY, i * 1000);
    }
    const size_t after = allocations();
    ck_assert_uint_eq(after, before);
}
END_TEST

/* --- the server --- */

static char answer[65536];

/* Sends it on a connection of its own; the whole answer is in `answer`. */
static const char *ask(const struct metrics_server *s, const char *request)
{
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    const struct sockaddr_in to = { .sin_family = AF_INET,
                                    .sin_port = htons((uint16_t)metrics_server_port(s)),
                                    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    ck_assert_int_eq(connect(fd, (const struct sockaddr *)&to, sizeof to), 0);
    ck_assert_int_eq(send(fd, request, strlen(request), 0), (ssize_t)strlen(request));
    size_t len = 0;
    for (ssize_t got; (got = recv(fd, answer + len, sizeof answer - 1 - len, 0)) > 0;)
        len += (size_t)got;
    answer[len] = '\0';
    close(fd);
    return answer;
}

#define CLOSE " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

static struct metrics_server *serving(const _Atomic int64_t *alive_until_us)
{
    struct metrics_server *s = NULL;
    ck_assert_msg(metrics_serve(m, "127.0.0.1", 0, alive_until_us, &s) == OK, "%s", err_message());
    ck_assert_int_gt(metrics_server_port(s), 0);
    return s;
}

START_TEST(metrics_are_served)
{
    metrics_add(m, POSTED, 42);
    struct metrics_server *s = serving(NULL);
    const char *text = ask(s, "GET /metrics" CLOSE);
    ck_has(text, "HTTP/1.1 200");
    ck_has(text, "text/plain; version=0.0.4; charset=utf-8");
    ck_has(text, "test_requests_total{code=\"201\"} 42\n");
    ck_has(text, "aether_build_info");
    metrics_server_destroy(s);
}
END_TEST

START_TEST(what_is_not_there_is_404_and_what_is_not_allowed_405)
{
    struct metrics_server *s = serving(NULL);
    ck_has(ask(s, "GET /" CLOSE), "HTTP/1.1 404");
    ck_has(ask(s, "DELETE /metrics" CLOSE), "HTTP/1.1 405");
    ck_has(answer, "Allow: GET, HEAD");
    ck_has(ask(s, "POST /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello"), " 405");
    ck_has(ask(s, "HEAD /health" CLOSE), "HTTP/1.1 200");
    metrics_server_destroy(s);
}
END_TEST

START_TEST(health_says_whether_the_program_is_stuck)
{
    _Atomic int64_t alive_until_us = clock_mono_us() + 60000000;
    struct metrics_server *s = serving(&alive_until_us);
    ck_has(ask(s, "GET /health" CLOSE), "HTTP/1.1 200");
    atomic_store(&alive_until_us, clock_mono_us() - 1);
    ck_has(ask(s, "GET /health" CLOSE), "HTTP/1.1 503");
    metrics_server_destroy(s);
}
END_TEST

START_TEST(a_port_in_use_is_said)
{
    struct metrics_server *s = serving(NULL), *other = NULL;
    ck_assert_int_eq(metrics_serve(m, "127.0.0.1", metrics_server_port(s), NULL, &other), FATAL);
    ck_has(err_message(), "Address already in use");
    ck_assert_ptr_null(other);
    ck_assert_int_eq(metrics_serve(m, "no such address", 0, NULL, &other), FATAL);
    metrics_server_destroy(s);
    metrics_server_destroy(NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("metrics");
    TCase *t = suite_case("metrics");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, rows_of_one_name_share_help_and_type);
    tcase_add_test(t, buckets_are_cumulative_and_include_their_bound);
    tcase_add_test(t, the_process_tells_about_itself);
    tcase_add_test(t, no_count_of_several_threads_is_lost);
    tcase_add_test(t, counting_allocates_nothing);
    tcase_add_test(t, metrics_are_served);
    tcase_add_test(t, what_is_not_there_is_404_and_what_is_not_allowed_405);
    tcase_add_test(t, health_says_whether_the_program_is_stuck);
    tcase_add_test(t, a_port_in_use_is_said);
    suite_add_tcase(suite, t);
    return suite_run(suite);
}
