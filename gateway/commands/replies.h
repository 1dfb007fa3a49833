/* replies: how outcomes find their way back. Three threads:
 *   - one listens on this gateway's Redis channel; a message is a row of frames, each a length (4 bytes, big endian)
 *     and an Outcome record as schemas/replies frames it;
 *   - one polls the operations tables for commands that have had no reply for a while, or at once while Redis is away:
 *     one query a worker, however many commands; it also takes away the keys of what was rejected;
 *   - one answers 202 to those whose deadline has passed. It does nothing that blocks, so deadlines hold whatever is
 *     down. */
#pragma once

#include "gateway/commands/dispatch.h"
#include "gateway/commands/waiting.h"

struct replies;

/* Starts the threads. Outcomes go to dispatch_outcome, passed deadlines to `expired`. */
MUST_CHECK err replies_start(struct gateway *g, struct dispatch *d, struct waiting *w,
                             void (*expired)(const struct waiting_entry *entry), struct replies **ret);
/* The channel's name; goes with each command as aether-reply-to. Valid as long as `g`. */
void replies_channel(struct uuid gateway_id, char ret_name[64]);
/* Redis failed a reply within the last second. What it caches may be older than what was acknowledged meanwhile, until
 * the worker has told it what it missed (which takes a worker that can reach it a quarter of that time): read
 * PostgreSQL. */
bool replies_doubted(const struct replies *r);
bool replies_up(const struct replies *r); /* the channel is subscribed now */
void replies_hurry(struct replies *r);    /* from now on every deadline has passed */
/* This key of the vault was made for nothing: the polling thread takes it away when PostgreSQL answers. */
void replies_withdraw(struct replies *r, struct uuid subject);
void replies_stop(struct replies *r); /* ends the threads and frees; NULL is fine */
