/* The environ of a request (PEP 3333): a copy of the listener's template, and what changes.
 *
 * Field names become keys once and are found again by their bytes; a value that is the same
 * as the last one under its key is the same str object, since browsers repeat themselves.
 */
#include <stdlib.h>
#include <string.h>

#include "core.h"

#define NAMES 512        /* slots of the table; half of them are used at most */
#define NAME_LENGTH 64   /* longer names are not remembered */
#define VALUE_LENGTH 1024 /* longer values are not remembered */
#define BLOCKS 64        /* header sections that are remembered */
#define BLOCK_LENGTH 2048 /* longer ones are not, nor are those with few fields */
#define BLOCK_FIELDS 4

struct name {
    PyObject *key;   /* owned; HTTP_X, interned */
    PyObject *value; /* owned; the last one, or NULL */
    uint32_t hash;
    uint8_t len;
    char text[NAME_LENGTH]; /* in lower case */
};

struct memo { /* the last str made of some bytes */
    PyObject *value; /* owned */
};

/* A header section that came before, and the fields' part of its environ. */
struct block {
    uint64_t hash;      /* of the section that is kept, or was last seen */
    uint32_t listener, len;
    char *text;         /* owned, or NULL: seen once */
    PyObject *environ;  /* owned */
};

struct name_cache {
    uint32_t used;
    struct block blocks[BLOCKS];
    struct memo path, query, target, host;
    PyObject *methods[8]; /* owned; the last methods seen that are not GET */
    struct name names[NAMES];
};

enum key {
    KEY_METHOD, KEY_PATH, KEY_QUERY, KEY_TARGET, KEY_PROTOCOL, KEY_ADDR, KEY_PORT, KEY_LENGTH,
    KEY_TYPE, KEY_INPUT, KEY_SCHEME, KEY_HOST, KEY_SERVER_NAME, KEY_SERVER_PORT, KEY_SCRIPT,
    KEY_TRANSFER, KEY_COUNT
};

static const char *const KEY_TEXTS[KEY_COUNT] = {
    "REQUEST_METHOD", "PATH_INFO", "QUERY_STRING", "RAW_URI", "SERVER_PROTOCOL", "REMOTE_ADDR",
    "REMOTE_PORT", "CONTENT_LENGTH", "CONTENT_TYPE", "wsgi.input", "wsgi.url_scheme", "HTTP_HOST",
    "SERVER_NAME", "SERVER_PORT", "SCRIPT_NAME", "HTTP_TRANSFER_ENCODING"};

static PyObject *KEYS[KEY_COUNT];
static PyObject *HTTP_10, *HTTPS, *COMMA, *SEMICOLON;

int names_ready(void) {
    for (int i = 0; i < KEY_COUNT; i++)
        if (KEYS[i] == NULL && (KEYS[i] = PyUnicode_InternFromString(KEY_TEXTS[i])) == NULL)
            return -1;
    HTTP_10 = PyUnicode_InternFromString("HTTP/1.0");
    HTTPS = PyUnicode_InternFromString("https");
    COMMA = PyUnicode_InternFromString(",");
    SEMICOLON = PyUnicode_InternFromString("; ");
    return HTTP_10 && HTTPS && COMMA && SEMICOLON ? 0 : -1;
}

struct name_cache *names_new(void) { return calloc(1, sizeof(struct name_cache)); }

static void block_clear(struct block *block) {
    free(block->text);
    block->text = NULL;
    Py_CLEAR(block->environ);
}

void names_free(struct name_cache *names) {
    if (names == NULL)
        return;
    for (int i = 0; i < NAMES; i++) {
        Py_XDECREF(names->names[i].key);
        Py_XDECREF(names->names[i].value);
    }
    for (size_t i = 0; i < sizeof names->methods / sizeof *names->methods; i++)
        Py_XDECREF(names->methods[i]);
    for (int i = 0; i < BLOCKS; i++)
        block_clear(&names->blocks[i]);
    Py_XDECREF(names->path.value);
    Py_XDECREF(names->query.value);
    Py_XDECREF(names->target.value);
    Py_XDECREF(names->host.value);
    free(names);
}

/* ---- values --------------------------------------------------------------------- */

static PyObject *text_of(struct slice text) {
    return PyUnicode_DecodeLatin1(text.at, text.len, NULL);
}

static bool is_same(PyObject *value, struct slice text) {
    return value != NULL && PyUnicode_KIND(value) == PyUnicode_1BYTE_KIND &&
           (uint32_t)PyUnicode_GET_LENGTH(value) == text.len &&
           memcmp(PyUnicode_1BYTE_DATA(value), text.at, text.len) == 0;
}

/* The str of some bytes; borrowed from the memo. */
static PyObject *remembered(PyObject **memo, struct slice text) {
    PyObject *value;

    if (is_same(*memo, text))
        return *memo;
    if ((value = text_of(text)) == NULL)
        return NULL;
    Py_XSETREF(*memo, value);
    return value;
}

/* ---- names ------------------------------------------------------------------------ */

static PyObject *key_of(struct slice name) {
    char text[5 + 256];
    PyObject *key, *long_key = NULL;
    char *out = text;

    if (name.len > 256) {
        if ((long_key = PyBytes_FromStringAndSize(NULL, name.len + 5)) == NULL)
            return NULL;
        out = PyBytes_AS_STRING(long_key);
    }
    memcpy(out, "HTTP_", 5);
    for (uint32_t i = 0; i < name.len; i++) {
        char c = name.at[i];
        out[5 + i] = c == '-' ? '_' : (char)(c >= 'a' && c <= 'z' ? c & ~0x20 : c);
    }
    key = PyUnicode_DecodeLatin1(out, name.len + 5, NULL);
    Py_XDECREF(long_key);
    return key;
}

/* The entry of a name, or NULL: then *key is a new reference, or NULL with an exception. */
static struct name *name_find(struct name_cache *names, struct slice name, PyObject **key) {
    char lower[NAME_LENGTH];
    struct name *entry;
    uint32_t hash, at;

    *key = NULL;
    if (name.len > NAME_LENGTH) {
        *key = key_of(name);
        return NULL;
    }
    hash = name_fold(name, lower);
    for (at = hash % NAMES;; at = (at + 1) % NAMES) {
        entry = &names->names[at];
        if (entry->key == NULL)
            break;
        if (entry->hash == hash && entry->len == name.len &&
            memcmp(entry->text, lower, name.len) == 0)
            return entry;
    }
    if ((*key = key_of(name)) == NULL || names->used >= NAMES / 2)
        return NULL;
    PyUnicode_InternInPlace(key);
    names->used++;
    entry->key = *key;
    entry->hash = hash;
    entry->len = (uint8_t)name.len;
    memcpy(entry->text, lower, name.len);
    *key = NULL;
    return entry;
}

/* ---- fields ------------------------------------------------------------------------- */

/* A field that came more than once: its values in one, in their order. */
static int join(PyObject *environ, PyObject *key, PyObject *first, PyObject *more, bool is_cookie) {
    PyObject *parts = PyTuple_Pack(2, first, more), *joined = NULL;
    int result = -1;

    if (parts != NULL)
        joined = PyUnicode_Join(is_cookie ? SEMICOLON : COMMA, parts);
    if (joined != NULL)
        result = PyDict_SetItem(environ, key, joined);
    Py_XDECREF(joined);
    Py_XDECREF(parts);
    return result;
}

static int put(PyObject *environ, PyObject *key, PyObject *value, struct slice name) {
    Py_ssize_t before = PyDict_GET_SIZE(environ);
    PyObject *first;

    if (value == NULL)
        return -1;
    first = PyDict_SetDefault(environ, key, value);
    if (first == NULL)
        return -1;
    if (PyDict_GET_SIZE(environ) != before)
        return 0;
    return join(environ, key, first, value, slice_is(name, "cookie", 6));
}

static int put_field(struct name_cache *names, PyObject *environ, const struct field *field) {
    PyObject *key, *value;
    struct name *entry = name_find(names, field->name, &key);
    int result;

    if (entry != NULL && field->value.len <= VALUE_LENGTH)
        return put(environ, entry->key, remembered(&entry->value, field->value), field->name);
    if (entry != NULL)
        key = Py_NewRef(entry->key);
    if (key == NULL)
        return -1;
    value = text_of(field->value);
    result = put(environ, key, value, field->name);
    Py_XDECREF(value);
    Py_DECREF(key);
    return result;
}

/* Fields that have names of their own in CGI; they are put apart. */
static bool is_cgi(struct slice name) {
    return (name.len == 14 && slice_is(name, "content-length", 14)) ||
           (name.len == 12 && slice_is(name, "content-type", 12));
}

static int put_fields(struct name_cache *names, PyObject *environ, const struct request *request) {
    uint32_t length = request->known[KNOWN_CONTENT_LENGTH];
    uint32_t type = request->known[KNOWN_CONTENT_TYPE];

    for (uint32_t i = 0; i < request->count; i++) {
        const struct field *field = &request->fields[i];
        if (is_cgi(field->name))
            continue;
        if (put_field(names, environ, field) < 0)
            return -1;
    }
    if (length != 0) {
        PyObject *value = text_of(request->fields[length - 1].value);
        if (value == NULL || PyDict_SetItem(environ, KEYS[KEY_LENGTH], value) < 0) {
            Py_XDECREF(value);
            return -1;
        }
        Py_DECREF(value);
    }
    if (type != 0) {
        PyObject *value = text_of(request->fields[type - 1].value);
        if (value == NULL || PyDict_SetItem(environ, KEYS[KEY_TYPE], value) < 0) {
            Py_XDECREF(value);
            return -1;
        }
        Py_DECREF(value);
    }
    return 0;
}

/* ---- header sections ------------------------------------------------------------------- */

static uint64_t hash_text(const char *text, size_t len) {
    uint64_t hash = len * 0x9e3779b97f4a7c15u, word;

    for (; len >= 8; text += 8, len -= 8) {
        memcpy(&word, text, 8);
        hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 32;
    }
    word = 0;
    memcpy(&word, text, len);
    hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
    return hash ^ (hash >> 29);
}

/* Keeps a section the second time that it comes: most that come once never come again. */
static int block_keep(struct block *block, uint64_t hash, struct slice text, uint32_t listener,
                      PyObject *environ) {
    bool again = block->hash == hash && block->text == NULL;

    block_clear(block);
    block->hash = hash;
    if (!again)
        return 0;
    block->text = malloc(text.len);
    block->environ = PyDict_Copy(environ);
    if (block->text == NULL || block->environ == NULL) {
        block_clear(block);
        return -1;
    }
    memcpy(block->text, text.at, text.len);
    block->len = text.len;
    block->listener = listener;
    return 0;
}

/* From the first field's name to the last one's value, as they came. */
static struct slice section_of(const struct request *request) {
    const struct field *last = &request->fields[request->count - 1];
    const char *at = request->fields[0].name.at;

    return (struct slice){at, (uint32_t)(last->value.at + last->value.len - at)};
}

/* A new environ with the fields, and nothing of the request line. A browser's fields are the
 * same from one request to the next, so its section is found again as a whole. */
static PyObject *environ_of_fields(struct server *server, struct conn *conn,
                                   const struct request *request) {
    struct name_cache *names = server->names;
    PyObject *template = server->listeners[conn->listener].template_, *environ;
    struct slice text = request->count >= BLOCK_FIELDS ? section_of(request) : (struct slice){0};
    bool worth = text.len > 0 && text.len <= BLOCK_LENGTH;
    uint64_t hash = worth ? hash_text(text.at, text.len) : 0;
    struct block *block = &names->blocks[hash % BLOCKS];

    if (worth && block->text != NULL && block->hash == hash &&
        block->len == text.len && block->listener == conn->listener &&
        memcmp(block->text, text.at, text.len) == 0)
        return PyDict_Copy(block->environ);
    if ((environ = PyDict_Copy(template)) == NULL)
        return NULL;
    if (put_fields(names, environ, request) < 0 ||
        (worth && block_keep(block, hash, text, conn->listener, environ) < 0)) {
        Py_DECREF(environ);
        return NULL;
    }
    return environ;
}

/* ---- the request line ------------------------------------------------------------------ */

static int put_method(struct name_cache *names, PyObject *environ, struct slice method) {
    size_t count = sizeof names->methods / sizeof *names->methods;

    PyObject *value;

    if (method.len == 3 && memcmp(method.at, "GET", 3) == 0) /* the template's */
        return 0;
    value = remembered(&names->methods[method.len % count], method);
    return value ? PyDict_SetItem(environ, KEYS[KEY_METHOD], value) : -1;
}

static PyObject *path_of(struct name_cache *names, struct slice path) {
    char small[1024], *decoded = small;
    PyObject *value = NULL;
    int64_t len;

    if (memchr(path.at, '%', path.len) == NULL)
        return Py_XNewRef(remembered(&names->path.value, path));
    if (path.len > sizeof small && (decoded = malloc(path.len)) == NULL)
        return PyErr_NoMemory();
    if ((len = path_decode(path, decoded)) >= 0)
        value = PyUnicode_DecodeLatin1(decoded, (Py_ssize_t)len, NULL);
    else
        PyErr_SetString(PyExc_ValueError, "malformed percent-encoding");
    if (decoded != small)
        free(decoded);
    return value;
}

static int put_path(struct name_cache *names, PyObject *environ, const struct request *request) {
    PyObject *path = path_of(names, request->path);
    PyObject *target = remembered(&names->target.value, request->target);
    int result = -1;

    if (path != NULL && target != NULL && PyDict_SetItem(environ, KEYS[KEY_PATH], path) == 0)
        result = PyDict_SetItem(environ, KEYS[KEY_TARGET], target);
    Py_XDECREF(path);
    return result;
}

static int put_line(struct name_cache *names, PyObject *environ, const struct request *request) {
    PyObject *value;

    if (put_method(names, environ, request->method) < 0)
        return -1;
    if (!slice_equals(request->target, "/") && /* which is the template's */
        put_path(names, environ, request) < 0)
        return -1;
    if (request->query.len > 0) {
        value = remembered(&names->query.value, request->query);
        if (value == NULL || PyDict_SetItem(environ, KEYS[KEY_QUERY], value) < 0)
            return -1;
    }
    return request->minor == 0 ? PyDict_SetItem(environ, KEYS[KEY_PROTOCOL], HTTP_10) : 0;
}

/* ---- who asks ------------------------------------------------------------------------------ */

static PyObject *port_text(uint16_t port) { return PyUnicode_FromFormat("%d", (int)port); }

static int put_peer(PyObject *environ, PyObject *addr, PyObject *port) {
    if (addr == NULL || port == NULL)
        return -1;
    if (PyDict_SetItem(environ, KEYS[KEY_ADDR], addr) < 0)
        return -1;
    return PyDict_SetItem(environ, KEYS[KEY_PORT], port);
}

static int put_own_peer(PyObject *environ, struct conn *conn) {
    const struct peer *peer = &conn->peer;

    if (peer->text_len == 0) /* a unix socket: the template says so */
        return 0;
    if (conn->addr == NULL) {
        conn->addr = PyUnicode_DecodeLatin1(peer->text, peer->text_len, NULL);
        conn->port = port_text(peer->port);
    }
    return put_peer(environ, conn->addr, conn->port);
}

static int put_new(PyObject *environ, enum key key, PyObject *value) {
    int result = value ? PyDict_SetItem(environ, KEYS[key], value) : -1;

    Py_XDECREF(value);
    return result;
}

/* What a trusted proxy says of its client takes the place of what the socket says of the proxy. */
static int put_said(PyObject *environ, const struct forwarded *said) {
    if (said->hidden && (put_new(environ, KEY_ADDR, PyUnicode_FromString("")) < 0 ||
                         put_new(environ, KEY_PORT, PyUnicode_FromString("")) < 0))
        return -1;
    if (said->client.text_len > 0) {
        if (put_new(environ, KEY_ADDR,
                    PyUnicode_DecodeLatin1(said->client.text, said->client.text_len, NULL)) < 0 ||
            put_new(environ, KEY_PORT,
                    said->client.port ? port_text(said->client.port) : PyUnicode_FromString("")) < 0)
            return -1;
    }
    if (said->https && PyDict_SetItem(environ, KEYS[KEY_SCHEME], HTTPS) < 0)
        return -1;
    if (said->host.len > 0 && put_new(environ, KEY_HOST, text_of(said->host)) < 0)
        return -1;
    if (said->port > 0 && put_new(environ, KEY_SERVER_PORT, port_text(said->port)) < 0)
        return -1;
    return said->prefix.len > 0 ? put_new(environ, KEY_SCRIPT, text_of(said->prefix)) : 0;
}

/* The authority of an absolute target takes Host's place (RFC 9112 section 3.2.2). */
static int put_host(struct name_cache *names, PyObject *environ, const struct request *request) {
    PyObject *host;

    if (request->form != TARGET_ABSOLUTE)
        return 0;
    host = remembered(&names->host.value, request->host);
    return host ? PyDict_SetItem(environ, KEYS[KEY_HOST], host) : -1;
}

PyObject *environ_build(struct server *server, struct conn *conn, const struct request *request,
                        const struct forwarded *said) {
    struct name_cache *names = server->names;
    PyObject *environ = environ_of_fields(server, conn, request);

    if (environ == NULL)
        return NULL;
    if (put_line(names, environ, request) < 0 || put_host(names, environ, request) < 0 || put_own_peer(environ, conn) < 0 ||
        (said != NULL && put_said(environ, said) < 0)) {
        Py_DECREF(environ);
        return NULL;
    }
    return environ;
}

int environ_add_body(PyObject *environ, PyObject *input, int64_t length) {
    int result = input ? PyDict_SetItem(environ, KEYS[KEY_INPUT], input) : -1;

    Py_XDECREF(input);
    if (result < 0 || length < 0)
        return result;
    /* Decoded, it is a body of known length (RFC 9112 section 7.1.3). */
    if (PyDict_GetItem(environ, KEYS[KEY_TRANSFER]) != NULL)
        PyDict_DelItem(environ, KEYS[KEY_TRANSFER]);
    return put_new(environ, KEY_LENGTH, PyUnicode_FromFormat("%lld", (long long)length));
}
