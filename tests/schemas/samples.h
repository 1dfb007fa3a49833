/* samples: records with fixed contents, for round trips and golden bytes. A record that has none here gets its golden
 * bytes by its schema alone (test_golden.c). */
#pragma once

#include "schemas/accounts.gen.h"
#include "schemas/receipts.gen.h"
#include "schemas/replies.gen.h"
#include "schemas/rooms.gen.h"
#include "schemas/sessions.gen.h"
#include "schemas/typing.gen.h"

struct sample {
    const char *name; /* "aether.rooms.PostMessage" */
    const struct record_union *of;
    union {
        struct any_record any;
        struct accounts_command accounts_command;
        struct accounts_fact accounts_fact;
        struct sessions_command sessions_command;
        struct sessions_fact sessions_fact;
        struct rooms_command rooms_command;
        struct rooms_fact rooms_fact;
    };
};

extern const struct sample samples[];
extern const size_t samples_count;
extern const struct outcome sample_outcome;
extern const struct read_up_to sample_read_up_to;
extern const struct typing sample_typing;

/* The unions of every stream, one after another; NULL after the last. */
const struct record_union *union_at(size_t n);
