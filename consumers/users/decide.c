#include "consumers/users/decide.h"

#include <assert.h>
#include <sodium/utils.h>

/* --- accounts --- */

/* What load did not ask PostgreSQL for has no answer: assert, rather than take it for free. */
static bool is_taken(const struct accounts_state *s, struct claim_key key)
{
    const struct claim *claim = accounts_state_claim(s, key);
    assert(claim && claim->presence >= PRESENCE_ABSENT);
    return claim->presence == PRESENCE_PRESENT;
}

static int decide_register(const struct accounts_state *s, const struct register_account *command,
                           struct accounts_fact *ret)
{
    static const struct str roles[] = { { "user", 4 } };

    if (!uuid_equal(command->user_id, command->meta.actor))
        return FORBIDDEN_ACTOR;
    if (command->username_index.len != HASH_LEN || command->email_index.len != HASH_LEN)
        return COMMAND_INVALID;
    if (is_taken(s, claim_key_id(command->user_id)))
        return ACCOUNT_EXISTS;
    if (is_taken(s, claim_key(CLAIM_USERNAME, command->username_index)))
        return USERNAME_TAKEN;
    if (is_taken(s, claim_key(CLAIM_EMAIL, command->email_index)))
        return EMAIL_TAKEN;
    ret->type = ACCOUNTS_ACCOUNT_REGISTERED;
    ret->account_registered = (struct account_registered){
        .user_id = command->user_id,
        .username = command->username,
        .username_index = command->username_index,
        .email = command->email,
        .email_index = command->email_index,
        .first_name = command->first_name,
        .last_name = command->last_name,
        .password_hash = command->password_hash,
        .roles = { roles, 1 },
    };
    return ACCEPTED;
}

int accounts_decide(const void *state, const struct any_record *command, struct any_record *ret_fact)
{
    const struct accounts_command *c = (const struct accounts_command *)command;
    struct accounts_fact *ret = (struct accounts_fact *)ret_fact;
    switch ((enum accounts_command_type)c->type) {
    case ACCOUNTS_REGISTER_ACCOUNT:
        return decide_register(state, &c->register_account, ret);
    case ACCOUNTS_COMMAND_NONE:
        break;
    }
    return COMMAND_INVALID;
}

void accounts_evolve(void *state, const struct any_record *fact)
{
    struct accounts_state *s = state;
    const struct accounts_fact *f = (const struct accounts_fact *)fact;
    switch ((enum accounts_fact_type)f->type) {
    case ACCOUNTS_ACCOUNT_REGISTERED: {
        const struct account_registered *account = &f->account_registered;
        accounts_state_claim_add(s, claim_key_id(account->user_id))->presence = PRESENCE_PRESENT;
        accounts_state_claim_add(s, claim_key(CLAIM_USERNAME, account->username_index))->presence = PRESENCE_PRESENT;
        accounts_state_claim_add(s, claim_key(CLAIM_EMAIL, account->email_index))->presence = PRESENCE_PRESENT;
        break;
    }
    case ACCOUNTS_FACT_NONE:
        break;
    }
}

/* --- sessions --- */

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
        return SESSION_NOT_FOUND;
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
    ret->session_ended = (struct session_ended){ .session_id = command->session_id, .user_id = command->user_id };
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
        session_set(sessions_state_add(s, started->user_id, started->session_id), started->refresh_hash,
                    started->expires_at, false);
        break;
    }
    case SESSIONS_SESSION_REFRESHED: {
        const struct session_refreshed *refreshed = &f->session_refreshed;
        struct session *session = evolving(s, refreshed->user_id, refreshed->session_id);
        session_set(session, refreshed->refresh_hash, refreshed->expires_at, session->ended);
        break;
    }
    case SESSIONS_SESSION_ENDED:
        evolving(s, f->session_ended.user_id, f->session_ended.session_id)->ended = true;
        break;
    case SESSIONS_FACT_NONE:
        break;
    }
}
