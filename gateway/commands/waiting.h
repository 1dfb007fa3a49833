/* waiting: the requests whose commands are under way, by command id.
 *
 * A request is in this table from before its command is appended until somebody takes it out: the reply, the poll of
 * the operations, the deadline, or a delivery that failed. Taking is one removal under a lock, so exactly one of them
 * gets it and owns the request from then on; the others find nothing. Nobody else ever holds a pointer to the request:
 * the producer's callback gets a ticket (slot and generation), which is worthless once the slot has been emptied.
 *
 * Bounded: `max` requests in all; slots are allocated once and recycled. Sharded by a keyed hash of the command id,
 * since clients choose Idempotency-Keys. Any thread; no function blocks but for a shard's lock. */
#pragma once

#include "gateway/commands/dispatch.h"

struct waiting;

typedef uint64_t waiting_ticket; /* never 0 */

struct waiting_entry {
    struct request *request;
    struct uuid command_id, actor;
    uint8_t request_hash[16];    /* meta.request_hash of the command */
    const struct stream *stream; /* NULL: a signal, of … */
    const char *signal_topic;    /* … this topic, "receipts.signals"; constant */
    dispatch_then *then;
    bool respond_async;
    int64_t at;                    /* meta.at of the command */
    int64_t deadline_us, added_us; /* clock_mono_us */
};

struct waiting *waiting_create(size_t max);
void waiting_destroy(struct waiting *w); /* must be empty */

enum waiting_added { WAITING_ADDED, WAITING_FULL, WAITING_TWICE };
enum waiting_added waiting_add(struct waiting *w, const struct waiting_entry *entry, waiting_ticket *ret_ticket);

bool waiting_has(struct waiting *w, struct uuid command_id);
/* Takes the one that waits for this command. `unless`, when not NULL, is a request hash: the one that has it stays. */
bool waiting_take(struct waiting *w, struct uuid command_id, const uint8_t unless[16], struct waiting_entry *ret);
/* Takes the one that the ticket was given for, if it is still there. With only_async: only when it wants no outcome. */
bool waiting_take_ticket(struct waiting *w, waiting_ticket ticket, bool only_async, struct waiting_entry *ret);
/* Takes up to `max` whose deadline is at or before now_us (INT64_MAX: all). */
size_t waiting_take_expired(struct waiting *w, int64_t now_us, struct waiting_entry *ret, size_t max);

/* Names up to `max` commands whose outcome should be looked for in the operations, without taking them: at first
 * `first_us` after they were added, then with growing pauses up to one second. */
struct waiting_silent {
    struct uuid command_id;
    const struct stream *stream;
};
size_t waiting_silent(struct waiting *w, int64_t now_us, int64_t first_us, struct waiting_silent *ret, size_t max);

size_t waiting_count(const struct waiting *w);
