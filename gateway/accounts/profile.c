/* profile: the account of who is logged in, as the person sees and changes it.
 *
 * GET is the fast path of every client: requests that wait together are read together, in one round trip to Redis, and
 * those that are not there in one to PostgreSQL. Nothing is kept in this process, so whoever has the answer to a write
 * reads it at every gateway. */
#include <inttypes.h>
#include <microhttpd.h>
#include <stdio.h>

#include "consumers/outcome/rejection.h"
#include "consumers/users/cache.h"
#include "gateway/accounts/account.h"
#include "gateway/accounts/account_fields.h"
#include "gateway/accounts/confirm.h"
#include "gateway/accounts/login.h"
#include "gateway/gateway.h"
#include "gateway/http/client_address.h"
#include "gateway/if_match.h"
#include "gateway/resources.h"
#include "ops/runtime/log.h"
#include "schemas/accounts.gen.h"

#define NAME_FIELD .min = 1, .max = 100, .pattern = "name", .nullable = true

static const struct body_field profile_fields[] = {
    { "firstName", FIELD_TEXT, NAME_FIELD, .doc = "First name." },
    { "lastName", FIELD_TEXT, NAME_FIELD, .doc = "Last name." },
    { "bio", FIELD_TEXT, .max = 500, .pattern = "prose", .nullable = true, .doc = "About the person." },
    { "location", FIELD_TEXT, NAME_FIELD, .doc = "Where the person is, in the person's own words." },
    { "website", FIELD_TEXT, .min = 8, .max = 200, .pattern = "url", .nullable = true, .doc = "An http or https URL." },
    { "phone", FIELD_TEXT, .max = 16, .pattern = "phone", .nullable = true, .doc = "E.164; seen by oneself only." },
    { "birthdate", FIELD_TEXT, .max = 10, .pattern = "date", .nullable = true, .doc = "Seen by oneself only." },
    { "locale", FIELD_TEXT, .max = 64, .pattern = "locale", .nullable = true, .doc = "BCP 47 language tag." },
    { "timeZone", FIELD_TEXT, .max = 64, .pattern = "time_zone", .nullable = true, .doc = "IANA time zone." },
    { 0 },
};
const struct body profile_body = { "Profile", profile_fields };
const struct body profile_patch_body = { "ProfilePatch", profile_fields, .is_patch = true };

static const struct body_field username_fields[] = {
    USERNAME_FIELD("The new one. The old one stays reserved for this account for 30 days."),
    { "currentPassword", FIELD_TEXT, .required = true, .secret = true, .min = 1, .max = 128,
      .doc = "The password, once more." },
    { 0 },
};
const struct body username_body = { "ChangeUsername", username_fields };

static const struct body_field email_fields[] = {
    EMAIL_FIELD("The new one."),
    { "currentPassword", FIELD_TEXT, .required = true, .secret = true, .min = 1, .max = 128,
      .doc = "The password, once more." },
    { 0 },
};
const struct body email_body = { "ChangeEmail", email_fields };

/* --- GET /users/me --- */

static void account_answer_own(struct request *r, const struct account_cache_entry *entry)
{
    if (!entry->known) {
        account_answer(r, NULL, ACCOUNT_OWN);
        return;
    }
    response_json(r, 200);
    buf_str(&r->response.body, entry->json);
    account_etag(r, entry->version);
}

static void accounts_read(struct request **requests, size_t count, struct pool_thread *thread)
{
    struct gateway *g = requests[0]->gateway;
    struct account_cache_entry *entries = ARENA_ARRAY(&thread->arena, struct account_cache_entry, count);
    for (size_t i = 0; i < count; i++)
        entries[i].user = requests[i]->claims.user_id;
    struct redis *redis = dispatch_doubts_cache(g->dispatch) ? NULL : pool_redis(thread);
    if (redis && account_cache_find(redis, &thread->arena, entries, count) != OK) {
        LOG(WARN, "accounts are read without Redis", F_ERR);
        pool_redis_failed(thread);
        for (size_t i = 0; i < count; i++)
            entries[i].known = false;
    }
    err e = accounts_fetch(g, thread, entries, count);
    for (size_t i = 0; i < count; i++) {
        if (e != OK && !entries[i].known)
            problem_err(requests[i], e);
        else
            account_answer_own(requests[i], &entries[i]);
    }
}

enum request_step users_me(struct request *r)
{
    return pool_run_batched(r->gateway->reads, r, accounts_read);
}

/* --- writing --- */

enum request_step own_account(struct request *r, struct pool_thread *thread)
{
    struct account_view account;
    bool found;
    err e = account_find(thread->pg, &thread->arena, r->claims.user_id, &account, &found);
    if (e == OK)
        account_answer(r, found ? &account : NULL, ACCOUNT_OWN);
    else
        problem_err(r, e);
    return REQUEST_DONE;
}

/* What is shown after a change is read from where everybody reads. */
static enum request_step own_changed(struct request *r, const struct outcome *outcome, const struct any_record *fact)
{
    (void)outcome;
    (void)fact;
    return pool_run(r->gateway->reads, r, own_account);
}

/* --- PUT and PATCH /users/me --- */

struct change {
    struct if_match match;
    struct str address;
};

/* Where a field of the API stands in the command and in the view. */
static const struct {
    const char *name;
    size_t command, view;
} places[] = {
#define PLACE(name, field)                                                                                             \
    {                                                                                                                  \
        name, offsetof(struct change_profile, field), offsetof(struct account_view, field)                             \
    }
    PLACE("firstName", first_name), PLACE("lastName", last_name), PLACE("bio", bio),
    PLACE("location", location),    PLACE("website", website),    PLACE("phone", phone),
    PLACE("birthdate", birthdate),  PLACE("locale", locale),      PLACE("timeZone", time_zone),
#undef PLACE
};

/* The version the command expects; -1: any. */
static int64_t expected_version(const struct request *r, const struct change *change, const struct account_view *now)
{
    /* What a patch is merged into must still be there when it is decided, whatever the client knows. Is it not, and the
     * client named no version, it is merged anew (profile_changed). */
    if (!change->match.given)
        return r->route->method == PATCH ? now->version : -1;
    return if_match_expects(&change->match, now->version);
}

static dispatch_then profile_changed;

static enum request_step profile_write(struct request *r, struct pool_thread *thread)
{
    const struct change *change = r->state;
    struct account_view now;
    bool found;
    err e = account_find(thread->pg, &r->arena, r->claims.user_id, &now, &found);
    if (e != OK) {
        problem_err(r, e);
        return REQUEST_DONE;
    }
    if (!found || now.erased) {
        account_answer(r, NULL, ACCOUNT_OWN);
        return REQUEST_DONE;
    }
    struct accounts_command *c = ARENA_NEW(&r->arena, struct accounts_command);
    c->type = ACCOUNTS_CHANGE_PROFILE;
    c->change_profile = (struct change_profile){
        .user_id = r->claims.user_id,
        .expected_version = expected_version(r, change, &now),
        .address = { .clear = change->address },
        .request_id = str_of(r->request_id),
    };
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        struct sealed *field = (struct sealed *)((char *)&c->change_profile + places[i].command);
        bool keep = r->route->method == PATCH && !json_object_get(r->body, places[i].name);
        field->clear = keep ? *(const struct str *)((const char *)&now + places[i].view) : body_str(r, places[i].name);
    }
    return dispatch_command(r, &accounts_stream, (struct any_record *)c, r->claims.user_id, profile_changed);
}

/* No fact: another write came between a patch and what it was merged into, which is nothing to somebody who named no
 * version. The command's id follows from the one before, so that a repeated request meets the same commands. Ends: of
 * those that meet one is accepted each time. */
static enum request_step profile_changed(struct request *r, const struct outcome *outcome,
                                         const struct any_record *fact)
{
    if (fact)
        return own_changed(r, outcome, fact);
    r->command_id = uuid_v5(r->command_id, STR("merged anew"));
    return pool_run(r->gateway->reads, r, profile_write);
}

enum request_step users_me_write(struct request *r)
{
    struct change *change = ARENA_NEW(&r->arena, struct change);
    if (!if_match_read(r, &change->match))
        return REQUEST_DONE;
    if (change->match.given && change->match.count == 0) {
        problem(r, 412, "version_conflict", "If-Match", "The account never had this version.");
        return REQUEST_DONE;
    }
    change->address = client_address(r);
    r->state = change;
    if (r->route->method == PATCH && !change->match.given)
        r->tolerated = VERSION_CONFLICT;
    return pool_run(r->gateway->reads, r, profile_write);
}

/* --- PUT /users/me/username, PUT /users/me/email --- */

static enum request_step username_change(struct request *r, struct pool_thread *thread, const struct account_view *now)
{
    (void)thread;
    (void)now;
    const struct str *address = r->state;
    struct str username = body_str(r, "username");
    struct accounts_command *c = ARENA_NEW(&r->arena, struct accounts_command);
    c->type = ACCOUNTS_CHANGE_USERNAME;
    c->change_username = (struct change_username){
        .user_id = r->claims.user_id,
        .username = { .clear = username },
        .username_index = login_username_index(r, username),
        .address = { .clear = *address },
        .request_id = str_of(r->request_id),
    };
    return dispatch_command(r, &accounts_stream, (struct any_record *)c, r->claims.user_id, own_changed);
}

static enum request_step email_change(struct request *r, struct pool_thread *thread, const struct account_view *now)
{
    (void)thread;
    (void)now;
    const struct str *address = r->state;
    struct str email = body_str(r, "email");
    struct accounts_command *c = ARENA_NEW(&r->arena, struct accounts_command);
    c->type = ACCOUNTS_CHANGE_EMAIL;
    c->change_email = (struct change_email){
        .user_id = r->claims.user_id,
        .email = { .clear = email },
        .email_index = login_email_index(r, email),
        .address = { .clear = *address },
        .request_id = str_of(r->request_id),
    };
    return dispatch_command(r, &accounts_stream, (struct any_record *)c, r->claims.user_id, own_changed);
}

/* The password may be another one since the request came first: its outcome is looked for before that is asked. */
static enum request_step confirmed_change(struct request *r, struct pool_thread *thread, confirmed *then)
{
    enum request_step step;
    if (dispatch_repeated(r, thread, &accounts_stream, r->claims.user_id, own_changed, &step))
        return step;
    struct str *address = ARENA_NEW(&r->arena, struct str);
    *address = client_address(r);
    r->state = address;
    return confirm_password(r, "currentPassword", then);
}

static enum request_step username_confirmed(struct request *r, struct pool_thread *thread)
{
    return confirmed_change(r, thread, username_change);
}

static enum request_step email_confirmed(struct request *r, struct pool_thread *thread)
{
    return confirmed_change(r, thread, email_change);
}

enum request_step users_me_username(struct request *r)
{
    return pool_run(r->gateway->reads, r, username_confirmed);
}

enum request_step users_me_email(struct request *r)
{
    return pool_run(r->gateway->reads, r, email_confirmed);
}
