/* Commands that need no handler: the real routes and some that are wrong, without servers. What would send, look up or
 * refuse is taken out of the way by the linker (--wrap); what is left is the command that would have been sent. */
#include <microhttpd.h>
#include <stdio.h>

#include "gateway/gateway.h"
#include "gateway/http/json_arena.h"
#include "gateway/resources.h"
#include "schemas/accounts.gen.h"
#include "schemas/fill.h"
#include "schemas/rooms.gen.h"
#include "schemas/sessions.gen.h"
#include "tests/settings.h"
#include "tests/suite.h"

#define ROOM    "01890000-0000-7000-8000-00000000000a"
#define USER    "01890000-0000-7000-8000-00000000000b"
#define MESSAGE "01890000-0000-7000-8000-00000000000c"
#define NOW     1800000000000 /* 2027-01-15T08:00:00Z */

static const struct setting *const tables[] = { gateway_settings, NULL };
static const struct uuid somebody = { { 0xb0, 2 } };
static struct gateway gateway;
static struct request r;
static struct pool_thread thread;
static const char *if_match_header;

/* --- what lies behind --- */

static struct {
    int commands, refusals, pooled;
    const struct stream *stream;
    const struct any_record *command;
    struct uuid actor;
    dispatch_then *then;
    struct pool_thread *thread;
    pool_job *job;
} seen;

enum request_step __wrap_dispatch_command(struct request *request, const struct stream *stream,
                                          struct any_record *command, struct uuid actor, dispatch_then *then);
enum request_step __wrap_dispatch_command(struct request *request, const struct stream *stream,
                                          struct any_record *command, struct uuid actor, dispatch_then *then)
{
    ck_assert_ptr_eq(request, &r);
    seen.commands++;
    seen.stream = stream;
    seen.command = command;
    seen.actor = actor;
    seen.then = then;
    return REQUEST_SUSPENDED;
}

enum request_step __wrap_dispatch_refused(struct request *request, struct pool_thread *t, const struct stream *stream,
                                          struct uuid actor, dispatch_then *then);
enum request_step __wrap_dispatch_refused(struct request *request, struct pool_thread *t, const struct stream *stream,
                                          struct uuid actor, dispatch_then *then)
{
    ck_assert_ptr_eq(request, &r);
    seen.refusals++;
    seen.thread = t;
    seen.stream = stream;
    seen.actor = actor;
    seen.then = then;
    return REQUEST_DONE;
}

enum request_step __wrap_pool_run(struct pool *pool, struct request *request, pool_job *job);
enum request_step __wrap_pool_run(struct pool *pool, struct request *request, pool_job *job)
{
    ck_assert(pool == gateway.reads && request == &r);
    seen.pooled++;
    seen.job = job;
    return REQUEST_SUSPENDED;
}

const char *__wrap_MHD_lookup_connection_value(struct MHD_Connection *connection, enum MHD_ValueKind kind,
                                               const char *key);
const char *__wrap_MHD_lookup_connection_value(struct MHD_Connection *connection, enum MHD_ValueKind kind,
                                               const char *key)
{
    (void)connection, (void)kind;
    return strcmp(key, "If-Match") == 0 ? if_match_header : NULL;
}

/* --- asking --- */

static void set_up(void)
{
    memset(&seen, 0, sizeof seen);
    memset(&r, 0, sizeof r);
    memset(&gateway, 0, sizeof gateway);
    if_match_header = NULL;
    gateway.config =
        settings_of(tables, (const char *[]){ "messages.emojis_per_message=31", "messages.emojis_per_person=7", NULL });
    gateway.reads = (struct pool *)&gateway; /* nobody looks into it */
    arena_init(&r.arena, 0);
    arena_init(&thread.arena, 0);
    r.gateway = &gateway;
    r.received_at = NOW;
    r.claims.user_id = somebody;
    r.client.address = (struct address){ { [10] = 0xff, 0xff, 192, 0, 2, 7 } };
    snprintf(r.request_id, sizeof r.request_id, "request 1");
}

static void tear_down(void)
{
    config_destroy((struct config *)gateway.config);
    arena_finish(&r.arena);
    arena_finish(&thread.arena);
    buf_finish(&r.body_bytes);
    buf_finish(&r.response.body);
}

/* The request of a route, with as many parts of the path as it has; `body` NULL: {}. */
static enum request_step ask_route(const struct route *route, const char *const *parts, const char *body)
{
    r.route = route;
    for (size_t i = 0; parts && parts[i]; i++) {
        r.params[i] = str_of(parts[i]);
        ck_assert(route->plain_params || uuid_parse(r.params[i], &r.ids[i]));
    }
    if (route->body) {
        buf_clear(&r.body_bytes);
        buf_str(&r.body_bytes, str_of(body ? body : "{}"));
        ck_assert_msg(body_check(&r), "%s: %.*s", route->name, (int)r.response.body.len, r.response.body.ptr);
    }
    return route->run(&r);
}

#define PARTS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static enum request_step ask(const char *name, const char *const *parts, const char *body)
{
    const struct route *route = routes;
    while (route->path && strcmp(route->name, name) != 0)
        route++;
    ck_assert_msg(route->path != NULL, "there is no route %s", name);
    return ask_route(route, parts, body);
}

static bool is(struct uuid id, const char *text)
{
    struct uuid wanted;
    return uuid_parse(str_of(text), &wanted) && uuid_equal(id, wanted);
}

/* The command that was sent, or that waits for what is looked up. */
static const struct any_record *sent(const struct stream *stream, int type)
{
    const struct any_record *command = seen.pooled ? r.state : seen.command;
    const char *said = arena_str(&r.arena, buf_view(&r.response.body)).ptr;
    ck_assert_msg(seen.commands + seen.pooled == 1 && seen.refusals == 0, "nothing was sent: %s", said);
    ck_assert(seen.pooled || (seen.stream == stream && uuid_equal(seen.actor, somebody)));
    ck_assert_int_eq(command->type, type);
    return command;
}

#define SENT(stream, type) ((const struct stream##_command *)sent(&stream##_stream, type))

static void is_problem(const char *code, const char *field)
{
    const char *said = arena_str(&r.arena, buf_view(&r.response.body)).ptr;
    char wanted[2][64];
    snprintf(wanted[0], sizeof wanted[0], "\"code\":\"%s\"", code);
    snprintf(wanted[1], sizeof wanted[1], "\"field\":\"%s\"", field);
    ck_assert_msg(r.response.status == 400 && strstr(said, wanted[0]) && strstr(said, wanted[1]), "%d %s",
                  r.response.status, said);
    ck_assert_int_eq(seen.commands + seen.pooled, 0);
}

/* --- filling --- */

START_TEST(parts_of_the_path_and_fields_of_the_body_go_where_their_names_say)
{
    ck_assert_int_eq(
        ask("members_ban", PARTS(ROOM, USER), "{\"reason\":\"Ads\",\"until\":\"2027-01-15T08:00:00.001Z\"}"),
        REQUEST_SUSPENDED);
    const struct ban_member *ban = &SENT(rooms, ROOMS_BAN_MEMBER)->ban_member;
    ck_assert(is(ban->room_id, ROOM) && is(ban->user_id, USER));
    ck_assert(str_equal(ban->reason.clear, STR("Ads")) && ban->reason.cipher.len == 0 && ban->until == NOW + 1);
}
END_TEST

START_TEST(what_is_left_out_is_nothing)
{
    ask("members_ban", PARTS(ROOM, USER), NULL);
    const struct ban_member *ban = &SENT(rooms, ROOMS_BAN_MEMBER)->ban_member;
    ck_assert(ban->reason.clear.len == 0 && ban->until == 0);
}
END_TEST

START_TEST(null_is_as_good_as_left_out)
{
    ask("admin_suspend", PARTS(USER), "{\"reason\":\"Spam\",\"until\":null}");
    ck_assert_int_eq(SENT(accounts, ACCOUNTS_SUSPEND_ACCOUNT)->suspend_account.until, 0);
}
END_TEST

START_TEST(an_id_of_the_body_is_one)
{
    ask("rooms_transfer", PARTS(ROOM), "{\"userId\":\"" USER "\"}");
    const struct transfer_room *transfer = &SENT(rooms, ROOMS_TRANSFER_ROOM)->transfer_room;
    ck_assert(is(transfer->room_id, ROOM) && is(transfer->user_id, USER));
}
END_TEST

START_TEST(a_choice_is_the_symbol_that_is_written_so)
{
    ask("members_role", PARTS(ROOM, USER), "{\"role\":\"readOnly\"}");
    ck_assert_int_eq(SENT(rooms, ROOMS_CHANGE_ROLE)->change_role.role, MEMBER_ROLE_READ_ONLY);
}
END_TEST

START_TEST(choices_are_an_array)
{
    ask("admin_roles", PARTS(USER), "{\"roles\":[\"admin\",\"user\"]}");
    const struct set_roles *set = &SENT(accounts, ACCOUNTS_SET_ROLES)->set_roles;
    ck_assert_uint_eq(set->roles.count, 2);
    ck_assert(str_equal(set->roles.items[0], STR("admin")) && str_equal(set->roles.items[1], STR("user")));
}
END_TEST

START_TEST(who_is_logged_in_is_who_it_is_about_where_the_row_says_so)
{
    ask("rooms_leave", PARTS(ROOM), NULL);
    const struct leave_room *leave = &SENT(rooms, ROOMS_LEAVE_ROOM)->leave_room;
    ck_assert(is(leave->room_id, ROOM) && uuid_equal(leave->user_id, somebody));
}
END_TEST

START_TEST(a_session_ends_by_its_token_or_by_its_id_and_why_is_told)
{
    const struct uuid own = { { 0xc0, 3 } };
    r.claims.session_id = own;
    ask("auth_logout", NULL, NULL);
    const struct end_session *end = &SENT(sessions, SESSIONS_END_SESSION)->end_session;
    ck_assert(uuid_equal(end->session_id, own) && uuid_equal(end->user_id, somebody));
    ck_assert(end->reason == SESSION_END_LOGOUT && str_equal(end->request_id, STR("request 1")));
    memset(&seen, 0, sizeof seen);
    ask("sessions_delete", PARTS(USER), NULL);
    end = &SENT(sessions, SESSIONS_END_SESSION)->end_session;
    ck_assert(is(end->session_id, USER) && uuid_equal(end->user_id, somebody) && end->reason == SESSION_END_REVOKED);
    memset(&seen, 0, sizeof seen);
    uuid_parse(STR(USER), &r.claims.session_id);
    ask("sessions_delete", PARTS(USER), NULL);
    ck_assert_int_eq(SENT(sessions, SESSIONS_END_SESSION)->end_session.reason, SESSION_END_LOGOUT);
}
END_TEST

START_TEST(where_a_request_came_from_is_told_where_the_record_asks)
{
    ask("auth_logout_all", NULL, NULL);
    const struct end_all_sessions *end = &SENT(accounts, ACCOUNTS_END_ALL_SESSIONS)->end_all_sessions;
    ck_assert(str_equal(end->address.clear, STR("192.0.2.7")) && str_equal(end->request_id, STR("request 1")));
    ck_assert(uuid_equal(end->user_id, somebody) && uuid_is_nil(end->kept_session));
}
END_TEST

START_TEST(settings_travel_in_the_command)
{
    ask("message_react", PARTS(ROOM, MESSAGE, "👍"), NULL);
    const struct add_reaction *add = &SENT(rooms, ROOMS_ADD_REACTION)->add_reaction;
    ck_assert(add->most_on_message == 31 && add->most_by_person == 7);
    ck_assert(is(add->room_id, ROOM) && is(add->message_id, MESSAGE) && str_equal(add->emoji, STR("👍")));
}
END_TEST

START_TEST(the_version_of_if_match_is_expected_and_without_it_any)
{
    static const struct {
        const char *header;
        int64_t expected;
    } cases[] = { { NULL, -1 }, { "*", -1 }, { "\"7\"", 7 }, { "\"8\", \"7\"", 8 }, { "\"x\"", 0 } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        memset(&seen, 0, sizeof seen);
        if_match_header = cases[i].header;
        ask("members_role", PARTS(ROOM, USER), "{\"role\":\"admin\"}");
        ck_assert_int_eq(SENT(rooms, ROOMS_CHANGE_ROLE)->change_role.expected_version, cases[i].expected);
    }
    memset(&seen, 0, sizeof seen);
    if_match_header = "7";
    ck_assert_int_eq(ask("members_role", PARTS(ROOM, USER), "{\"role\":\"admin\"}"), REQUEST_DONE);
    is_problem("bad_header", "If-Match");
    ck_assert_int_eq(seen.refusals, 0);
}
END_TEST

/* --- what is refused before --- */

START_TEST(a_time_that_has_passed_is_refused_unless_it_was_accepted_when_it_had_not)
{
    static const char *const bodies[] = { "{\"until\":\"2027-01-15T08:00:00Z\"}",
                                          "{\"until\":\"2026-01-15T08:00:00Z\"}" };
    for (size_t i = 0; i < 2; i++) {
        seen.refusals = 0;
        ck_assert_int_eq(ask("members_ban", PARTS(ROOM, USER), bodies[i]), REQUEST_DONE);
        is_problem("invalid_body", "until");
        ck_assert(seen.refusals == 1 && !seen.thread && seen.stream == &rooms_stream);
        ck_assert(uuid_equal(seen.actor, somebody));
        seen.then(&r, NULL, NULL);
        ck_assert_int_eq(r.response.status, 204);
    }
    ask("admin_suspend", PARTS(USER), "{\"reason\":\"Spam\",\"until\":\"2027-01-15T08:00:00Z\"}");
    is_problem("invalid_body", "until");
    ck_assert(seen.refusals == 2 && seen.stream == &accounts_stream && seen.then == account_changed);
}
END_TEST

START_TEST(ids_among_parts_that_are_text_are_read_before_the_text_is_looked_at)
{
    ck_assert_int_eq(ask("message_react", PARTS("1", "2", "x"), NULL), REQUEST_DONE);
    is_problem("bad_path", "room");
    ask("message_react", PARTS(ROOM, "2", "x"), NULL);
    is_problem("bad_path", "message");
    ask("message_react", PARTS(ROOM, MESSAGE, "x"), NULL);
    is_problem("bad_path", "emoji");
    ask("message_unreact", PARTS(ROOM, MESSAGE, "x"), NULL);
    is_problem("bad_path", "emoji");
    ck_assert_int_eq(seen.refusals, 0);
}
END_TEST

/* --- answers --- */

START_TEST(a_row_without_an_answer_of_its_own_answers_that_it_was_done)
{
    ask("members_kick", PARTS(ROOM, USER), NULL);
    ck_assert_int_eq(seen.then(&r, NULL, NULL), REQUEST_DONE);
    ck_assert(r.response.status == 204 && r.response.body.len == 0);
    memset(&seen, 0, sizeof seen);
    ask("rooms_join", PARTS(ROOM), NULL);
    ck_assert(seen.then == room_changed);
}
END_TEST

START_TEST(a_row_without_an_answer_of_its_own_says_so_in_the_document)
{
    for (const struct route *route = routes; route->path; route++)
        if (route->command && !route->command->then)
            ck_assert_msg(route->answers[0].status == 204 && route->answers[1].status == 0, "%s", route->name);
}
END_TEST

START_TEST(what_is_as_good_as_the_fact_is_known_to_the_request)
{
    ask("members_kick", PARTS(ROOM, USER), NULL);
    ck_assert_int_eq(r.tolerated, 0);
    for (const struct route *route = routes; route->path; route++)
        if (route->command && !route->body && route->command->tolerated) {
            ask_route(route, PARTS(ROOM, MESSAGE, route->plain_params ? "👍" : NULL), NULL);
            ck_assert_int_eq(r.tolerated, route->command->tolerated);
        }
    ck_assert_int_ne(r.tolerated, 0);
}
END_TEST

/* --- looking up --- */

static struct {
    int asked;
    bool found;
    err answer;
} lookup;

static err find(struct request *request, struct pool_thread *t, struct any_record *command, bool *ret_found)
{
    const struct record_union *commands = &rooms_stream.command;
    ck_assert(request == &r && t == &thread && is(record_uuid(commands, command, "room_id"), ROOM));
    lookup.asked++;
    *ret_found = lookup.found;
    if (!lookup.found)
        problem(request, 404, "message_not_found", NULL, "There is no such message.");
    if (lookup.answer != OK)
        return err_set(lookup.answer, "PostgreSQL is away");
    return record_put(commands, command, "seq", &(struct value){ VALUE_INTEGER, .integer = 9 }, &request->arena);
}

static enum request_step then(struct request *request, const struct outcome *outcome, const struct any_record *fact)
{
    (void)request, (void)outcome, (void)fact;
    return REQUEST_DONE;
}

static const struct plain_lookup seq_lookup = { find, .fills = "seq", .reads = "page" };
static const struct route looked_up = {
    PUT,         "/{page}/{room}/{message}",
    "looked_up", AUTH_USER,
    NULL,        plain_send,
    "Pin.",      .command = COMMAND(&rooms_stream, ROOMS_PIN_MESSAGE, then, .lookup = &seq_lookup),
};

static enum request_step look_up(bool found, err answer)
{
    lookup.found = found;
    lookup.answer = answer;
    lookup.asked = 0;
    ck_assert_int_eq(ask_route(&looked_up, PARTS(USER, ROOM, MESSAGE), NULL), REQUEST_SUSPENDED);
    ck_assert(seen.pooled == 1 && lookup.asked == 0);
    const enum request_step step = seen.job(&r, &thread);
    ck_assert_int_eq(lookup.asked, 1);
    return step;
}

START_TEST(what_was_looked_up_travels_in_the_command)
{
    ck_assert_int_eq(look_up(true, OK), REQUEST_SUSPENDED);
    const struct pin_message *pin = &((const struct rooms_command *)seen.command)->pin_message;
    ck_assert(seen.commands == 1 && seen.then == then && seen.refusals == 0);
    ck_assert(pin->seq == 9 && is(pin->room_id, ROOM) && is(pin->message_id, MESSAGE));
}
END_TEST

START_TEST(what_is_not_there_is_refused_unless_it_was_when_the_request_came_first)
{
    ck_assert_int_eq(look_up(false, OK), REQUEST_DONE);
    ck_assert(seen.commands == 0 && seen.refusals == 1 && seen.thread == &thread && seen.then == then);
    ck_assert_int_eq(r.response.status, 404);
}
END_TEST

START_TEST(what_cannot_be_looked_up_is_no_answer)
{
    ck_assert_int_eq(look_up(true, RETRY), REQUEST_DONE);
    ck_assert(seen.commands == 0 && seen.refusals == 0 && r.response.status == 503);
}
END_TEST

/* --- the tables --- */

START_TEST(every_plain_route_fits_its_record)
{
    const err e = plain_check(&gateway, routes);
    ck_assert_msg(e == OK, "%s", err_message());
}
END_TEST

/* One field of a body, beyond what OpenAPI gives as an example. */
static void takes(const struct route *route, const struct body_field *field, struct value value)
{
    const struct record_union *commands = &route->command->stream->command;
    struct any_record *command;
    char name[64], *to = name;
    for (const char *c = field->name; *c; c++) {
        if (*c >= 'A' && *c <= 'Z')
            *to++ = '_';
        *to++ = (char)(*c | 0x20);
    }
    *to = '\0';
    ck_ok(record_begin(commands, route->command->type, &r.arena, &command));
    const err e = record_put(commands, command, name, &value, &r.arena);
    ck_assert_msg(e == OK, "%s: %s", route->name, err_message());
}

START_TEST(every_choice_and_bound_of_a_plain_route_fits_its_field)
{
    int choices = 0;
    for (const struct route *route = routes; route->path; route++)
        for (const struct body_field *f = route->command && route->body ? route->body->fields : NULL; f && f->name;
             f++) {
            for (const char *at = f->choices; at && *at; at += strcspn(at, "|"), at += *at == '|', choices++) {
                const struct str choice = { at, strcspn(at, "|") };
                takes(route, f,
                      f->type == FIELD_CHOICE ? (struct value){ VALUE_TEXT, .text = choice }
                                              : (struct value){ VALUE_TEXTS, .texts = { &choice, 1 } });
            }
            if (f->type == FIELD_INT) {
                takes(route, f, (struct value){ VALUE_INTEGER, .integer = f->min });
                takes(route, f, (struct value){ VALUE_INTEGER, .integer = f->max });
            }
        }
    ck_assert_int_eq(choices, 6); /* three roles of rooms, three of accounts */
}
END_TEST

START_TEST(every_setting_that_travels_fits_its_field)
{
    for (const struct route *route = routes; route->path; route++)
        for (const struct plain_setting *s = route->command ? route->command->settings : NULL; s && s->field; s++) {
            const struct setting *setting = gateway_settings;
            while (setting->name && strcmp(setting->name, s->setting) != 0)
                setting++;
            ck_assert_msg(setting->name && setting->min >= INT32_MIN && setting->max <= INT32_MAX, "%s", s->setting);
        }
}
END_TEST

static const struct body_field wrong_name[] = { { "raeson", FIELD_TEXT, .max = 5 }, { 0 } };
static const struct body_field wrong_type[] = { { "reason", FIELD_INT, .max = 5 }, { 0 } };
static const struct body_field path_again[] = { { "userId", FIELD_UUID }, { "reason", FIELD_TEXT, .max = 5 }, { 0 } };
static const struct body_field no_symbol[] = { { "role", FIELD_CHOICE, .choices = "emperor" }, { 0 } };
static const struct body_field ahead[] = { { "until", FIELD_TIME, .future = true }, { 0 } };
static const struct body wrong_name_body = { "A", wrong_name }, wrong_type_body = { "B", wrong_type },
                         path_again_body = { "C", path_again }, no_symbol_body = { "D", no_symbol },
                         ahead_body = { "E", ahead };

static enum request_step handler(struct request *request)
{
    (void)request;
    return REQUEST_DONE;
}

#define MEMBER     PUT, "/{room}/{user}", "wrong", AUTH_USER
#define OF(...)    plain_send, "", .command = COMMAND(&rooms_stream, __VA_ARGS__)
#define LOBBY      PUT, "/{room}", "wrong", AUTH_USER
#define OF_MESSAGE PUT, "/{room}/{message}", "wrong", AUTH_USER

START_TEST(a_row_that_does_not_fit_is_found_by_name)
{
    const struct {
        struct route route;
        const char *fault;
    } wrong[] = {
        { { MEMBER, &wrong_name_body, OF(ROOMS_REMOVE_MEMBER) }, "aether.rooms.RemoveMember has no field raeson" },
        { { MEMBER, &wrong_type_body, OF(ROOMS_REMOVE_MEMBER) }, "the field reason of aether.rooms.RemoveMember" },
        { { MEMBER, &no_symbol_body, OF(ROOMS_CHANGE_ROLE), .if_match = true }, "the field role of" },
        { { MEMBER, NULL, OF(ROOMS_REMOVE_MEMBER) }, "reason of aether.rooms.RemoveMember is filled by nothing" },
        { { MEMBER, &path_again_body, OF(ROOMS_REMOVE_MEMBER) },
          "user_id of aether.rooms.RemoveMember is filled by two" },
        { { MEMBER, NULL, OF(ROOMS_UNBAN_MEMBER, .self = "user_id") }, "is filled by two things" },
        { { MEMBER, NULL, OF(ROOMS_UNBAN_MEMBER, .self = "user") }, "has no field user" },
        { { MEMBER, NULL, OF(ROOMS_UNBAN_MEMBER), .if_match = true }, "has no field expected_version" },
        { { MEMBER, &no_symbol_body, OF(ROOMS_CHANGE_ROLE) }, "the field role of" },
        { { PUT, "/{rom}/{user}", "wrong", AUTH_USER, NULL, OF(ROOMS_UNBAN_MEMBER) }, "has no field rom_id" },
        { { PUT, "/{user}", "wrong", AUTH_USER, NULL, OF(ROOMS_UNBAN_MEMBER) }, "room_id of aether.rooms.UnbanMember" },
        { { PUT, "/{room}/{seq}", "wrong", AUTH_USER, NULL, OF(ROOMS_PIN_MESSAGE), .plain_params = true },
          "the field seq of aether.rooms.PinMessage" },
        { { OF_MESSAGE, NULL, OF(ROOMS_PIN_MESSAGE) }, "seq of aether.rooms.PinMessage is filled by nothing" },
        { { OF_MESSAGE, NULL, OF(ROOMS_PIN_MESSAGE, .keeps = "seq") }, "is filled by nothing" },
        { { OF_MESSAGE, NULL, OF(ROOMS_DELETE_MESSAGE, .lookup = &seq_lookup) }, "expired of" },
        { { OF_MESSAGE, NULL, OF(ROOMS_DELETE_MESSAGE, .lookup = &seq_lookup, .keeps = "expired room_id") }, "" },
        { { LOBBY, NULL, OF(ROOMS_LEAVE_ROOM, .self = "user_id", .settings = SETTINGS({ "seq", "reads.queue" })) },
          "has no field seq" },
        { { LOBBY, NULL, OF(999) }, "999 is no type of record of rooms.commands" },
        { { LOBBY, NULL, plain_send, "" }, "plain_send needs .command" },
        { { LOBBY, NULL, handler, "", .command = COMMAND(&rooms_stream, ROOMS_LEAVE_ROOM) }, "plain_send needs" },
        { { LOBBY, &ahead_body, handler, "" }, ".future of until is for plain commands" },
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const struct route table[] = { looked_up, wrong[i].route, { 0 } };
        const bool good = wrong[i].fault[0] == '\0';
        const err e = plain_check(&gateway, table);
        ck_assert_msg(e == (good ? OK : FATAL), "%zu: %s", i, wrong[i].fault);
        ck_assert_msg(good ||
                          (strncmp(err_message(), "route wrong: ", 13) == 0 && strstr(err_message(), wrong[i].fault)),
                      "%zu: %s", i, err_message());
    }
}
END_TEST

/* At the start this is found; should it not be, nobody gets what was not asked for. */
START_TEST(a_row_that_does_not_fit_sends_nothing)
{
    const struct route wrong = { MEMBER, &wrong_name_body, OF(ROOMS_REMOVE_MEMBER) };
    ck_assert_int_eq(ask_route(&wrong, PARTS(ROOM, USER), "{\"raeson\":\"Ads\"}"), REQUEST_DONE);
    ck_assert(r.response.status == 500 && seen.commands == 0);
}
END_TEST

static void add(TCase *tests)
{
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, parts_of_the_path_and_fields_of_the_body_go_where_their_names_say);
    tcase_add_test(tests, what_is_left_out_is_nothing);
    tcase_add_test(tests, null_is_as_good_as_left_out);
    tcase_add_test(tests, an_id_of_the_body_is_one);
    tcase_add_test(tests, a_choice_is_the_symbol_that_is_written_so);
    tcase_add_test(tests, choices_are_an_array);
    tcase_add_test(tests, who_is_logged_in_is_who_it_is_about_where_the_row_says_so);
    tcase_add_test(tests, a_session_ends_by_its_token_or_by_its_id_and_why_is_told);
    tcase_add_test(tests, where_a_request_came_from_is_told_where_the_record_asks);
    tcase_add_test(tests, settings_travel_in_the_command);
    tcase_add_test(tests, the_version_of_if_match_is_expected_and_without_it_any);
    tcase_add_test(tests, a_time_that_has_passed_is_refused_unless_it_was_accepted_when_it_had_not);
    tcase_add_test(tests, ids_among_parts_that_are_text_are_read_before_the_text_is_looked_at);
    tcase_add_test(tests, a_row_without_an_answer_of_its_own_answers_that_it_was_done);
    tcase_add_test(tests, a_row_without_an_answer_of_its_own_says_so_in_the_document);
    tcase_add_test(tests, what_is_as_good_as_the_fact_is_known_to_the_request);
    tcase_add_test(tests, what_was_looked_up_travels_in_the_command);
    tcase_add_test(tests, what_is_not_there_is_refused_unless_it_was_when_the_request_came_first);
    tcase_add_test(tests, what_cannot_be_looked_up_is_no_answer);
    tcase_add_test(tests, every_plain_route_fits_its_record);
    tcase_add_test(tests, every_choice_and_bound_of_a_plain_route_fits_its_field);
    tcase_add_test(tests, every_setting_that_travels_fits_its_field);
    tcase_add_test(tests, a_row_that_does_not_fit_is_found_by_name);
    tcase_add_test(tests, a_row_that_does_not_fit_sends_nothing);
}

int main(void)
{
    json_arena_init();
    return suite_run_together("plain", add);
}
