#include "ops/runtime/stop.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* A signal handler has no context to be handed, hence the static state. */
static atomic_bool requested;
static atomic_int event = -1;

void stop_request(void)
{
    const int saved = errno;
    atomic_store(&requested, true);
    const int fd = atomic_load(&event);
    if (fd >= 0 && write(fd, &(uint64_t){ 1 }, sizeof(uint64_t)) < 0) {
        /* Full: it is readable already. */
    }
    errno = saved;
}

static void on_signal(int number)
{
    (void)number;
    stop_request();
}

void stop_init(void)
{
    if (atomic_load(&event) < 0) {
        const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (fd < 0) {
            perror("eventfd");
            abort();
        }
        atomic_store(&event, fd);
    }
    struct sigaction stop = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
    sigemptyset(&stop.sa_mask);
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGINT, &stop, NULL);
    struct sigaction ignore = { .sa_handler = SIG_IGN };
    sigemptyset(&ignore.sa_mask);
    sigaction(SIGPIPE, &ignore, NULL);
}

bool stop_requested(void)
{
    return atomic_load_explicit(&requested, memory_order_relaxed);
}

int stop_fd(void)
{
    return atomic_load(&event);
}
