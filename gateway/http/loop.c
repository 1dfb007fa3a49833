#include "gateway/http/loop.h"

#include <microhttpd.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ops/runtime/mem.h"

struct loop {
    struct MHD_Daemon *daemon;
    pthread_t thread;
    int wake; /* eventfd: something lies below */
    pthread_mutex_t lock;
    int *sockets; /* room for `most` */
    int socket_count, most;
    struct resumption *first, **last;
    bool stopping;
};

static void wake(struct loop *l)
{
    uint64_t one = 1;
    if (write(l->wake, &one, sizeof one) < 0)
        return; /* it is awake */
}

void loop_take_in(struct loop *l, int fd)
{
    pthread_mutex_lock(&l->lock);
    bool idle = l->socket_count == 0 && !l->first;
    bool room = l->socket_count < l->most;
    if (room)
        l->sockets[l->socket_count++] = fd;
    pthread_mutex_unlock(&l->lock);
    if (!room)
        close(fd); /* more than there may be at once */
    if (idle)
        wake(l);
}

void loop_resume(struct loop *l, struct resumption *resumption)
{
    resumption->next = NULL;
    pthread_mutex_lock(&l->lock);
    bool idle = l->socket_count == 0 && !l->first;
    *l->last = resumption;
    l->last = &resumption->next;
    pthread_mutex_unlock(&l->lock);
    if (idle)
        wake(l);
}

static void add_connection(struct loop *l, int fd)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    if (getpeername(fd, (struct sockaddr *)&address, &size) != 0)
        size = 0; /* gone already; libmicrohttpd will find out */
    MHD_add_connection(l->daemon, fd, (struct sockaddr *)&address, size);
}

/* Takes what other threads left. */
static void collect(struct loop *l)
{
    uint64_t count;
    int sockets[64], taken = 0;
    if (read(l->wake, &count, sizeof count) < 0)
        return;
    pthread_mutex_lock(&l->lock);
    struct resumption *resumed = l->first;
    l->first = NULL;
    l->last = &l->first;
    while (taken < 64 && l->socket_count > 0)
        sockets[taken++] = l->sockets[--l->socket_count];
    if (l->socket_count > 0) /* the rest after these have been served */
        wake(l);
    pthread_mutex_unlock(&l->lock);
    for (struct resumption *next; resumed; resumed = next) {
        next = resumed->next; /* read first: from then on it is its owner's again */
        MHD_resume_connection(resumed->connection);
    }
    for (int i = 0; i < taken; i++)
        add_connection(l, sockets[i]);
}

static bool is_stopping(struct loop *l)
{
    pthread_mutex_lock(&l->lock);
    bool stopping = l->stopping;
    pthread_mutex_unlock(&l->lock);
    return stopping;
}

static void *drive(void *argument)
{
    struct loop *l = argument;
    struct pollfd fds[] = {
        { .fd = l->wake, .events = POLLIN },
        { .fd = MHD_get_daemon_info(l->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd, .events = POLLIN },
    };
    for (;;) {
        MHD_UNSIGNED_LONG_LONG ms;
        bool pending = MHD_get_timeout(l->daemon, &ms) == MHD_YES; /* there are no time-outs but "at once" */
        poll(fds, 2, pending ? 0 : -1);
        if (fds[0].revents) {
            if (is_stopping(l))
                return NULL;
            collect(l);
        }
        MHD_run(l->daemon);
    }
}

err loop_create(struct MHD_Daemon *daemon, int most, struct loop **ret)
{
    struct loop *l = mem_alloc(sizeof *l);
    l->daemon = daemon;
    l->most = most;
    l->last = &l->first;
    l->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&l->lock, NULL);
    if (l->wake < 0 || pthread_create(&l->thread, NULL, drive, l) != 0) {
        err e = err_set(FATAL, "a thread for HTTP could not be started: %m; raise the limits of threads and of file "
                               "descriptors");
        if (l->wake >= 0)
            close(l->wake);
        pthread_mutex_destroy(&l->lock);
        free(l);
        return e;
    }
    l->sockets = mem_alloc(sizeof *l->sockets * (size_t)most);
    pthread_setname_np(l->thread, "http");
    *ret = l;
    return OK;
}

void loop_destroy(struct loop *l)
{
    if (!l)
        return;
    pthread_mutex_lock(&l->lock);
    l->stopping = true;
    pthread_mutex_unlock(&l->lock);
    wake(l);
    pthread_join(l->thread, NULL);
    MHD_stop_daemon(l->daemon);
    for (int i = 0; i < l->socket_count; i++)
        close(l->sockets[i]);
    close(l->wake);
    pthread_mutex_destroy(&l->lock);
    free(l->sockets);
    free(l);
}
