#include "gateway/live/intake.h"

#include <time.h>

#include "ops/runtime/clock.h"

int64_t intake_wait_us(struct intake *in, int64_t now_us, size_t count)
{
    int64_t wait_us = in->next_at_us > now_us ? in->next_at_us - now_us : 0;
    in->next_at_us = now_us + wait_us + (int64_t)count * in->each_us;
    return wait_us;
}

void intake_rest(struct intake *in, int64_t now_us, int64_t took_us)
{
    int64_t until_us = now_us + (took_us < INTAKE_REST_US ? took_us : INTAKE_REST_US);
    if (in->next_at_us < until_us)
        in->next_at_us = until_us;
}

static void take_snapshot(const struct intake *in, struct request **requests, size_t count, struct pool_thread *thread)
{
    err e = in->snapshot(requests, count, thread);
    if (e == OK)
        return;
    if (e == REJECT && count > 1) { /* anything else is about all of them */
        size_t half = count / 2;
        take_snapshot(in, requests, half, thread);
        take_snapshot(in, requests + half, count - half, thread);
        return;
    }
    for (size_t i = 0; i < count; i++)
        problem_err(requests[i], e);
}

void intake_admit(struct intake *in, struct request **requests, size_t count, struct pool_thread *thread)
{
    struct request *admitted[POOL_BATCH];
    size_t n = in->check(requests, count, thread, admitted);
    if (n == 0)
        return;
    int64_t wait_us = intake_wait_us(in, clock_mono_us(), n);
    if (wait_us > 0)
        nanosleep(&(struct timespec){ wait_us / 1000000, wait_us % 1000000 * 1000 }, NULL);
    int64_t begun_us = clock_mono_us();
    take_snapshot(in, admitted, n, thread);
    int64_t now_us = clock_mono_us();
    intake_rest(in, now_us, now_us - begun_us);
}
