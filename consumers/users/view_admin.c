/* The administrators' lists: accounts and the audit. Filters that leave little of a table have an index and a statement
 * of their own; the others are tried on the rows that the index gives. */
#include "consumers/users/view_private.h"

/* --- accounts --- */

/* $1 those below this id, $2 how many, $3 role or NULL, $4 suspended, or NULL, $5 now, $6 and $7 created from
 * and to. */
#define LIST_ACCOUNTS "SELECT " ACCOUNT_COLUMNS " FROM users.accounts a WHERE a.user_id < $1::uuid"
#define LIST_FILTERS                                                                                                   \
    "   AND ($3::text IS NULL OR $3::text = ANY (a.roles))"                                                            \
    "   AND ($4::boolean IS NULL OR $4::boolean ="                                                                     \
    "        (a.suspended_at IS NOT NULL AND COALESCE(a.suspended_until > $5::timestamptz, true)))"                    \
    "   AND ($6::timestamptz IS NULL OR a.created_at >= $6::timestamptz)"                                              \
    "   AND ($7::timestamptz IS NULL OR a.created_at < $7::timestamptz)"
#define LIST_END " ORDER BY a.user_id DESC LIMIT $2::int"

static const struct pg_statement list_accounts = {
    "users_list_accounts",
    LIST_ACCOUNTS LIST_FILTERS LIST_END,
};
static const struct pg_statement list_staff = {
    "users_list_staff",
    LIST_ACCOUNTS " AND a.roles && '{moderator,admin}'" LIST_FILTERS LIST_END,
};
static const struct pg_statement list_suspended = {
    "users_list_suspended",
    LIST_ACCOUNTS " AND a.suspended_at IS NOT NULL" LIST_FILTERS LIST_END,
};
/* $8 and $9: the prefix of one of the person's terms, and the first text behind it. */
static const struct pg_statement list_named = {
    "users_list_named",
    LIST_ACCOUNTS " AND a.user_id IN (SELECT t.user_id FROM users.search_terms t"
                  "                    WHERE t.term >= $8::text AND t.term < $9::text)" LIST_FILTERS LIST_END,
};

static void arg_text_or_null(struct pg_args *args, struct str text)
{
    if (text.len)
        pg_arg_text(args, text);
    else
        pg_arg_null(args);
}

static void arg_time_or_null(struct pg_args *args, int64_t at)
{
    if (at)
        pg_arg_time(args, at);
    else
        pg_arg_null(args);
}

err account_list(struct pg *pg, struct arena *arena, const struct account_filter *filter, struct uuid before, int limit,
                 struct account_view **ret, size_t *ret_count)
{
    const bool staff = filter->role == ACCOUNT_MODERATOR || filter->role == ACCOUNT_ADMIN;
    const struct pg_statement *statement = &list_accounts;
    if (filter->folded.len)
        statement = &list_named;
    else if (filter->suspended == 1)
        statement = &list_suspended;
    else if (staff)
        statement = &list_staff;
    if (uuid_is_nil(before))
        memset(&before, 0xFF, sizeof before);
    struct pg_args args = pg_args(arena);
    pg_arg_uuid(&args, before);
    pg_arg_int4(&args, limit);
    arg_text_or_null(&args, filter->role == ACCOUNT_ADMIN ? STR("admin")
                            : staff                       ? STR("moderator")
                                                          : (struct str){ 0 });
    if (filter->suspended < 0)
        pg_arg_null(&args);
    else
        pg_arg_bool(&args, filter->suspended != 0);
    pg_arg_time(&args, filter->now_ms);
    arg_time_or_null(&args, filter->from);
    arg_time_or_null(&args, filter->to);
    if (filter->folded.len) {
        pg_arg_text(&args, filter->folded);
        pg_arg_text(&args, view_prefix_end(arena, filter->folded));
    }
    _cleanup_result_ PGresult *r = NULL;
    TRY(pg_query(pg, statement, &args, &r));
    *ret = view_accounts(arena, r, ret_count);
    return OK;
}

/* --- audit --- */

/* $1 to $4 those before this key, $5 how many, $6 and $7 at from and to, $8 action or NULL, $9 subject or NULL,
 * $10 actor or NULL. */
#define LIST_AUDIT                                                                                                     \
    "SELECT at, stream, partition, position, actor, action, subject, details::text, address, request_id, command_id,"  \
    "       trace"                                                                                                     \
    "  FROM users.audit"                                                                                               \
    " WHERE (at, stream, partition, position) < ($1::timestamptz, $2::text, $3::int, $4::bigint)"                      \
    "   AND at >= COALESCE($6::timestamptz, '-infinity') AND at < COALESCE($7::timestamptz, 'infinity')"
#define AUDIT_ACTION  " AND ($8::text IS NULL OR action = $8::text)"
#define AUDIT_SUBJECT " AND ($9::uuid IS NULL OR subject = $9::uuid)"
#define AUDIT_ACTOR   " AND ($10::uuid IS NULL OR actor = $10::uuid)"
#define AUDIT_END     " ORDER BY at DESC, stream DESC, partition DESC, position DESC LIMIT $5::int"

static const struct pg_statement list_audit = {
    "users_list_audit",
    LIST_AUDIT AUDIT_ACTION AUDIT_SUBJECT AUDIT_ACTOR AUDIT_END,
};
static const struct pg_statement list_audit_of_action = {
    "users_list_audit_of_action",
    LIST_AUDIT " AND action = $8::text" AUDIT_SUBJECT AUDIT_ACTOR AUDIT_END,
};
static const struct pg_statement list_audit_of_subject = {
    "users_list_audit_of_subject",
    LIST_AUDIT " AND subject = $9::uuid" AUDIT_ACTION AUDIT_ACTOR AUDIT_END,
};
/* Upon themselves, and upon others: two indexes. */
static const struct pg_statement list_audit_of_actor = {
    "users_list_audit_of_actor",
    "(" LIST_AUDIT " AND subject = $10::uuid AND actor = $10::uuid" AUDIT_ACTION AUDIT_SUBJECT AUDIT_END
    ") UNION ALL (" LIST_AUDIT " AND actor = $10::uuid AND actor <> subject" AUDIT_ACTION AUDIT_SUBJECT AUDIT_END
    ")" AUDIT_END,
};

/* Behind every row. */
#define END_OF_TIME INT64_C(253402300799999) /* 9999-12-31T23:59:59.999Z */

static void arg_uuid_or_null(struct pg_args *args, struct uuid id)
{
    if (uuid_is_nil(id))
        pg_arg_null(args);
    else
        pg_arg_uuid(args, id);
}

err audit_list(struct pg *pg, struct arena *arena, const struct audit_filter *filter, int limit,
               struct audit_view **ret, size_t *ret_count)
{
    const struct pg_statement *statement = &list_audit;
    if (!uuid_is_nil(filter->subject))
        statement = &list_audit_of_subject;
    else if (!uuid_is_nil(filter->actor))
        statement = &list_audit_of_actor;
    else if (filter->action.len)
        statement = &list_audit_of_action;
    const struct audit_key last = { END_OF_TIME, STR(""), 0, 0 };
    const struct audit_key *before = filter->before ? filter->before : &last;
    struct pg_args args = pg_args(arena);
    pg_arg_time(&args, before->at);
    pg_arg_text(&args, before->stream);
    pg_arg_int4(&args, before->partition);
    pg_arg_int8(&args, before->position);
    pg_arg_int4(&args, limit);
    arg_time_or_null(&args, filter->from);
    arg_time_or_null(&args, filter->to);
    arg_text_or_null(&args, filter->action);
    arg_uuid_or_null(&args, filter->subject);
    arg_uuid_or_null(&args, filter->actor);
    _cleanup_result_ PGresult *r = NULL;
    TRY(pg_query(pg, statement, &args, &r));
    const int rows = PQntuples(r);
    struct audit_view *views = ARENA_ARRAY(arena, struct audit_view, rows);
    for (int row = 0; row < rows; row++)
        views[row] = (struct audit_view){
            .key = { .at = pg_time(r, row, 0),
                     .stream = view_text(arena, r, row, 1),
                     .partition = (int32_t)pg_int(r, row, 2),
                     .position = pg_int(r, row, 3) },
            .actor = pg_uuid(r, row, 4),
            .action = view_text(arena, r, row, 5),
            .subject = pg_uuid(r, row, 6),
            .details = view_text(arena, r, row, 7),
            .address = view_text(arena, r, row, 8),
            .request_id = view_text(arena, r, row, 9),
            .command_id = pg_uuid(r, row, 10),
            .trace = view_text(arena, r, row, 11),
        };
    *ret = views;
    *ret_count = (size_t)rows;
    return OK;
}

static void field_or_null(struct json *j, const char *name, struct str text)
{
    json_key(j, name);
    if (text.len)
        json_str(j, text);
    else
        json_none(j);
}

void audit_json(struct json *j, const struct audit_view *a)
{
    json_open(j, '{');
    json_field_time(j, "at", a->key.at);
    json_field_uuid(j, "actor", a->actor);
    json_field_uuid(j, "subject", a->subject);
    json_field_str(j, "action", a->action);
    json_key(j, "details");
    json_raw(j, a->details);
    field_or_null(j, "address", a->address);
    field_or_null(j, "requestId", a->request_id);
    json_field_uuid(j, "commandId", a->command_id);
    field_or_null(j, "trace", a->trace);
    json_field_str(j, "stream", a->key.stream);
    json_field_int(j, "partition", a->key.partition);
    json_field_int(j, "offset", a->key.position);
    json_close(j, '}');
}
