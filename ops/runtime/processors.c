#include "ops/runtime/processors.h"

const struct setting processors_settings[] = {
    { "runtime.processors", SETTING_INT, .def = "0", .min = 0, .max = CPU_SETSIZE, .unit = "processors",
      .doc =
          "Threads keep to the first so many of the processors that the program may use; 0: the kernel chooses among "
          "all. The gateway's threads for HTTP and reads use all in any case, those for passwords the others." },
    { .name = NULL },
};

/* The first `count` of them, or those behind these. */
static cpu_set_t part_of(const cpu_set_t *there, int count, bool first)
{
    cpu_set_t part;
    CPU_ZERO(&part);
    for (size_t processor = 0; processor < CPU_SETSIZE; processor++)
        if (CPU_ISSET(processor, there) && (count-- > 0) == first)
            CPU_SET(processor, &part);
    return part;
}

static err keep_to_part(const struct config *config, bool first, cpu_set_t *ret_before)
{
    const int count = (int)config_int(config, "runtime.processors");
    cpu_set_t there;
    if (sched_getaffinity(0, sizeof there, &there) != 0)
        return err_set(FATAL, "the processors that may be used are not known: %m");
    if (ret_before)
        *ret_before = there;
    if (count == 0 || count >= CPU_COUNT(&there))
        return OK;
    const cpu_set_t part = part_of(&there, count, first);
    if (sched_setaffinity(0, sizeof part, &part) != 0)
        return err_set(FATAL, "runtime.processors: the kernel refuses: %m");
    return OK;
}

err processors_narrow(const struct config *config, cpu_set_t *ret_before)
{
    return keep_to_part(config, true, ret_before);
}

err processors_leave(const struct config *config, cpu_set_t *ret_before)
{
    return keep_to_part(config, false, ret_before);
}

void processors_widen(const cpu_set_t *before)
{
    if (sched_setaffinity(0, sizeof *before, before) != 0)
        return; /* the kernel has taken them away meanwhile: its choice counts */
}
