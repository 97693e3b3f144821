/* Compiles log formats. Rendering is in accesslog_render.c. */
#define _POSIX_C_SOURCE 200809L /* tzset */
#include "accesslog_items.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define COMMON "%(h)s %(l)s %(u)s %(t)s \"%(r)s\" %(s)s %(b)s"
#define COMBINED COMMON " \"%(f)s\" \"%(a)s\""

struct atom_name {
    char name[3];
    bool number; /* %d is as good as %s */
    enum log_atom atom;
};

/* Gunicorn's letters, and `st`, the reason phrase. B and b are one: sent bytes are always known. */
static const struct atom_name ATOMS[] = {
    {"h", false, ATOM_REMOTE},       {"l", false, ATOM_DASH},        {"u", false, ATOM_USER},
    {"t", false, ATOM_DATE},         {"r", false, ATOM_REQUEST_LINE}, {"m", false, ATOM_METHOD},
    {"U", false, ATOM_PATH},         {"q", false, ATOM_QUERY},       {"H", false, ATOM_PROTOCOL},
    {"s", false, ATOM_STATUS},       {"st", false, ATOM_PHRASE},     {"B", true, ATOM_SENT},
    {"b", false, ATOM_SENT},         {"f", false, ATOM_REFERER},     {"a", false, ATOM_AGENT},
    {"T", true, ATOM_SECONDS},       {"M", true, ATOM_MILLISECONDS}, {"D", true, ATOM_MICROSECONDS},
    {"L", false, ATOM_DECIMAL},      {"p", false, ATOM_PID},
};

/* Where the compiler is in its text, and what was wrong with it. */
struct source {
    char *text;
    size_t len, at;
    const char *error;
};

static bool refuse(struct source *from, size_t at, const char *why)
{
    from->error = why;
    from->at = at;
    return false;
}

static bool read_letter(struct source *from, struct log_item *item, size_t end, bool *number)
{
    size_t len = end - from->at;
    for (size_t i = 0; i < sizeof ATOMS / sizeof *ATOMS; i++)
        if (strlen(ATOMS[i].name) == len && !memcmp(ATOMS[i].name, from->text + from->at, len)) {
            item->atom = ATOMS[i].atom;
            *number = ATOMS[i].number;
            return true;
        }
    return refuse(from, from->at,
                  "unknown atom: expected one of h l u t r m U q H s st B b f a T M D L p, "
                  "or {name}i, {name}o, {name}e");
}

static enum log_atom field_atom(struct slice name)
{
    if (slice_is(name, "referer", 7))
        return ATOM_REFERER;
    return slice_is(name, "user-agent", 10) ? ATOM_AGENT : ATOM_REQUEST_FIELD;
}

/* {name}i, {name}o or {name}e up to `end`. */
static bool read_named(struct source *from, struct log_item *item, size_t end)
{
    char *name = from->text + from->at + 1;
    if (end - from->at < 4 || from->text[end - 2] != '}')
        return refuse(from, from->at, "expected {name}i, {name}o or {name}e");
    item->name = (struct slice){name, (uint32_t)(end - from->at - 3)};
    for (uint32_t i = 0; i < item->name.len; i++)
        if (name[i] >= 'A' && name[i] <= 'Z')
            name[i] |= 0x20;
    switch (from->text[end - 1]) {
    case 'i':
        item->atom = field_atom(item->name);
        return true;
    case 'o':
        item->atom = ATOM_RESPONSE_FIELD;
        return true;
    case 'e':
        item->atom = ATOM_ENVIRON;
        return true;
    }
    return refuse(from, end - 1, "expected i (request), o (response) or e (environ) after {name}");
}

/* What follows a '%' that is not doubled. */
static bool read_atom(struct source *from, struct log_item *item)
{
    size_t sign = from->at;
    if (sign + 1 >= from->len || from->text[sign + 1] != '(')
        return refuse(from, sign, "expected %(atom)s, or %% for a percent sign");
    const char *close = memchr(from->text + sign, ')', from->len - sign);
    if (!close)
        return refuse(from, sign, "%( without its closing parenthesis");
    size_t end = (size_t)(close - from->text);
    bool number = false;
    from->at = sign + 2;
    if (end > from->at && from->text[from->at] == '{' ? !read_named(from, item, end)
                                                      : !read_letter(from, item, end, &number))
        return false;
    char kind = end + 1 < from->len ? from->text[end + 1] : 0;
    if (kind != 's' && !(number && kind == 'd'))
        return refuse(from, end + 1, number ? "expected s or d after %(atom)"
                                            : "expected s after %(atom)");
    from->at = end + 2;
    return true;
}

static bool read_item(struct source *from, struct log_item *item)
{
    char *at = from->text + from->at;
    size_t left = from->len - from->at;
    if (*at == '%' && !(left > 1 && at[1] == '%'))
        return read_atom(from, item);
    bool percent = *at == '%'; /* one of two: the text begins at the second */
    const char *next = memchr(at + 1 + percent, '%', left - 1 - percent);
    size_t len = next ? (size_t)(next - at) : left;
    *item = (struct log_item){ATOM_TEXT, {at + percent, (uint32_t)(len - percent)}};
    from->at += len;
    return true;
}

static void note_wants(struct log_format *format, enum log_atom atom)
{
    if (atom >= ATOM_REQUEST_FIELD)
        format->wants |= (uint8_t)(1u << (atom - ATOM_REQUEST_FIELD + LOG_REQUEST_FIELD));
}

/* An empty format with room for what `len` bytes can hold; NULL without memory. */
static struct log_format *format_new(const char *text, size_t len)
{
    /* Each item takes at least one byte of text. */
    struct log_format *format = calloc(1, sizeof *format + (len + 1) * sizeof *format->items);
    if (!format)
        return NULL;
    format->date = calloc(1, sizeof *format->date);
    format->text = malloc(len + 1);
    if (!format->date || !format->text) {
        log_free(format);
        return NULL;
    }
    format->date->second = INT64_MIN;
    memcpy(format->text, text, len);
    return format;
}

static bool is_word(const char *text, size_t len, const char *word)
{
    return len == strlen(word) && !memcmp(text, word, len);
}

struct log_format *log_compile(const char *text, size_t len, const char **error, size_t *at)
{
    bool json = is_word(text, len, "json");
    *at = 0;
    *error = "no memory";
    if (len > 65535) {
        *error = "longer than 65535 bytes";
        return NULL;
    }
    if (is_word(text, len, "common"))
        text = COMMON, len = strlen(COMMON);
    else if (is_word(text, len, "combined"))
        text = COMBINED, len = strlen(COMBINED);
    struct log_format *format = format_new(text, len);
    if (!format)
        return NULL;
    tzset(); /* localtime_r(3) need not do it */
    format->json = json;
    struct source from = {format->text, json ? 0 : len, 0, NULL};
    while (from.at < from.len) {
        struct log_item *item = &format->items[format->count++];
        if (!read_item(&from, item)) {
            *error = from.error;
            *at = from.at;
            log_free(format);
            return NULL;
        }
        note_wants(format, item->atom);
    }
    *error = NULL;
    return format;
}

void log_free(struct log_format *format)
{
    if (!format)
        return;
    free(format->date);
    free(format->text);
    free(format);
}

bool log_wants(const struct log_format *format, enum log_source source)
{
    return format->wants >> source & 1;
}
