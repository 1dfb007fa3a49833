#include "gateway/live/mailbox.h"

#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

bool mailbox_init(struct mailbox *m)
{
    m->first = NULL;
    m->last = &m->first;
    pthread_mutex_init(&m->lock, NULL);
    m->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return m->fd >= 0;
}

void mailbox_finish(struct mailbox *m)
{
    if (m->fd >= 0)
        close(m->fd);
    pthread_mutex_destroy(&m->lock);
}

void mailbox_wake(struct mailbox *m)
{
    uint64_t one = 1;
    if (write(m->fd, &one, sizeof one) < 0)
        return; /* it is awake */
}

void mailbox_put(struct mailbox *m, struct parcel *parcel)
{
    parcel->next = NULL;
    pthread_mutex_lock(&m->lock);
    bool idle = !m->first;
    *m->last = parcel;
    m->last = &parcel->next;
    pthread_mutex_unlock(&m->lock);
    if (idle)
        mailbox_wake(m);
}

struct parcel *mailbox_take(struct mailbox *m)
{
    uint64_t woken;
    if (read(m->fd, &woken, sizeof woken) < 0)
        woken = 0;
    pthread_mutex_lock(&m->lock);
    struct parcel *parcels = m->first;
    m->first = NULL;
    m->last = &m->first;
    pthread_mutex_unlock(&m->lock);
    return parcels;
}
