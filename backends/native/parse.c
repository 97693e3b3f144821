/* Request heads, line by line from left to right.
 *
 * Every decision depends on the bytes before it only, never on how many have come:
 * that is what makes the answer the same whatever pieces the bytes came in. Where the
 * bytes end, the step returns PARSE_PARTIAL, and the next call starts again at the
 * first byte; limits are turned into an earlier end (see open_line). */
#include "parse.h"

#include <string.h>

#include "framing.h"
#include "scan.h"
#include "token.h"

/* A client may send an empty line or two after a body (RFC 9112 section 2.2). */
#define EMPTY_LINES 4

struct cursor {
    const char *data;
    const char *at;
    const char *end;  /* of the data, or of what limits.head allows of it */
    const char *stop; /* of what the line under way may take of that */
    uint16_t cut;     /* the status when `end` is reached: 0, or 431 past limits.head */
    uint16_t over;    /* the status when `stop` is reached, the same way */
};

/* Bounds the line that starts at cursor->at: its bytes, CR and LF. */
static void open_line(struct cursor *cursor, uint32_t limit, uint16_t status)
{
    if ((size_t)(cursor->end - cursor->at) >= (size_t)limit + 2) {
        cursor->stop = cursor->at + limit + 2;
        cursor->over = status;
    } else {
        cursor->stop = cursor->end;
        cursor->over = cursor->cut;
    }
}

/* What a step returns whose bytes ended at cursor->stop. */
static enum parse_result ran_out(struct request *request, const struct cursor *cursor)
{
    if (cursor->over == 0) {
        return PARSE_PARTIAL;
    }
    return refuse(request, cursor->over,
                  cursor->over == 414 ? "the request line is too long" : "the head is too large");
}

/* Takes CR LF at `at`, the first byte that the line's content cannot have. */
static inline enum parse_result close_line(struct cursor *cursor, struct request *request,
                                    const char *at, const char *reason)
{
    if (cursor->stop - at >= 2 && at[0] == '\r' && at[1] == '\n') {
        cursor->at = at + 2;
        return PARSE_DONE;
    }
    if (at == cursor->stop || (*at == '\r' && at + 1 == cursor->stop)) {
        return ran_out(request, cursor);
    }
    if (*at == '\n') {
        return refuse(request, 400, "a line feed without carriage return");
    }
    return refuse(request, 400, *at == '\r' ? "a carriage return without line feed" : reason);
}

static enum parse_result skip_empty_lines(struct cursor *cursor, struct request *request)
{
    for (int lines = 0; cursor->at < cursor->end && *cursor->at == '\r'; lines++) {
        if (lines == EMPTY_LINES) {
            return refuse(request, 400, "empty lines in place of a request");
        }
        open_line(cursor, 0, 431);
        enum parse_result result = close_line(cursor, request, cursor->at, "");
        if (result != PARSE_DONE) {
            return result;
        }
    }
    return PARSE_DONE;
}

/* ---- the request line (RFC 9112 section 3) ------------------------------- */

static enum parse_result read_method(struct cursor *cursor, struct request *request)
{
    const char *first = cursor->at;
    if (cursor->stop - first >= 4 && memcmp(first, "GET ", 4) == 0) {
        request->method = (struct slice){first, 3};
        cursor->at = first + 4;
        return PARSE_DONE;
    }
    const char *end = scan_class(first, cursor->stop, CLASS_TOKEN);
    if (end == cursor->stop) {
        return ran_out(request, cursor);
    }
    if (*end != ' ' || end == first) {
        return refuse(request, 400, "the method is not a token with one space behind it");
    }
    request->method = (struct slice){first, (uint32_t)(end - first)};
    cursor->at = end + 1;
    return PARSE_DONE;
}

/* `c` is what ended the target in place of a space. */
static enum parse_result refuse_target(struct request *request, char c)
{
    if (c == '#') {
        return refuse(request, 400, "a fragment in the request target");
    }
    return refuse(request, 400, c == '\r' || c == '\n'
                                    ? "a request line without version"
                                    : "an illegal character in the request target");
}

static enum parse_result read_target(struct cursor *cursor, struct request *request)
{
    const char *first = cursor->at;
    const char *end = scan_target(cursor->data, first, cursor->stop);
    if (end == cursor->stop) {
        return ran_out(request, cursor);
    }
    if (*end != ' ') {
        return refuse_target(request, *end);
    }
    if (end == first) {
        return refuse(request, 400, "more than one space, or no request target");
    }
    request->target = (struct slice){first, (uint32_t)(end - first)};
    cursor->at = end + 1;
    return PARSE_DONE;
}

/* HTTP/DIGIT.DIGIT (RFC 9112 section 2.3), '0' standing for a digit in the pattern. */
static enum parse_result read_version(struct cursor *cursor, struct request *request)
{
    static const char pattern[] = "HTTP/0.0";
    const char *at = cursor->at;
    request->minor = 1;
    if (cursor->stop - at >= 10 && memcmp(at, "HTTP/1.1\r\n", 10) == 0) {
        cursor->at = at + 10;
        return PARSE_DONE;
    }
    for (size_t i = 0; i < 8; i++) {
        if (at + i == cursor->stop) {
            return ran_out(request, cursor);
        }
        if (pattern[i] == '0' ? !has_class(at[i], CLASS_DIGIT) : at[i] != pattern[i]) {
            return refuse(request, 400, "the version is not HTTP/1.1 or HTTP/1.0");
        }
    }
    if (at[5] != '1') {
        return refuse(request, 505, "a major version other than HTTP/1");
    }
    request->minor = at[7] != '0';
    return close_line(cursor, request, at + 8, "something behind the version");
}

static void split_query(struct request *request, const char *path, const char *end)
{
    const char *mark = memchr(path, '?', (size_t)(end - path));
    const char *stop = mark == NULL ? end : mark;
    request->path = (struct slice){path, (uint32_t)(stop - path)};
    request->query = mark == NULL ? (struct slice){end, 0}
                                  : (struct slice){mark + 1, (uint32_t)(end - mark - 1)};
}

/* http://authority[/path][?query] (RFC 9112 section 3.2.2). An absent path is "/"
 * (RFC 9110 section 4.2.3): the slash before the authority stands for it. */
static enum parse_result split_absolute(struct request *request)
{
    struct slice target = request->target;
    const char *end = target.at + target.len;
    uint32_t scheme = target.len > 7 && target.at[4] == ':' ? 7 : 8;
    struct slice start = {target.at, scheme};
    if (target.len <= 8 || !(slice_is(start, "http://", 7) || slice_is(start, "https://", 8))) {
        return refuse(request, 400, "the request target has none of the four forms");
    }
    const char *authority = target.at + scheme;
    const char *path = authority;
    while (path < end && *path != '/' && *path != '?') {
        path++;
    }
    request->form = TARGET_ABSOLUTE;
    request->host = (struct slice){authority, (uint32_t)(path - authority)};
    if (!is_authority(request->host, PORT_OPTIONAL)) {
        return refuse(request, 400, "the authority is not a host with an optional port");
    }
    split_query(request, path, end);
    if (request->path.len == 0) {
        request->path = (struct slice){authority - 1, 1};
    }
    return PARSE_DONE;
}

static enum parse_result split_target(struct request *request)
{
    struct slice target = request->target;
    const char *end = target.at + target.len;
    bool connect = request->method.len == 7 && memcmp(request->method.at, "CONNECT", 7) == 0;
    request->host = (struct slice){end, 0};
    if (connect) {
        request->form = TARGET_AUTHORITY;
        request->path = request->query = request->host;
        request->host = target;
        return is_authority(target, PORT_REQUIRED)
                   ? PARSE_DONE
                   : refuse(request, 400, "the target of CONNECT is not a host with a port");
    }
    if (*target.at == '/') {
        request->form = TARGET_ORIGIN;
        split_query(request, target.at, end);
        return PARSE_DONE;
    }
    if (target.len == 1 && *target.at == '*') {
        request->form = TARGET_ASTERISK;
        request->path = target;
        request->query = request->host;
        return request->method.len == 7 && memcmp(request->method.at, "OPTIONS", 7) == 0
                   ? PARSE_DONE
                   : refuse(request, 400, "the target * without the method OPTIONS");
    }
    return split_absolute(request);
}

static enum parse_result read_request_line(struct cursor *cursor, struct request *request)
{
    enum parse_result result = read_method(cursor, request);
    if (result == PARSE_DONE) {
        result = read_target(cursor, request);
    }
    if (result == PARSE_DONE) {
        result = read_version(cursor, request);
    }
    return result == PARSE_DONE ? split_target(request) : result;
}

/* ---- fields (RFC 9112 section 5) ----------------------------------------- */

/* Why the byte at `at` ends no field name that starts at `name`. */
static enum parse_result refuse_name(struct request *request, const char *name, const char *at)
{
    bool blank = *at == ' ' || *at == '\t';
    if (at > name) {
        return refuse(request, 400, blank ? "whitespace before the colon of a field"
                                          : "a field name is not a token");
    }
    if (blank) {
        return refuse(request, 400, "a line that starts with whitespace");
    }
    return refuse(request, 400, *at == '\n' ? "a line feed without carriage return"
                                            : "a field without name");
}

/* Keeps the field in fields[count]. */
static inline enum parse_result keep_field(struct request *request,
                                           struct connection_options *options)
{
    const struct field *field = &request->fields[request->count++];
    enum known_field which = known_field_of(field->name);
    if (which == KNOWN_COUNT) {
        return PARSE_DONE;
    }
    enum parse_result result = framing_field(request, options, which, field->value);
    if (request->known[which] == 0) {
        request->known[which] = (uint8_t)request->count;
    }
    return result;
}

/* Sets value to [at, end) without the whitespace around it: one space, nearly always. */
static inline void set_value(struct slice *value, const char *at, const char *end)
{
    if (end - at >= 2 && *at == ' ' && (uint8_t)at[1] > ' ' && (uint8_t)end[-1] > ' ') {
        value->at = at + 1;
        value->len = (uint32_t)(end - at - 1);
    } else {
        *value = trimmed(at, end);
    }
}

static enum parse_result read_field(struct cursor *cursor, struct request *request,
                                    struct connection_options *options, bool drop_underscore)
{
    const char *name = cursor->at;
    /* From the name on, not from the colon: the two scans then run side by side. */
    const char *end = scan_value(cursor->data, name, cursor->stop);
    const char *colon = scan_plain(cursor->data, name, cursor->stop);
    bool underscore = false;
    if (colon < cursor->stop && *colon != ':') {
        colon = scan_class(colon, cursor->stop, CLASS_TOKEN);
        underscore = memchr(name, '_', (size_t)(colon - name)) != NULL;
    }
    if (colon == cursor->stop) {
        return ran_out(request, cursor);
    }
    if (*colon != ':' || colon == name) {
        return refuse_name(request, name, colon);
    }
    if (underscore && !drop_underscore) {
        return refuse(request, 400, "a field name with an underscore");
    }
    enum parse_result result =
        close_line(cursor, request, end, "a control character in a field value");
    if (result != PARSE_DONE || underscore) {
        return result;
    }
    /* Member by member: a struct that is copied through the stack stalls the processor. */
    struct field *field = &request->fields[request->count];
    field->name.at = name;
    field->name.len = (uint32_t)(colon - name);
    set_value(&field->value, colon + 1, end);
    return keep_field(request, options);
}

static enum parse_result read_fields(struct cursor *cursor, struct request *request,
                                     const struct parse_limits *limits)
{
    struct connection_options options = {false, false, false};
    uint32_t most = limits->fields < PARSE_MAX_FIELDS ? limits->fields : PARSE_MAX_FIELDS;
    for (uint32_t lines = 0;; lines++) {
        open_line(cursor, limits->field_line, 431);
        if (cursor->at < cursor->stop && *cursor->at == '\r') {
            break;
        }
        if (cursor->at < cursor->stop && lines == most) {
            return refuse(request, 431, "too many fields");
        }
        enum parse_result result = read_field(cursor, request, &options, limits->drop_underscore);
        if (result != PARSE_DONE) {
            return result;
        }
    }
    enum parse_result result = close_line(cursor, request, cursor->at, "");
    return result == PARSE_DONE ? framing_end(request, &options) : result;
}

/* Field by field: as one memset it is a slow string instruction, a tenth of a short parse. */
static void reset(struct request *request)
{
    struct slice none = {NULL, 0};
    request->method = none;
    request->target = none;
    request->path = none;
    request->query = none;
    request->host = none;
    request->form = TARGET_ORIGIN;
    request->minor = 0;
    request->keep_alive = false;
    request->chunked = false;
    request->expect = false;
    request->upgrade = false;
    request->length = 0;
    request->has_length = false;
    request->head_len = 0;
    request->count = 0;
    memset(request->known, 0, sizeof request->known);
    request->status = 0;
    request->reason = NULL;
}

enum parse_result request_parse(struct request *request, const char *data, size_t len,
                                const struct parse_limits *limits)
{
    struct cursor cursor = {.data = data, .at = data, .end = data + len};
    if (len > limits->head) {
        cursor.end = data + limits->head;
        cursor.cut = 431;
    }
    reset(request);
    enum parse_result result = skip_empty_lines(&cursor, request);
    if (result != PARSE_DONE) {
        return result;
    }
    open_line(&cursor, limits->request_line, 414);
    result = read_request_line(&cursor, request);
    if (result == PARSE_DONE) {
        result = read_fields(&cursor, request, limits);
    }
    request->head_len = (uint32_t)(cursor.at - data);
    return result;
}

bool parse_overdue(size_t len, size_t line, const struct parse_limits *limits)
{
    bool first = len - line <= (size_t)2 * EMPTY_LINES; /* no request line is that short */
    uint32_t limit = first ? limits->request_line : limits->field_line;
    return len > limits->head || line >= (size_t)limit + 2;
}
