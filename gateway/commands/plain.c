#include "gateway/commands/plain.h"

#include <assert.h>
#include <ctype.h>

#include "gateway/docs/openapi_schema.h"
#include "gateway/gateway.h"
#include "gateway/http/json_arena.h"
#include "gateway/if_match.h"
#include "schemas/fill.h"

#define FIELDS_MAX 32 /* of one command */

/* A command on its way. */
struct filling {
    struct request *r;
    const struct plain_command *plan;
    struct any_record *command;
    const char *filled[FIELDS_MAX];
    size_t count;
};

static err put(struct filling *f, const char *name, struct value value)
{
    assert(f->count < FIELDS_MAX);
    f->filled[f->count++] = name;
    return record_put(&f->plan->stream->command, f->command, name, &value, &f->r->arena);
}

/* Whether a list like "room_id seq" has the word. */
static bool has_word(const char *list, const char *word)
{
    const size_t len = strlen(word);
    for (const char *at = list; at && *at; at += strcspn(at, " "), at += strspn(at, " "))
        if (strcspn(at, " ") == len && memcmp(at, word, len) == 0)
            return true;
    return false;
}

/* REJECT: a problem has been filled. Where the route says that its parts are text, those that are ids are read here. */
static err fill_path(struct filling *f)
{
    const struct record_union *commands = &f->plan->stream->command;
    struct request *r = f->r;
    size_t part = 0;
    TRY(record_begin(commands, f->plan->type, &r->arena, &f->command));
    for (const char *at = r->route->path; (at = strchr(at, '{')); part++) {
        at++;
        const char *what = arena_printf(&r->arena, "%.*s", (int)strcspn(at, "}"), at);
        const char *id = arena_printf(&r->arena, "%s_id", what);
        const bool plain = r->route->plain_params;
        if (f->plan->lookup && has_word(f->plan->lookup->reads, what))
            continue;
        if (plain && !record_has_field(commands, f->plan->type, id)) {
            TRY(put(f, what, (struct value){ VALUE_TEXT, .text = r->params[part] }));
        } else if (plain && !uuid_parse(r->params[part], &r->ids[part])) {
            problem(r, 400, "bad_path", what, "must be a UUID in the form 8-4-4-4-12.");
            return REJECT;
        } else {
            TRY(put(f, id, (struct value){ VALUE_UUID, .uuid = r->ids[part] }));
        }
    }
    return OK;
}

/* user_id of userId */
static const char *snake(struct arena *arena, const char *camel)
{
    char *name = arena_alloc(arena, 2 * strlen(camel) + 1), *to = name;
    for (; *camel; camel++) {
        if (isupper((unsigned char)*camel))
            *to++ = '_';
        *to++ = (char)tolower((unsigned char)*camel);
    }
    return name;
}

static struct str text_of(const json_t *given)
{
    return (struct str){ json_string_value(given), json_string_length(given) };
}

static struct value value_of(const json_t *given, struct arena *arena)
{
    if (json_is_string(given))
        return (struct value){ VALUE_TEXT, .text = text_of(given) };
    if (json_is_integer(given))
        return (struct value){ VALUE_INTEGER, .integer = json_integer_value(given) };
    if (json_is_boolean(given))
        return (struct value){ VALUE_BOOL, .boolean = json_is_true(given) };
    const size_t count = json_array_size(given);
    struct str *texts = ARENA_ARRAY(arena, struct str, count);
    for (size_t i = 0; i < count; i++)
        texts[i] = text_of(json_array_get(given, i));
    return (struct value){ VALUE_TEXTS, .texts = { texts, count } };
}

/* REJECT: a problem has been filled, which time may have brought about. */
static err fill_body(struct filling *f)
{
    struct request *r = f->r;
    int64_t time;
    for (const struct body_field *field = r->route->body ? r->route->body->fields : NULL; field && field->name;
         field++) {
        const json_t *given = json_object_get(r->body, field->name);
        if (given && !json_is_null(given))
            TRY(put(f, snake(&r->arena, field->name), value_of(given, &r->arena)));
        if (field->future && body_time(r, field->name, &time) && time <= r->received_at) {
            problem(r, 400, "invalid_body", field->name, "must be in the future.");
            return REJECT;
        }
    }
    return OK;
}

static err fill_rest(struct filling *f, int64_t version)
{
    const struct record_union *commands = &f->plan->stream->command;
    const int type = f->plan->type;
    struct request *r = f->r;
    for (const struct plain_setting *s = f->plan->settings; s && s->field; s++)
        TRY(put(f, s->field, (struct value){ VALUE_INTEGER, .integer = config_int(r->gateway->config, s->setting) }));
    if (f->plan->self)
        TRY(put(f, f->plan->self, (struct value){ VALUE_UUID, .uuid = r->claims.user_id }));
    if (f->plan->session)
        TRY(put(f, f->plan->session, (struct value){ VALUE_UUID, .uuid = r->claims.session_id }));
    if (r->route->if_match)
        TRY(put(f, "expected_version", (struct value){ VALUE_INTEGER, .integer = version }));
    if (record_has_field(commands, type, "address"))
        TRY(put(f, "address", (struct value){ VALUE_TEXT, .text = client_address(r) }));
    if (record_has_field(commands, type, "request_id"))
        TRY(put(f, "request_id", (struct value){ VALUE_TEXT, .text = str_of(r->request_id) }));
    return OK;
}

/* --- sending --- */

static enum request_step send(struct request *r, struct any_record *command)
{
    const struct plain_command *c = r->route->command;
    return dispatch_command(r, c->stream, command, r->claims.user_id, c->then ? c->then : dispatch_done);
}

/* A problem has been filled; a retry is told what came of it the first time. */
static enum request_step refuse(struct request *r, struct pool_thread *thread)
{
    const struct plain_command *c = r->route->command;
    return dispatch_refused(r, thread, c->stream, r->claims.user_id, c->then ? c->then : dispatch_done);
}

static enum request_step failed(struct request *r, err e)
{
    problem_err(r, e);
    return REQUEST_DONE;
}

static enum request_step look_up(struct request *r, struct pool_thread *thread)
{
    struct any_record *command = r->state;
    bool found;
    const err e = r->route->command->lookup->find(r, thread, command, &found);
    return e != OK ? failed(r, e) : found ? send(r, command) : refuse(r, thread);
}

enum request_step plain_send(struct request *r)
{
    struct filling f = { r, r->route->command };
    struct if_match match = { 0 };
    r->tolerated = f.plan->tolerated;
    err e = fill_path(&f);
    if (e == REJECT || (e == OK && f.plan->check && !f.plan->check(r, f.command)))
        return REQUEST_DONE;
    if (e == OK)
        e = fill_body(&f);
    if (e == REJECT)
        return refuse(r, NULL);
    if (r->route->if_match && !if_match_read(r, &match))
        return REQUEST_DONE;
    if (e == OK)
        e = fill_rest(&f, if_match_named(&match));
    if (e != OK)
        return failed(r, e);
    if (!f.plan->lookup)
        return send(r, f.command);
    r->state = f.command;
    return pool_run(r->gateway->reads, r, look_up);
}

/* --- the table --- */

/* What a lookup fills may have been filled already. */
static int times_filled(const struct filling *f, const char *name)
{
    const struct record_union *commands = &f->plan->stream->command;
    int count = has_word(f->plan->keeps, name) && record_has_default(commands, f->plan->type, name);
    for (size_t i = 0; i < f->count; i++)
        count += strcmp(f->filled[i], name) == 0;
    return count == 0 && f->plan->lookup ? has_word(f->plan->lookup->fills, name) : count;
}

/* With what OpenAPI gives as an example. */
static err try_route(struct request *r)
{
    struct filling f = { r, r->route->command };
    const struct record_union *commands = &f.plan->stream->command;
    struct json j = response_json(r, 0);
    json_error_t error;
    const char *name;
    for (size_t i = 0; i < REQUEST_MAX_PARAMS; i++)
        r->params[i] = STR("01890000-0000-7000-8000-000000000000");
    if (r->route->body) {
        schema_body_example(&j, r->route->body);
        r->body = json_parse(&r->arena, buf_view(&r->response.body), &error);
    }
    TRY(fill_path(&f));
    TRY(fill_body(&f));
    TRY(fill_rest(&f, INT64_MAX));
    for (size_t i = 0; (name = record_field_name(commands, f.plan->type, i)); i++)
        if (times_filled(&f, name) != 1)
            return err_set(FATAL, "%s of %s is filled by %s", name, commands->name(f.plan->type),
                           times_filled(&f, name) == 0 ? "nothing" : "two things");
    return OK;
}

err plain_check(struct gateway *g, const struct route *table)
{
    for (const struct route *route = table; route->path; route++) {
        struct request r = { .gateway = g, .route = route };
        if ((route->run == plain_send) != (route->command != NULL))
            return err_set(FATAL, "route %s: plain_send needs .command, and nothing else does", route->name);
        for (const struct body_field *f = route->body ? route->body->fields : NULL; f && f->name; f++)
            if (f->future && !route->command)
                return err_set(FATAL, "route %s: .future of %s is for plain commands", route->name, f->name);
        arena_init(&r.arena, 0);
        const err e = route->command ? try_route(&r) : OK;
        arena_finish(&r.arena);
        buf_finish(&r.response.body);
        if (e != OK)
            return err_set(FATAL, "route %s: %s", route->name, err_message());
    }
    return OK;
}
