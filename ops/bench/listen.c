/* listen: many WebSockets to the live feed and people who post at a rate; says as JSON how long it took from a post to each
 * who heard it, and whether anybody missed or heard one twice.
 *
 *     listen PORT SECONDS RATE POSTERS PORT-OF-POSTERS [ROUNDS] < lines of "listen <token> <how many>" and
 *                                                                 "post <token> <room>"
 *
 * A post's text is the time it was sent. Whose connection ends comes back with what was seen last, as a client does.
 * With ROUNDS people post from the beginning on, and so often SECONDS go by with nobody connected before all connect. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTING_MAX 256

struct listener {
    int fd;
    enum { AWAY, CONNECTING, HEAD, READY } stage;
    const char *token;
    char id[256];
    long number; /* of the last message heard */
    char *kept;  /* of a frame that is not whole */
    size_t kept_len;
    double again_at;
};

static int port, post_port, connecting, ready;
static volatile double ends_at; /* set while others post */
static struct listener *listeners;
static size_t listener_count, room;
static struct poster {
    char *token, *room_id;
} posters[4096];
static int poster_count, poster_threads;
static double rate;
static atomic_long posted, failed;
static float *latencies, *post_latencies;
static double *post_times; /* when each of them was sent */
static size_t latency_count, latency_room;
static atomic_size_t post_count;
static long deliveries, gaps, repeats, resyncs, reconnects;
static double first_lost, last_back, connected_at;
static int epoll;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int open_socket(bool blocking, int port)
{
    int fd = socket(AF_INET, SOCK_STREAM | (blocking ? 0 : SOCK_NONBLOCK), 0);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
    struct sockaddr_in at = { .sin_family = AF_INET,
                              .sin_port = htons((uint16_t)port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    if (connect(fd, (struct sockaddr *)&at, sizeof at) != 0 && errno != EINPROGRESS) {
        close(fd);
        return -1;
    }
    return fd;
}

static void lose(struct listener *l)
{
    if (l->stage == READY) {
        ready--;
        reconnects++;
        if (first_lost == 0)
            first_lost = now();
    } else {
        connecting--;
    }
    close(l->fd);
    free(l->kept);
    l->kept = NULL;
    l->kept_len = 0;
    l->stage = AWAY;
    l->again_at = now() + 0.1 + 0.4 * drand48();
}

static void begin(struct listener *l)
{
    l->fd = open_socket(false, port);
    connecting++;
    l->stage = CONNECTING;
    if (l->fd < 0) {
        l->fd = dup(0);
        lose(l);
        return;
    }
    struct epoll_event e = { .events = EPOLLOUT, .data.ptr = l };
    epoll_ctl(epoll, EPOLL_CTL_ADD, l->fd, &e);
}

static void greet(struct listener *l)
{
    char head[4096];
    int len = snprintf(
        head, sizeof head,
        "GET /api/v1/live%s%s HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nAuthorization: Bearer %s\r\n\r\n",
        *l->id ? "?lastEventId=" : "", l->id, l->token);
    if (send(l->fd, head, (size_t)len, MSG_NOSIGNAL) != len) {
        lose(l);
        return;
    }
    l->stage = HEAD;
    struct epoll_event e = { .events = EPOLLIN, .data.ptr = l };
    epoll_ctl(epoll, EPOLL_CTL_MOD, l->fd, &e);
}

/* The text is JSON that the gateway wrote: members are where they always are. */
static void hear(struct listener *l, const char *text, size_t len)
{
    static const char posted_type[] = "{\"type\":\"message.posted\"", resync[] = "{\"type\":\"resync\"";
    const char *end = text + len, *id = end - 2;
    while (id > text && id[-1] != '"')
        id--;
    if (len > 8 && id - 6 > text && memcmp(id - 6, "\"id\":\"", 6) == 0 && (size_t)(end - 2 - id) < sizeof l->id) {
        memcpy(l->id, id, (size_t)(end - 2 - id));
        l->id[end - 2 - id] = '\0';
    }
    if (len > sizeof resync && memcmp(text, resync, sizeof resync - 1) == 0)
        resyncs++;
    if (len < sizeof posted_type || memcmp(text, posted_type, sizeof posted_type - 1) != 0)
        return;
    const char *number = memmem(text, len, "\"number\":", 9), *sent = memmem(text, len, "\"body\":\"t", 9);
    if (!number || !sent)
        return;
    long n = atol(number + 9);
    deliveries++;
    if (l->number && n > l->number + 1)
        gaps += n - l->number - 1;
    if (l->number && n <= l->number)
        repeats++;
    l->number = n;
    if (latency_count < latency_room)
        latencies[latency_count++] = (float)(now() - atof(sent + 9));
}

static void take(struct listener *l, char *bytes, size_t len)
{
    if (l->stage == HEAD) {
        char *end = memmem(bytes, len, "\r\n\r\n", 4);
        if (!end || memcmp(bytes, "HTTP/1.1 101", 12) != 0) {
            lose(l);
            return;
        }
        l->stage = READY;
        connecting--;
        ready++;
        last_back = now();
        len -= (size_t)(end + 4 - bytes);
        bytes = end + 4;
    }
    while (len >= 2) {
        size_t size = (unsigned char)bytes[1], head = 2;
        if (size == 126 && len >= 4)
            size = (size_t)(unsigned char)bytes[2] << 8 | (unsigned char)bytes[3], head = 4;
        else if (size == 127 && len >= 10) {
            size = 0;
            for (int i = 2; i < 10; i++)
                size = size << 8 | (unsigned char)bytes[i];
            head = 10;
        } else if (size >= 126)
            break;
        if (len < head + size)
            break;
        if ((bytes[0] & 15) == 1)
            hear(l, bytes + head, size);
        else if ((bytes[0] & 15) == 9)
            (void)!send(l->fd, "\x8a\x80\0\0\0", 6, MSG_NOSIGNAL | MSG_DONTWAIT);
        bytes += head + size;
        len -= head + size;
    }
    char *kept = len ? memcpy(malloc(len), bytes, len) : NULL;
    free(l->kept);
    l->kept = kept;
    l->kept_len = len;
}

static void receive(struct listener *l)
{
    static char buffer[1 << 20];
    memcpy(buffer, l->kept ? l->kept : "", l->kept_len);
    ssize_t n = recv(l->fd, buffer + l->kept_len, sizeof buffer - l->kept_len, MSG_DONTWAIT);
    if (n > 0)
        take(l, buffer, l->kept_len + (size_t)n);
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        lose(l);
}

static void *post(void *argument)
{
    long me = (long)argument;
    int fd = -1;
    char answer[16384], request[4096], body[64];
    double start = connected_at;
    for (long turn = me;; turn += poster_threads) {
        double at = start + (double)turn / rate, t = now();
        if (at >= ends_at)
            break;
        if (at > t)
            nanosleep(&(struct timespec){ (time_t)(at - t), (long)((at - t - (double)(time_t)(at - t)) * 1e9) }, NULL);
        const struct poster *p = &posters[turn % poster_count];
        t = now();
        int size = snprintf(body, sizeof body, "{\"body\":\"t%.6f\"}", t);
        int len = snprintf(request, sizeof request,
                           "POST /api/v1/rooms/%s/messages HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n"
                           "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
                           p->room_id, p->token, size, body);
        if (fd < 0)
            fd = open_socket(true, post_port);
        ssize_t got =
            fd >= 0 && send(fd, request, (size_t)len, MSG_NOSIGNAL) == len ? recv(fd, answer, sizeof answer, 0) : -1;
        if (got > 12 && memcmp(answer, "HTTP/1.1 201", 12) == 0) {
            atomic_fetch_add(&posted, 1);
            size_t at_post = atomic_fetch_add(&post_count, 1) % latency_room;
            post_latencies[at_post] = (float)(now() - t);
            post_times[at_post] = t;
            continue;
        }
        atomic_fetch_add(&failed, 1);
        if (got <= 0 && fd >= 0) {
            close(fd);
            fd = -1;
            nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
        }
    }
    return NULL;
}

static void run_until(double until, bool all_ready)
{
    struct epoll_event events[512];
    while (now() < until && !(all_ready && (size_t)ready == listener_count)) {
        double t = now();
        if ((size_t)ready < listener_count)
            for (size_t i = 0; i < listener_count && connecting < CONNECTING_MAX; i++)
                if (listeners[i].stage == AWAY && listeners[i].again_at <= t)
                    begin(&listeners[i]);
        int n = epoll_wait(epoll, events, 512, 20);
        for (int i = 0; i < n; i++) {
            struct listener *l = events[i].data.ptr;
            if (l->stage == CONNECTING) {
                int error = 0;
                getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &error, &(socklen_t){ sizeof error });
                if (error)
                    lose(l);
                else
                    greet(l);
            } else if (l->stage != AWAY) {
                receive(l);
            }
        }
    }
}

static int compare(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

static double percentile(float *row, size_t count, double p)
{
    return count ? 1000 * (double)row[(size_t)((double)(count - 1) * p)] : 0;
}

struct span {
    double from, until;
};

static bool is_in(const struct span *spans, size_t count, double t)
{
    for (size_t i = 0; i < count; i++)
        if (t >= spans[i].from && t < spans[i].until)
            return true;
    return false;
}

/* Of the posts that were sent in one of these. */
static double post_percentile(size_t posts, const struct span *spans, size_t span_count, double p)
{
    float *row = malloc(sizeof *row * (posts + 1));
    size_t count = 0;
    for (size_t i = 0; i < posts; i++)
        if (is_in(spans, span_count, post_times[i]))
            row[count++] = post_latencies[i];
    qsort(row, count, sizeof *row, compare);
    double found = percentile(row, count, p);
    free(row);
    return found;
}

static pthread_t threads[1024];

static void begin_posting(void)
{
    for (long i = 0; rate > 0 && i < poster_threads; i++)
        pthread_create(&threads[i], NULL, post, (void *)i);
}

static void end_posting(void)
{
    for (int i = 0; rate > 0 && i < poster_threads; i++)
        pthread_join(threads[i], NULL);
}

static void hang_up(void)
{
    for (size_t i = 0; i < listener_count; i++)
        if (listeners[i].stage != AWAY)
            lose(&listeners[i]);
}

static int compare_double(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Everybody connects, again and again, while people post; by turns with nobody there. The end of a round does not
 * count: that all hang up costs, too. */
static void connect_by_turns(int rounds, double quiet_s)
{
    struct span connecting_spans[64], quiet[64];
    double took[64];
    connected_at = now();
    ends_at = 1e18;
    begin_posting();
    for (int i = 0; i < rounds; i++) {
        quiet[i].from = now();
        while (now() < quiet[i].from + quiet_s)
            usleep(10000);
        quiet[i].until = connecting_spans[i].from = now();
        for (size_t k = 0; k < listener_count; k++) {
            listeners[k].again_at = 0;
            listeners[k].id[0] = '\0';
            listeners[k].number = 0;
        }
        run_until(now() + 120, true);
        connecting_spans[i].until = now();
        took[i] = now() - connecting_spans[i].from;
        fprintf(stderr, "connected %d\n", ready);
        run_until(now() + 1, false);
        if (i + 1 < rounds)
            hang_up();
        usleep(2000000);
    }
    ends_at = 0;
    end_posting();
    run_until(now() + 1, false);
    size_t posts = atomic_load(&post_count);
    qsort(took, (size_t)rounds, sizeof *took, compare_double);
    double quiet_p99 = post_percentile(posts, quiet, (size_t)rounds, 0.99),
           connecting_p99 = post_percentile(posts, connecting_spans, (size_t)rounds, 0.99);
    printf("{\"listeners\": %d, \"connect_s\": %.2f, \"connect_most_s\": %.2f, \"posted\": %ld, \"failed\": %ld, "
           "\"deliveries\": %ld, \"gaps\": %ld, \"repeats\": %ld, \"resyncs\": %ld, \"quiet_p50_ms\": %.2f, "
           "\"quiet_p99_ms\": %.2f, \"connecting_p50_ms\": %.2f, \"connecting_p99_ms\": %.2f, "
           "\"connecting_p99_times\": %.2f}\n",
           ready, took[rounds / 2], took[rounds - 1], atomic_load(&posted), atomic_load(&failed), deliveries, gaps,
           repeats, resyncs, post_percentile(posts, quiet, (size_t)rounds, 0.5), quiet_p99,
           post_percentile(posts, connecting_spans, (size_t)rounds, 0.5), connecting_p99, connecting_p99 / quiet_p99);
}

int main(int argc, char **argv)
{
    char *line = NULL;
    size_t size = 0;
    setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 20000, 20000 });
    int rounds = argc == 7 ? atoi(argv[6]) : 0;
    if (argc < 6 || argc > 7 || rounds > 64)
        return 2;
    port = atoi(argv[1]);
    post_port = atoi(argv[5]);
    rate = atof(argv[3]);
    poster_threads = atoi(argv[4]);
    while (getline(&line, &size, stdin) > 0) {
        char *word[3] = { strtok(line, " \n"), strtok(NULL, " \n"), strtok(NULL, " \n") };
        if (!word[2])
            continue;
        if (strcmp(word[0], "post") == 0) {
            posters[poster_count++] = (struct poster){ strdup(word[1]), strdup(word[2]) };
            continue;
        }
        char *token = strdup(word[1]);
        for (int i = atoi(word[2]); i > 0; i--) {
            if (listener_count == room)
                listeners = realloc(listeners, sizeof *listeners * (room = room ? room * 2 : 256));
            listeners[listener_count++] = (struct listener){ .token = token };
        }
    }
    latency_room = 8000000;
    latencies = calloc(latency_room, sizeof *latencies);
    post_latencies = calloc(latency_room, sizeof *post_latencies);
    post_times = calloc(latency_room, sizeof *post_times);
    epoll = epoll_create1(0);
    if (rounds > 0) {
        connect_by_turns(rounds, atof(argv[2]));
        return 0;
    }
    double start = now();
    run_until(start + 120, true);
    double connect_s = now() - start;
    reconnects = 0;
    connected_at = now();
    ends_at = connected_at + atof(argv[2]);
    fprintf(stderr, "connected %d\n", ready);
    begin_posting();
    run_until(ends_at, false);
    double took = now() - connected_at;
    end_posting();
    run_until(now() + 1, false);
    size_t posts = atomic_load(&post_count);
    double before_p99 = post_percentile(posts, &(struct span){ 0, first_lost }, 1, 0.99),
           storm_p99 = post_percentile(posts, &(struct span){ first_lost, last_back }, 1, 0.99);
    qsort(latencies, latency_count, sizeof *latencies, compare);
    qsort(post_latencies, posts, sizeof *post_latencies, compare);
    printf("{\"listeners\": %d, \"connect_s\": %.2f, \"posted\": %ld, \"failed\": %ld, \"deliveries\": %ld, "
           "\"deliveries_rate\": %.0f, "
           "\"p50_ms\": %.2f, \"p99_ms\": %.2f, \"max_ms\": %.2f, \"post_p50_ms\": %.2f, \"post_p99_ms\": %.2f, "
           "\"gaps\": %ld, "
           "\"repeats\": %ld, \"resyncs\": %ld, \"reconnects\": %ld, \"back_s\": %.2f, \"before_p99_ms\": %.2f, "
           "\"storm_p99_ms\": %.2f}\n",
           ready, connect_s, atomic_load(&posted), atomic_load(&failed), deliveries, (double)deliveries / took,
           percentile(latencies, latency_count, 0.5), percentile(latencies, latency_count, 0.99),
           percentile(latencies, latency_count, 1), percentile(post_latencies, posts, 0.5),
           percentile(post_latencies, posts, 0.99), gaps, repeats, resyncs, reconnects,
           first_lost ? last_back - first_lost : 0, before_p99, storm_p99);
    return 0;
}
