#include "ops/runtime/program.h"

#include <stdio.h>
#include <string.h>

#include "ops/runtime/log.h"
#include "ops/runtime/stop.h"

#define FAMILY "aether-"

static enum log_level log_level(const struct config *config)
{
    static const char *const names[] = { "debug", "info", "warn", "error" };
    enum log_level level = LOG_LEVEL_DEBUG;
    while (level < LOG_LEVEL_ERROR && strcmp(names[level], config_text(config, "log.level")) != 0)
        level++;
    return level;
}

bool program_begin(const char *program, const char *summary, const struct setting *const *tables, int argc, char **argv,
                   struct config **ret)
{
    struct config *config;
    if (config_load(program, summary, tables, &argc, argv, &config) != OK) {
        fprintf(stderr, "%s: %s\n", program, err_message());
        return false;
    }
    if (argc > 1) {
        fprintf(stderr, "%s: '%s' is not an option; see --help\n", program, argv[1]);
        config_destroy(config);
        return false;
    }
    log_init(strncmp(program, FAMILY, strlen(FAMILY)) == 0 ? program + strlen(FAMILY) : program, log_level(config));
    stop_init();
    *ret = config;
    return true;
}
