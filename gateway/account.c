#include "gateway/account.h"

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
    { "roles", SHAPE_CHOICE, "What the person may do.", .choices = "user|moderator|admin", .list = true },             \
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
