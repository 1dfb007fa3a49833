/* appender: appends records for a while and says what became of each. For measuring the producer, and for the tests
 * that kill the broker meanwhile.
 *
 *     appender own|batch TOPIC PARTITIONS OUTSTANDING SECONDS [REPORT] [--set …]
 *
 * own: a callback on the producer's thread, OUTSTANDING records kept in flight, each by its key.
 * batch: OUTSTANDING records over PARTITIONS partitions, then producer_flush; again.
 * The payload of record n is "<n>;" and dots. REPORT gets a line "n batch delivery partition offset" for each record,
 * in the order of the callbacks. Standard output gets one JSON line: records by outcome, rate, latencies in µs. */
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "ops/runtime/clock.h"
#include "ops/runtime/log.h"
#include "ops/runtime/stop.h"
#include "producers/producer.h"

#define PAYLOAD_LEN   220
#define MAX_LATENCIES 4000000

struct record {
    int64_t n, batch, at_us;
};

struct run {
    struct producer *producer;
    FILE *report;
    sem_t free_slots;
    pthread_mutex_t mutex; /* free_list */
    struct record **free_list, *records;
    size_t free_count;
    int64_t counts[3], turned_away;
    uint32_t *latencies;
    size_t latency_count;
};

static void on_delivered(void *context, void *opaque, enum delivery delivery, int32_t partition, int64_t offset)
{
    struct run *run = context;
    struct record *r = opaque;
    static const char *const names[] = { "DELIVERED", "NOT_APPENDED", "UNKNOWN" };
    run->counts[delivery]++;
    if (delivery == DELIVERED && run->latency_count < MAX_LATENCIES)
        run->latencies[run->latency_count++] = (uint32_t)(clock_mono_us() - r->at_us);
    if (run->report) /* a line at a time, so that a test sees what goes on */
        fprintf(run->report, "%ld %ld %s %d %ld\n", (long)r->n, (long)r->batch, names[delivery], (int)partition,
                (long)offset);
    pthread_mutex_lock(&run->mutex);
    run->free_list[run->free_count++] = r;
    pthread_mutex_unlock(&run->mutex);
    sem_post(&run->free_slots);
}

static int compare_latency(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static uint32_t percentile(const struct run *run, double share)
{
    return run->latency_count ? run->latencies[(size_t)((double)(run->latency_count - 1) * share)] : 0;
}

static struct record *take(struct run *run)
{
    sem_wait(&run->free_slots);
    pthread_mutex_lock(&run->mutex);
    struct record *r = run->free_list[--run->free_count];
    pthread_mutex_unlock(&run->mutex);
    return r;
}

static void give_back(struct run *run, struct record *r)
{
    pthread_mutex_lock(&run->mutex);
    run->free_list[run->free_count++] = r;
    pthread_mutex_unlock(&run->mutex);
    sem_post(&run->free_slots);
}

/* False when the producer turned the record away. */
static bool append_one(struct run *run, const char *topic, int32_t partition, int64_t n, int64_t batch)
{
    char payload[PAYLOAD_LEN];
    memset(payload, '.', sizeof payload);
    int len = snprintf(payload, sizeof payload, "%ld;", (long)n);
    payload[len] = '.';
    struct meta meta = { .id = uuid_v7(clock_wall_ms()), .at = clock_wall_ms() };
    struct record *r = take(run);
    *r = (struct record){ .n = n, .batch = batch, .at_us = clock_mono_us() };
    struct append append = { .topic = topic,
                             .partition = partition,
                             .key = meta.id,
                             .payload = { payload, sizeof payload },
                             .meta = &meta,
                             .type = "aether.test.Appended",
                             .opaque = r };
    /* uuid_v7 begins with the time; the key should spread */
    append.key.bytes[0] = meta.id.bytes[15];
    err e = producer_append(run->producer, &append);
    if (e == OK)
        return true;
    if (e == FATAL) {
        fprintf(stderr, "appender: %s\n", err_message());
        exit(EXIT_FAILURE);
    }
    give_back(run, r);
    run->turned_away++;
    return false;
}

static void pause_ms(long ms)
{
    nanosleep(&(struct timespec){ .tv_nsec = ms * 1000000 }, NULL);
}

int main(int argc, char **argv)
{
    log_init("appender", LOG_LEVEL_INFO);
    stop_init();
    const struct setting *const tables[] = { runtime_kafka_settings, producer_settings, NULL };
    struct config *config;
    if (config_load("appender", "own|batch TOPIC PARTITIONS OUTSTANDING SECONDS [REPORT]", tables, &argc, argv,
                    &config) != OK ||
        argc < 6) {
        fprintf(stderr, "appender: %s\n",
                argc < 6 ? "own|batch TOPIC PARTITIONS OUTSTANDING SECONDS [REPORT]" : err_message());
        return EXIT_FAILURE;
    }
    bool own = strcmp(argv[1], "own") == 0;
    const char *topic = argv[2];
    int32_t partitions = (int32_t)strtol(argv[3], NULL, 10);
    size_t outstanding = strtoul(argv[4], NULL, 10);
    int64_t seconds = strtol(argv[5], NULL, 10);

    struct run run = { .report = argc > 6 ? fopen(argv[6], "w") : NULL };
    if (run.report)
        setvbuf(run.report, NULL, _IOLBF, 0);
    sem_init(&run.free_slots, 0, (unsigned)outstanding);
    pthread_mutex_init(&run.mutex, NULL);
    run.records = mem_alloc(outstanding * sizeof *run.records);
    run.free_list = mem_alloc(outstanding * sizeof(*run.free_list));
    run.latencies = mem_alloc(MAX_LATENCIES * sizeof *run.latencies);
    for (size_t i = 0; i < outstanding; i++)
        run.free_list[run.free_count++] = &run.records[i];
    if (producer_create(config, "appender", own, on_delivered, &run, &run.producer) != OK) {
        fprintf(stderr, "appender: %s\n", err_message());
        return EXIT_FAILURE;
    }

    int64_t n = 0, begin = clock_mono_us(), end = begin + seconds * 1000000;
    if (own) {
        while (clock_mono_us() < end && !stop_requested())
            if (!append_one(&run, topic, -1, n++, 0))
                pause_ms(5);
    } else {
        for (int64_t batch = 0; clock_mono_us() < end && !stop_requested(); batch++) {
            bool all = true;
            for (size_t i = 0; i < outstanding && all; i++)
                all = append_one(&run, topic, (int32_t)i % partitions, n++, batch);
            while (producer_flush(run.producer, 1000) != OK)
                ;
            if (!all)
                pause_ms(50);
        }
    }
    double elapsed = (double)(clock_mono_us() - begin) / 1e6;
    producer_destroy(run.producer);

    qsort(run.latencies, run.latency_count, sizeof *run.latencies, compare_latency);
    struct timespec cpu;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    printf("{\"delivered\":%ld,\"not_appended\":%ld,\"unknown\":%ld,\"turned_away\":%ld,\"per_second\":%.0f,"
           "\"p50_us\":%u,\"p99_us\":%u,\"max_us\":%u,\"cpu_us_per_record\":%.1f}\n",
           (long)run.counts[DELIVERED], (long)run.counts[NOT_APPENDED], (long)run.counts[UNKNOWN],
           (long)run.turned_away, (double)run.counts[DELIVERED] / elapsed, percentile(&run, 0.5),
           percentile(&run, 0.99), percentile(&run, 1),
           ((double)cpu.tv_sec * 1e6 + (double)cpu.tv_nsec / 1e3) / (double)(n ? n : 1));
    if (run.report)
        fclose(run.report);
    free(run.records);
    free(run.free_list);
    free(run.latencies);
    config_destroy(config);
    return EXIT_SUCCESS;
}
