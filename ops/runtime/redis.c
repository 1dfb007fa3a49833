/* Commands are queued in hiredis's output buffer and nothing is sent before redis_flush. After any I/O error the
 * context is thrown away with what was queued: what has reached the server is unknown, and answers would no longer
 * match commands.
 *
 * Scripts need no round trip of their own: as long as a script's hash is not known on this connection, its calls go out
 * as EVAL with the whole text, behind one SCRIPT LOAD whose answer is the hash; after that they are EVALSHA. A server
 * that has forgotten its scripts (SCRIPT FLUSH; a restart ends the connection anyway) answers NOSCRIPT: the hashes are
 * forgotten and the caller gets RETRY. */
#include "ops/runtime/redis.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>

#include "ops/runtime/clock.h"

#define RECONNECT_PAUSE_US 200000
#define SCRIPTS_MAX        32
#define SHA1_HEX_LEN       40

struct loaded_script {
    const char *body;
    char sha[SHA1_HEX_LEN + 1]; /* "": its SCRIPT LOAD is queued */
};

struct address {
    bool valid;
    char *host, *user, *password; /* user and password may be NULL */
    int port, database;
};

struct redis {
    struct address address;
    int timeout_ms;
    redisContext *context; /* NULL: not connected */
    int64_t tried_us;      /* the last attempt to connect; 0: none yet */

    struct loaded_script scripts[SCRIPTS_MAX]; /* on this connection */
    size_t script_count;

    struct loaded_script **queued; /* an entry a queued command: NULL, or the script that is being loaded */
    size_t queued_count, queued_cap;
    const char **argv; /* scratch */
    size_t *lengths, argv_cap;

    char **channels; /* subscribed to, also after a reconnect */
    size_t channel_count;
    redisReply *message; /* what redis_next_message has handed out */
};

/* --- url --- */

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A copy with %41 as A (RFC 3986 section 2.1); NULL when `len` is 0. */
static char *decoded(const char *text, size_t len)
{
    if (len == 0)
        return NULL;
    char *copy = mem_alloc(len + 1), *to = copy;
    for (size_t i = 0; i < len; i++) {
        const bool escaped =
            text[i] == '%' && i + 2 < len && hex_value(text[i + 1]) >= 0 && hex_value(text[i + 2]) >= 0;
        if (escaped)
            *to++ = (char)(hex_value(text[i + 1]) * 16 + hex_value(text[i + 2]));
        else
            *to++ = text[i];
        i += escaped ? 2 : 0;
    }
    return copy;
}

static bool parse_number(const char *text, size_t len, int max, int *ret)
{
    int value = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9' || value > max)
            return false;
        value = value * 10 + (text[i] - '0');
    }
    *ret = value;
    return len > 0 && value <= max;
}

static struct address parse_url(const char *url)
{
    struct address a = { .port = 6379 };
    static const char scheme[] = "redis://";
    if (strncmp(url, scheme, sizeof scheme - 1) != 0)
        return a;
    url += sizeof scheme - 1;
    const size_t authority = strcspn(url, "/");
    const char *path = url + authority, *at = memrchr(url, '@', authority);
    if (at) {
        const size_t user = strcspn(url, ":@");
        a.user = decoded(url, user);
        if (url[user] == ':')
            a.password = decoded(url + user + 1, (size_t)(at - url) - user - 1);
        url = at + 1;
    }
    const bool bracketed = *url == '['; /* IPv6 */
    const size_t host = bracketed ? strcspn(url + 1, "]/") : strcspn(url, ":/");
    a.host = decoded(url + bracketed, host);
    const char *rest = url + bracketed + host;
    a.valid = a.host && (!bracketed || *rest == ']');
    rest += bracketed && *rest == ']';
    if (*rest == ':')
        a.valid &= parse_number(rest + 1, (size_t)(path - rest) - 1, 65535, &a.port);
    else
        a.valid &= rest == path;
    if (path[0] == '/' && path[1] != '\0')
        a.valid &= parse_number(path + 1, strlen(path + 1), 1000000, &a.database);
    return a;
}

/* --- connection --- */

struct redis *redis_create(const char *url, int timeout_ms)
{
    struct redis *r = mem_alloc(sizeof *r);
    r->address = parse_url(url);
    r->timeout_ms = timeout_ms;
    return r;
}

static void drop(struct redis *r)
{
    freeReplyObject(r->message);
    r->message = NULL;
    if (r->context)
        redisFree(r->context);
    r->context = NULL;
    r->script_count = 0;
    r->queued_count = 0;
}

void redis_destroy(struct redis *r)
{
    if (!r)
        return;
    drop(r);
    for (size_t i = 0; i < r->channel_count; i++)
        free(r->channels[i]);
    free(r->channels);
    free(r->queued);
    free(r->argv);
    free(r->lengths);
    free(r->address.host);
    free(r->address.user);
    free(r->address.password);
    free(r);
}

bool redis_is_up(const struct redis *r)
{
    return r->context != NULL;
}

void redis_discard(struct redis *r)
{
    if (r->queued_count > 0)
        drop(r);
}

static err lost(struct redis *r)
{
    const char *reason = !r->context                       ? "not connected"
                         : r->context->err == REDIS_ERR_IO ? strerror(errno)
                                                           : r->context->errstr;
    (void)err_set(RETRY, "Redis at %s:%d: %s", r->address.host, r->address.port, reason);
    drop(r);
    return RETRY;
}

/* What an error reply's first word means for the caller. */
static err err_of_reply(const char *text)
{
    static const struct {
        const char *word;
        err err;
    } words[] = {
        { "NOSCRIPT", RETRY }, { "LOADING", RETRY },    { "BUSY", RETRY },    { "READONLY", RETRY },
        { "OOM", RETRY },      { "MASTERDOWN", RETRY }, { "MISCONF", RETRY }, { "NOREPLICAS", RETRY },
        { "TRYAGAIN", RETRY }, { "NOAUTH", FATAL },     { "NOPERM", FATAL },  { "WRONGPASS", FATAL },
    };
    const size_t len = strcspn(text, " ");
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strlen(words[i].word) == len && strncmp(text, words[i].word, len) == 0)
            return words[i].err;
    return REJECT;
}

static err refused(const redisReply *reply)
{
    return err_set(err_of_reply(reply->str), "Redis: %.*s", (int)strcspn(reply->str, "\r\n"), reply->str);
}

/* One command and its reply while connecting. A refusal there is no fault of any input. */
static err say(struct redis *r, int argc, const char **argv)
{
    redisReply *reply = redisCommandArgv(r->context, argc, argv, NULL);
    if (!reply)
        return lost(r);
    err e = reply->type == REDIS_REPLY_ERROR ? refused(reply) : OK;
    if (e != OK)
        e = err_set(e == REJECT ? FATAL : e, "Redis at %s:%d refuses %s: %.*s", r->address.host, r->address.port,
                    argv[0], (int)strcspn(reply->str, "\r\n"), reply->str);
    freeReplyObject(reply);
    return e;
}

static err introduce(struct redis *r)
{
    const struct address *a = &r->address;
    if (a->password && a->user)
        TRY(say(r, 3, (const char *[]){ "AUTH", a->user, a->password }));
    else if (a->password)
        TRY(say(r, 2, (const char *[]){ "AUTH", a->password }));
    char database[16];
    snprintf(database, sizeof database, "%d", a->database);
    TRY(say(r, 2, (const char *[]){ "SELECT", database })); /* also proves that it answers */
    for (size_t i = 0; i < r->channel_count; i++)
        if (redisAppendCommand(r->context, "SUBSCRIBE %s", r->channels[i]) != REDIS_OK)
            return lost(r);
    int done = r->channel_count == 0;
    while (!done)
        if (redisBufferWrite(r->context, &done) != REDIS_OK)
            return lost(r);
    return OK;
}

static err connect_now(struct redis *r)
{
    if (!r->address.valid)
        return err_set(FATAL, "redis.url is wrong; allowed: redis://[[user]:password@]host[:port][/database]");
    if (r->tried_us && clock_mono_us() - r->tried_us < RECONNECT_PAUSE_US)
        return err_set(RETRY, "Redis at %s:%d is away; the next attempt comes within 200 ms", r->address.host,
                       r->address.port);
    const struct timeval timeout = { r->timeout_ms / 1000, r->timeout_ms % 1000 * 1000 };
    r->context = redisConnectWithTimeout(r->address.host, r->address.port, timeout);
    if (!r->context)
        abort(); /* out of memory */
    err e;
    if (r->context->err) {
        e = lost(r);
    } else {
        redisSetTimeout(r->context, timeout);
        redisEnableKeepAlive(r->context);
        e = introduce(r);
    }
    r->tried_us = clock_mono_us(); /* afterwards: an attempt that took its time-out is followed by a pause, too */
    if (e != OK)
        drop(r);
    return e;
}

/* A server closes an idle connection by an end of file: better to see it before a command is lost to it. */
static bool was_closed(const struct redis *r)
{
    struct pollfd p = { .fd = r->context->fd, .events = POLLIN | POLLRDHUP };
    return poll(&p, 1, 0) > 0; /* nothing is outstanding, so there is nothing else to read */
}

static err ready(struct redis *r)
{
    if (r->context && r->queued_count == 0 && was_closed(r))
        drop(r);
    return r->context ? OK : connect_now(r);
}

err redis_connect(struct redis *r)
{
    return ready(r);
}

/* --- commands --- */

static void reserve(struct redis *r, size_t argc)
{
    if (argc > r->argv_cap) {
        r->argv_cap = argc * 2;
        r->argv = mem_resize(r->argv, r->argv_cap * sizeof *r->argv);
        r->lengths = mem_resize(r->lengths, r->argv_cap * sizeof *r->lengths);
    }
    if (r->queued_count == r->queued_cap) {
        r->queued_cap = r->queued_cap ? r->queued_cap * 2 : 64;
        r->queued = mem_resize(r->queued, r->queued_cap * sizeof *r->queued);
    }
}

static err append(struct redis *r, const struct str *head, size_t head_count, const struct str *tail, size_t tail_count,
                  struct loaded_script *loading)
{
    const size_t argc = head_count + tail_count;
    reserve(r, argc);
    for (size_t i = 0; i < argc; i++) {
        const struct str s = i < head_count ? head[i] : tail[i - head_count];
        r->argv[i] = s.ptr ? s.ptr : "";
        r->lengths[i] = s.len;
    }
    if (redisAppendCommandArgv(r->context, (int)argc, r->argv, r->lengths) != REDIS_OK)
        return lost(r);
    r->queued[r->queued_count++] = loading;
    return OK;
}

err redis_add(struct redis *r, size_t argc, const struct str *argv)
{
    TRY(ready(r));
    return append(r, argv, argc, NULL, 0, NULL);
}

static struct loaded_script *find_script(struct redis *r, const char *body)
{
    for (size_t i = 0; i < r->script_count; i++)
        if (r->scripts[i].body == body)
            return &r->scripts[i];
    return NULL;
}

static err load_script(struct redis *r, const char *body)
{
    if (r->script_count == SCRIPTS_MAX)
        return OK; /* one too many is sent in full each time */
    struct loaded_script *s = &r->scripts[r->script_count++];
    *s = (struct loaded_script){ .body = body };
    return append(r, (const struct str[]){ STR("SCRIPT"), STR("LOAD"), str_of(body) }, 3, NULL, 0, s);
}

err redis_add_script(struct redis *r, const struct redis_script *script, size_t keys, size_t argc,
                     const struct str *argv)
{
    TRY(ready(r));
    const struct loaded_script *loaded = find_script(r, script->body);
    if (!loaded)
        TRY(load_script(r, script->body));
    const bool known = loaded && loaded->sha[0];
    char key_count[24];
    snprintf(key_count, sizeof key_count, "%zu", keys);
    const struct str head[] = {
        known ? STR("EVALSHA") : STR("EVAL"),
        str_of(known ? loaded->sha : script->body),
        str_of(key_count),
    };
    return append(r, head, 3, argv, argc, NULL);
}

/* --- replies --- */

static void keep_sha(struct loaded_script *s, const redisReply *reply)
{
    if (reply->type == REDIS_REPLY_STRING && reply->len == SHA1_HEX_LEN)
        memcpy(s->sha, reply->str, SHA1_HEX_LEN + 1);
}

err redis_flush(struct redis *r, redis_each *each, void *context)
{
    err first = OK;
    char message[512] = "";
    bool forgotten = false;
    size_t index = 0;
    for (size_t i = 0; i < r->queued_count; i++) {
        redisReply *reply = NULL;
        if (redisGetReply(r->context, (void **)&reply) != REDIS_OK)
            return lost(r);
        if (reply->type == REDIS_REPLY_ERROR) {
            const err e = refused(reply);
            forgotten |= strncmp(reply->str, "NOSCRIPT", 8) == 0;
            if (first == OK) {
                first = e;
                snprintf(message, sizeof message, "%s", err_message());
            }
        }
        if (r->queued[i])
            keep_sha(r->queued[i], reply);
        else if (each)
            each(context, index++, reply);
        freeReplyObject(reply);
    }
    r->queued_count = 0;
    if (forgotten)
        r->script_count = 0;
    return first == OK ? OK : err_set(first, "%s", message);
}

err redis_send(struct redis *r)
{
    if (r->queued_count == 0)
        return OK;
    for (int done = 0; !done;)
        if (redisBufferWrite(r->context, &done) != REDIS_OK)
            return lost(r);
    return OK;
}

/* --- pub/sub --- */

err redis_subscribe(struct redis *r, struct str channel)
{
    char *name = mem_alloc(channel.len + 1);
    memcpy(name, channel.ptr, channel.len);
    r->channels = mem_resize(r->channels, (r->channel_count + 1) * sizeof *r->channels);
    r->channels[r->channel_count++] = name;
    if (!r->context)
        return connect_now(r);
    if (redisAppendCommand(r->context, "SUBSCRIBE %s", name) != REDIS_OK)
        return lost(r);
    for (int done = 0; !done;)
        if (redisBufferWrite(r->context, &done) != REDIS_OK)
            return lost(r);
    return OK;
}

/* ["message", channel, payload]; what else comes are the answers to SUBSCRIBE. */
static bool is_message(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_ARRAY && reply->elements == 3 && reply->element[0]->type == REDIS_REPLY_STRING &&
           strcmp(reply->element[0]->str, "message") == 0;
}

/* OK with r->message NULL: none is buffered. */
static err take_message(struct redis *r)
{
    for (;;) {
        redisReply *reply = NULL;
        if (redisGetReplyFromReader(r->context, (void **)&reply) != REDIS_OK)
            return lost(r);
        if (!reply)
            return OK;
        if (is_message(reply)) {
            r->message = reply;
            return OK;
        }
        const err e = reply->type == REDIS_REPLY_ERROR ? refused(reply) : OK;
        freeReplyObject(reply);
        if (e != OK)
            return e;
    }
}

static int left_ms(int64_t deadline_us)
{
    const int64_t left = deadline_us - clock_mono_us();
    return left <= 0 ? 0 : (int)((left + 999) / 1000);
}

err redis_next_message(struct redis *r, int timeout_ms, struct str *ret)
{
    const int64_t deadline_us = clock_mono_us() + (int64_t)timeout_ms * 1000;
    freeReplyObject(r->message);
    r->message = NULL;
    if (!r->context) {
        const err e = connect_now(r);
        if (e != OK) { /* a caller that asks in a loop must not spin */
            const int pause = left_ms(r->tried_us + RECONNECT_PAUSE_US);
            poll(NULL, 0, pause < timeout_ms ? pause : timeout_ms);
            return e;
        }
    }
    for (;;) {
        TRY(take_message(r));
        if (r->message)
            break;
        const int wait = left_ms(deadline_us);
        /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): take_message fails where it drops the connection */
        struct pollfd p = { .fd = r->context->fd, .events = POLLIN };
        const int came = poll(&p, 1, wait);
        if (came > 0 && redisBufferRead(r->context) != REDIS_OK)
            return lost(r);
        if (came == 0 || (came < 0 && errno != EINTR)) {
            *ret = (struct str){ 0 };
            return OK;
        }
    }
    const redisReply *payload = r->message->element[2];
    *ret = (struct str){ payload->str, payload->len };
    return OK;
}
