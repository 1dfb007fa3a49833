#include "gateway/account.h"

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
