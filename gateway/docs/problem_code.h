/* problem_code: every code that a problem can have: the gateway's own (problems.def) and the workers' rejections. */
#pragma once

#include "gateway/http/route.h"

/* Which routes can give a problem. */
enum problem_when {
    ALWAYS,
    WITH_PATH, /* with parts in the path */
    WITH_BODY,
    WITH_ROLE,
    LOGGED_IN,
    SENDING, /* a command */
    LISTED,  /* named in the row's `problems` */
    NEVER    /* not by a route: there is none */
};

struct problem_code {
    int status;
    const char *code;
    enum problem_when when;
    const char *doc; /* one sentence */
};

extern const struct problem_code problem_codes[];
extern const size_t problem_codes_count;

const struct problem_code *problem_code_find(struct str code); /* NULL when there is none */

/* Whether the route can answer with this problem. */
bool route_has_problem(const struct route *route, const struct problem_code *problem);
bool route_sends_command(const struct route *route);
