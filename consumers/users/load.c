/* Brings accounts and sessions from PostgreSQL into the state, one query a table. */
#include "consumers/users/streams.h"

/* Whose accounts take one of the ids ($1), usernames ($2) or e-mail addresses ($3). */
static const struct pg_statement load_accounts = {
    "users_load_accounts",
    "SELECT user_id, username_index, email_index FROM users.accounts WHERE user_id = ANY ($1::uuid[])"
    " UNION ALL "
    "SELECT user_id, username_index, email_index FROM users.accounts WHERE username_index = ANY ($2::bytea[])"
    " UNION ALL "
    "SELECT user_id, username_index, email_index FROM users.accounts WHERE email_index = ANY ($3::bytea[])",
};

static const struct pg_statement load_sessions = {
    "users_load_sessions",
    "SELECT s.user_id, s.session_id, s.refresh_hash, s.expires_at, s.ended_at IS NOT NULL"
    "  FROM unnest($1::uuid[], $2::uuid[]) AS k (user_id, session_id)"
    "  JOIN users.sessions s ON s.user_id = k.user_id AND s.session_id = k.session_id",
};

/* --- accounts --- */

/* What is asked for. An entry that is asked for is LOADING, so that it is asked for once. */
struct wanted_claims {
    struct claim **claims;
    size_t count;
};

static void want_claim(struct wanted_claims *w, struct accounts_state *s, struct claim_key key)
{
    struct claim *claim = accounts_state_claim_add(s, key);
    if (claim->presence == PRESENCE_UNKNOWN) {
        claim->presence = PRESENCE_LOADING;
        w->claims[w->count++] = claim;
    }
}

static void want_account(struct wanted_claims *w, struct accounts_state *s, struct uuid id, struct str username_index,
                         struct str email_index)
{
    want_claim(w, s, claim_key_id(id));
    want_claim(w, s, claim_key(CLAIM_USERNAME, username_index));
    want_claim(w, s, claim_key(CLAIM_EMAIL, email_index));
}

static err ask_accounts(struct pg *pg, struct arena *arena, const struct wanted_claims *w, PGresult **ret)
{
    struct pg_array *ids = pg_array(arena, PG_UUID, w->count), *usernames = pg_array(arena, PG_BYTEA, w->count),
                    *emails = pg_array(arena, PG_BYTEA, w->count);
    for (size_t i = 0; i < w->count; i++) {
        const struct claim_key *key = &w->claims[i]->key;
        const struct str value = { (const char *)key->value, sizeof key->value };
        struct uuid id;
        switch ((enum claim_kind)key->kind) {
        case CLAIM_ID:
            memcpy(&id, key->value, sizeof id);
            pg_array_uuid(ids, id);
            break;
        case CLAIM_USERNAME:
            pg_array_str(usernames, value);
            break;
        case CLAIM_EMAIL:
            pg_array_str(emails, value);
            break;
        }
    }
    struct pg_args args = pg_args(arena);
    pg_arg_array(&args, ids);
    pg_arg_array(&args, usernames);
    pg_arg_array(&args, emails);
    return pg_query(pg, &load_accounts, &args, ret);
}

err accounts_load(void *state, struct pg *pg, struct arena *arena, const struct any_record *const *records,
                  size_t count, bool facts)
{
    struct accounts_state *s = state;
    struct wanted_claims w = { ARENA_ARRAY(arena, struct claim *, 3 * count), 0 };
    for (size_t i = 0; i < count; i++) {
        const struct accounts_command *c = (const struct accounts_command *)records[i];
        const struct accounts_fact *f = (const struct accounts_fact *)records[i];
        if (facts && f->type == ACCOUNTS_ACCOUNT_REGISTERED)
            want_account(&w, s, f->account_registered.user_id, f->account_registered.username_index,
                         f->account_registered.email_index);
        else if (!facts && c->type == ACCOUNTS_REGISTER_ACCOUNT)
            want_account(&w, s, c->register_account.user_id, c->register_account.username_index,
                         c->register_account.email_index);
    }
    if (w.count == 0)
        return OK;

    PGresult *r;
    err asked = ask_accounts(pg, arena, &w, &r);
    for (size_t i = 0; i < w.count; i++)
        w.claims[i]->presence = asked == OK ? PRESENCE_ABSENT : PRESENCE_UNKNOWN;
    if (asked != OK)
        return asked;
    for (int row = 0; row < PQntuples(r); row++) {
        accounts_state_claim_add(s, claim_key_id(pg_uuid(r, row, 0)))->presence = PRESENCE_PRESENT;
        accounts_state_claim_add(s, claim_key(CLAIM_USERNAME, pg_str(r, row, 1)))->presence = PRESENCE_PRESENT;
        accounts_state_claim_add(s, claim_key(CLAIM_EMAIL, pg_str(r, row, 2)))->presence = PRESENCE_PRESENT;
    }
    PQclear(r);
    return OK;
}

/* --- sessions --- */

struct wanted_sessions {
    struct session **sessions;
    size_t count;
};

static void want_session(struct wanted_sessions *w, struct sessions_state *s, struct uuid user, struct uuid id)
{
    struct session *session = sessions_state_add(s, user, id);
    if (session->presence == PRESENCE_UNKNOWN) {
        session->presence = PRESENCE_LOADING;
        w->sessions[w->count++] = session;
    }
}

static void want_for_command(struct wanted_sessions *w, struct sessions_state *s, const struct sessions_command *c)
{
    switch ((enum sessions_command_type)c->type) {
    case SESSIONS_START_SESSION:
        want_session(w, s, c->start_session.user_id, c->start_session.session_id);
        break;
    case SESSIONS_REFRESH_SESSION:
        want_session(w, s, c->refresh_session.user_id, c->refresh_session.session_id);
        break;
    case SESSIONS_END_SESSION:
        want_session(w, s, c->end_session.user_id, c->end_session.session_id);
        break;
    case SESSIONS_COMMAND_NONE:
        break;
    }
}

static void want_for_fact(struct wanted_sessions *w, struct sessions_state *s, const struct sessions_fact *f)
{
    switch ((enum sessions_fact_type)f->type) {
    case SESSIONS_SESSION_STARTED:
        want_session(w, s, f->session_started.user_id, f->session_started.session_id);
        break;
    case SESSIONS_SESSION_REFRESHED:
        want_session(w, s, f->session_refreshed.user_id, f->session_refreshed.session_id);
        break;
    case SESSIONS_SESSION_ENDED:
        want_session(w, s, f->session_ended.user_id, f->session_ended.session_id);
        break;
    case SESSIONS_FACT_NONE:
        break;
    }
}

static err ask_sessions(struct pg *pg, struct arena *arena, const struct wanted_sessions *w, PGresult **ret)
{
    struct pg_array *users = pg_array(arena, PG_UUID, w->count), *ids = pg_array(arena, PG_UUID, w->count);
    for (size_t i = 0; i < w->count; i++) {
        pg_array_uuid(users, w->sessions[i]->key.user);
        pg_array_uuid(ids, w->sessions[i]->key.session);
    }
    struct pg_args args = pg_args(arena);
    pg_arg_array(&args, users);
    pg_arg_array(&args, ids);
    return pg_query(pg, &load_sessions, &args, ret);
}

err sessions_load(void *state, struct pg *pg, struct arena *arena, const struct any_record *const *records,
                  size_t count, bool facts)
{
    struct sessions_state *s = state;
    struct wanted_sessions w = { ARENA_ARRAY(arena, struct session *, count), 0 };
    for (size_t i = 0; i < count; i++) {
        if (facts)
            want_for_fact(&w, s, (const struct sessions_fact *)records[i]);
        else
            want_for_command(&w, s, (const struct sessions_command *)records[i]);
    }
    if (w.count == 0)
        return OK;

    PGresult *r;
    err asked = ask_sessions(pg, arena, &w, &r);
    for (size_t i = 0; i < w.count; i++)
        w.sessions[i]->presence = asked == OK ? PRESENCE_ABSENT : PRESENCE_UNKNOWN;
    if (asked != OK)
        return asked;
    for (int row = 0; row < PQntuples(r); row++)
        session_set(sessions_state_add(s, pg_uuid(r, row, 0), pg_uuid(r, row, 1)), pg_str(r, row, 2),
                    pg_time(r, row, 3), pg_bool(r, row, 4));
    PQclear(r);
    return OK;
}
