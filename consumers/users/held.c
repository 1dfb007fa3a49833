/* Names that a parked fact has taken (users.held_names): nobody else gets them until it is retried or discarded. Blind
 * indexes are not sealed, so that this asks for no key. */
#include "consumers/users/row.h"
#include "consumers/users/streams.h"

static const struct pg_statement hold_name = {
    "users_hold_name",
    "INSERT INTO users.held_names (topic, partition, \"offset\", kind, name_index, user_id)"
    " VALUES ($1::text, $2::int, $3::bigint, $4::smallint, $5::bytea, $6::uuid) ON CONFLICT DO NOTHING",
};

static err hold(struct pg *pg, struct arena *arena, const struct placed_fact *fact, int16_t kind, struct str index)
{
    struct pg_args args = pg_args(arena);
    pg_arg_text(&args, str_of(accounts_stream.events_topic));
    pg_arg_int4(&args, fact->partition);
    pg_arg_int8(&args, fact->offset);
    pg_arg_int2(&args, kind);
    pg_arg_bytes(&args, index);
    pg_arg_uuid(&args, accounts_stream.fact.key(fact->fact));
    return pg_batch_add(pg, &hold_name, &args);
}

err accounts_hold(struct pg *pg, struct arena *arena, const struct placed_fact *fact)
{
    const struct accounts_fact *f = (const struct accounts_fact *)fact->fact;
    switch ((enum accounts_fact_type)f->type) {
    case ACCOUNTS_ACCOUNT_REGISTERED:
        TRY(hold(pg, arena, fact, ROW_NAME_USERNAME, f->account_registered.username_index));
        return hold(pg, arena, fact, ROW_NAME_EMAIL, f->account_registered.email_index);
    case ACCOUNTS_USERNAME_CHANGED:
        return hold(pg, arena, fact, ROW_NAME_USERNAME, f->username_changed.username_index);
    case ACCOUNTS_EMAIL_CHANGED:
        return hold(pg, arena, fact, ROW_NAME_EMAIL, f->email_changed.email_index);
    case ACCOUNTS_PROFILE_CHANGED:
    case ACCOUNTS_PASSWORD_CHANGED:
    case ACCOUNTS_PASSWORD_REHASHED:
    case ACCOUNTS_ALL_SESSIONS_ENDED:
    case ACCOUNTS_ACCOUNT_SUSPENDED:
    case ACCOUNTS_ACCOUNT_REINSTATED:
    case ACCOUNTS_ROLES_SET:
    case ACCOUNTS_FACT_NONE:
        break;
    }
    return OK;
}
