#include "gateway/docs/docs.h"

#include <errno.h>
#include <microhttpd.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/docs/openapi.h"
#include "gateway/gateway.h"
#include "gateway/resources.h"

const struct setting docs_settings[] = {
    { "docs.folder", SETTING_TEXT, .def = "",
      .doc = "Where ops/swagger-ui/fetch put Swagger UI, for /api/docs; empty: there is none." },
    { 0 },
};

/* Nothing but our own files; pictures in its style sheet are data. */
#define PAGE_POLICY                                                                                                    \
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri "     \
    "'none'; form-action 'none'; frame-ancestors 'none'"

static const char page[] = "<!doctype html>\n"
                           "<html lang=\"en\">\n"
                           "<meta charset=\"utf-8\">\n"
                           "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                           "<title>Aether: the API</title>\n"
                           "<link rel=\"icon\" href=\"/api/docs/favicon-32x32.png\">\n"
                           "<link rel=\"stylesheet\" href=\"/api/docs/swagger-ui.css\">\n"
                           "<div id=\"swagger-ui\"></div>\n"
                           "<script src=\"/api/docs/swagger-ui-bundle.js\"></script>\n"
                           "<script src=\"/api/docs/start.js\"></script>\n"
                           "</html>\n";
static const char start[] =
    "SwaggerUIBundle({\n"
    "  url: '/api/openapi.json', dom_id: '#swagger-ui', deepLinking: true, validatorUrl: null,\n"
    "  docExpansion: 'list', defaultModelsExpandDepth: 0, tryItOutEnabled: true\n"
    "});\n";

enum { DOCUMENT, PAGE, START, STYLE, BUNDLE, ICON, FILES };

struct file {
    struct buf bytes;
    char etag[32]; /* with its quotes */
};

static const struct {
    const char *name, *type;
} kinds[FILES] = {
    [DOCUMENT] = { "openapi.json", NULL },
    [PAGE] = { "", "text/html; charset=utf-8" },
    [START] = { "start.js", "text/javascript; charset=utf-8" },
    [STYLE] = { "swagger-ui.css", "text/css; charset=utf-8" },
    [BUNDLE] = { "swagger-ui-bundle.js", "text/javascript; charset=utf-8" },
    [ICON] = { "favicon-32x32.png", "image/png" },
};

struct docs {
    struct file files[FILES];
};

static void file_name_version(struct file *f)
{
    uint8_t hash[crypto_generichash_BYTES_MIN];
    char text[2 * sizeof hash + 1];
    crypto_generichash(hash, sizeof hash, (const uint8_t *)f->bytes.ptr, f->bytes.len, NULL, 0);
    sodium_bin2hex(text, sizeof text, hash, sizeof hash);
    snprintf(f->etag, sizeof f->etag, "\"%.16s\"", text);
}

static err file_read(const char *folder, const char *name, struct buf *out)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *in = fopen(path, "rb");
    if (!in)
        return err_set(FATAL, "docs.folder: %s cannot be read (%s); ops/swagger-ui/fetch puts it there", path,
                       strerror(errno));
    size_t got;
    do {
        buf_reserve(out, 65536);
        got = fread(out->ptr + out->len, 1, 65536, in);
        out->len += got;
    } while (got > 0);
    fclose(in);
    return OK;
}

err docs_create(const struct config *config, const struct route *table, struct docs **ret)
{
    const char *folder = config_text(config, "docs.folder");
    struct docs *docs = mem_alloc(sizeof *docs);
    openapi_render(table, &docs->files[DOCUMENT].bytes);
    buf_str(&docs->files[START].bytes, STR(start));
    if (*folder)
        buf_str(&docs->files[PAGE].bytes, STR(page));
    for (int i = STYLE; i < FILES && *folder; i++) {
        err e = file_read(folder, kinds[i].name, &docs->files[i].bytes);
        if (e != OK) {
            docs_destroy(docs);
            return e;
        }
    }
    for (int i = 0; i < FILES; i++)
        file_name_version(&docs->files[i]);
    *ret = docs;
    return OK;
}

void docs_destroy(struct docs *docs)
{
    if (!docs)
        return;
    for (int i = 0; i < FILES; i++)
        buf_finish(&docs->files[i].bytes);
    free(docs);
}

/* --- answers --- */

static bool knows_version(const struct request *r, const char *etag)
{
    const char *known = MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_IF_NONE_MATCH);
    return known && (strcmp(known, "*") == 0 || strstr(known, etag));
}

static enum request_step answer_file(struct request *r, int which)
{
    const struct file *f = &r->gateway->docs->files[which];
    if (f->bytes.len == 0) {
        problem(r, 404, "docs_not_found", NULL, "Swagger UI is not installed here, or has no such file.");
        return REQUEST_DONE;
    }
    response_header(r, "ETag", "%s", f->etag);
    response_header(r, "Cache-Control", "no-cache"); /* kept, and asked for again with its version */
    buf_clear(&r->response.body);
    if (knows_version(r, f->etag)) {
        r->response.status = 304;
        return REQUEST_DONE;
    }
    r->response.status = 200;
    r->response.content_type = kinds[which].type;
    buf_str(&r->response.body, buf_view(&f->bytes));
    return REQUEST_DONE;
}

enum request_step openapi_show(struct request *r)
{
    return answer_file(r, DOCUMENT);
}

enum request_step docs_page(struct request *r)
{
    r->response.security_policy = PAGE_POLICY;
    return answer_file(r, PAGE);
}

enum request_step docs_file(struct request *r)
{
    int which = START;
    while (which < FILES && !str_equal(str_of(kinds[which].name), r->params[0]))
        which++;
    if (which < FILES)
        return answer_file(r, which);
    problem(r, 404, "docs_not_found", NULL, "Swagger UI is not installed here, or has no such file.");
    return REQUEST_DONE;
}
