/* query_check: the parameters of a query against the route's table. */
#include "gateway/http/field.h"
#include "ops/runtime/clock.h"

bool query_check(struct request *r)
{
    struct faults faults = { .arena = &r->arena };
    struct str text;
    for (const struct body_field *field = r->route->query; field && field->name; field++) {
        if (request_query(r, field->name, &text))
            field_check_query(&faults, field, text);
        else if (field->required)
            FAULT(&faults, str_of(field->name), "is required.");
    }
    return faults.count == 0 || faults_answer(&faults, r, "bad_query");
}

/* Only what the table has is checked, so nothing else is given. */
bool query_text(struct request *r, const char *name, struct str *ret)
{
    for (const struct body_field *field = r->route->query; field && field->name; field++)
        if (strcmp(field->name, name) == 0)
            return request_query(r, name, ret);
    return false;
}

bool query_int(struct request *r, const char *name, int64_t *ret)
{
    struct str text;
    return query_text(r, name, &text) && field_parse_int(text, ret);
}

bool query_bool(struct request *r, const char *name, bool *ret)
{
    struct str text;
    if (!query_text(r, name, &text))
        return false;
    *ret = str_equal(text, STR("true"));
    return true;
}

bool query_uuid(struct request *r, const char *name, struct uuid *ret)
{
    struct str text;
    return query_text(r, name, &text) && uuid_parse(text, ret);
}

bool query_time(struct request *r, const char *name, int64_t *ret_unix_ms)
{
    struct str text;
    return query_text(r, name, &text) && clock_parse_rfc3339(text, ret_unix_ms);
}
