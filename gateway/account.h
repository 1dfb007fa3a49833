/* account: an account as the answer of a request. */
#pragma once

#include "consumers/users/view.h"
#include "gateway/request.h"

/* 200 with the account as `audience` sees it and its ETag; NULL or erased: 404. */
void account_answer(struct request *r, const struct account_view *account, enum account_audience audience);
void account_etag(struct request *r, int64_t version);
