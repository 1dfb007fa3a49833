#include "gateway/accounts/account.h"

#include "gateway/gateway.h"
#include "gateway/resources.h"

/* account_json: what everybody sees, the person, an administrator. */
#define WHO                                                                                                            \
    { "id", SHAPE_UUID, "Of the person." },                                                                            \
    {                                                                                                                  \
        "username", SHAPE_TEXT, "As it was typed.", .example = "\"ada\""                                               \
    }
#define PUBLIC_PROFILE                                                                                                 \
    { "firstName", SHAPE_TEXT, "Empty: not given.", .example = "\"Ada\"" },                                            \
        { "lastName", SHAPE_TEXT, "Empty: not given.", .example = "\"Lovelace\"" },                                    \
        { "bio", SHAPE_TEXT, "About the person.", .nullable = true },                                                  \
        { "location", SHAPE_TEXT, "In the person's own words.", .nullable = true },                                    \
    {                                                                                                                  \
        "website", SHAPE_TEXT, "A URL.", .nullable = true, .example = "\"https://example.org/ada\""                    \
    }
#define ROLES_AND_TIME                                                                                                 \
    { "roles",                                                                                                         \
      SHAPE_CHOICE,                                                                                                    \
      "What the person may do.",                                                                                       \
      .choices = "user|moderator|admin",                                                                               \
      .enumeration = "AccountRole",                                                                                    \
      .list = true },                                                                                                  \
    {                                                                                                                  \
        "createdAt", SHAPE_TIME, "Of the registration."                                                                \
    }
#define OWN_PROFILE                                                                                                    \
    { "email", SHAPE_TEXT, "For log-in and messages.", .example = "\"ada@example.org\"" }, PUBLIC_PROFILE,             \
        { "phone", SHAPE_TEXT, "E.164.", .nullable = true, .example = "\"+4930123456\"" },                             \
        { "birthdate", SHAPE_DATE, "A day.", .nullable = true },                                                       \
        { "locale", SHAPE_TEXT, "BCP 47.", .nullable = true, .example = "\"de-AT\"" },                                 \
    {                                                                                                                  \
        "timeZone", SHAPE_TEXT, "IANA.", .nullable = true, .example = "\"Europe/Vienna\""                              \
    }

static const struct shape_field public_fields[] = { WHO, PUBLIC_PROFILE, ROLES_AND_TIME, { 0 } };
static const struct shape_field own_fields[] = { WHO, OWN_PROFILE, ROLES_AND_TIME, { 0 } };
static const struct shape_field suspension_fields[] = {
    { "reason", SHAPE_TEXT, "Why." },
    { "at", SHAPE_TIME, "Since when." },
    { "until", SHAPE_TIME, "null: without end.", .nullable = true },
    { 0 },
};
static const struct shape suspension_shape = { "Suspension", suspension_fields };
static const struct shape_field administration_fields[] = {
    WHO,
    OWN_PROFILE,
    ROLES_AND_TIME,
    { "version", SHAPE_INT, "How often it has changed." },
    { "suspended", SHAPE_OBJECT, "null: it is not.", .of = &suspension_shape, .nullable = true },
    { 0 },
};
const struct shape administration_shape = { "AdministeredAccount", administration_fields, .param = "user" };
const struct shape account_shape = { "Account", public_fields, .param = "user" };
const struct shape own_account_shape = { "OwnAccount", own_fields, .param = "user" };

void account_etag(struct request *r, int64_t version)
{
    response_header(r, "ETag", "\"%lld\"", (long long)version);
}

void account_answer(struct request *r, const struct account_view *account, enum account_audience audience)
{
    if (!account || account->erased) {
        problem(r, 404, "user_not_found", NULL, "There is no such user.");
        return;
    }
    struct json j = response_json(r, 200);
    account_json(&j, account, audience);
    account_etag(r, account->version);
}

static void own_json(struct arena *arena, const struct account_view *account, struct account_cache_entry *entry)
{
    struct buf text = { 0 };
    struct json j = json_writer(&text);
    account_json(&j, account, ACCOUNT_OWN);
    entry->json = arena_str(arena, buf_view(&text));
    entry->version = account->version;
    entry->known = true;
    buf_finish(&text);
}

err accounts_fetch(struct gateway *g, struct pool_thread *thread, struct account_cache_entry *entries, size_t count)
{
    struct arena *arena = &thread->arena;
    struct uuid *ids = ARENA_ARRAY(arena, struct uuid, count);
    struct account_cache_entry **missing = ARENA_ARRAY(arena, struct account_cache_entry *, count);
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        if (entries[i].known)
            continue;
        missing[n] = &entries[i];
        ids[n++] = entries[i].user;
    }
    if (n == 0)
        return OK;
    struct account_view *views = ARENA_ARRAY(arena, struct account_view, n);
    bool *found = ARENA_ARRAY(arena, bool, n);
    TRY(account_find_many(thread->pg, arena, ids, n, views, found));
    struct redis *redis = dispatch_doubts_cache(g->dispatch) ? NULL : pool_redis(thread);
    for (size_t k = 0; k < n; k++) {
        if (!found[k] || views[k].erased)
            continue;
        own_json(arena, &views[k], missing[k]);
        if (redis && account_cache_refill(redis, arena, missing[k], &views[k], missing[k]->json) != OK)
            redis = NULL;
    }
    if (redis && redis_flush(redis, NULL, NULL) == RETRY)
        pool_redis_failed(thread);
    return OK;
}
