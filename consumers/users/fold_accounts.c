/* Brings a batch of facts of the stream accounts into the projection: a few statements, whatever the batch's size.
 *
 * The newest fact of each kind counts (struct account_change), so that no row is written twice by one statement. An
 * account that registers is inserted as it registered and then updated like the others. The checkpoint keeps a fact
 * from being folded twice; a row that is there already is an error and must surface. */
#include "consumers/projection/text.h"
#include "consumers/users/audit.h"
#include "consumers/users/names.h"
#include "consumers/users/row.h"
#include "consumers/users/streams.h"

/* The tables that add up live in the batch's arena: no malloc a batch. */
#undef uthash_malloc
#undef uthash_free
#define uthash_malloc(size)        arena_alloc_raw(arena, (size))
#define uthash_free(pointer, size) ((void)(pointer))

/* --- rows of accounts --- */

/* What of an account a fact replaces. */
enum part { REGISTRATION, PROFILE, USERNAME, EMAIL, PASSWORD, EPOCH, SUSPENSION, ROLES, PARTS };

struct account_change {
    struct uuid id;
    const struct accounts_fact *newest[PARTS]; /* NULL: none in this batch */
    int64_t position, version;                 /* version 0: as before */
    struct account_change *next;               /* in the order of first mention */
    UT_hash_handle hh;
};

struct account_changes {
    struct account_change *by_id, *first, **end;
    size_t count, parts[PARTS];
};

static struct account_change *changes_of(struct account_changes *c, struct arena *arena, struct uuid id)
{
    struct account_change *change;
    HASH_FIND(hh, c->by_id, &id, sizeof id, change);
    if (change)
        return change;
    change = ARENA_NEW(arena, struct account_change);
    change->id = id;
    HASH_ADD(hh, c->by_id, id, sizeof change->id, change);
    *c->end = change;
    c->end = &change->next;
    c->count++;
    return change;
}

static void part_set(struct account_changes *c, struct account_change *change, enum part part,
                     const struct accounts_fact *f)
{
    c->parts[part] += change->newest[part] == NULL;
    change->newest[part] = f;
}

static void changes_add(struct account_changes *c, struct arena *arena, const struct placed_fact *placed)
{
    const struct accounts_fact *f = (const struct accounts_fact *)placed->fact;
    if (f->type == ACCOUNTS_FACT_NONE)
        return;
    struct account_change *change = changes_of(c, arena, accounts_stream.fact.key(placed->fact));
    change->position = placed->offset;
    switch ((enum accounts_fact_type)f->type) {
    case ACCOUNTS_ACCOUNT_REGISTERED:
        part_set(c, change, REGISTRATION, f);
        break;
    case ACCOUNTS_PROFILE_CHANGED:
        part_set(c, change, PROFILE, f);
        change->version = f->profile_changed.version;
        break;
    case ACCOUNTS_USERNAME_CHANGED:
        part_set(c, change, USERNAME, f);
        change->version = f->username_changed.version;
        break;
    case ACCOUNTS_EMAIL_CHANGED:
        part_set(c, change, EMAIL, f);
        change->version = f->email_changed.version;
        break;
    case ACCOUNTS_PASSWORD_CHANGED:
        part_set(c, change, PASSWORD, f);
        part_set(c, change, EPOCH, f);
        break;
    case ACCOUNTS_PASSWORD_REHASHED:
        part_set(c, change, PASSWORD, f);
        break;
    case ACCOUNTS_ALL_SESSIONS_ENDED:
        part_set(c, change, EPOCH, f);
        break;
    case ACCOUNTS_ACCOUNT_SUSPENDED:
        part_set(c, change, SUSPENSION, f);
        part_set(c, change, EPOCH, f);
        break;
    case ACCOUNTS_ACCOUNT_REINSTATED:
        part_set(c, change, SUSPENSION, f);
        break;
    case ACCOUNTS_ROLES_SET:
        part_set(c, change, ROLES, f);
        change->version = f->roles_set.version;
        break;
    case ACCOUNTS_FACT_NONE:
        break;
    }
}

static struct str roles_of(const struct str *names, size_t count)
{
    uint32_t bits = ACCOUNT_USER;
    (void)role_bits(names, count, &bits);
    return role_text(bits);
}

/* Each appends one row to the columns behind the first, which is the account's id. */

static void registration_row(struct pg_array **columns, struct arena *arena, const struct accounts_fact *f)
{
    const struct account_registered *account = &f->account_registered;
    text_sealed(columns[1], arena, &account->username);
    pg_array_str(columns[2], account->username_index);
    text_sealed(columns[3], arena, &account->email);
    pg_array_str(columns[4], account->email_index);
    text_sealed(columns[5], arena, &account->first_name);
    text_sealed(columns[6], arena, &account->last_name);
    text_sealed(columns[7], arena, &account->password_hash);
    pg_array_str(columns[8], roles_of(account->roles.items, account->roles.count));
    pg_array_time(columns[9], account->meta.at);
}

static void profile_row(struct pg_array **columns, struct arena *arena, const struct accounts_fact *f)
{
    const struct profile_changed *p = &f->profile_changed;
    const struct sealed *const fields[] = { &p->first_name, &p->last_name, &p->bio,    &p->location, &p->website,
                                            &p->phone,      &p->birthdate, &p->locale, &p->time_zone };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        text_sealed(columns[1 + i], arena, fields[i]);
}

static void username_row(struct pg_array **columns, struct arena *arena, const struct accounts_fact *f)
{
    text_sealed(columns[1], arena, &f->username_changed.username);
    pg_array_str(columns[2], f->username_changed.username_index);
}

static void email_row(struct pg_array **columns, struct arena *arena, const struct accounts_fact *f)
{
    text_sealed(columns[1], arena, &f->email_changed.email);
    pg_array_str(columns[2], f->email_changed.email_index);
}

static void password_row(struct pg_array **columns, struct arena *arena, const struct accounts_fact *f)
{
    text_sealed(columns[1], arena,
                f->type == ACCOUNTS_PASSWORD_CHANGED ? &f->password_changed.password_hash
                                                     : &f->password_rehashed.password_hash);
}

static void epoch_row(struct pg_array **columns, struct arena *arena, const struct accounts_fact *f)
{
    (void)arena;
    struct uuid kept = uuid_nil;
    int64_t epoch = 0;
    if (f->type == ACCOUNTS_PASSWORD_CHANGED) {
        kept = f->password_changed.kept_session;
        epoch = f->password_changed.session_epoch;
    } else if (f->type == ACCOUNTS_ALL_SESSIONS_ENDED) {
        kept = f->all_sessions_ended.kept_session;
        epoch = f->all_sessions_ended.session_epoch;
    } else {
        epoch = f->account_suspended.session_epoch;
    }
    pg_array_int8(columns[1], epoch);
    if (uuid_is_nil(kept))
        pg_array_null(columns[2]);
    else
        pg_array_uuid(columns[2], kept);
}

static void suspension_row(struct pg_array **columns, struct arena *arena, const struct accounts_fact *f)
{
    if (f->type == ACCOUNTS_ACCOUNT_REINSTATED) {
        for (size_t i = 1; i <= 3; i++)
            pg_array_null(columns[i]);
        return;
    }
    pg_array_time(columns[1], f->meta.at);
    if (f->account_suspended.until)
        pg_array_time(columns[2], f->account_suspended.until);
    else
        pg_array_null(columns[2]);
    text_sealed(columns[3], arena, &f->account_suspended.reason);
}

static void roles_row(struct pg_array **columns, struct arena *arena, const struct accounts_fact *f)
{
    (void)arena;
    pg_array_str(columns[1], roles_of(f->roles_set.roles.items, f->roles_set.roles.count));
}

#define MAX_COLUMNS 12

static const struct part_fold {
    struct pg_statement statement;
    enum pg_type columns[MAX_COLUMNS]; /* ended by 0 */
    void (*row)(struct pg_array **columns, struct arena *arena, const struct accounts_fact *f);
} part_folds[PARTS] = {
    /* $9: the roles, with commas between. */
    [REGISTRATION] = { { "users_insert_accounts",
                         "INSERT INTO users.accounts (user_id, username, username_index, email, email_index, "
                         "first_name,"
                         "                            last_name, password_hash, roles, created_at, position)"
                         " SELECT user_id, username, username_index, email, email_index, first_name, last_name,"
                         "        password_hash, string_to_array(roles, ','), created_at, 0"
                         "   FROM unnest($1::uuid[], $2::text[], $3::bytea[], $4::text[], $5::bytea[], $6::text[],"
                         "               $7::text[], $8::text[], $9::text[], $10::timestamptz[])"
                         "        AS a (user_id, username, username_index, email, email_index, first_name, last_name,"
                         "              password_hash, roles, created_at)" },
                       { PG_UUID, PG_TEXT, PG_BYTEA, PG_TEXT, PG_BYTEA, PG_TEXT, PG_TEXT, PG_TEXT, PG_TEXT,
                         PG_TIMESTAMPTZ },
                       registration_row },
    [PROFILE] = { { "users_update_profiles",
                    "UPDATE users.accounts a"
                    "   SET first_name = c.first_name, last_name = c.last_name, bio = c.bio, location = c.location,"
                    "       website = c.website, phone = c.phone, birthdate = c.birthdate, locale = c.locale,"
                    "       time_zone = c.time_zone"
                    "  FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],"
                    "              $8::text[], $9::text[], $10::text[])"
                    "       AS c (user_id, first_name, last_name, bio, location, website, phone, birthdate, locale,"
                    "             time_zone)"
                    " WHERE a.user_id = c.user_id" },
                  { PG_UUID, PG_TEXT, PG_TEXT, PG_TEXT, PG_TEXT, PG_TEXT, PG_TEXT, PG_TEXT, PG_TEXT, PG_TEXT },
                  profile_row },
    [USERNAME] = { { "users_update_usernames",
                     "UPDATE users.accounts a SET username = c.username, username_index = c.username_index"
                     "  FROM unnest($1::uuid[], $2::text[], $3::bytea[]) AS c (user_id, username, username_index)"
                     " WHERE a.user_id = c.user_id" },
                   { PG_UUID, PG_TEXT, PG_BYTEA },
                   username_row },
    [EMAIL] = { { "users_update_emails",
                  "UPDATE users.accounts a SET email = c.email, email_index = c.email_index"
                  "  FROM unnest($1::uuid[], $2::text[], $3::bytea[]) AS c (user_id, email, email_index)"
                  " WHERE a.user_id = c.user_id" },
                { PG_UUID, PG_TEXT, PG_BYTEA },
                email_row },
    [PASSWORD] = { { "users_update_passwords", "UPDATE users.accounts a SET password_hash = c.password_hash"
                                               "  FROM unnest($1::uuid[], $2::text[]) AS c (user_id, password_hash)"
                                               " WHERE a.user_id = c.user_id" },
                   { PG_UUID, PG_TEXT },
                   password_row },
    [EPOCH] = { { "users_update_epochs",
                  "UPDATE users.accounts a SET session_epoch = c.session_epoch, kept_session = c.kept_session"
                  "  FROM unnest($1::uuid[], $2::bigint[], $3::uuid[]) AS c (user_id, session_epoch, kept_session)"
                  " WHERE a.user_id = c.user_id" },
                { PG_UUID, PG_INT8, PG_UUID },
                epoch_row },
    [SUSPENSION] = { { "users_update_suspensions",
                       "UPDATE users.accounts a"
                       "   SET suspended_at = c.at, suspended_until = c.until, suspension_reason = c.reason"
                       "  FROM unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[], $4::text[])"
                       "       AS c (user_id, at, until, reason)"
                       " WHERE a.user_id = c.user_id" },
                     { PG_UUID, PG_TIMESTAMPTZ, PG_TIMESTAMPTZ, PG_TEXT },
                     suspension_row },
    [ROLES] = { { "users_update_roles", "UPDATE users.accounts a SET roles = string_to_array(c.roles, ',')"
                                        "  FROM unnest($1::uuid[], $2::text[]) AS c (user_id, roles)"
                                        " WHERE a.user_id = c.user_id" },
                { PG_UUID, PG_TEXT },
                roles_row },
};

static const struct pg_statement update_positions = {
    "users_update_positions",
    "UPDATE users.accounts a SET position = c.position, version = COALESCE(c.version, a.version)"
    "  FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) AS c (user_id, position, version)"
    " WHERE a.user_id = c.user_id",
};

static err send(struct pg *pg, struct arena *arena, const struct pg_statement *statement,
                struct pg_array *const *columns, size_t count)
{
    struct pg_args args = pg_args(arena);
    for (size_t i = 0; i < count; i++)
        pg_arg_array(&args, columns[i]);
    return pg_batch_add(pg, statement, &args);
}

static err fold_part(struct pg *pg, struct arena *arena, const struct account_changes *c, enum part part)
{
    const struct part_fold *fold = &part_folds[part];
    struct pg_array *columns[MAX_COLUMNS];
    size_t count = 0;
    for (; fold->columns[count]; count++)
        columns[count] = pg_array(arena, fold->columns[count], c->parts[part]);
    for (const struct account_change *change = c->first; change; change = change->next)
        if (change->newest[part]) {
            /* NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage): each part has a column */
            pg_array_uuid(columns[0], change->id);
            fold->row(columns, arena, change->newest[part]);
        }
    return send(pg, arena, &fold->statement, columns, count);
}

static err fold_positions(struct pg *pg, struct arena *arena, const struct account_changes *c)
{
    struct pg_array *columns[] = { pg_array(arena, PG_UUID, c->count), pg_array(arena, PG_INT8, c->count),
                                   pg_array(arena, PG_INT8, c->count) };
    for (const struct account_change *change = c->first; change; change = change->next) {
        pg_array_uuid(columns[0], change->id);
        pg_array_int8(columns[1], change->position);
        if (change->version)
            pg_array_int8(columns[2], change->version);
        else
            pg_array_null(columns[2]);
    }
    return send(pg, arena, &update_positions, columns, 3);
}

/* --- reserved usernames --- */

static const struct pg_statement delete_reserved = {
    "users_delete_reserved",
    "DELETE FROM users.reserved_usernames WHERE username_index = ANY ($1::bytea[])",
};

static const struct pg_statement insert_reserved = {
    "users_insert_reserved",
    "INSERT INTO users.reserved_usernames (username_index, user_id, reserved_until)"
    " SELECT unnest($1::bytea[]), unnest($2::uuid[]), unnest($3::timestamptz[])",
};

/* What became of a username in the batch. */
struct name_change {
    uint8_t index[HASH_LEN];
    const struct username_changed *released; /* NULL: it was taken last */
    UT_hash_handle hh;
};

static void name_set(struct name_change **names, struct arena *arena, struct str index,
                     const struct username_changed *released)
{
    uint8_t key[HASH_LEN];
    hash_set(key, index);
    struct name_change *name;
    HASH_FIND(hh, *names, key, HASH_LEN, name);
    if (!name) {
        name = ARENA_NEW(arena, struct name_change);
        memcpy(name->index, key, HASH_LEN);
        HASH_ADD(hh, *names, index, HASH_LEN, name);
    }
    name->released = released;
}

static err fold_reserved(struct pg *pg, struct arena *arena, const struct placed_fact *facts, size_t count)
{
    struct name_change *names = NULL;
    for (size_t i = 0; i < count; i++) {
        const struct accounts_fact *f = (const struct accounts_fact *)facts[i].fact;
        if (f->type == ACCOUNTS_ACCOUNT_REGISTERED) {
            name_set(&names, arena, f->account_registered.username_index, NULL);
        } else if (f->type == ACCOUNTS_USERNAME_CHANGED) {
            if (f->username_changed.released_index.len)
                name_set(&names, arena, f->username_changed.released_index, &f->username_changed);
            name_set(&names, arena, f->username_changed.username_index, NULL);
        }
    }
    if (!names)
        return OK;
    const size_t named = HASH_COUNT(names);
    struct pg_array *all = pg_array(arena, PG_BYTEA, named);
    struct pg_array *columns[] = { pg_array(arena, PG_BYTEA, named), pg_array(arena, PG_UUID, named),
                                   pg_array(arena, PG_TIMESTAMPTZ, named) };
    for (const struct name_change *name = names; name; name = name->hh.next) {
        const struct str index = { (const char *)name->index, HASH_LEN };
        pg_array_str(all, index);
        if (!name->released)
            continue;
        pg_array_str(columns[0], index);
        pg_array_uuid(columns[1], name->released->user_id);
        pg_array_time(columns[2], name->released->reserved_until);
    }
    TRY(send(pg, arena, &delete_reserved, &all, 1));
    return pg_array_count(columns[0]) ? send(pg, arena, &insert_reserved, columns, 3) : OK;
}

/* --- search terms --- */

static const struct pg_statement delete_terms = {
    "users_delete_terms",
    "DELETE FROM users.search_terms t USING unnest($1::uuid[], $2::smallint[]) AS c (user_id, kind)"
    " WHERE t.user_id = c.user_id AND t.kind = c.kind",
};

static const struct pg_statement insert_terms = {
    "users_insert_terms",
    "INSERT INTO users.search_terms (user_id, kind, term)"
    " SELECT unnest($1::uuid[]), unnest($2::smallint[]), unnest($3::text[])",
};

struct terms {
    struct pg_array *old_users, *old_kinds, *users, *kinds, *terms;
};

/* How a name begins is searched for, so what stands far behind is left away; an index takes no longer keys either. */
#define TERM_MAX 200

static void term_add(struct terms *t, struct arena *arena, struct uuid user, int16_t kind, struct str text)
{
    pg_array_uuid(t->old_users, user);
    pg_array_int2(t->old_kinds, kind);
    struct str term = search_fold(arena, text_storable(arena, text));
    if (term.len > TERM_MAX) {
        term.len = TERM_MAX;
        while (term.len && ((uint8_t)term.ptr[term.len] & 0xC0) == 0x80)
            term.len--;
    }
    if (term.len == 0)
        return;
    pg_array_uuid(t->users, user);
    pg_array_int2(t->kinds, kind);
    pg_array_str(t->terms, term);
}

static struct str joined(struct arena *arena, struct str a, struct str b)
{
    char *text = arena_alloc_raw(arena, a.len + 1 + b.len);
    memcpy(text, a.ptr ? a.ptr : "", a.len);
    text[a.len] = ' ';
    memcpy(text + a.len + 1, b.ptr ? b.ptr : "", b.len);
    return (struct str){ text, a.len + 1 + b.len };
}

/* What is erased is empty. */
static void terms_of(struct terms *t, struct arena *arena, const struct account_change *change)
{
    const struct accounts_fact *registration = change->newest[REGISTRATION], *username = change->newest[USERNAME],
                               *profile = change->newest[PROFILE];
    if (username)
        term_add(t, arena, change->id, ROW_TERM_USERNAME, username->username_changed.username.clear);
    else if (registration)
        term_add(t, arena, change->id, ROW_TERM_USERNAME, registration->account_registered.username.clear);
    if (!profile && !registration)
        return;
    const struct str first =
        profile ? profile->profile_changed.first_name.clear : registration->account_registered.first_name.clear;
    const struct str last =
        profile ? profile->profile_changed.last_name.clear : registration->account_registered.last_name.clear;
    term_add(t, arena, change->id, ROW_TERM_FIRST_LAST, joined(arena, first, last));
    term_add(t, arena, change->id, ROW_TERM_LAST_FIRST, joined(arena, last, first));
}

static err fold_terms(struct pg *pg, struct arena *arena, const struct account_changes *c)
{
    const size_t most = 3 * c->count;
    struct terms t = { pg_array(arena, PG_UUID, most), pg_array(arena, PG_INT2, most), pg_array(arena, PG_UUID, most),
                       pg_array(arena, PG_INT2, most), pg_array(arena, PG_TEXT, most) };
    for (const struct account_change *change = c->first; change; change = change->next)
        terms_of(&t, arena, change);
    if (pg_array_count(t.old_users))
        TRY(send(pg, arena, &delete_terms, (struct pg_array *[]){ t.old_users, t.old_kinds }, 2));
    if (pg_array_count(t.users))
        TRY(send(pg, arena, &insert_terms, (struct pg_array *[]){ t.users, t.kinds, t.terms }, 3));
    return OK;
}

err accounts_fold(struct pg *pg, struct arena *arena, const void *state, const struct placed_fact *facts, size_t count)
{
    (void)state;
    struct account_changes changes = { .end = &changes.first };
    for (size_t i = 0; i < count; i++)
        changes_add(&changes, arena, &facts[i]);
    if (changes.count == 0)
        return OK;
    for (enum part part = 0; part < PARTS; part++)
        if (changes.parts[part])
            TRY(fold_part(pg, arena, &changes, part));
    TRY(fold_positions(pg, arena, &changes));
    TRY(fold_reserved(pg, arena, facts, count));
    TRY(fold_terms(pg, arena, &changes));
    return accounts_audit(pg, arena, facts, count);
}
