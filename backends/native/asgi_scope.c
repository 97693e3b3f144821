/* The scope of a request (ASGI HTTP specification): a copy of the listener's template, and
 * what changes. Pairs of field name and value are the same tuple as long as they repeat. */
#include <stdlib.h>

#include "asgi.h"

#define PAIRS 512         /* slots of the table; half of them are used at most */
#define NAME_LENGTH 64    /* longer names are not remembered */
#define VALUE_LENGTH 1024 /* longer values are not remembered */
#define METHODS 8

struct pair {
    PyObject *name;  /* owned: bytes in lower case */
    PyObject *tuple; /* owned: (name, value), the last one, or NULL */
    uint32_t hash;
};

struct scope_cache {
    uint32_t used;
    PyObject *path, *raw_path, *query; /* owned: the last ones */
    PyObject *methods[METHODS];        /* owned */
    struct pair pairs[PAIRS];
};

static PyObject *METHOD, *PATH, *RAW_PATH, *QUERY, *HEADERS, *CLIENT, *VERSION, *SCHEME, *STATE;
static PyObject *SERVER, *ROOT, *HTTP_10, *HTTPS;

int scopes_ready(void) {
    METHOD = PyUnicode_InternFromString("method");
    PATH = PyUnicode_InternFromString("path");
    RAW_PATH = PyUnicode_InternFromString("raw_path");
    QUERY = PyUnicode_InternFromString("query_string");
    HEADERS = PyUnicode_InternFromString("headers");
    CLIENT = PyUnicode_InternFromString("client");
    VERSION = PyUnicode_InternFromString("http_version");
    SCHEME = PyUnicode_InternFromString("scheme");
    STATE = PyUnicode_InternFromString("state");
    SERVER = PyUnicode_InternFromString("server");
    ROOT = PyUnicode_InternFromString("root_path");
    HTTP_10 = PyUnicode_InternFromString("1.0");
    HTTPS = PyUnicode_InternFromString("https");
    return PyErr_Occurred() ? -1 : 0;
}

struct scope_cache *scope_cache_new(void) { return calloc(1, sizeof(struct scope_cache)); }

void scope_cache_free(struct scope_cache *cache) {
    if (cache == NULL)
        return;
    for (int i = 0; i < PAIRS; i++) {
        Py_XDECREF(cache->pairs[i].name);
        Py_XDECREF(cache->pairs[i].tuple);
    }
    for (int i = 0; i < METHODS; i++)
        Py_XDECREF(cache->methods[i]);
    Py_XDECREF(cache->path);
    Py_XDECREF(cache->raw_path);
    Py_XDECREF(cache->query);
    free(cache);
}

/* ---- values ------------------------------------------------------------------------ */

static bool same_bytes(PyObject *bytes, struct slice text) {
    return bytes != NULL && (uint32_t)PyBytes_GET_SIZE(bytes) == text.len &&
           memcmp(PyBytes_AS_STRING(bytes), text.at, text.len) == 0;
}

/* The bytes object of a text; borrowed from the memo, NULL with an exception. */
static PyObject *bytes_of(PyObject **memo, struct slice text) {
    PyObject *bytes;

    if (same_bytes(*memo, text))
        return *memo;
    if ((bytes = PyBytes_FromStringAndSize(text.at, text.len)) != NULL)
        Py_XSETREF(*memo, bytes);
    return bytes;
}

static PyObject *method_of(struct scope_cache *cache, struct slice method) {
    PyObject **memo = &cache->methods[(method.len + (uint8_t)method.at[0]) % METHODS], *text;

    if (*memo != NULL && (uint32_t)PyUnicode_GET_LENGTH(*memo) == method.len &&
        memcmp(PyUnicode_1BYTE_DATA(*memo), method.at, method.len) == 0)
        return *memo;
    if ((text = PyUnicode_DecodeLatin1(method.at, method.len, NULL)) != NULL)
        Py_XSETREF(*memo, text);
    return text;
}

/* The path in Unicode: percent-decoded, and UTF-8 where it is (what is not is escaped). */
static PyObject *path_text(struct slice path) {
    char small[1024], *decoded = small;
    PyObject *text = NULL;
    int64_t len;

    if (path.len > sizeof small && (decoded = malloc(path.len)) == NULL)
        return PyErr_NoMemory();
    if ((len = path_decode(path, decoded)) < 0)
        PyErr_SetString(PyExc_ValueError, "malformed percent-encoding");
    else
        text = PyUnicode_DecodeUTF8(decoded, (Py_ssize_t)len, "surrogateescape");
    if (decoded != small)
        free(decoded);
    return text;
}

static int put_new(PyObject *scope, PyObject *key, PyObject *value) {
    int done = value ? PyDict_SetItem(scope, key, value) : -1;

    Py_XDECREF(value);
    return done;
}

/* ---- fields --------------------------------------------------------------------------- */

static struct pair *pair_find(struct scope_cache *cache, const char *lower, uint32_t len,
                              uint32_t hash) {
    struct slice name = {lower, len};
    uint32_t at = hash % PAIRS;

    for (; cache->pairs[at].name != NULL; at = (at + 1) % PAIRS)
        if (cache->pairs[at].hash == hash && same_bytes(cache->pairs[at].name, name))
            return &cache->pairs[at];
    if (cache->used >= PAIRS / 2 || len > NAME_LENGTH)
        return NULL;
    if ((cache->pairs[at].name = PyBytes_FromStringAndSize(lower, len)) == NULL)
        return NULL;
    cache->used++;
    cache->pairs[at].hash = hash;
    return &cache->pairs[at];
}

/* (name, value); a new reference, or NULL with an exception. */
static PyObject *pair_of(struct scope_cache *cache, const struct field *field) {
    char small[256], *lower = small;
    struct pair *pair;
    PyObject *name, *value, *tuple = NULL;
    uint32_t hash;

    if (field->name.len > sizeof small && (lower = malloc(field->name.len)) == NULL)
        return PyErr_NoMemory();
    hash = name_fold(field->name, lower);
    pair = pair_find(cache, lower, field->name.len, hash);
    if (pair != NULL && pair->tuple != NULL &&
        same_bytes(PyTuple_GET_ITEM(pair->tuple, 1), field->value)) {
        tuple = Py_NewRef(pair->tuple);
    } else if (!PyErr_Occurred()) {
        name = pair ? Py_NewRef(pair->name) : PyBytes_FromStringAndSize(lower, field->name.len);
        value = PyBytes_FromStringAndSize(field->value.at, field->value.len);
        if (name != NULL && value != NULL)
            tuple = PyTuple_Pack(2, name, value);
        Py_XDECREF(name);
        Py_XDECREF(value);
        if (tuple != NULL && pair != NULL && field->value.len <= VALUE_LENGTH)
            Py_XSETREF(pair->tuple, Py_NewRef(tuple));
    }
    if (lower != small)
        free(lower);
    return tuple;
}

/* An absolute target's authority takes Host's place (RFC 9112 section 3.2.2). */
static bool is_replaced_host(const struct request *request, uint32_t index) {
    return request->form == TARGET_ABSOLUTE && request->known[KNOWN_HOST] == index + 1;
}

static PyObject *headers_of(struct scope_cache *cache, const struct request *request) {
    PyObject *headers = PyList_New(request->count);

    for (uint32_t i = 0; headers != NULL && i < request->count; i++) {
        struct field field = request->fields[i];
        PyObject *pair;
        if (is_replaced_host(request, i))
            field.value = request->host;
        if ((pair = pair_of(cache, &field)) == NULL)
            Py_CLEAR(headers);
        else
            PyList_SET_ITEM(headers, i, pair);
    }
    return headers;
}

/* ---- who asks ---------------------------------------------------------------------------- */

static PyObject *address_of(const struct peer *peer) {
    return Py_BuildValue("(s#i)", peer->text, (Py_ssize_t)peer->text_len, (int)peer->port);
}

static int put_client(PyObject *scope, struct conn *conn, const struct forwarded *said) {
    if (said != NULL && said->hidden)
        return PyDict_SetItem(scope, CLIENT, Py_None);
    if (said != NULL && said->client.text_len > 0)
        return put_new(scope, CLIENT, address_of(&said->client));
    if (conn->peer.text_len == 0) /* a unix socket: the template says so */
        return 0;
    if (conn->addr == NULL && (conn->addr = address_of(&conn->peer)) == NULL)
        return -1;
    return PyDict_SetItem(scope, CLIENT, conn->addr);
}

static int put_said(PyObject *scope, const struct forwarded *said) {
    if (said->https && PyDict_SetItem(scope, SCHEME, HTTPS) < 0)
        return -1;
    if (said->prefix.len > 0)
        return put_new(scope, ROOT, path_text(said->prefix));
    return 0;
}

/* ---- the scope --------------------------------------------------------------------------- */

static int put_target(struct scope_cache *cache, PyObject *scope, const struct request *request) {
    PyObject *method = method_of(cache, request->method);
    bool same_path = same_bytes(cache->raw_path, request->path) && cache->path != NULL;
    PyObject *raw_path = bytes_of(&cache->raw_path, request->path);

    if (method == NULL || raw_path == NULL || PyDict_SetItem(scope, METHOD, method) < 0)
        return -1;
    if (!same_path) {
        Py_CLEAR(cache->path);
        if ((cache->path = path_text(request->path)) == NULL)
            return -1;
    }
    if (PyDict_SetItem(scope, PATH, cache->path) < 0 ||
        PyDict_SetItem(scope, RAW_PATH, raw_path) < 0)
        return -1;
    if (request->query.len > 0) {
        PyObject *query = bytes_of(&cache->query, request->query);
        if (query == NULL || PyDict_SetItem(scope, QUERY, query) < 0)
            return -1;
    }
    return request->minor == 0 ? PyDict_SetItem(scope, VERSION, HTTP_10) : 0;
}

PyObject *scope_build(struct server *server, struct conn *conn, const struct request *request,
                      const struct forwarded *said) {
    struct scope_cache *cache = server->scopes;
    PyObject *scope = PyDict_Copy(server->listeners[conn->listener].template_);

    if (scope == NULL)
        return NULL;
    if (put_target(cache, scope, request) < 0 ||
        put_new(scope, HEADERS, headers_of(cache, request)) < 0 ||
        put_client(scope, conn, said) < 0 || (said != NULL && put_said(scope, said) < 0) ||
        (server->state != NULL && put_new(scope, STATE, PyDict_Copy(server->state)) < 0))
        Py_CLEAR(scope);
    return scope;
}
