/* unsettled: keys of the vault that were made for a command whose request was answered 202, before its outcome. When it
 * becomes known that nothing came of one (the command was rejected, or had been accepted before for somebody else) its
 * key is withdrawn; until then nobody can tell, and it stays. The newest UNSETTLED_MAX of this process. Any thread. */
#pragma once

#include "gateway/commands/waiting.h"

#define UNSETTLED_MAX 1024

struct unsettled;

struct unsettled_subject {
    struct uuid command_id, subject;
    const struct stream *stream; /* of the command */
};

struct unsettled *unsettled_create(void);
void unsettled_destroy(struct unsettled *u);

void unsettled_add(struct unsettled *u, const struct unsettled_subject *subject);
/* Takes one that waits for this command; several may. */
bool unsettled_take(struct unsettled *u, struct uuid command_id, struct unsettled_subject *ret);
/* Names up to `max` whose outcome should be looked for, each about once a second, without taking them. */
size_t unsettled_due(struct unsettled *u, int64_t now_us, struct waiting_silent *ret, size_t max);
