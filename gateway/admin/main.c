/* aether-admin: what an operator does at the console: the first administrator, people who need help, imports, and the
 * vault's master key. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "consumers/outcome/rejection.h"
#include "consumers/users/view.h"
#include "gateway/accounts/account_fields.h"
#include "gateway/accounts/password.h"
#include "gateway/admin/sender.h"
#include "gateway/http/field.h"
#include "gateway/http/http_check.h"
#include "gateway/limits/delay.h"
#include "ops/runtime/clock.h"
#include "ops/runtime/log.h"
#include "ops/runtime/stop.h"
#include "schemas/masters.h"

#define EXIT_REJECTED 1
#define EXIT_NO_WAY   2 /* a server does not answer, or a setting is wrong; nothing was done */
#define EXIT_UNKNOWN  3 /* it was sent, and nobody knows yet what became of it */
#define EXIT_USAGE    64

#define HASH_MAX_LEN 255
#define BATCH        500

static const struct setting own_settings[] = {
    { "admin.timeout_ms", SETTING_INT, .def = "30000", .min = 100, .max = 600000, .unit = "ms",
      .doc = "How long aether-admin waits for an outcome." },
    { "vault.new_master_key", SETTING_SECRET, .def = "", .max = 44,
      .doc = "For rotate-master-key: the master key that takes the place of vault.master_key, 32 random bytes in "
             "base64." },
    { 0 },
};

static const char summary[] =
    "COMMAND …: what an operator does at the console.\n"
    "  show PERSON                           the account, as administrators see it\n"
    "  set-roles PERSON ROLE[,ROLE]          user, moderator, admin; so the first administrator is made\n"
    "  suspend PERSON REASON [UNTIL]         UNTIL as 2027-01-31T12:00:00Z; without it, until it is reinstated\n"
    "  reinstate PERSON\n"
    "  force-logout PERSON                   ends all sessions\n"
    "  import-user USERNAME EMAIL [FIRST_NAME [LAST_NAME]]\n"
    "                                        with a password hash ($2b$ or argon2id) on standard input\n"
    "  rotate-master-key                     wraps every key of the vault anew, while everything runs\n"
    "  retire-master-key                     the old master key opens nothing any more\n"
    "PERSON is an id, a username or an e-mail address. --command ID before COMMAND sends a command again whose "
    "outcome\n"
    "was not known. Exit status: 0 done, 1 not accepted, 2 nothing was done, 3 the outcome is not known, 64 wrong "
    "usage.";

static const struct setting *const tables[] = {
    own_settings,   vault_settings,    producer_settings, codec_settings,
    delay_settings, password_settings, runtime_settings,  NULL,
};

/* Of the command line. */
struct call {
    struct sender sender;
    struct uuid command_id;
    int argc;
    char **argv; /* behind the command's name */
};

static int fail(void)
{
    fprintf(stderr, "aether-admin: %s\n", err_message());
    return EXIT_NO_WAY;
}

/* --- people --- */

static struct str index_of(struct call *c, struct str normalised)
{
    uint8_t *index = arena_alloc(&c->sender.arena, VAULT_INDEX_LEN);
    vault_blind_index(c->sender.vault, normalised, index);
    return (struct str){ (const char *)index, VAULT_INDEX_LEN };
}

static err find_person(struct call *c, const char *typed, struct account_view *ret, bool *ret_found)
{
    struct arena *arena = &c->sender.arena;
    struct uuid id;
    if (uuid_parse(str_of(typed), &id))
        return account_find(c->sender.pg, arena, id, ret, ret_found);
    return account_find_by_login(c->sender.pg, arena, index_of(c, username_normalise(arena, str_of(typed))),
                                 index_of(c, email_normalise(arena, str_of(typed))), ret, ret_found);
}

/* EXIT_SUCCESS: *ret is filled. */
static int person(struct call *c, struct account_view *ret)
{
    bool found;
    if (find_person(c, c->argv[0], ret, &found) != OK)
        return fail();
    if (found && !ret->erased)
        return EXIT_SUCCESS;
    fprintf(stderr, "aether-admin: there is no account of %s\n", c->argv[0]);
    return EXIT_REJECTED;
}

static int send_command(struct call *c, struct accounts_command *command)
{
    struct outcome outcome;
    bool unknown;
    char id[UUID_TEXT_LEN + 1];
    uuid_format(c->command_id, id);
    if (sender_send(&c->sender, command, c->command_id, (int)config_int(c->sender.config, "admin.timeout_ms"), &outcome,
                    &unknown) != OK) {
        int status = fail();
        if (unknown)
            fprintf(stderr, "aether-admin: the outcome is not known; ask again with: --command %s and the same words\n",
                    id);
        return unknown ? EXIT_UNKNOWN : status;
    }
    if (outcome.rejection != ACCEPTED) {
        const struct rejection *rejection = rejection_find(outcome.rejection);
        fprintf(stderr, "aether-admin: not accepted: %s (%s)\n", rejection ? rejection->title : "unknown reason",
                rejection ? rejection->code : "rejected");
        return EXIT_REJECTED;
    }
    printf("done: %.*s/%d@%lld, command %s\n", (int)outcome.stream.len, outcome.stream.ptr, (int)outcome.partition,
           (long long)outcome.offset, id);
    return EXIT_SUCCESS;
}

static int run_show(struct call *c)
{
    struct account_view account;
    int status = person(c, &account);
    if (status != EXIT_SUCCESS)
        return status;
    struct buf out = { 0 };
    struct json j = json_writer(&out);
    account_json(&j, &account, ACCOUNT_ADMINISTRATION);
    printf("%.*s\n", (int)out.len, out.ptr);
    buf_finish(&out);
    return EXIT_SUCCESS;
}

static int run_set_roles(struct call *c)
{
    struct account_view account;
    struct str names[8];
    size_t count = 0;
    for (const char *at = c->argv[1]; count < 8;) {
        size_t len = strcspn(at, ",");
        names[count++] = (struct str){ at, len };
        if (at[len] == '\0')
            break;
        at += len + 1;
    }
    uint32_t bits;
    if (!role_bits(names, count, &bits)) {
        fprintf(stderr, "aether-admin: the roles are user, moderator and admin, with commas between\n");
        return EXIT_USAGE;
    }
    int status = person(c, &account);
    if (status != EXIT_SUCCESS)
        return status;
    struct accounts_command command = {
        .type = ACCOUNTS_SET_ROLES,
        .set_roles = { .user_id = account.id, .roles = { .items = names, .count = count } },
    };
    return send_command(c, &command);
}

static int run_suspend(struct call *c)
{
    struct account_view account;
    int64_t until = 0;
    if (c->argc > 2 && (!clock_parse_rfc3339(str_of(c->argv[2]), &until) || until <= clock_wall_ms())) {
        fprintf(stderr, "aether-admin: UNTIL must be a time ahead like 2027-01-31T12:00:00Z\n");
        return EXIT_USAGE;
    }
    int status = person(c, &account);
    if (status != EXIT_SUCCESS)
        return status;
    struct accounts_command command = {
        .type = ACCOUNTS_SUSPEND_ACCOUNT,
        .suspend_account = { .user_id = account.id, .reason = { .clear = str_of(c->argv[1]) }, .until = until },
    };
    return send_command(c, &command);
}

static int run_reinstate(struct call *c)
{
    struct account_view account;
    int status = person(c, &account);
    if (status != EXIT_SUCCESS)
        return status;
    struct accounts_command command = {
        .type = ACCOUNTS_REINSTATE_ACCOUNT,
        .reinstate_account = { .user_id = account.id },
    };
    return send_command(c, &command);
}

static int run_force_logout(struct call *c)
{
    struct account_view account;
    int status = person(c, &account);
    if (status != EXIT_SUCCESS)
        return status;
    struct accounts_command command = {
        .type = ACCOUNTS_END_ALL_SESSIONS,
        .end_all_sessions = { .user_id = account.id },
    };
    return send_command(c, &command);
}

/* A line on standard input, since arguments are seen by everybody on the machine. */
static bool read_hash(char ret[HASH_MAX_LEN + 2])
{
    if (isatty(STDIN_FILENO))
        fprintf(stderr, "password hash: ");
    if (!fgets(ret, HASH_MAX_LEN + 2, stdin))
        return false;
    ret[strcspn(ret, "\r\n")] = '\0';
    return password_is_hash(str_of(ret));
}

/* The arguments against what a registration asks of them: a line for each that is wrong. */
static bool check_import(struct call *c)
{
    static const struct body_field fields[] = {
        USERNAME_FIELD(""),
        EMAIL_FIELD(""),
        PERSON_NAME_FIELD("firstName", ""),
        PERSON_NAME_FIELD("lastName", ""),
    };
    struct faults faults = { .arena = &c->sender.arena };
    for (int i = 0; i < c->argc; i++) {
        const struct str given = str_of(c->argv[i]);
        if (!http_is_utf8(given))
            FAULT(&faults, str_of(fields[i].name), "must be UTF-8.");
        else if (given.len > 0 || fields[i].required)
            field_check_query(&faults, &fields[i], given);
    }
    if (faults.count == 0 && username_is_spoof(str_of(c->argv[0])))
        FAULT(&faults, STR("username"), "mixes letters of scripts that look alike.");
    for (size_t i = 0; i < faults.count; i++)
        fprintf(stderr, "aether-admin: %.*s %s\n", (int)faults.fields[i].field.len, faults.fields[i].field.ptr,
                faults.fields[i].detail);
    return faults.count == 0;
}

/* Refusals that take longer than others tell this account from a name that nobody has (delay.h). Half of the span is
 * left to the rest of a login. */
static void warn_of_slow_hash(const struct call *c, struct str hash)
{
    struct password *p;
    if (password_create(c->sender.config, &p) != OK)
        return;
    const int64_t begun_us = clock_mono_us();
    (void)!password_verify(p, STR(""), hash);
    const int64_t took_ms = (clock_mono_us() - begun_us) / 1000;
    const int64_t span_ms = config_int(c->sender.config, "login.refusal_ms");
    password_destroy(p);
    if (took_ms * 2 > span_ms)
        fprintf(stderr,
                "aether-admin: warning: this hash takes %" PRId64 " ms to verify, too long for a login.refusal_ms of "
                "%" PRId64
                ": until its\nowner has logged in once, the time of a refusal tells that the account exists. "
                "Give the gateways at least %" PRId64 ".\n",
                took_ms, span_ms, took_ms * 2);
}

static int run_import(struct call *c)
{
    struct arena *arena = &c->sender.arena;
    char hash[HASH_MAX_LEN + 2];
    struct str username = str_of(c->argv[0]), email = str_of(c->argv[1]);
    if (!check_import(c))
        return EXIT_USAGE;
    if (!read_hash(hash)) {
        fprintf(stderr,
                "aether-admin: standard input must be a line with a whole $2b$ (cost at most %d) or argon2id hash\n",
                PASSWORD_BCRYPT_COST_MAX);
        return EXIT_USAGE;
    }
    struct uuid id = uuid_v7(clock_wall_ms());
    if (vault_ensure(c->sender.vault, c->sender.pg, &id, 1) != OK)
        return fail();
    struct accounts_command command = {
        .type = ACCOUNTS_REGISTER_ACCOUNT,
        .register_account = {
            .user_id = id,
            .username = { .clear = username },
            .username_index = index_of(c, username_normalise(arena, username)),
            .email = { .clear = email },
            .email_index = index_of(c, email_normalise(arena, email)),
            .first_name = { .clear = str_of(c->argc > 2 ? c->argv[2] : "") },
            .last_name = { .clear = str_of(c->argc > 3 ? c->argv[3] : "") },
            .password_hash = { .clear = str_of(hash) },
        },
    };
    const int status = send_command(c, &command);
    if (status == EXIT_SUCCESS)
        warn_of_slow_hash(c, str_of(hash));
    if (status == EXIT_REJECTED && vault_withdraw(c->sender.vault, c->sender.pg, &id, 1) != OK)
        return fail();
    return status;
}

/* --- the vault's master key --- */

static err masters_open(struct call *c, struct masters *ret)
{
    uint8_t own[MASTER_LEN];
    TRY(master_setting(c->sender.config, "vault.master_key", own));
    masters_init(ret, own);
    explicit_bzero(own, sizeof own);
    return OK;
}

static err rotate(struct call *c, struct masters *m, size_t *ret_total)
{
    uint8_t next[MASTER_LEN];
    TRY(master_setting(c->sender.config, "vault.new_master_key", next));
    TRY(masters_begin(m, c->sender.pg, &c->sender.arena, next));
    explicit_bzero(next, sizeof next);
    struct uuid after = uuid_nil;
    size_t found;
    *ret_total = 0;
    do {
        TRY(masters_rewrap(m, c->sender.pg, &c->sender.arena, &after, BATCH, &found));
        *ret_total += found;
        arena_reset(&c->sender.arena);
    } while (found > 0);
    return OK;
}

static int run_rotate(struct call *c)
{
    struct masters m;
    size_t total;
    err e = masters_open(c, &m);
    if (e == OK)
        e = rotate(c, &m, &total);
    if (e != OK)
        return e == REJECT ? (fail(), EXIT_REJECTED) : fail();
    printf("done: %zu keys wrapped by master key %d. Give every program vault.new_master_key as its vault.master_key, "
           "then: aether-admin retire-master-key\n",
           total, masters_newest(&m)->number);
    explicit_bzero(&m, sizeof m);
    return EXIT_SUCCESS;
}

static int run_retire(struct call *c)
{
    struct masters m;
    err e = masters_open(c, &m);
    if (e == OK)
        e = masters_retire(&m, c->sender.pg, &c->sender.arena);
    if (e != OK)
        return e == REJECT ? (fail(), EXIT_REJECTED) : fail();
    printf("done: only master key %d opens the vault\n", masters_newest(&m)->number);
    explicit_bzero(&m, sizeof m);
    return EXIT_SUCCESS;
}

/* --- */

static const struct {
    const char *name;
    int least, most; /* arguments */
    int (*run)(struct call *c);
} commands[] = {
    { "show", 1, 1, run_show },
    { "set-roles", 2, 2, run_set_roles },
    { "suspend", 2, 3, run_suspend },
    { "reinstate", 1, 1, run_reinstate },
    { "force-logout", 1, 1, run_force_logout },
    { "import-user", 2, 4, run_import },
    { "rotate-master-key", 0, 0, run_rotate },
    { "retire-master-key", 0, 0, run_retire },
};

/* `word` of the command line is wrong; NULL: there is none. */
static int usage(const char *word, const char *wrong)
{
    fprintf(stderr, "usage: aether-admin %s\n", summary);
    if (word)
        fprintf(stderr, "aether-admin: %s: %s\n", word, wrong);
    return EXIT_USAGE;
}

static int run(const struct config *config, int argc, char **argv)
{
    struct call c = { .command_id = uuid_v7(clock_wall_ms()) };
    if (argc > 2 && strcmp(argv[0], "--command") == 0) {
        if (!uuid_parse(str_of(argv[1]), &c.command_id))
            return usage(argv[1], "a command's id is a UUID");
        argc -= 2;
        argv += 2;
    }
    c.argc = argc - 1;
    c.argv = argv + 1;
    for (size_t i = 0; argc > 0 && i < sizeof commands / sizeof *commands; i++) {
        if (strcmp(commands[i].name, argv[0]) != 0)
            continue;
        if (c.argc < commands[i].least || c.argc > commands[i].most)
            return usage(argv[0], c.argc < commands[i].least ? "too few words" : "too many words");
        int status = sender_init(&c.sender, config) == OK ? commands[i].run(&c) : fail();
        sender_finish(&c.sender);
        return status;
    }
    return usage(argc > 0 ? argv[0] : NULL, "there is no such command");
}

int main(int argc, char **argv)
{
    struct config *config;
    log_init("aether-admin", LOG_LEVEL_ERROR);
    stop_init();
    if (config_load("aether-admin", summary, tables, &argc, argv, &config) != OK) {
        (void)fail();
        return EXIT_USAGE;
    }
    int status = run(config, argc - 1, argv + 1);
    config_destroy(config);
    return status;
}
