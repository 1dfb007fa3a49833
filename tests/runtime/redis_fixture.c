#include "tests/runtime/redis_fixture.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ops/runtime/stop.h"

const char *url;
struct redis *r;
struct own_server server;

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

void server_start(void)
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

void server_stop(void)
{
    if (server.pid > 0) {
        kill(server.pid, SIGKILL);
        waitpid(server.pid, NULL, 0);
    }
    server.pid = 0;
}

void redis_setup(void)
{
    stop_init();
    r = redis_create(url, TIMEOUT_MS);
}

void redis_setup_own(void)
{
    stop_init();
    server_start();
    r = redis_create(server.url, TIMEOUT_MS);
}

void redis_teardown(void)
{
    redis_destroy(r);
    server_stop();
}

void see(void *context, size_t index, const redisReply *reply)
{
    struct seen *s = context;
    ck_assert_uint_eq(index, s->count);
    s->types[index] = reply->type;
    s->integers[index] = reply->integer;
    snprintf(s->texts[index], sizeof *s->texts, "%s", reply->str ? reply->str : "");
    s->count++;
}

err add(const char *first, ...)
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

static const struct redis_script increment = {
    "return redis.call('INCRBY', KEYS[1], ARGV[1]) + 0 * #KEYS",
};

err add_increment(const char *by)
{
    return redis_add_script(r, &increment, 1, 2, (const struct str[]){ STR("runtime_test:n"), str_of(by) });
}
