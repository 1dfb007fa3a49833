#include "ops/runtime/processors.h"

const struct setting processors_settings[] = {
    { "runtime.processors", SETTING_INT, .def = "0", .min = 0, .max = CPU_SETSIZE, .unit = "processors",
      .doc =
          "Threads keep to the first so many of the processors that the program may use; 0: the kernel chooses among "
          "all. The gateway's threads for HTTP, reads and passwords use all in any case." },
    { .name = NULL },
};

static void keep_first(cpu_set_t *set, int count)
{
    for (size_t processor = 0; processor < CPU_SETSIZE; processor++)
        if (CPU_ISSET(processor, set) && count-- <= 0)
            CPU_CLR(processor, set);
}

err processors_narrow(const struct config *config, cpu_set_t *ret_before)
{
    const int count = (int)config_int(config, "runtime.processors");
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return err_set(FATAL, "the processors that may be used are not known: %m");
    if (ret_before)
        *ret_before = set;
    if (count == 0)
        return OK;
    keep_first(&set, count);
    if (sched_setaffinity(0, sizeof set, &set) != 0)
        return err_set(FATAL, "runtime.processors: the kernel refuses: %m");
    return OK;
}

void processors_widen(const cpu_set_t *before)
{
    if (sched_setaffinity(0, sizeof *before, before) != 0)
        return; /* the kernel has taken them away meanwhile: its choice counts */
}
