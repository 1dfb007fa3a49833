#include "consumers/users/audit.h"

#include <assert.h>

#include "consumers/projection/text.h"
#include "consumers/users/roles.h"
#include "ops/runtime/json.h"
#include "schemas/accounts.gen.h"
#include "schemas/sessions.gen.h"

static const struct pg_statement insert_audit = {
    "users_insert_audit",
    "INSERT INTO users.audit (stream, partition, position, at, actor, action, subject, details, address, request_id,"
    "                         command_id, trace)"
    " SELECT $1::text, partition, position, at, actor, action, subject, details::jsonb, address, request_id, "
    "command_id,"
    "        trace"
    "   FROM unnest($2::int[], $3::bigint[], $4::timestamptz[], $5::uuid[], $6::text[], $7::uuid[], $8::text[],"
    "               $9::text[], $10::text[], $11::uuid[], $12::text[])"
    "        AS a (partition, position, at, actor, action, subject, details, address, request_id, command_id, trace)",
};

struct audit {
    struct pg_array *partitions, *positions, *times, *actors, *actions, *subjects, *details, *addresses, *requests,
        *commands, *traces;
    const struct stream *stream;
    struct arena *arena;
    struct buf json;
};

static struct audit audit_begin(struct arena *arena, const struct stream *stream, size_t count)
{
    return (struct audit){
        .partitions = pg_array(arena, PG_INT4, count),
        .positions = pg_array(arena, PG_INT8, count),
        .times = pg_array(arena, PG_TIMESTAMPTZ, count),
        .actors = pg_array(arena, PG_UUID, count),
        .actions = pg_array(arena, PG_TEXT, count),
        .subjects = pg_array(arena, PG_UUID, count),
        .details = pg_array(arena, PG_TEXT, count),
        .addresses = pg_array(arena, PG_TEXT, count),
        .requests = pg_array(arena, PG_TEXT, count),
        .commands = pg_array(arena, PG_UUID, count),
        .traces = pg_array(arena, PG_TEXT, count),
        .stream = stream,
        .arena = arena,
    };
}

/* "PasswordChanged" of "aether.accounts.PasswordChanged" */
static struct str action_of(const struct audit *a, const struct any_record *fact)
{
    const char *name = a->stream->fact.name(fact->type), *dot = strrchr(name, '.');
    return str_of(dot ? dot + 1 : name);
}

/* The rest of the row is in a->json already. */
static void audit_add(struct audit *a, const struct placed_fact *placed, const struct sealed *address,
                      struct str request_id)
{
    const struct meta *meta = &placed->fact->meta;
    pg_array_int4(a->partitions, placed->partition);
    pg_array_int8(a->positions, placed->offset);
    pg_array_time(a->times, meta->at);
    pg_array_uuid(a->actors, meta->actor);
    pg_array_str(a->actions, action_of(a, placed->fact));
    pg_array_uuid(a->subjects, a->stream->fact.key(placed->fact));
    pg_array_str(a->details, buf_view(&a->json));
    text_sealed(a->addresses, a->arena, address);
    pg_array_str(a->requests, text_storable(a->arena, request_id));
    pg_array_uuid(a->commands, meta->command_id);
    pg_array_str(a->traces, text_storable(a->arena, meta->trace));
}

static err audit_end(struct audit *a, struct pg *pg)
{
    buf_finish(&a->json);
    if (pg_array_count(a->positions) == 0)
        return OK;
    struct pg_args args = pg_args(a->arena);
    pg_arg_text(&args, str_of(a->stream->name));
    struct pg_array *const columns[] = { a->partitions, a->positions, a->times,    a->actors,   a->actions, a->subjects,
                                         a->details,    a->addresses, a->requests, a->commands, a->traces };
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
        pg_arg_array(&args, columns[i]);
    return pg_batch_add(pg, &insert_audit, &args);
}

static void field_sealed(struct json *j, struct arena *arena, const char *name, const struct sealed *field)
{
    assert(field->state != SEALED);
    json_key(j, name);
    if (field->state == OPEN)
        json_str(j, text_storable(arena, field->clear));
    else
        json_none(j);
}

static void field_time(struct json *j, const char *name, int64_t at)
{
    json_key(j, name);
    if (at)
        json_time(j, at);
    else
        json_none(j);
}

static void field_session(struct json *j, const char *name, struct uuid session)
{
    json_key(j, name);
    if (uuid_is_nil(session))
        json_none(j);
    else
        json_uuid(j, session);
}

static void field_roles(struct json *j, struct arena *arena, const struct str *names, size_t count)
{
    json_key(j, "roles");
    json_open(j, '[');
    for (size_t i = 0; i < count; i++)
        json_str(j, text_storable(arena, names[i]));
    json_close(j, ']');
}

/* --- accounts --- */

/* Every fact of both streams says from where and by which request. */
#define ADD(record) audit_add(a, placed, &f->record.address, f->record.request_id)

static void account_fact_add(struct audit *a, const struct placed_fact *placed)
{
    const struct accounts_fact *f = (const struct accounts_fact *)placed->fact;
    buf_clear(&a->json);
    struct json j = json_writer(&a->json);
    json_open(&j, '{');
    switch ((enum accounts_fact_type)f->type) {
    case ACCOUNTS_ACCOUNT_REGISTERED:
        field_roles(&j, a->arena, f->account_registered.roles.items, f->account_registered.roles.count);
        json_close(&j, '}');
        ADD(account_registered);
        break;
    case ACCOUNTS_PROFILE_CHANGED:
        json_field_int(&j, "version", f->profile_changed.version);
        json_close(&j, '}');
        ADD(profile_changed);
        break;
    case ACCOUNTS_USERNAME_CHANGED:
        json_field_int(&j, "version", f->username_changed.version);
        field_time(&j, "reservedUntil", f->username_changed.reserved_until);
        json_close(&j, '}');
        ADD(username_changed);
        break;
    case ACCOUNTS_EMAIL_CHANGED:
        json_field_int(&j, "version", f->email_changed.version);
        json_close(&j, '}');
        ADD(email_changed);
        break;
    case ACCOUNTS_PASSWORD_CHANGED:
        field_session(&j, "keptSession", f->password_changed.kept_session);
        json_close(&j, '}');
        ADD(password_changed);
        break;
    case ACCOUNTS_PASSWORD_REHASHED:
        json_close(&j, '}');
        ADD(password_rehashed);
        break;
    case ACCOUNTS_ALL_SESSIONS_ENDED:
        field_session(&j, "keptSession", f->all_sessions_ended.kept_session);
        json_close(&j, '}');
        ADD(all_sessions_ended);
        break;
    case ACCOUNTS_ACCOUNT_SUSPENDED:
        field_sealed(&j, a->arena, "reason", &f->account_suspended.reason);
        field_time(&j, "until", f->account_suspended.until);
        json_close(&j, '}');
        ADD(account_suspended);
        break;
    case ACCOUNTS_ACCOUNT_REINSTATED:
        json_close(&j, '}');
        ADD(account_reinstated);
        break;
    case ACCOUNTS_ROLES_SET:
        field_roles(&j, a->arena, f->roles_set.roles.items, f->roles_set.roles.count);
        json_field_int(&j, "version", f->roles_set.version);
        json_close(&j, '}');
        ADD(roles_set);
        break;
    case ACCOUNTS_FACT_NONE:
        break;
    }
}

err accounts_audit(struct pg *pg, struct arena *arena, const struct placed_fact *facts, size_t count)
{
    struct audit a = audit_begin(arena, &accounts_stream, count);
    for (size_t i = 0; i < count; i++)
        account_fact_add(&a, &facts[i]);
    return audit_end(&a, pg);
}

/* --- sessions --- */

static void session_fact_add(struct audit *a, const struct placed_fact *placed)
{
    const struct sessions_fact *f = (const struct sessions_fact *)placed->fact;
    buf_clear(&a->json);
    struct json j = json_writer(&a->json);
    json_open(&j, '{');
    switch ((enum sessions_fact_type)f->type) {
    case SESSIONS_SESSION_STARTED:
        json_field_uuid(&j, "sessionId", f->session_started.session_id);
        json_close(&j, '}');
        ADD(session_started);
        break;
    case SESSIONS_SESSION_REFRESHED:
        json_field_uuid(&j, "sessionId", f->session_refreshed.session_id);
        json_field_int(&j, "generation", f->session_refreshed.generation);
        json_close(&j, '}');
        ADD(session_refreshed);
        break;
    case SESSIONS_SESSION_ENDED:
        json_field_uuid(&j, "sessionId", f->session_ended.session_id);
        json_field_str(&j, "reason", f->session_ended.reason == SESSION_END_REVOKED ? STR("revoked") : STR("logout"));
        json_close(&j, '}');
        ADD(session_ended);
        break;
    case SESSIONS_REFRESH_TOKEN_REPLAYED:
        json_field_uuid(&j, "sessionId", f->refresh_token_replayed.session_id);
        json_field_int(&j, "presentedGeneration", f->refresh_token_replayed.presented_generation);
        json_field_int(&j, "generation", f->refresh_token_replayed.generation);
        json_close(&j, '}');
        ADD(refresh_token_replayed);
        break;
    case SESSIONS_FACT_NONE:
        break;
    }
}

err sessions_audit(struct pg *pg, struct arena *arena, const struct placed_fact *facts, size_t count)
{
    struct audit a = audit_begin(arena, &sessions_stream, count);
    for (size_t i = 0; i < count; i++)
        session_fact_add(&a, &facts[i]);
    return audit_end(&a, pg);
}
