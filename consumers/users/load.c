/* Brings accounts and sessions from PostgreSQL into the state, one query a table. */
#include "consumers/users/row.h"
#include "consumers/users/streams.h"

#define ACCOUNT                                                                                                        \
    "SELECT user_id, username_index, email_index, version, session_epoch, array_to_string(roles, ','),"                \
    "       suspended_at IS NOT NULL, suspended_until"                                                                 \
    "  FROM users.accounts "
enum { USER_ID, USERNAME_INDEX, EMAIL_INDEX, VERSION, SESSION_EPOCH, ROLES, SUSPENDED, SUSPENDED_UNTIL };

/* Whose accounts take one of the ids ($1), usernames ($2) or e-mail addresses ($3). */
static const struct pg_statement load_accounts = {
    "users_load_accounts",
    ACCOUNT "WHERE user_id = ANY ($1::uuid[]) UNION ALL " ACCOUNT
            "WHERE username_index = ANY ($2::bytea[]) UNION ALL " ACCOUNT "WHERE email_index = ANY ($3::bytea[])",
};

/* Who has one of the usernames ($1) reserved, or one of them or of the e-mail addresses ($2) held: by a parked fact,
 * and until nobody knows when. What is held counts, so it comes last. The kinds are those of row.h. */
static const struct pg_statement load_reserved = {
    "users_load_reserved",
    "SELECT 1::smallint, username_index, user_id, reserved_until FROM users.reserved_usernames"
    " WHERE username_index = ANY ($1::bytea[])"
    " UNION ALL "
    "SELECT kind, name_index, user_id, NULL FROM users.held_names"
    " WHERE (kind = 1 AND name_index = ANY ($1::bytea[])) OR (kind = 2 AND name_index = ANY ($2::bytea[]))"
    " ORDER BY 4 NULLS LAST",
};
enum { RESERVED_KIND, RESERVED_INDEX, RESERVED_BY, RESERVED_UNTIL };

static const struct pg_statement load_admins = {
    "users_load_admins",
    ACCOUNT "WHERE roles @> '{admin}'",
};

static const struct pg_statement load_sessions = {
    "users_load_sessions",
    "SELECT s.user_id, s.session_id, s.refresh_hash, s.generation, s.expires_at, s.ended_at IS NOT NULL"
    "  FROM unnest($1::uuid[], $2::uuid[]) AS k (user_id, session_id)"
    "  JOIN users.sessions s ON s.user_id = k.user_id AND s.session_id = k.session_id",
};

/* --- accounts --- */

/* What is asked for. An entry that is asked for is LOADING, so that it is asked for once. */
struct wanted_accounts {
    struct account **accounts;
    struct claim **claims;
    size_t account_count, claim_count;
    bool admins;
};

static void want_account(struct wanted_accounts *w, struct accounts_state *s, struct uuid id)
{
    struct account *account = accounts_state_account_add(s, id);
    if (account->presence == PRESENCE_UNKNOWN) {
        account->presence = PRESENCE_LOADING;
        w->accounts[w->account_count++] = account;
    }
}

static void want_claim(struct wanted_accounts *w, struct accounts_state *s, enum claim_kind kind, struct str index)
{
    struct claim *claim = accounts_state_claim_add(s, claim_key(kind, index));
    if (claim->presence == PRESENCE_UNKNOWN) {
        claim->presence = PRESENCE_LOADING;
        w->claims[w->claim_count++] = claim;
    }
}

/* The account, and the actor's: only an account can administrate. */
static void want_for_account_command(struct wanted_accounts *w, struct accounts_state *s,
                                     const struct accounts_command *c)
{
    if (c->type == ACCOUNTS_COMMAND_NONE)
        return;
    want_account(w, s, accounts_stream.command.key((const struct any_record *)c));
    want_account(w, s, c->meta.actor);
    if (c->type == ACCOUNTS_REGISTER_ACCOUNT) {
        want_claim(w, s, CLAIM_USERNAME, c->register_account.username_index);
        want_claim(w, s, CLAIM_EMAIL, c->register_account.email_index);
    } else if (c->type == ACCOUNTS_CHANGE_USERNAME) {
        want_claim(w, s, CLAIM_USERNAME, c->change_username.username_index);
    } else if (c->type == ACCOUNTS_CHANGE_EMAIL) {
        want_claim(w, s, CLAIM_EMAIL, c->change_email.email_index);
    } else if (c->type == ACCOUNTS_SET_ROLES) {
        w->admins |= !s->admins_loaded;
    }
}

/* A name that a fact takes or releases needs no question: the fact says whose it is. */
static void want_for_account_fact(struct wanted_accounts *w, struct accounts_state *s, const struct accounts_fact *f)
{
    if (f->type != ACCOUNTS_FACT_NONE)
        want_account(w, s, accounts_stream.fact.key((const struct any_record *)f));
}

static err queue_accounts(struct pg *pg, struct arena *arena, const struct wanted_accounts *w)
{
    struct pg_array *ids = pg_array(arena, PG_UUID, w->account_count);
    struct pg_array *usernames = pg_array(arena, PG_BYTEA, w->claim_count),
                    *emails = pg_array(arena, PG_BYTEA, w->claim_count);
    for (size_t i = 0; i < w->account_count; i++)
        pg_array_uuid(ids, w->accounts[i]->id);
    for (size_t i = 0; i < w->claim_count; i++) {
        const struct claim_key *key = &w->claims[i]->key;
        const struct str index = { (const char *)key->value, sizeof key->value };
        pg_array_str(key->kind == CLAIM_USERNAME ? usernames : emails, index);
    }
    struct pg_args args = pg_args(arena), names = pg_args(arena), none = pg_args(arena);
    pg_arg_array(&args, ids);
    pg_arg_array(&args, usernames);
    pg_arg_array(&args, emails);
    pg_arg_array(&names, usernames);
    pg_arg_array(&names, emails);
    TRY(pg_batch_begin(pg));
    TRY(pg_batch_add(pg, &load_accounts, &args));
    TRY(pg_batch_add(pg, &load_reserved, &names));
    if (w->admins)
        TRY(pg_batch_add(pg, &load_admins, &none));
    return OK;
}

/* Who is known already may have changed since this row, which the fold of the tail has not reached. */
static void account_learn(struct accounts_state *s, const PGresult *r, int row)
{
    struct account *account = accounts_state_account_add(s, pg_uuid(r, row, USER_ID));
    if (account->presence == PRESENCE_PRESENT)
        return;
    account->presence = PRESENCE_PRESENT;
    hash_set(account->username_index, pg_str(r, row, USERNAME_INDEX));
    hash_set(account->email_index, pg_str(r, row, EMAIL_INDEX));
    account->version = pg_int(r, row, VERSION);
    account->session_epoch = pg_int(r, row, SESSION_EPOCH);
    account->roles = role_bits_of_text(pg_str(r, row, ROLES));
    account->suspended = pg_bool(r, row, SUSPENDED);
    account->suspended_until = pg_null(r, row, SUSPENDED_UNTIL) ? 0 : pg_time(r, row, SUSPENDED_UNTIL);
    claim_set(accounts_state_claim_add(s, claim_key(CLAIM_USERNAME, pg_str(r, row, USERNAME_INDEX))), account->id,
              CLAIM_FOREVER);
    claim_set(accounts_state_claim_add(s, claim_key(CLAIM_EMAIL, pg_str(r, row, EMAIL_INDEX))), account->id,
              CLAIM_FOREVER);
}

static void reservation_learn(struct accounts_state *s, const PGresult *r, int row)
{
    const enum claim_kind kind = pg_int(r, row, RESERVED_KIND) == ROW_NAME_USERNAME ? CLAIM_USERNAME : CLAIM_EMAIL;
    claim_set(accounts_state_claim_add(s, claim_key(kind, pg_str(r, row, RESERVED_INDEX))),
              pg_uuid(r, row, RESERVED_BY),
              pg_null(r, row, RESERVED_UNTIL) ? CLAIM_FOREVER : pg_time(r, row, RESERVED_UNTIL));
}

err accounts_load(void *state, struct pg *pg, struct arena *arena, const struct any_record *const *records,
                  size_t count, bool facts)
{
    struct accounts_state *s = state;
    struct wanted_accounts w = { .accounts = ARENA_ARRAY(arena, struct account *, 2 * count),
                                 .claims = ARENA_ARRAY(arena, struct claim *, 2 * count) };
    for (size_t i = 0; i < count; i++) {
        if (facts)
            want_for_account_fact(&w, s, (const struct accounts_fact *)records[i]);
        else
            want_for_account_command(&w, s, (const struct accounts_command *)records[i]);
    }
    if (w.account_count == 0 && w.claim_count == 0 && !w.admins)
        return OK;

    PGresult *r[3];
    const size_t asked_count = w.admins ? 3 : 2;
    err asked = queue_accounts(pg, arena, &w);
    if (asked == OK)
        asked = pg_batch_end(pg, r, asked_count);
    for (size_t i = 0; i < w.account_count; i++)
        w.accounts[i]->presence = asked == OK ? PRESENCE_ABSENT : PRESENCE_UNKNOWN;
    for (size_t i = 0; i < w.claim_count; i++)
        w.claims[i]->presence = asked == OK ? PRESENCE_ABSENT : PRESENCE_UNKNOWN;
    if (asked != OK)
        return asked;
    for (int row = 0; row < PQntuples(r[1]); row++)
        reservation_learn(s, r[1], row);
    for (int row = 0; row < PQntuples(r[0]); row++)
        account_learn(s, r[0], row);
    for (int row = 0; w.admins && row < PQntuples(r[2]); row++)
        account_learn(s, r[2], row);
    s->admins_loaded |= w.admins;
    pg_results_clear(r, asked_count);
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
    struct session_key key;
    if (session_of_fact(f, &key))
        want_session(w, s, key.user, key.session);
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

    _cleanup_result_ PGresult *r = NULL;
    err asked = ask_sessions(pg, arena, &w, &r);
    for (size_t i = 0; i < w.count; i++)
        w.sessions[i]->presence = asked == OK ? PRESENCE_ABSENT : PRESENCE_UNKNOWN;
    if (asked != OK)
        return asked;
    for (int row = 0; row < PQntuples(r); row++)
        session_set(sessions_state_add(s, pg_uuid(r, row, 0), pg_uuid(r, row, 1)), pg_str(r, row, 2), pg_int(r, row, 3),
                    pg_time(r, row, 4), pg_bool(r, row, 5));
    return OK;
}
