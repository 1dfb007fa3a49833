/* ticket: what opens the feed once, within half a minute, in place of a token: for a browser, whose WebSocket and
 * EventSource can send no header, and whose URLs end up in logs. It stands in Redis with the claims of who asked for
 * it, and is taken out by who redeems it; without Redis there are no tickets. */
#pragma once

#include "gateway/pool.h"

/* On a pool's thread. Fills r->claims, or a problem and returns false. */
bool ticket_redeem(struct request *r, struct pool_thread *thread, struct str ticket);
