#include "schemas/registry.h"

#include <curl/curl.h>
#include <inttypes.h>
#include <jansson.h>

#define CONNECT_TIMEOUT_MS 2000L
#define TIMEOUT_MS         5000L
#define MAX_ANSWER         (4 << 20) /* bytes */

struct registry {
    char *url;
    CURL *curl;
    struct buf answer;
};

struct registry *registry_create(const char *url)
{
    struct registry *r = mem_alloc(sizeof *r);
    r->url = mem_copy_string(url);
    for (size_t n = strlen(r->url); n > 0 && r->url[n - 1] == '/'; n--)
        r->url[n - 1] = '\0';
    return r;
}

void registry_destroy(struct registry *r)
{
    if (!r)
        return;
    curl_easy_cleanup(r->curl);
    buf_finish(&r->answer);
    free(r->url);
    free(r);
}

static size_t keep(char *bytes, size_t size, size_t count, void *context)
{
    struct buf *answer = context;
    if (answer->len + size * count > MAX_ANSWER)
        return 0; /* curl gives up */
    buf_append(answer, bytes, size * count);
    return size * count;
}

/* Leaves the body in r->answer. */
static err get(struct registry *r, const char *url, long *ret_status)
{
    if (!r->curl && !(r->curl = curl_easy_init()))
        return err_set(FATAL, "libcurl could not be initialised");
    CURL *c = r->curl;
    buf_clear(&r->answer);
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L); /* time-outs without SIGALRM: there are other threads */
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, TIMEOUT_MS);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, keep);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, &r->answer);
    CURLcode code = curl_easy_perform(c);
    if (code != CURLE_OK)
        return err_set(RETRY, "schema registry %s: %s", url, curl_easy_strerror(code));
    curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, ret_status);
    return OK;
}

err registry_schema(struct registry *r, int32_t id, struct buf *ret)
{
    char url[512];
    if (snprintf(url, sizeof url, "%s/schemas/ids/%" PRId32, r->url, id) >= (int)sizeof url)
        return err_set(FATAL, "schemas.registry_url is too long");
    long status = 0;
    TRY(get(r, url, &status));
    if (status == 404)
        return err_set(REJECT, "schema id %" PRId32 " is not known to the registry at %s", id, r->url);
    if (status != 200)
        return err_set(RETRY, "schema registry %s answers %ld", url, status);

    json_t *body = json_loadb(r->answer.ptr, r->answer.len, 0, NULL);
    const json_t *schema = json_object_get(body, "schema");
    const char *type = json_string_value(json_object_get(body, "schemaType"));
    err e = OK;
    if (!json_is_string(schema) || (type && strcmp(type, "AVRO") != 0) ||
        json_array_size(json_object_get(body, "references")) > 0)
        e = err_set(REJECT, "schema id %" PRId32 " of the registry at %s is no Avro schema without references", id,
                    r->url);
    else
        buf_append(ret, json_string_value(schema), json_string_length(schema));
    json_decref(body);
    return e;
}
