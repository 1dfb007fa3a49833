#include "gateway/http/connections.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/http/answer_headers.h"
#include "gateway/http/tally.h"
#include "ops/runtime/clock.h"
#include "ops/runtime/log.h"

#define BACKLOG        1024
#define SWEEP_MS       250
#define ACCEPT_AT_ONCE 64
#define OTHER_FDS      1024 /* descriptors of the process that are no connections */

enum refusal { REFUSED_ALL, REFUSED_ADDRESS, REFUSALS };

static const struct {
    const char *status, *body;
} refusals[REFUSALS] = {
    [REFUSED_ALL] = { "503 Service Unavailable",
                      "{\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"status\":503,"
                      "\"code\":\"overloaded\",\"detail\":\"Too many connections are open.\",\"retryable\":true,"
                      "\"requestId\":\"\"}" },
    [REFUSED_ADDRESS] = { "429 Too Many Requests",
                          "{\"type\":\"about:blank\",\"title\":\"Too Many Requests\",\"status\":429,"
                          "\"code\":\"too_many_connections\",\"detail\":\"Too many connections are open from this "
                          "address.\",\"retryable\":true,\"requestId\":\"\"}" },
};

struct entry {
    connection_deadline deadline_us;
    bool open; /* under the lock */
    /* Of the thread that serves it, from connections_opened to _closed; else under the lock. */
    bool proxied;           /* the peer is a configured proxy */
    bool counted;           /* in the tally, under `network` */
    struct address network; /* whose it is */
};

struct connections {
    struct connections_options options;
    int listening; /* -1: no more */
    int port;
    int wake; /* eventfd */
    pthread_t thread;
    bool started;
    _Atomic bool quiesced, stopping;
    atomic_int count; /* accepted and not closed */
    pthread_mutex_t lock;
    struct entry *table;
    int table_size, highest;
    struct tally *addresses;       /* NULL: they are not limited */
    struct buf refusals[REFUSALS]; /* whole answers to those that are too many */
};

/* --- listening --- */

static err listen_on(struct connections *c, const struct addrinfo *address)
{
    const struct connections_options *o = &c->options;
    int one = 1;
    c->listening = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->listening < 0)
        return err_set(FATAL, "no socket for HTTP: %m");
    setsockopt(c->listening, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    /* Inherited by what is accepted. An answer is one write, so there is nothing to gather. */
    setsockopt(c->listening, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (bind(c->listening, address->ai_addr, address->ai_addrlen) != 0 || listen(c->listening, BACKLOG) != 0) {
        if (errno == EADDRINUSE)
            return err_set(FATAL, "port %d on %s is in use; stop what listens there or set gateway.port", o->port,
                           o->address);
        return err_set(FATAL, "HTTP cannot listen on %s port %d: %m; see gateway.address and gateway.port", o->address,
                       o->port);
    }
    struct sockaddr_storage bound = { 0 };
    socklen_t size = sizeof bound;
    getsockname(c->listening, (struct sockaddr *)&bound, &size);
    /* NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage): getsockname has filled it */
    c->port = ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&bound)->sin6_port
                                                : ((struct sockaddr_in *)&bound)->sin_port);
    return OK;
}

static err listen_start(struct connections *c)
{
    char port[16];
    struct addrinfo *found,
        hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE, .ai_socktype = SOCK_STREAM };
    snprintf(port, sizeof port, "%d", c->options.port);
    if (getaddrinfo(c->options.address, port, &hints, &found) != 0)
        return err_set(
            FATAL, "gateway.address is '%s'; it must be a numeric address like 127.0.0.1 or ::", c->options.address);
    err e = listen_on(c, found);
    freeaddrinfo(found);
    return e;
}

/* As many descriptors as the connections need, as far as the hard limit allows. */
static err raise_fd_limit(int wanted)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur >= (rlim_t)wanted)
        return OK;
    if (limit.rlim_max != RLIM_INFINITY && limit.rlim_max < (rlim_t)wanted)
        return err_set(FATAL,
                       "gateway.max_connections needs %d file descriptors, the hard limit is %ju; raise it (ulimit "
                       "-Hn) or lower the setting",
                       wanted, (uintmax_t)limit.rlim_max);
    limit.rlim_cur = (rlim_t)wanted;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        return err_set(FATAL, "the limit of file descriptors cannot be raised to %d: %m", wanted);
    return OK;
}

err connections_create(const struct connections_options *options, struct connections **ret)
{
    struct connections *c = mem_alloc(sizeof *c);
    c->options = *options;
    c->listening = -1;
    for (enum refusal i = 0; i < REFUSALS; i++) {
        buf_printf(&c->refusals[i], "HTTP/1.1 %s\r\nContent-Length: %zu\r\n", refusals[i].status,
                   strlen(refusals[i].body));
        for (const struct answer_header *header = answer_headers_bare; header->name; header++)
            buf_printf(&c->refusals[i], "%s: %s\r\n", header->name, header->value);
        buf_printf(&c->refusals[i], "\r\n%s", refusals[i].body);
    }
    if (options->max_of_address > 0)
        c->addresses = tally_create((size_t)options->max);
    c->table_size = options->max + options->kept + OTHER_FDS;
    c->table = mem_alloc(sizeof *c->table * (size_t)c->table_size);
    pthread_mutex_init(&c->lock, NULL);
    c->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    err e = c->wake < 0 ? err_set(FATAL, "no eventfd: %m") : raise_fd_limit(c->table_size);
    if (e == OK)
        e = listen_start(c);
    if (e != OK) {
        connections_destroy(c);
        return e;
    }
    *ret = c;
    return OK;
}

int connections_port(const struct connections *c)
{
    return c->port;
}

/* --- the thread --- */

static void refuse(struct connections *c, int fd, enum refusal why)
{
    http_metrics_add(c->options.metrics, HTTP_CONNECTIONS_REFUSED, 1);
    if (send(fd, c->refusals[why].ptr, c->refusals[why].len, MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
        shutdown(fd, SHUT_WR);
    close(fd);
}

/* Counts it as this client's, and no longer as another's. false: the client has too many. */
static bool count(struct connections *c, struct entry *entry, struct address client)
{
    struct address network = client_network(client);
    if (entry->counted && memcmp(&network, &entry->network, sizeof network) == 0)
        return true;
    if (!tally_take(c->addresses, network.bytes, c->options.max_of_address))
        return false;
    if (entry->counted)
        tally_give(c->addresses, entry->network.bytes);
    entry->counted = true;
    entry->network = network;
    return true;
}

static bool count_peer(struct connections *c, struct entry *entry, const struct sockaddr *peer)
{
    struct address address = address_of_peer(peer);
    pthread_mutex_lock(&c->lock);
    entry->proxied = proxies_contain(c->options.proxies, address);
    bool fits = !c->addresses || entry->proxied || count(c, entry, address);
    pthread_mutex_unlock(&c->lock);
    return fits;
}

static void take_in(struct connections *c, int fd, const struct sockaddr *peer)
{
    if (atomic_load_explicit(&c->count, memory_order_relaxed) >= c->options.max || fd >= c->table_size) {
        refuse(c, fd, REFUSED_ALL);
        return;
    }
    if (!count_peer(c, &c->table[fd], peer)) {
        refuse(c, fd, REFUSED_ADDRESS);
        return;
    }
    atomic_fetch_add_explicit(&c->count, 1, memory_order_relaxed);
    http_metrics_add(c->options.metrics, HTTP_CONNECTIONS_TOTAL, 1);
    http_metrics_add(c->options.metrics, HTTP_CONNECTIONS, 1);
    c->options.serve(c->options.context, fd);
}

/* false: take a breath, the process or the system has too many descriptors open. */
static bool accept_some(struct connections *c)
{
    for (int i = 0; i < ACCEPT_AT_ONCE; i++) {
        struct sockaddr_storage peer = { 0 };
        socklen_t size = sizeof peer;
        int fd = accept4(c->listening, (struct sockaddr *)&peer, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            take_in(c, fd, (const struct sockaddr *)&peer);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            char why[128];
            snprintf(why, sizeof why, "%m");
            LOG(WARN, "connection not accepted", F_STR("error", why));
            return false;
        }
        if (errno != ECONNABORTED && errno != EINTR && errno != EPERM)
            break; /* EAGAIN: no more */
    }
    return true;
}

static void sweep(struct connections *c, int64_t now_us)
{
    pthread_mutex_lock(&c->lock);
    for (int fd = 0; fd <= c->highest; fd++) {
        struct entry *entry = &c->table[fd];
        int64_t deadline_us = atomic_load_explicit(&entry->deadline_us, memory_order_relaxed);
        if (!entry->open || deadline_us == 0 || deadline_us > now_us)
            continue;
        /* Set anew in this moment: it was in time after all. */
        if (!atomic_compare_exchange_strong_explicit(&entry->deadline_us, &deadline_us, 0, memory_order_relaxed,
                                                     memory_order_relaxed))
            continue;
        shutdown(fd, SHUT_RDWR); /* libmicrohttpd sees the end and closes */
        http_metrics_add(c->options.metrics, HTTP_CONNECTIONS_OVERDUE, 1);
    }
    pthread_mutex_unlock(&c->lock);
}

static void *watch(void *argument)
{
    struct connections *c = argument;
    int64_t sweep_at_us = clock_mono_us() + SWEEP_MS * 1000;
    bool breathe = false;
    while (!atomic_load(&c->stopping)) {
        bool accepting = !atomic_load(&c->quiesced);
        if (!accepting && c->listening >= 0) {
            accept_some(c); /* who has been let in by the kernel would be reset */
            close(c->listening);
            c->listening = -1;
        }
        struct pollfd fds[] = { { .fd = c->wake, .events = POLLIN },
                                { .fd = breathe ? -1 : c->listening, .events = POLLIN } };
        poll(fds, 2, SWEEP_MS);
        breathe = false;
        if (fds[0].revents) {
            uint64_t count;
            if (read(c->wake, &count, sizeof count) < 0)
                continue;
        }
        if (fds[1].revents && accepting)
            breathe = !accept_some(c);
        int64_t now_us = clock_mono_us();
        if (now_us >= sweep_at_us) {
            sweep(c, now_us);
            sweep_at_us = now_us + SWEEP_MS * 1000;
        }
    }
    return NULL;
}

err connections_start(struct connections *c)
{
    if (pthread_create(&c->thread, NULL, watch, c) != 0)
        return err_set(FATAL, "the thread that accepts connections could not be started; raise the limit of threads");
    c->started = true;
    pthread_setname_np(c->thread, "connections");
    return OK;
}

static void wake(struct connections *c)
{
    uint64_t one = 1;
    if (write(c->wake, &one, sizeof one) < 0)
        return; /* it is awake */
}

void connections_quiesce(struct connections *c)
{
    atomic_store(&c->quiesced, true);
    wake(c);
}

void connections_stop(struct connections *c)
{
    atomic_store(&c->stopping, true);
    wake(c);
    if (c->started)
        pthread_join(c->thread, NULL);
    c->started = false;
}

void connections_destroy(struct connections *c)
{
    if (!c)
        return;
    connections_stop(c);
    if (c->listening >= 0)
        close(c->listening);
    if (c->wake >= 0)
        close(c->wake);
    pthread_mutex_destroy(&c->lock);
    free(c->table);
    tally_destroy(c->addresses);
    for (enum refusal i = 0; i < REFUSALS; i++)
        buf_finish(&c->refusals[i]);
    free(c);
}

/* --- one connection --- */

connection_deadline *connections_opened(struct connections *c, int fd)
{
    struct entry *entry = &c->table[fd];
    pthread_mutex_lock(&c->lock);
    atomic_store_explicit(&entry->deadline_us, clock_mono_us() + c->options.first_deadline_us, memory_order_relaxed);
    entry->open = true;
    if (fd > c->highest)
        c->highest = fd;
    pthread_mutex_unlock(&c->lock);
    return &entry->deadline_us;
}

void connections_closed(struct connections *c, connection_deadline *deadline)
{
    struct entry *entry = (struct entry *)deadline; /* its first member */
    pthread_mutex_lock(&c->lock);
    entry->open = false;
    if (entry->counted)
        tally_give(c->addresses, entry->network.bytes);
    entry->counted = false;
    pthread_mutex_unlock(&c->lock);
    atomic_fetch_sub_explicit(&c->count, 1, memory_order_relaxed);
    http_metrics_add(c->options.metrics, HTTP_CONNECTIONS, -1);
}

/* A proxy's own requests (it looks whether this gateway lives) are nobody's. */
bool connections_belongs_to(struct connections *c, connection_deadline *deadline, struct address client)
{
    struct entry *entry = (struct entry *)deadline;
    return !c->addresses || !entry->proxied || proxies_contain(c->options.proxies, client) || count(c, entry, client);
}
