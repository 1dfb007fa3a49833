/* From a request to its command's outcome, without servers: the log, the vault and the pool are taken out of the way by
 * the linker (--wrap), and a stream of one record is made up. What is left is who gets the request, and what is said.
 */
#include <sodium.h>
#include <stdio.h>

#include "consumers/outcome/operation.h"
#include "consumers/outcome/rejection.h"
#include "gateway/commands/accepted.h"
#include "gateway/commands/dispatch.h"
#include "gateway/commands/replies.h"
#include "gateway/gateway.h"
#include "gateway/http/route.h"
#include "ops/runtime/clock.h"
#include "tests/suite.h"

static struct gateway gateway;
static struct request r;
static struct codec *codec;

/* --- what lies behind --- */

static struct {
    int count;
    struct append last;
    struct uuid key;
    struct uuid command_id;
    char reply_to[64];
    err answer;
    int delivered; /* tells the callback at once; 0: not */
} appended;
static struct {
    int answered, resumed, then, withdrawn, pooled, fetched;
    struct uuid subject, operation;
} seen;
static err seal_says[2]; /* the first time, and then */
static int sealed;
static err vault_says, decode_says;

err __wrap_producer_append(struct producer *p, const struct append *a);
err __wrap_producer_append(struct producer *p, const struct append *a)
{
    (void)p;
    appended.count++;
    appended.last = *a;
    appended.key = a->key;
    appended.command_id = a->meta->command_id;
    snprintf(appended.reply_to, sizeof appended.reply_to, "%.*s", (int)a->reply_to.len, a->reply_to.ptr);
    if (appended.delivered)
        dispatch_delivered(gateway.dispatch, a->opaque, (enum delivery)(appended.delivered - 1), 0, 5);
    return appended.answer == OK ? OK : err_set(appended.answer, "the queue is full");
}

void __wrap_accepted_answer(struct request *request, struct uuid command_id, struct uuid actor);
void __wrap_accepted_answer(struct request *request, struct uuid command_id, struct uuid actor)
{
    (void)actor;
    seen.answered++;
    seen.operation = command_id;
    request->response.status = 202;
    request_resume(request);
}

void __wrap_replies_withdraw(struct replies *replies, struct uuid subject);
void __wrap_replies_withdraw(struct replies *replies, struct uuid subject)
{
    (void)replies;
    seen.withdrawn++;
    seen.subject = subject;
}

static struct pool_thread thread;
static struct outcome stored; /* of an earlier request */
static int stored_count, looked;
static err find_says;
static struct uuid accepted_by; /* nil: nobody */

err __wrap_operation_find(struct pg *pg, struct arena *arena, const char *worker, const struct uuid *ids, size_t count,
                          struct outcome **ret, size_t *ret_count);
err __wrap_operation_find(struct pg *pg, struct arena *arena, const char *worker, const struct uuid *ids, size_t count,
                          struct outcome **ret, size_t *ret_count)
{
    (void)pg, (void)arena, (void)worker;
    looked++;
    ck_assert(count == 1 && uuid_equal(ids[0], r.command_id));
    *ret = &stored;
    *ret_count = (size_t)stored_count;
    return find_says == OK ? OK : err_set(find_says, "no operations");
}

bool __wrap_accepted_find(struct accepted *a, struct pool_thread *t, struct uuid command_id, struct uuid *ret_actor,
                          int64_t *ret_at);
bool __wrap_accepted_find(struct accepted *a, struct pool_thread *t, struct uuid command_id, struct uuid *ret_actor,
                          int64_t *ret_at)
{
    (void)a, (void)t, (void)command_id;
    *ret_actor = accepted_by;
    *ret_at = 1;
    return !uuid_is_nil(accepted_by);
}

enum request_step __wrap_pool_run(struct pool *pool, struct request *request, pool_job *job);
enum request_step __wrap_pool_run(struct pool *pool, struct request *request, pool_job *job)
{
    (void)pool;
    seen.pooled++;
    if (job(request, &thread) == REQUEST_DONE)
        request_resume(request);
    return REQUEST_SUSPENDED;
}

err __wrap_vault_fetch(struct vault *v, struct pg *pg, const struct uuid *subjects, size_t count);
err __wrap_vault_fetch(struct vault *v, struct pg *pg, const struct uuid *subjects, size_t count)
{
    (void)v, (void)pg, (void)subjects;
    seen.fetched += (int)count;
    return vault_says == OK ? OK : err_set(vault_says, "no vault");
}

/* --- a stream --- */

static const struct uuid aggregate = { { 0xa0, 1 } }, somebody = { { 0xb0, 2 } }, other_id = { { 0xc0, 3 } };

static err decode(struct codec *c, struct str framed, struct arena *arena, struct any_record *ret)
{
    (void)c, (void)framed, (void)arena;
    ret->type = 1;
    return decode_says == OK ? OK : err_set(decode_says, "unreadable");
}

static err encode(struct codec *c, const struct any_record *record, struct buf *out)
{
    (void)c, (void)record;
    buf_str(out, STR("payload"));
    return OK;
}

static size_t subjects(const struct any_record *record, struct uuid ret[8])
{
    (void)record;
    ret[0] = somebody;
    return 1;
}

static err seal(struct any_record *record, struct vault *v, struct arena *arena)
{
    (void)record, (void)v, (void)arena;
    err e = seal_says[sealed++ > 0];
    return e == OK ? OK : err_set(e, "not sealed");
}

static struct uuid key(const struct any_record *record)
{
    (void)record;
    return aggregate;
}

static const char *name(int type)
{
    (void)type;
    return "aether.things.MakeThing";
}

#define UNION                                                                                                          \
    {                                                                                                                  \
        .size = sizeof(struct any_record), .type_count = 1, .decode = decode, .encode = encode, .subjects = subjects,  \
        .seal = seal, .key = key, .name = name                                                                         \
    }
static const struct stream stream = { "things", "things.commands", "things.events", UNION, UNION };

/* --- a request --- */

static void resumed(struct request *request)
{
    (void)request;
    seen.resumed++;
}

static enum request_step then(struct request *request, const struct outcome *outcome, const struct any_record *fact)
{
    (void)outcome;
    seen.then++;
    request->response.status = fact ? 201 : 200;
    return REQUEST_DONE;
}

static void set_up_with_room_for(size_t waiting)
{
    gateway.metrics = metrics_create(gateway_metrics, GATEWAY_METRICS);
    gateway.id = other_id;
    gateway.dispatch = dispatch_create(&gateway, waiting);
    ck_ok(codec_create(NULL, &codec));
    memset(&appended, 0, sizeof appended);
    memset(&seen, 0, sizeof seen);
    seal_says[0] = seal_says[1] = vault_says = decode_says = find_says = OK;
    stored_count = looked = 0;
    accepted_by = uuid_nil;
    memset(&thread, 0, sizeof thread);
    arena_init(&thread.arena, 0);
    sealed = 0;
    memset(&r, 0, sizeof r);
    arena_init(&r.arena, 0);
    r.gateway = &gateway;
    r.resumed = resumed;
    r.claims.user_id = somebody;
    r.command_id = uuid_v7(1000);
    r.received_at = 1000;
    r.deadline_us = clock_mono_us() + 60 * 1000000LL;
    memset(r.hash, 7, sizeof r.hash);
}

static void set_up(void)
{
    set_up_with_room_for(100);
}

static void tear_down(void)
{
    dispatch_destroy(gateway.dispatch);
    metrics_destroy(gateway.metrics);
    codec_destroy(codec);
    arena_finish(&r.arena);
    arena_finish(&thread.arena);
    buf_finish(&r.response.body);
}

static enum request_step send(struct request *request)
{
    struct any_record *command = arena_alloc(&request->arena, sizeof *command);
    command->type = 1;
    return dispatch_command(request, &stream, command, somebody, then);
}

static struct outcome outcome_of(const struct request *request, int rejection)
{
    return (struct outcome){
        .command_id = request->command_id,
        .actor = somebody,
        .rejection = rejection,
        .stream = STR("things"),
        .partition = 3,
        .offset = 9,
        .fact = STR("fact"),
        .request_hash = { (const char *)request->hash, sizeof request->hash },
        .at = request->received_at,
    };
}

static void outcome(int rejection)
{
    const struct outcome o = outcome_of(&r, rejection);
    dispatch_outcome(gateway.dispatch, codec, &o, METRIC_OUTCOMES_REPLIED);
}

static const char *header(const char *wanted)
{
    for (size_t i = 0; i < r.response.header_count; i++)
        if (strcmp(r.response.headers[i].name, wanted) == 0)
            return r.response.headers[i].value;
    return NULL;
}

static void header_is(const char *wanted, const char *value)
{
    const char *has = header(wanted);
    ck_assert_msg(value ? has && strcmp(has, value) == 0 : !has, "%s: %s, not %s", wanted, has ? has : "none",
                  value ? value : "none");
}

static void is_problem(int status, const char *code, const char *retry_after)
{
    const char *said = arena_str(&r.arena, buf_view(&r.response.body)).ptr;
    char wanted[64];
    snprintf(wanted, sizeof wanted, "\"code\":\"%s\"", code);
    ck_assert_msg(r.response.status == status && strstr(said, wanted), "%d %s", r.response.status, said);
    header_is("Retry-After", retry_after);
}

static int64_t counted(size_t metric)
{
    return metrics_read(gateway.metrics, metric);
}

/* --- on the way to the log --- */

START_TEST(a_command_is_appended_under_its_aggregate_and_waits)
{
    ck_assert_int_eq(send(&r), REQUEST_SUSPENDED);
    ck_assert_int_eq(appended.count, 1);
    ck_assert_str_eq(appended.last.topic, "things.commands");
    ck_assert_int_eq(appended.last.partition, -1);
    ck_assert(uuid_equal(appended.key, aggregate) && uuid_equal(appended.command_id, r.command_id));
    ck_assert_str_eq(appended.reply_to, "aether:reply:c0030000-0000-0000-0000-000000000000");
    ck_assert_uint_eq(dispatch_waiting(gateway.dispatch), 1);
    ck_assert_int_eq(seen.resumed, 0);
    outcome(ACCEPTED);
    ck_assert_uint_eq(dispatch_waiting(gateway.dispatch), 0);
}
END_TEST

START_TEST(a_command_that_cannot_be_appended_waits_for_nothing)
{
    r.fresh_subject = other_id;
    appended.answer = RETRY;
    ck_assert_int_eq(send(&r), REQUEST_SUSPENDED);
    is_problem(503, "unavailable", "1");
    ck_assert_int_eq(seen.resumed, 1);
    ck_assert_uint_eq(dispatch_waiting(gateway.dispatch), 0);
    ck_assert(seen.withdrawn == 1 && uuid_equal(seen.subject, other_id));
}
END_TEST

START_TEST(a_command_that_waits_already_is_refused_and_the_first_one_is_answered)
{
    struct request first = r;
    ck_assert_int_eq(send(&r), REQUEST_SUSPENDED);
    struct request again = first;
    again.fresh_subject = other_id;
    arena_init(&again.arena, 0);
    ck_assert_int_eq(send(&again), REQUEST_SUSPENDED);
    ck_assert_int_eq(again.response.status, 409);
    ck_assert(again.response.body.len > 0 &&
              memmem(again.response.body.ptr, again.response.body.len, "\"request_in_progress\"", 21) != NULL);
    ck_assert_str_eq(again.response.headers[0].name, "Retry-After");
    ck_assert(appended.count == 1 && seen.resumed == 1 && seen.withdrawn == 1);
    outcome(ACCEPTED);
    ck_assert(r.response.status == 201 && seen.resumed == 2);
    arena_finish(&again.arena);
    buf_finish(&again.response.body);
}
END_TEST

START_TEST(more_commands_than_may_wait_are_refused)
{
    tear_down();
    set_up_with_room_for(0);
    r.fresh_subject = other_id;
    ck_assert_int_eq(send(&r), REQUEST_SUSPENDED);
    is_problem(503, "overloaded", "1");
    ck_assert(appended.count == 0 && seen.resumed == 1 && seen.withdrawn == 1);
}
END_TEST

START_TEST(keys_that_are_not_at_hand_are_fetched_and_the_command_goes_on)
{
    seal_says[0] = RETRY;
    int state = 0;
    r.state = &state;
    ck_assert_int_eq(send(&r), REQUEST_SUSPENDED);
    ck_assert(seen.pooled == 1 && seen.fetched == 1 && appended.count == 1);
    ck_assert_ptr_eq(r.state, &state);
    outcome(ACCEPTED);
}
END_TEST

START_TEST(keys_that_stay_away_are_answered_and_asked_for_once)
{
    seal_says[0] = seal_says[1] = RETRY;
    ck_assert_int_eq(send(&r), REQUEST_SUSPENDED);
    is_problem(503, "unavailable", "1");
    ck_assert(seen.pooled == 1 && appended.count == 0 && seen.resumed == 1);
    vault_says = RETRY;
    sealed = 0;
    ck_assert_int_eq(send(&r), REQUEST_SUSPENDED);
    is_problem(503, "unavailable", "1");
    ck_assert(seen.pooled == 2 && sealed == 1 && appended.count == 0);
}
END_TEST

START_TEST(who_is_erased_sends_nothing)
{
    seal_says[0] = REJECT;
    ck_assert_int_eq(send(&r), REQUEST_DONE);
    is_problem(403, "account_erased", NULL);
    ck_assert_int_eq(appended.count, 0);
}
END_TEST

/* --- deliveries --- */

START_TEST(a_delivery_ends_the_wait_of_who_wants_no_outcome)
{
    appended.delivered = DELIVERED + 1;
    ck_assert_int_eq(send(&r), REQUEST_SUSPENDED);
    ck_assert_int_eq(seen.answered, 0);
    outcome(ACCEPTED);
    ck_assert_int_eq(r.response.status, 201);
    r.respond_async = true;
    r.response.status = 0;
    ck_assert_int_eq(send(&r), REQUEST_SUSPENDED);
    ck_assert(seen.answered == 1 && uuid_equal(seen.operation, r.command_id) && r.response.status == 202);
}
END_TEST

START_TEST(what_was_not_appended_is_said_so_and_what_may_have_been_is_not)
{
    appended.delivered = NOT_APPENDED + 1;
    r.fresh_subject = other_id;
    ck_assert_int_eq(send(&r), REQUEST_SUSPENDED);
    is_problem(503, "log_unavailable", "1");
    ck_assert(seen.withdrawn == 1 && seen.answered == 0 && seen.resumed == 1);
    appended.delivered = UNKNOWN + 1;
    ck_assert_int_eq(send(&r), REQUEST_SUSPENDED);
    ck_assert(seen.withdrawn == 1 && seen.answered == 1 && seen.resumed == 2);
    ck_assert_uint_eq(dispatch_waiting(gateway.dispatch), 0);
}
END_TEST

START_TEST(an_append_that_fails_after_its_callback_is_answered_once)
{
    appended.delivered = NOT_APPENDED + 1;
    appended.answer = RETRY;
    ck_assert_int_eq(send(&r), REQUEST_SUSPENDED);
    ck_assert_int_eq(seen.resumed, 1);
    is_problem(503, "log_unavailable", "1");
}
END_TEST

static void signal_is(int delivered, err answer)
{
    static const struct meta meta = { .id = { { 1 } }, .command_id = { { 1 } } };
    struct append append = { .topic = "receipts.signals", .meta = &meta };
    appended.delivered = delivered;
    appended.answer = answer;
    r.response.status = 0;
    r.response.header_count = 0;
    ck_assert_int_eq(dispatch_signal(&r, &append), REQUEST_SUSPENDED);
}

START_TEST(a_signal_is_answered_when_it_is_in_the_log)
{
    signal_is(DELIVERED + 1, OK);
    ck_assert_int_eq(r.response.status, 204);
    header_is("Aether-Position", "receipts/0@5");
    signal_is(NOT_APPENDED + 1, OK);
    is_problem(503, "log_unavailable", "1");
    signal_is(UNKNOWN + 1, OK);
    is_problem(503, "log_unavailable", "1");
    signal_is(0, RETRY);
    is_problem(503, "unavailable", "1");
    ck_assert(seen.resumed == 4 && seen.answered == 0);
    ck_assert_uint_eq(dispatch_waiting(gateway.dispatch), 0);
}
END_TEST

/* --- outcomes --- */

START_TEST(an_accepted_command_says_where_its_fact_is)
{
    send(&r);
    outcome(ACCEPTED);
    ck_assert(seen.then == 1 && seen.resumed == 1 && r.response.status == 201);
    header_is("Aether-Position", "things/3@9");
    header_is("Idempotency-Replayed", NULL);
    ck_assert_int_eq(counted(METRIC_OUTCOMES_REPLIED), 1);
    ck_assert_int_eq(counted(METRIC_COMMAND_SECONDS), 1);
    outcome(ACCEPTED); /* the same reply once more */
    ck_assert(seen.then == 1 && seen.resumed == 1);
    ck_assert_int_eq(counted(METRIC_OUTCOMES_REPLIED), 1);
    ck_assert_int_eq(counted(METRIC_OUTCOMES_LATE), 1);
}
END_TEST

START_TEST(the_position_is_that_of_the_first_of_two_commands)
{
    send(&r);
    outcome(ACCEPTED);
    r.command_id = uuid_v7(1001);
    send(&r);
    struct outcome second = outcome_of(&r, ACCEPTED);
    second.offset = 99;
    dispatch_outcome(gateway.dispatch, codec, &second, METRIC_OUTCOMES_POLLED);
    header_is("Aether-Position", "things/3@9");
    ck_assert_int_eq(counted(METRIC_OUTCOMES_POLLED), 1);
}
END_TEST

START_TEST(a_repetition_under_a_key_is_told_to_be_one)
{
    struct outcome o;
    for (int i = 0; i < 6; i++) {
        const bool has_key = i < 4;
        r.has_idempotency_key = has_key;
        r.response.header_count = 0;
        send(&r);
        o = outcome_of(&r, i % 2 ? ROOM_EXISTS : ACCEPTED);
        o.duplicate = i < 2 || !has_key;
        o.at = i < 2 ? r.received_at : r.received_at - 1; /* a row of the operations has the first one's time */
        dispatch_outcome(gateway.dispatch, codec, &o, METRIC_OUTCOMES_REPLIED);
        header_is("Idempotency-Replayed", has_key ? "true" : NULL);
    }
}
END_TEST

START_TEST(a_key_with_another_body_is_refused_also_to_who_wants_no_outcome)
{
    for (int async = 0; async < 2; async++) {
        r.has_idempotency_key = true;
        r.respond_async = async;
        send(&r);
        struct outcome o = outcome_of(&r, ACCEPTED);
        o.request_hash = STR("another request!");
        dispatch_outcome(gateway.dispatch, codec, &o, METRIC_OUTCOMES_REPLIED);
        is_problem(422, "idempotency_key_reused", NULL);
        header_is("Idempotency-Replayed", NULL);
        ck_assert(seen.then == 0 && seen.answered == 0);
    }
}
END_TEST

START_TEST(a_refusal_for_somebody_else_with_the_same_key_leaves_this_one_waiting)
{
    send(&r);
    outcome(IDEMPOTENCY_KEY_REUSED); /* it has the hash of this request, which came first */
    ck_assert_int_eq(seen.resumed, 0);
    ck_assert_int_eq(counted(METRIC_OUTCOMES_LATE), 1);
    outcome(ACCEPTED);
    ck_assert_int_eq(r.response.status, 201);
}
END_TEST

START_TEST(who_wants_no_outcome_gets_none)
{
    r.respond_async = true;
    send(&r);
    outcome(ROOM_EXISTS);
    ck_assert(seen.answered == 1 && seen.then == 0 && r.response.status == 202 && seen.resumed == 1);
}
END_TEST

START_TEST(a_rejection_is_answered_as_its_table_says)
{
    for (size_t i = 0; i < rejections_count; i++) {
        const int number = rejections[i].number;
        struct outcome o;
        r.fresh_subject = other_id;
        r.response.header_count = 0;
        seen.withdrawn = 0;
        send(&r);
        o = outcome_of(&r, number);
        if (number == IDEMPOTENCY_KEY_REUSED)
            o.request_hash = STR("another request!");
        dispatch_outcome(gateway.dispatch, codec, &o, METRIC_OUTCOMES_REPLIED);
        is_problem(rejections[i].status, rejections[i].code, rejections[i].status == 503 ? "30" : NULL);
        header_is("WWW-Authenticate", rejections[i].status == 401 ? "Bearer realm=\"aether\"" : NULL);
        ck_assert_int_eq(seen.withdrawn, number == AGGREGATE_PARKED ? 0 : 1);
    }
    ck_assert_int_eq(seen.then, 0);
}
END_TEST

START_TEST(a_rejection_names_the_field_that_is_taken)
{
    static const struct {
        int rejection;
        const char *field;
    } fields[] = { { USERNAME_TAKEN, "\"field\":\"username\"" },
                   { EMAIL_TAKEN, "\"field\":\"email\"" },
                   { ROOM_EXISTS, NULL } };
    for (size_t i = 0; i < 3; i++) {
        send(&r);
        outcome(fields[i].rejection);
        const char *said = arena_str(&r.arena, buf_view(&r.response.body)).ptr;
        ck_assert(fields[i].field ? strstr(said, fields[i].field) != NULL : !strstr(said, "errors"));
    }
}
END_TEST

START_TEST(a_rejection_that_this_gateway_does_not_know_is_a_conflict)
{
    send(&r);
    outcome(9999);
    is_problem(409, "rejected", NULL);
}
END_TEST

START_TEST(a_rejection_that_is_as_good_as_the_fact_goes_on_without_it)
{
    r.tolerated = ROOM_EXISTS;
    send(&r);
    outcome(ROOM_EXISTS);
    ck_assert(seen.then == 1 && r.response.status == 200);
    r.response.header_count = 0;
    send(&r);
    outcome(ROOM_ARCHIVED);
    is_problem(409, "room_archived", NULL);
}
END_TEST

START_TEST(a_key_made_for_nothing_is_taken_away_and_one_that_serves_stays)
{
    r.fresh_subject = aggregate; /* the fact is about it */
    send(&r);
    outcome(ACCEPTED);
    ck_assert_int_eq(seen.withdrawn, 0);
    ck_assert(uuid_is_nil(r.fresh_subject));
    r.fresh_subject = other_id; /* the fact of an earlier request is about another one */
    send(&r);
    outcome(ACCEPTED);
    ck_assert(seen.withdrawn == 1 && uuid_equal(seen.subject, other_id));
}
END_TEST

START_TEST(a_fact_that_cannot_be_read_is_looked_up_later)
{
    decode_says = REJECT;
    send(&r);
    outcome(ACCEPTED);
    ck_assert(seen.answered == 1 && seen.then == 0 && seen.resumed == 1 && r.response.status == 202);
}
END_TEST

/* --- a handler that refuses what came before --- */

/* A refusal, for a reason that did not hold when the request came first. */
static enum request_step refuse(void)
{
    r.response.header_count = 0;
    problem(&r, 409, "room_archived", NULL, "Archived by now.");
    response_header(&r, "X-Why", "archived");
    return dispatch_refused(&r, &thread, &stream, somebody, then);
}

static void refusal_stands(void)
{
    ck_assert_int_eq(refuse(), REQUEST_DONE);
    is_problem(409, "room_archived", NULL);
    header_is("X-Why", "archived");
    ck_assert(seen.then == 0 && seen.answered == 0);
}

static void store(int rejection)
{
    r.has_idempotency_key = true;
    stored_count = 1;
    stored = outcome_of(&r, rejection);
    stored.at = r.received_at - 5;
}

START_TEST(a_refusal_without_a_key_stands_and_looks_for_nothing)
{
    store(ACCEPTED);
    r.has_idempotency_key = false;
    refusal_stands();
    ck_assert_int_eq(looked, 0);
}
END_TEST

START_TEST(a_refusal_of_what_never_came_before_stands)
{
    r.has_idempotency_key = true;
    refusal_stands();
    ck_assert_int_eq(looked, 1);
}
END_TEST

START_TEST(a_refusal_of_a_repetition_is_its_first_outcome)
{
    store(ACCEPTED);
    ck_assert_int_eq(refuse(), REQUEST_DONE);
    ck_assert(seen.then == 1 && r.response.status == 201);
    header_is("Idempotency-Replayed", "true");
    header_is("Aether-Position", "things/3@9");
    header_is("X-Why", NULL);
    store(ROOM_EXISTS);
    ck_assert_int_eq(refuse(), REQUEST_DONE);
    is_problem(409, "room_exists", NULL);
    header_is("Idempotency-Replayed", "true");
}
END_TEST

START_TEST(a_refusal_of_another_request_under_the_key_says_so)
{
    store(ACCEPTED);
    stored.request_hash = STR("another request!");
    ck_assert_int_eq(refuse(), REQUEST_DONE);
    is_problem(422, "idempotency_key_reused", NULL);
    ck_assert_int_eq(seen.then, 0);
}
END_TEST

START_TEST(what_is_somebody_elses_or_was_parked_is_no_first_outcome)
{
    store(ACCEPTED);
    stored.actor = other_id;
    refusal_stands();
    store(AGGREGATE_PARKED);
    refusal_stands();
    ck_assert_int_eq(looked, 2);
}
END_TEST

START_TEST(a_refusal_of_what_is_under_way_says_so)
{
    r.has_idempotency_key = true;
    send(&r);
    ck_assert_int_eq(refuse(), REQUEST_DONE);
    is_problem(409, "request_in_progress", "1");
    ck_assert_uint_eq(dispatch_waiting(gateway.dispatch), 1);
    outcome(ACCEPTED);
}
END_TEST

START_TEST(a_refusal_of_what_was_accepted_is_accepted_again)
{
    r.has_idempotency_key = true;
    accepted_by = other_id;
    refusal_stands();
    accepted_by = somebody;
    ck_assert_int_eq(refuse(), REQUEST_SUSPENDED);
    ck_assert(seen.answered == 1 && uuid_equal(seen.operation, r.command_id));
}
END_TEST

START_TEST(a_refusal_that_cannot_be_looked_up_is_no_answer)
{
    r.has_idempotency_key = true;
    find_says = RETRY;
    ck_assert_int_eq(refuse(), REQUEST_DONE);
    is_problem(503, "unavailable", "1");
}
END_TEST

START_TEST(a_thread_that_may_not_block_looks_on_another_one)
{
    int state = 0;
    store(ACCEPTED);
    r.state = &state;
    problem(&r, 409, "room_archived", NULL, "Archived by now.");
    ck_assert_int_eq(dispatch_refused(&r, NULL, &stream, somebody, then), REQUEST_SUSPENDED);
    ck_assert(seen.pooled == 1 && seen.then == 1 && seen.resumed == 1 && r.state == &state);
}
END_TEST

START_TEST(who_is_erased_by_now_gets_the_first_outcome)
{
    store(ACCEPTED);
    seal_says[0] = seal_says[1] = REJECT;
    ck_assert_int_eq(send(&r), REQUEST_SUSPENDED);
    ck_assert(seen.pooled == 1 && seen.then == 1 && r.response.status == 201 && appended.count == 0);
}
END_TEST

START_TEST(who_still_waits_at_the_end_is_answered_accepted)
{
    send(&r);
    dispatch_stop(gateway.dispatch);
    ck_assert(seen.answered == 1 && seen.resumed == 1);
    ck_assert_uint_eq(dispatch_waiting(gateway.dispatch), 0);
}
END_TEST

static void add(TCase *tests)
{
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, a_command_is_appended_under_its_aggregate_and_waits);
    tcase_add_test(tests, a_command_that_cannot_be_appended_waits_for_nothing);
    tcase_add_test(tests, a_command_that_waits_already_is_refused_and_the_first_one_is_answered);
    tcase_add_test(tests, more_commands_than_may_wait_are_refused);
    tcase_add_test(tests, keys_that_are_not_at_hand_are_fetched_and_the_command_goes_on);
    tcase_add_test(tests, keys_that_stay_away_are_answered_and_asked_for_once);
    tcase_add_test(tests, who_is_erased_sends_nothing);
    tcase_add_test(tests, a_delivery_ends_the_wait_of_who_wants_no_outcome);
    tcase_add_test(tests, what_was_not_appended_is_said_so_and_what_may_have_been_is_not);
    tcase_add_test(tests, an_append_that_fails_after_its_callback_is_answered_once);
    tcase_add_test(tests, a_signal_is_answered_when_it_is_in_the_log);
    tcase_add_test(tests, an_accepted_command_says_where_its_fact_is);
    tcase_add_test(tests, the_position_is_that_of_the_first_of_two_commands);
    tcase_add_test(tests, a_repetition_under_a_key_is_told_to_be_one);
    tcase_add_test(tests, a_key_with_another_body_is_refused_also_to_who_wants_no_outcome);
    tcase_add_test(tests, a_refusal_for_somebody_else_with_the_same_key_leaves_this_one_waiting);
    tcase_add_test(tests, who_wants_no_outcome_gets_none);
    tcase_add_test(tests, a_rejection_is_answered_as_its_table_says);
    tcase_add_test(tests, a_rejection_names_the_field_that_is_taken);
    tcase_add_test(tests, a_rejection_that_this_gateway_does_not_know_is_a_conflict);
    tcase_add_test(tests, a_rejection_that_is_as_good_as_the_fact_goes_on_without_it);
    tcase_add_test(tests, a_key_made_for_nothing_is_taken_away_and_one_that_serves_stays);
    tcase_add_test(tests, a_fact_that_cannot_be_read_is_looked_up_later);
    tcase_add_test(tests, a_refusal_without_a_key_stands_and_looks_for_nothing);
    tcase_add_test(tests, a_refusal_of_what_never_came_before_stands);
    tcase_add_test(tests, a_refusal_of_a_repetition_is_its_first_outcome);
    tcase_add_test(tests, a_refusal_of_another_request_under_the_key_says_so);
    tcase_add_test(tests, what_is_somebody_elses_or_was_parked_is_no_first_outcome);
    tcase_add_test(tests, a_refusal_of_what_is_under_way_says_so);
    tcase_add_test(tests, a_refusal_of_what_was_accepted_is_accepted_again);
    tcase_add_test(tests, a_refusal_that_cannot_be_looked_up_is_no_answer);
    tcase_add_test(tests, a_thread_that_may_not_block_looks_on_another_one);
    tcase_add_test(tests, who_is_erased_by_now_gets_the_first_outcome);
    tcase_add_test(tests, who_still_waits_at_the_end_is_answered_accepted);
}

int main(void)
{
    return sodium_init() < 0 ? EXIT_FAILURE : suite_run_together("dispatch", add);
}
