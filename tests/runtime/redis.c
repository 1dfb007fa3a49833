/* Pipelines, scripts, pub/sub and loss of the connection. AETHER_TEST_REDIS_URL is a server to talk to; the tests that
 * stop, pause or restart one start a redis-server of their own. */
#include "ops/runtime/redis.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ops/runtime/clock.h"
#include "ops/runtime/stop.h"
#include "tests/runtime/allocations.h"
#include "tests/suite.h"

#define TIMEOUT_MS 1000

static const char *url;
static struct redis *r;

/* --- a server of our own --- */

static struct {
    pid_t pid;
    int port;
    char url[64];
} server;

static int free_port(void)
{
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof at;
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    close(fd);
    return ntohs(at.sin_port);
}

static bool server_listens(void)
{
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    const struct sockaddr_in to = { .sin_family = AF_INET,
                                    .sin_port = htons((uint16_t)server.port),
                                    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    const bool listens = connect(fd, (const struct sockaddr *)&to, sizeof to) == 0;
    close(fd);
    return listens;
}

static void server_start(void)
{
    if (server.port == 0)
        server.port = free_port();
    snprintf(server.url, sizeof server.url, "redis://:s%%40cret@127.0.0.1:%d/3", server.port);
    server.pid = fork();
    if (server.pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a failed test takes it along */
        char port[8];
        snprintf(port, sizeof port, "%d", server.port);
        dup2(open("/dev/null", O_WRONLY), STDOUT_FILENO);
        execlp("redis-server", "redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly",
               "no", "--requirepass", "s@cret", (char *)NULL);
        _exit(127);
    }
    while (!server_listens()) {
        ck_assert_int_eq(waitpid(server.pid, NULL, WNOHANG), 0);
        poll(NULL, 0, 5);
    }
}

static void server_stop(void)
{
    if (server.pid > 0) {
        kill(server.pid, SIGKILL);
        waitpid(server.pid, NULL, 0);
    }
    server.pid = 0;
}

static void setup(void)
{
    stop_init();
    r = redis_create(url, TIMEOUT_MS);
}

static void setup_own(void)
{
    stop_init();
    server_start();
    r = redis_create(server.url, TIMEOUT_MS);
}

static void teardown(void)
{
    redis_destroy(r);
    server_stop();
}

/* --- replies --- */

#define REPLIES_MAX 64

struct seen {
    size_t count;
    int types[REPLIES_MAX];
    long long integers[REPLIES_MAX];
    char texts[REPLIES_MAX][64];
};

static void see(void *context, size_t index, const redisReply *reply)
{
    struct seen *s = context;
    ck_assert_uint_eq(index, s->count);
    s->types[index] = reply->type;
    s->integers[index] = reply->integer;
    snprintf(s->texts[index], sizeof *s->texts, "%s", reply->str ? reply->str : "");
    s->count++;
}

static err add(const char *first, ...)
{
    struct str argv[8];
    size_t argc = 0;
    va_list args;
    va_start(args, first);
    for (const char *arg = first; arg; arg = va_arg(args, const char *))
        argv[argc++] = str_of(arg);
    va_end(args);
    return redis_add(r, argc, argv);
}

#define ADD(...) add(__VA_ARGS__, (const char *)NULL)

/* One command; its reply. */
#define ASK(into, ...)                                                                                                 \
    do {                                                                                                               \
        memset((into), 0, sizeof *(into));                                                                             \
        ck_ok(ADD(__VA_ARGS__));                                                                                       \
        ck_ok(redis_flush(r, see, (into)));                                                                            \
    } while (0)

static const struct redis_script increment = {
    "return redis.call('INCRBY', KEYS[1], ARGV[1]) + 0 * #KEYS",
};
static const struct redis_script shout = { "return string.upper(ARGV[1])" };

static err add_increment(const char *by)
{
    return redis_add_script(r, &increment, 1, 2, (const struct str[]){ STR("runtime_test:n"), str_of(by) });
}

/* --- pipelines --- */

START_TEST(replies_come_in_the_order_of_the_commands)
{
    struct seen s = { 0 };
    ck_ok(ADD("DEL", "runtime_test:n"));
    for (int i = 0; i < 20; i++)
        ck_ok(ADD("INCR", "runtime_test:n"));
    ck_ok(ADD("GET", "runtime_test:n"));
    ck_ok(ADD("GET", "runtime_test:none"));
    ck_ok(redis_flush(r, see, &s));
    ck_assert_uint_eq(s.count, 23);
    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(s.integers[1 + i], i + 1);
    ck_assert_str_eq(s.texts[21], "20");
    ck_assert_int_eq(s.types[22], REDIS_REPLY_NIL);
    ck_assert(redis_is_up(r));
    ck_ok(redis_flush(r, see, &s)); /* nothing is queued */
    ck_assert_uint_eq(s.count, 23);
}
END_TEST

static void same_bytes(void *context, size_t index, const redisReply *reply)
{
    (void)index;
    const struct str *expected = context;
    if (reply->type == REDIS_REPLY_STRING)
        ck_assert(str_equal((struct str){ reply->str, reply->len }, *expected));
}

START_TEST(any_bytes_are_stored_as_they_are)
{
    struct str value = { "a\0b\r\n\xff", 6 };
    for (int i = 0; i < 2; i++) {
        ck_ok(redis_add(r, 3, (const struct str[]){ STR("SET"), STR("runtime_test:bytes"), value }));
        ck_ok(redis_add(r, 2, (const struct str[]){ STR("GET"), STR("runtime_test:bytes") }));
        ck_ok(redis_flush(r, same_bytes, &value));
        value = (struct str){ 0 };
    }
}
END_TEST

START_TEST(nothing_is_sent_before_the_flush)
{
    struct seen s;
    ASK(&s, "SET", "runtime_test:k", "before");
    ck_ok(ADD("SET", "runtime_test:k", "after"));
    redis_discard(r);
    ck_ok(redis_flush(r, NULL, NULL));
    while (ADD("PING") != OK) /* connected anew, after the pause between two attempts */
        poll(NULL, 0, 10);
    ck_ok(redis_flush(r, NULL, NULL));
    ASK(&s, "GET", "runtime_test:k");
    ck_assert_str_eq(s.texts[0], "before");
}
END_TEST

START_TEST(an_error_reply_is_seen_and_returned_and_the_others_count)
{
    struct seen s = { 0 };
    ck_ok(ADD("SET", "runtime_test:text", "no number"));
    ck_ok(ADD("INCR", "runtime_test:text"));
    ck_ok(ADD("GET", "runtime_test:text"));
    ck_assert_int_eq(redis_flush(r, see, &s), REJECT);
    ck_assert_ptr_nonnull(strstr(err_message(), "not an integer"));
    ck_assert_int_eq(s.types[1], REDIS_REPLY_ERROR);
    ck_assert_str_eq(s.texts[2], "no number");
    ck_assert(redis_is_up(r));
    ck_ok(ADD("NO_SUCH_COMMAND"));
    ck_assert_int_eq(redis_flush(r, NULL, NULL), REJECT);
    ck_ok(ADD("PING"));
    ck_ok(redis_flush(r, NULL, NULL));
}
END_TEST

START_TEST(a_large_pipeline_goes_through)
{
    char value[2000];
    memset(value, 'x', sizeof value);
    for (int i = 0; i < 20000; i++)
        ck_ok(redis_add(r, 2, (const struct str[]){ STR("ECHO"), { value, sizeof value } }));
    struct str expected = { value, sizeof value };
    ck_ok(redis_flush(r, same_bytes, &expected));
}
END_TEST

START_TEST(pipelines_after_the_first_allocate_nothing_of_our_own)
{
    size_t before = 0;
    for (int round = 0; round < 50; round++) {
        if (round == 2)
            before = allocations();
        for (int i = 0; i < 200; i++)
            if (redis_add(r, 3, (const struct str[]){ STR("SET"), STR("runtime_test:k"), STR("value") }) != OK ||
                add_increment("1") != OK)
                ck_abort_msg("%s", err_message());
        if (redis_flush(r, NULL, NULL) != OK)
            ck_abort_msg("%s", err_message());
    }
    const size_t after = allocations();
    ck_assert_uint_eq(after, before);
}
END_TEST

/* --- scripts --- */

static long long calls_of(const char *command)
{
    redisContext *c = redisConnect("127.0.0.1", server.port);
    freeReplyObject(redisCommand(c, "AUTH s@cret"));
    redisReply *reply = redisCommand(c, "INFO commandstats");
    char row[64];
    snprintf(row, sizeof row, "cmdstat_%s:calls=", command);
    const char *at = strstr(reply->str, row);
    const long long calls = at ? atoll(at + strlen(row)) : 0;
    freeReplyObject(reply);
    redisFree(c);
    return calls;
}

START_TEST(a_script_is_sent_once_a_connection_and_called_by_its_hash)
{
    struct seen s = { 0 };
    ck_ok(add_increment("5"));
    ck_ok(redis_add_script(r, &shout, 0, 1, (const struct str[]){ STR("loud") }));
    ck_ok(add_increment("2"));
    ck_ok(redis_flush(r, see, &s));
    ck_assert_uint_eq(s.count, 3);
    ck_assert_int_eq(s.integers[0], 5);
    ck_assert_str_eq(s.texts[1], "LOUD");
    ck_assert_int_eq(s.integers[2], 7);
    const long long in_full = calls_of("eval");
    for (int i = 0; i < 10; i++) {
        s.count = 0;
        ck_ok(add_increment("1"));
        ck_ok(redis_flush(r, see, &s));
        ck_assert_int_eq(s.integers[0], 8 + i);
    }
    ck_assert_int_eq(calls_of("eval"), in_full);
    ck_assert_int_eq(calls_of("evalsha"), 10);
}
END_TEST

START_TEST(a_server_that_has_forgotten_its_scripts_gets_them_again)
{
    struct seen s;
    ck_ok(add_increment("1"));
    ck_ok(redis_flush(r, NULL, NULL));
    ASK(&s, "SCRIPT", "FLUSH");
    ck_ok(ADD("SET", "runtime_test:k", "it ran"));
    ck_ok(add_increment("1"));
    ck_assert_int_eq(redis_flush(r, NULL, NULL), RETRY);
    ck_ok(add_increment("1"));
    ck_ok(redis_flush(r, NULL, NULL));
    ck_ok(add_increment("1"));
    ck_ok(redis_flush(r, NULL, NULL));
    ASK(&s, "GET", "runtime_test:n");
    ck_assert_str_eq(s.texts[0], "3");
    ASK(&s, "GET", "runtime_test:k");
    ck_assert_str_eq(s.texts[0], "it ran");
}
END_TEST

START_TEST(the_error_of_a_script_is_reject)
{
    static const struct redis_script wrong = { "return redis.call('INCR', 'a', 'b')" };
    for (int i = 0; i < 3; i++) {
        ck_ok(redis_add_script(r, &wrong, 0, 0, NULL));
        ck_assert_int_eq(redis_flush(r, NULL, NULL), REJECT);
    }
    static const struct redis_script no_lua = { "this is no Lua" };
    for (int i = 0; i < 3; i++) {
        ck_ok(redis_add_script(r, &no_lua, 0, 0, NULL));
        ck_assert_int_eq(redis_flush(r, NULL, NULL), REJECT);
    }
}
END_TEST

/* --- a server that goes away --- */

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

START_TEST(a_wrong_url_is_fatal)
{
    static const char *const wrong[] = {
        "",
        "localhost:6379",
        "http://localhost",
        "redis://",
        "redis://host:port",
        "redis://host:99999",
        "redis://host/x",
        "redis://host:1x/0",
        "redis://[::1",
        "redis://[::1]x",
        "redis://:6379",
        "redis://:hunter2@:1/0",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct redis *w = redis_create(wrong[i], TIMEOUT_MS);
        ck_assert_msg(redis_add(w, 1, (const struct str[]){ STR("PING") }) == FATAL, "%s", wrong[i]);
        ck_assert_ptr_null(strstr(err_message(), "hunter2"));
        redis_destroy(w);
    }
    redis_destroy(NULL);
}
END_TEST

/* --- pub/sub --- */

/* Publishes until somebody has received it. */
static void publish(struct redis *from, const char *channel, const char *text)
{
    struct seen s;
    do {
        s = (struct seen){ 0 };
        if (redis_add(from, 3, (const struct str[]){ STR("PUBLISH"), str_of(channel), str_of(text) }) == OK)
            (void)!redis_flush(from, see, &s);
    } while (s.count == 0 || s.integers[0] == 0);
}

START_TEST(a_message_comes_and_silence_is_ok)
{
    struct redis *from = redis_create(url, TIMEOUT_MS);
    struct str message = STR("old");
    ck_ok(redis_subscribe(r, STR("runtime_test:a b")));
    ck_ok(redis_subscribe(r, STR("runtime_test:c")));
    ck_ok(redis_next_message(r, 0, &message));
    ck_assert_ptr_null(message.ptr);
    publish(from, "runtime_test:a b", "one");
    publish(from, "runtime_test:c", "two");
    ck_ok(redis_next_message(r, 5000, &message));
    ck_assert(str_equal(message, STR("one")));
    ck_ok(redis_next_message(r, 5000, &message));
    ck_assert(str_equal(message, STR("two")));
    const int64_t begin = clock_mono_us();
    ck_ok(redis_next_message(r, 50, &message));
    ck_assert_ptr_null(message.ptr);
    ck_assert_int_ge(clock_mono_us() - begin, 49000);
    redis_destroy(from);
}
END_TEST

START_TEST(a_silence_longer_than_the_timeout_is_no_error)
{
    redis_destroy(r);
    r = redis_create(url, 50);
    struct str message;
    ck_ok(redis_subscribe(r, STR("runtime_test:silent")));
    ck_ok(redis_next_message(r, 300, &message));
    ck_assert_ptr_null(message.ptr);
}
END_TEST

START_TEST(subscriptions_outlive_a_restart)
{
    struct redis *from = redis_create(server.url, TIMEOUT_MS);
    struct str message;
    ck_ok(redis_subscribe(r, STR("runtime_test:a")));
    publish(from, "runtime_test:a", "before");
    ck_ok(redis_next_message(r, 5000, &message));
    ck_assert(str_equal(message, STR("before")));
    server_stop();
    int attempts = 0;
    const int64_t begin = clock_mono_us();
    while (clock_mono_us() - begin < 1000000) {
        ck_assert_int_eq(redis_next_message(r, 100, &message), RETRY);
        attempts++;
    }
    ck_assert_int_lt(attempts, 30); /* it waits, it does not spin */
    server_start();
    while (redis_next_message(r, 100, &message) != OK)
        ;
    publish(from, "runtime_test:a", "after");
    ck_ok(redis_next_message(r, 5000, &message));
    ck_assert(str_equal(message, STR("after")));
    redis_destroy(from);
}
END_TEST

START_TEST(to_subscribe_while_the_server_is_away_is_made_up_for)
{
    struct redis *from = redis_create(server.url, TIMEOUT_MS);
    struct str message;
    server_stop();
    ck_assert_int_eq(redis_subscribe(r, STR("runtime_test:a")), RETRY);
    server_start();
    while (redis_next_message(r, 100, &message) != OK)
        ;
    publish(from, "runtime_test:a", "hello");
    ck_ok(redis_next_message(r, 5000, &message));
    ck_assert(str_equal(message, STR("hello")));
    redis_destroy(from);
}
END_TEST

int main(void)
{
    url = suite_server("AETHER_TEST_REDIS_URL");
    Suite *suite = suite_create("redis");
    TCase *t = suite_case("shared server");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, replies_come_in_the_order_of_the_commands);
    tcase_add_test(t, any_bytes_are_stored_as_they_are);
    tcase_add_test(t, nothing_is_sent_before_the_flush);
    tcase_add_test(t, an_error_reply_is_seen_and_returned_and_the_others_count);
    tcase_add_test(t, a_large_pipeline_goes_through);
    tcase_add_test(t, pipelines_after_the_first_allocate_nothing_of_our_own);
    tcase_add_test(t, the_error_of_a_script_is_reject);
    tcase_add_test(t, a_wrong_url_is_fatal);
    tcase_add_test(t, a_message_comes_and_silence_is_ok);
    tcase_add_test(t, a_silence_longer_than_the_timeout_is_no_error);
    suite_add_tcase(suite, t);

    t = suite_case("own server");
    tcase_add_checked_fixture(t, setup_own, teardown);
    tcase_add_test(t, a_script_is_sent_once_a_connection_and_called_by_its_hash);
    tcase_add_test(t, a_server_that_has_forgotten_its_scripts_gets_them_again);
    tcase_add_test(t, a_restarted_server_is_found_again);
    tcase_add_test(t, a_server_that_restarted_while_idle_is_no_error);
    tcase_add_test(t, what_was_queued_is_dropped_with_the_connection);
    tcase_add_test(t, a_dead_server_costs_nothing);
    tcase_add_test(t, a_server_that_ends_each_connection_is_asked_at_most_every_200_ms);
    tcase_add_test(t, a_server_that_hangs_is_given_up_in_time_and_answers_never_mix);
    tcase_add_test(t, the_database_and_the_password_of_the_url_count);
    tcase_add_test(t, a_wrong_password_is_fatal_and_not_shown);
    tcase_add_test(t, subscriptions_outlive_a_restart);
    tcase_add_test(t, to_subscribe_while_the_server_is_away_is_made_up_for);
    suite_add_tcase(suite, t);
    return suite_run(suite);
}
