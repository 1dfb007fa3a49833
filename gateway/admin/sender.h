/* sender: a command of the operator to the stream accounts, and its outcome. It goes the way every command goes:
 * sealed, appended to the log, decided by the worker. The actor is system_actor. One thread. */
#pragma once

#include "consumers/outcome/operation.h"
#include "ops/runtime/config.h"
#include "producers/producer.h"
#include "schemas/accounts.gen.h"
#include "schemas/vault.h"

struct sender {
    const struct config *config;
    struct pg *pg;
    struct vault *vault;
    struct arena arena;
    struct codec *codec;
    struct producer *producer;
    enum delivery delivery; /* of the last append */
};

/* Connects nothing. */
MUST_CHECK err sender_init(struct sender *s, const struct config *config);
void sender_finish(struct sender *s);

/* `command` has everything but meta. OK: *ret is the outcome, accepted or rejected. RETRY: nothing was written, or,
 * when *ret_unknown, it is not known what became of it: only the same command id may be tried again. */
MUST_CHECK err sender_send(struct sender *s, struct accounts_command *command, struct uuid command_id, int timeout_ms,
                           struct outcome *ret, bool *ret_unknown);
