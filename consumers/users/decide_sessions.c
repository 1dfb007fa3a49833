#include "consumers/users/decide.h"

#include <assert.h>
#include <sodium/utils.h>

static const struct session *session_known(const struct sessions_state *s, struct uuid user, struct uuid id)
{
    const struct session *session = sessions_state_find(s, user, id);
    assert(session && session->presence >= PRESENCE_ABSENT);
    return session->presence == PRESENCE_PRESENT ? session : NULL;
}

static int decide_start(const struct sessions_state *s, const struct start_session *command, struct sessions_fact *ret)
{
    if (!uuid_equal(command->user_id, command->meta.actor))
        return FORBIDDEN_ACTOR;
    if (command->refresh_hash.len != HASH_LEN)
        return COMMAND_INVALID;
    if (session_known(s, command->user_id, command->session_id))
        return SESSION_EXISTS;
    ret->type = SESSIONS_SESSION_STARTED;
    ret->session_started = (struct session_started){
        .session_id = command->session_id,
        .user_id = command->user_id,
        .refresh_hash = command->refresh_hash,
        .expires_at = command->expires_at,
        .device = command->device,
        .address = command->address,
        .account_epoch = command->account_epoch,
        .request_id = command->request_id,
    };
    return ACCEPTED;
}

/* The gateway has checked that it issued the token, so an older one was stolen, or its replacement was: which of the
 * two holders is the thief cannot be told, and the session ends (RFC 9700, section 4.14.2). */
static int decide_replay(const struct session *session, const struct refresh_session *command,
                         struct sessions_fact *ret)
{
    ret->type = SESSIONS_REFRESH_TOKEN_REPLAYED;
    ret->refresh_token_replayed = (struct refresh_token_replayed){
        .session_id = command->session_id,
        .user_id = command->user_id,
        .presented_generation = command->presented_generation,
        .generation = session->generation,
        .device = command->device,
        .address = command->address,
        .request_id = command->request_id,
    };
    return ACCEPTED;
}

static int decide_refresh(const struct sessions_state *s, const struct refresh_session *command,
                          struct sessions_fact *ret)
{
    if (!uuid_equal(command->user_id, command->meta.actor))
        return FORBIDDEN_ACTOR;
    if (command->refresh_hash.len != HASH_LEN)
        return COMMAND_INVALID;
    const struct session *session = session_known(s, command->user_id, command->session_id);
    if (!session || session->ended)
        return REFRESH_TOKEN_INVALID;
    if (command->presented_generation >= 0 && command->presented_generation < session->generation)
        return decide_replay(session, command, ret);
    /* In constant time: how far a guess agrees must not show. */
    if (command->presented_hash.len != HASH_LEN ||
        sodium_memcmp(command->presented_hash.ptr, session->refresh_hash, HASH_LEN) != 0)
        return REFRESH_TOKEN_INVALID;
    if (command->meta.at >= session->expires_at)
        return REFRESH_TOKEN_EXPIRED;
    ret->type = SESSIONS_SESSION_REFRESHED;
    ret->session_refreshed = (struct session_refreshed){
        .session_id = command->session_id,
        .user_id = command->user_id,
        .presented_hash = command->presented_hash,
        .refresh_hash = command->refresh_hash,
        .expires_at = command->expires_at,
        .generation = session->generation + 1,
        .device = command->device,
        .address = command->address,
        .request_id = command->request_id,
    };
    return ACCEPTED;
}

static int decide_end(const struct sessions_state *s, const struct end_session *command, struct sessions_fact *ret)
{
    if (!uuid_equal(command->user_id, command->meta.actor))
        return FORBIDDEN_ACTOR;
    const struct session *session = session_known(s, command->user_id, command->session_id);
    if (!session || session->ended)
        return SESSION_NOT_FOUND;
    ret->type = SESSIONS_SESSION_ENDED;
    ret->session_ended = (struct session_ended){
        .session_id = command->session_id,
        .user_id = command->user_id,
        .reason = command->reason,
        .address = command->address,
        .request_id = command->request_id,
    };
    return ACCEPTED;
}

int sessions_decide(const void *state, const struct any_record *command, struct any_record *ret_fact)
{
    const struct sessions_command *c = (const struct sessions_command *)command;
    struct sessions_fact *ret = (struct sessions_fact *)ret_fact;
    switch ((enum sessions_command_type)c->type) {
    case SESSIONS_START_SESSION:
        return decide_start(state, &c->start_session, ret);
    case SESSIONS_REFRESH_SESSION:
        return decide_refresh(state, &c->refresh_session, ret);
    case SESSIONS_END_SESSION:
        return decide_end(state, &c->end_session, ret);
    case SESSIONS_COMMAND_NONE:
        break;
    }
    return COMMAND_INVALID;
}

/* The session that a later fact is about. */
static struct session *evolving(struct sessions_state *s, struct uuid user, struct uuid id)
{
    struct session *session = sessions_state_add(s, user, id);
    assert(session->presence == PRESENCE_PRESENT);
    return session;
}

void sessions_evolve(void *state, const struct any_record *fact)
{
    struct sessions_state *s = state;
    const struct sessions_fact *f = (const struct sessions_fact *)fact;
    switch ((enum sessions_fact_type)f->type) {
    case SESSIONS_SESSION_STARTED: {
        const struct session_started *started = &f->session_started;
        session_set(sessions_state_add(s, started->user_id, started->session_id), started->refresh_hash, 0,
                    started->expires_at, false);
        break;
    }
    case SESSIONS_SESSION_REFRESHED: {
        const struct session_refreshed *refreshed = &f->session_refreshed;
        struct session *session = evolving(s, refreshed->user_id, refreshed->session_id);
        session_set(session, refreshed->refresh_hash, refreshed->generation, refreshed->expires_at, session->ended);
        break;
    }
    case SESSIONS_SESSION_ENDED:
        evolving(s, f->session_ended.user_id, f->session_ended.session_id)->ended = true;
        break;
    case SESSIONS_REFRESH_TOKEN_REPLAYED:
        evolving(s, f->refresh_token_replayed.user_id, f->refresh_token_replayed.session_id)->ended = true;
        break;
    case SESSIONS_FACT_NONE:
        break;
    }
}

bool session_of_fact(const struct sessions_fact *f, struct session_key *ret)
{
    switch ((enum sessions_fact_type)f->type) {
    case SESSIONS_SESSION_STARTED:
        *ret = (struct session_key){ f->session_started.user_id, f->session_started.session_id };
        return true;
    case SESSIONS_SESSION_REFRESHED:
        *ret = (struct session_key){ f->session_refreshed.user_id, f->session_refreshed.session_id };
        return true;
    case SESSIONS_SESSION_ENDED:
        *ret = (struct session_key){ f->session_ended.user_id, f->session_ended.session_id };
        return true;
    case SESSIONS_REFRESH_TOKEN_REPLAYED:
        *ret = (struct session_key){ f->refresh_token_replayed.user_id, f->refresh_token_replayed.session_id };
        return true;
    case SESSIONS_FACT_NONE:
        break;
    }
    return false;
}
