#include "gateway/limits/gcra.h"

struct quota quota_of(int64_t requests, int64_t window_s)
{
    int64_t window_ns = window_s * NS_A_SECOND;
    return (struct quota){ requests, window_s, window_ns, requests > 0 ? window_ns / requests : 0 };
}

struct gcra gcra_take(const struct quota *q, int64_t now_ns, int64_t *tat_ns)
{
    int64_t tat = *tat_ns > now_ns ? *tat_ns : now_ns;
    int64_t next = tat + q->interval_ns;
    struct gcra g = { .allowed = next - now_ns <= q->window_ns };
    if (g.allowed)
        *tat_ns = tat = next;
    else
        g.retry_ns = next - now_ns - q->window_ns;
    g.reset_ns = tat - now_ns;
    int64_t left = (q->window_ns - g.reset_ns) / q->interval_ns;
    g.remaining = left > 0 ? left : 0;
    return g;
}

int64_t seconds_up(int64_t ns)
{
    return (ns + NS_A_SECOND - 1) / NS_A_SECOND;
}
