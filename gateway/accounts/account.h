/* account: an account as the answer of a request. */
#pragma once

#include "consumers/users/cache.h"
#include "gateway/http/request.h"
#include "gateway/pool.h"

/* 200 with the account as `audience` sees it and its ETag; NULL or erased: 404. */
void account_answer(struct request *r, const struct account_view *account, enum account_audience audience);
void account_etag(struct request *r, int64_t version);

/* Those of the entries that Redis did not know: from PostgreSQL in one round trip, and put there. What is not known
 * afterwards is no account, or an erased one. */
MUST_CHECK err accounts_fetch(struct gateway *g, struct pool_thread *thread, struct account_cache_entry *entries,
                              size_t count);
