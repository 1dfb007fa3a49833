/* config: one table of settings; environment, an optional file and --set name=value fill it.
 *
 * A program concatenates the tables of the parts it is made of. A row is name, type, default, range, unit and one line
 * of documentation; --help, the reference (--help=markdown) and the error for a wrong value come from the row.
 *
 * Precedence, highest first:
 *   - --set NAME=VALUE
 *   - the environment: AETHER_ and the name in capitals, with '_' for '.'
 *   - --config FILE: lines `name = value`, and comments behind #
 *   - the default
 *
 * `kafka.<property>` passes any librdkafka property through, e.g. AETHER_KAFKA_SECURITY_PROTOCOL=SASL_SSL or
 * `kafka.security.protocol = SASL_SSL`. Read-only after config_load, so any thread may read. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "ops/runtime/err.h"
#include "ops/runtime/mem.h"

enum setting_type { SETTING_INT, SETTING_TEXT, SETTING_BOOL, SETTING_CHOICE, SETTING_SECRET };

struct setting {
    const char *name; /* "gateway.deadline_ms" */
    enum setting_type type;
    const char *def;     /* as text; NULL: must be given */
    int64_t min, max;    /* INT: range, inclusive. TEXT, SECRET: least and most length in bytes (max 0: no limit). */
    const char *choices; /* CHOICE: "a|b|c" */
    const char *unit;    /* "ms", "bytes", …; NULL when it has none */
    const char *doc;
};

struct config;

/* Handles --help, --help=markdown (both print and exit 0), --version, --check (exits 0 when no setting is wrong),
 * --config FILE, --set NAME=VALUE; what is left of argv (from *argc, compacted) stays for the caller. `tables` is a
 * NULL-terminated array of tables, each ended by a row whose name is NULL. A wrong, unknown or missing setting: FATAL
 * with one line that names the setting, the value (never of a SECRET) and what is allowed. An unknown AETHER_…
 * variable is an error too, unless its first part (AETHER_GATEWAY_…) is an area of settings that this program has none
 * of and another one has: all programs share one file of variables. The same goes for the names in FILE, not for
 * --set. The caller destroys *ret. */
MUST_CHECK err config_load(const char *program, const char *summary, const struct setting *const *tables, int *argc,
                           char **argv, struct config **ret);
void config_destroy(struct config *c);

/* The name must be in the tables (asserted). */
int64_t config_int(const struct config *c, const char *name);
bool config_bool(const struct config *c, const char *name);
const char *config_text(const struct config *c, const char *name); /* valid as long as c; "" when empty */

/* Calls `each` for every kafka.<property> that was given, without the prefix. */
void config_each_kafka(const struct config *c, void (*each)(void *context, const char *property, const char *value),
                       void *context);

extern const struct setting runtime_settings[];       /* log.level, kafka.bootstrap.servers, postgres.dsn, redis.url */
extern const struct setting runtime_kafka_settings[]; /* the first two, for a program that talks to Kafka only */
