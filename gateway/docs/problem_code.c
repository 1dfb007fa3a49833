#include "gateway/docs/problem_code.h"

#include "consumers/outcome/rejection.h"

/* The first numbers are the framework's: any command can be rejected so, but for a version that nobody asked for. Who
 * is suspended is told so at every door. */
#define FRAMEWORK_LAST 99
#define REJECTION_WHEN(no)                                                                                             \
    ((no) == ACCOUNT_SUSPENDED ? LOGGED_IN : (no) <= FRAMEWORK_LAST && (no) != VERSION_CONFLICT ? SENDING : LISTED)

const struct problem_code problem_codes[] = {
#define PROBLEM(status, code, when, doc)             { (status), (code), (when), (doc) },
#define REJECTION(number, name, status, code, title) { (status), (code), REJECTION_WHEN(number), (title) },
#include "gateway/docs/problems.def"

#include "consumers/outcome/rejections.def"
#undef PROBLEM
#undef REJECTION
};
const size_t problem_codes_count = sizeof problem_codes / sizeof *problem_codes;

const struct problem_code *problem_code_find(struct str code)
{
    for (size_t i = 0; i < problem_codes_count; i++)
        if (str_equal(str_of(problem_codes[i].code), code))
            return &problem_codes[i];
    return NULL;
}

bool route_sends_command(const struct route *route)
{
    return route->method != GET && !route->no_command;
}

static bool is_listed(const char *words, const char *code)
{
    for (const char *at = words; at && *at;) {
        size_t len = strcspn(at, " ");
        if (str_equal((struct str){ at, len }, str_of(code)))
            return true;
        at += len + strspn(at + len, " ");
    }
    return false;
}

bool route_has_problem(const struct route *route, const struct problem_code *problem)
{
    switch (problem->when) {
    case ALWAYS:
        return true;
    case WITH_PATH:
        return strchr(route->path, '{');
    case WITH_BODY:
        return route->body;
    case WITH_ROLE:
        return route->roles != 0;
    case LOGGED_IN:
        return route->auth == AUTH_USER || is_listed(route->problems, problem->code);
    case SENDING:
        return route_sends_command(route) || is_listed(route->problems, problem->code);
    case LISTED:
        return is_listed(route->problems, problem->code);
    case NEVER:
        break;
    }
    return false;
}
