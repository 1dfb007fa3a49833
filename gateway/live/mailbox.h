/* mailbox: what other threads leave for a thread that waits in epoll: parcels, taken all at once, in order. */
#pragma once

#include <pthread.h>
#include <stdbool.h>

struct lane;

/* Something for the lane; it calls `take` on its thread, which owns the parcel then. */
struct parcel {
    struct parcel *next;
    void (*take)(struct lane *lane, struct parcel *parcel);
};

struct mailbox {
    int fd; /* readable while something may be there */
    pthread_mutex_t lock;
    struct parcel *first, **last;
};

bool mailbox_init(struct mailbox *m); /* false: no descriptor is left; errno */
void mailbox_finish(struct mailbox *m);

/* Any thread. */
void mailbox_put(struct mailbox *m, struct parcel *parcel);
void mailbox_wake(struct mailbox *m);
/* The thread that waits: the first of them, NULL: none. */
struct parcel *mailbox_take(struct mailbox *m);
