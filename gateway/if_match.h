/* if_match: what If-Match says (RFC 9110, section 13.1.1) of resources whose entity tag is "<version>". */
#pragma once

#include "gateway/http/request.h"

#define ETAGS_MAX 8

/* The versions of its strong entity tags that can be ours: what is no number of 64 bits is nobody's version. */
struct if_match {
    bool given;
    int64_t versions[ETAGS_MAX];
    size_t count;
};

/* On the thread that parses the request. false: a problem has been filled. */
bool if_match_read(struct request *r, struct if_match *m);

/* The version that a command expects, when the resource has `now`: -1 when none was given. One that the client did not
 * name is decided all the same: it may be a repetition of a request that was accepted. */
int64_t if_match_expects(const struct if_match *m, int64_t now);
int64_t if_match_named(const struct if_match *m); /* without looking what it has: the one that the client named */
/* For a command that has 32 bits for it. */
int32_t if_match_expects_int(const struct if_match *m, int32_t now);

/* The header's text alone, for its tests; NULL: there is none. false: it is no list of entity tags. */
bool if_match_parse(const char *text, struct if_match *m);
