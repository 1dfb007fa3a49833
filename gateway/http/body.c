/* body_check: a JSON body against its route's table. What is wrong is collected, so that one answer names
 * every field. */
#include "gateway/http/field.h"
#include "gateway/http/json_arena.h"

static const struct body_field *field_of(const struct body *body, const char *name)
{
    for (const struct body_field *field = body->fields; field->name; field++)
        if (strcmp(field->name, name) == 0)
            return field;
    return NULL;
}

static void check_fields(struct faults *faults, const struct body *body, json_t *object)
{
    const char *name;
    json_t *value;
    json_object_foreach(object, name, value)
    {
        const struct body_field *field = field_of(body, name);
        if (field)
            field_check_json(faults, field, value);
        else
            FAULT(faults, str_of(name), "is not a field of %s.", body->name);
    }
    for (const struct body_field *field = body->fields; field->name; field++)
        if (field->required && !json_object_get(object, field->name))
            FAULT(faults, str_of(field->name), "is required.");
}

/* --- text that is no JSON --- */

static const char *parse_fault(enum json_error_code code)
{
    switch (code) {
    case json_error_duplicate_key:
        return "a name stands twice in one object";
    case json_error_invalid_utf8:
        return "a string is not valid UTF-8";
    case json_error_null_byte_in_key:
    case json_error_null_character:
        return "a name has a NUL character";
    case json_error_premature_end_of_input:
        return "the text ends too early";
    case json_error_end_of_input_expected:
        return "there is text behind the end";
    case json_error_numeric_overflow:
        return "a number is too large";
    case json_error_stack_overflow:
        return "arrays or objects are nested too deeply";
    default:
        return "this is not JSON (RFC 8259)";
    }
}

/* "name" of a name that stands twice: jansson stops just behind it. Empty when it is not found, as it was escaped. */
static struct str name_before(struct str text, int position)
{
    struct str none = { 0 };
    if (position < 2 || (size_t)position > text.len || text.ptr[position - 1] != '"')
        return none;
    size_t end = (size_t)position - 1, start = end;
    while (start > 0 && text.ptr[start - 1] != '"')
        start--;
    struct str name = { text.ptr + start, end - start };
    return name.len == 0 || memchr(name.ptr, '\\', name.len) ? none : name;
}

static bool no_json(struct request *r, const json_error_t *error)
{
    enum json_error_code code = json_error_code(error);
    const char *why = parse_fault(code);
    const char *detail = r->body_bytes.len == 0
                             ? "The body is empty; it must be a JSON object."
                             : arena_printf(&r->arena, "The body is no JSON object: %s (line %d, column %d).", why,
                                            error->line, error->column);
    struct str name =
        code == json_error_duplicate_key ? name_before(buf_view(&r->body_bytes), error->position) : (struct str){ 0 };
    struct problem_field field = { name, "stands twice." };
    problem_fields(r, 400, "malformed_json", detail, &field, name.len > 0 ? 1 : 0);
    return false;
}

bool body_has_secrets(const struct body *body)
{
    for (const struct body_field *field = body->fields; field->name; field++)
        if (field->secret)
            return true;
    return false;
}

bool body_check(struct request *r)
{
    json_error_t error;
    const struct body *body = r->route->body;
    r->has_secrets = body_has_secrets(body);
    /* jansson 2.14 drops a NUL behind a number or a literal: "1\0" reads as 1. */
    if (r->body_bytes.len > 0 && memchr(r->body_bytes.ptr, '\0', r->body_bytes.len)) {
        problem(r, 400, "malformed_json", NULL, "The body is no JSON object: it has a NUL byte.");
        return false;
    }
    r->body = json_parse(&r->arena, buf_view(&r->body_bytes), &error);
    if (!r->body)
        return no_json(r, &error);
    if (!json_is_object(r->body)) {
        problem(r, 400, "malformed_json", NULL, "The body must be a JSON object.");
        return false;
    }
    struct faults faults = { .arena = &r->arena };
    check_fields(&faults, body, r->body);
    return faults.count == 0 || faults_answer(&faults, r, "invalid_body");
}
