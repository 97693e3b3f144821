/* Renders log lines. Every text goes through escape.c; nothing is allocated. */
#define _DEFAULT_SOURCE /* tm_gmtoff */
#include "accesslog_items.h"
#include "credentials.h"
#include "escape.h"

#include <string.h>
#include <time.h>

#define BILLION 1000000000
#define USER_MAX 256 /* bytes of a user that are shown */

/* ---- numbers and constants ------------------------------------------------ */

static char *put(char *out, const char *end, const char *text, size_t len)
{
    if (len > (size_t)(end - out))
        len = (size_t)(end - out);
    memcpy(out, text, len);
    return out + len;
}

static char *put_number(char *out, const char *end, uint64_t value)
{
    char digits[20], *at = digits + sizeof digits;
    do
        *--at = (char)('0' + value % 10);
    while (value /= 10);
    return put(out, end, at, (size_t)(digits + sizeof digits - at));
}

static void put_padded(char *out, int width, uint64_t value)
{
    while (width--) {
        out[width] = (char)('0' + value % 10);
        value /= 10;
    }
}

/* Seconds with six decimals. */
static char *put_decimal(char *out, const char *end, int64_t ns)
{
    char fraction[7] = ".";
    put_padded(fraction + 1, 6, (uint64_t)(ns % BILLION / 1000));
    return put(put_number(out, end, (uint64_t)(ns / BILLION)), end, fraction, sizeof fraction);
}

static char *put_or_dash(char *out, const char *end, struct slice text)
{
    return text.len ? escape_text(out, end, text) : put(out, end, "-", 1);
}

static char *put_user(char *out, const char *end, const struct log_facts *facts)
{
    char user[USER_MAX];
    return put_or_dash(out, end, basic_user(facts->authorization, user, sizeof user));
}

static char *put_protocol(char *out, const char *end, uint8_t minor)
{
    return put(out, end, minor ? "HTTP/1.1" : "HTTP/1.0", 8);
}

/* ---- the date -------------------------------------------------------------- */

static void date_set(struct log_date *date, int64_t second)
{
    static const char MONTHS[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    time_t stamp = (time_t)second;
    struct tm tm = {0};
    localtime_r(&stamp, &tm);
    uint64_t year = (uint64_t)(tm.tm_year + 1900);
    long minutes = tm.tm_gmtoff / 60;
    char sign = minutes < 0 ? '-' : '+';
    minutes = minutes < 0 ? -minutes : minutes;

    memcpy(date->clf, "[dd/Mon/yyyy:hh:mm:ss +0000]", DATE_LEN);
    put_padded(date->clf + 1, 2, (uint64_t)tm.tm_mday);
    memcpy(date->clf + 4, MONTHS + 3 * tm.tm_mon, 3);
    put_padded(date->clf + 8, 4, year);
    put_padded(date->clf + 13, 2, (uint64_t)tm.tm_hour);
    put_padded(date->clf + 16, 2, (uint64_t)tm.tm_min);
    put_padded(date->clf + 19, 2, (uint64_t)tm.tm_sec);
    date->clf[22] = sign;
    put_padded(date->clf + 23, 4, (uint64_t)(minutes / 60 * 100 + minutes % 60));

    memcpy(date->iso, "yyyy-mm-ddT", 11);
    put_padded(date->iso, 4, year);
    put_padded(date->iso + 5, 2, (uint64_t)tm.tm_mon + 1);
    put_padded(date->iso + 8, 2, (uint64_t)tm.tm_mday);
    memcpy(date->iso + 11, date->clf + 13, 8);
    date->zone[0] = sign;
    memcpy(date->zone + 1, date->clf + 23, 2);
    date->zone[3] = ':';
    memcpy(date->zone + 4, date->clf + 25, 2);
    date->second = second;
}

/* The date of the end of the request, which is when Gunicorn takes it, too. */
static const struct log_date *date_of(const struct log_format *format,
                                      const struct log_facts *facts, int64_t *ns)
{
    int64_t when = facts->wall_ns + facts->duration_ns;
    *ns = when % BILLION;
    if (when / BILLION != format->date->second)
        date_set(format->date, when / BILLION);
    return format->date;
}

/* ---- one item --------------------------------------------------------------- */

struct phrase {
    uint16_t status;
    const char *text;
};

/* RFC 9110 section 15. */
static const struct phrase PHRASES[] = {
    {101, "Switching Protocols"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {203, "Non-Authoritative Information"},
    {204, "No Content"},
    {205, "Reset Content"},
    {206, "Partial Content"},
    {300, "Multiple Choices"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {402, "Payment Required"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {407, "Proxy Authentication Required"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {426, "Upgrade Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
};

/* An unknown status has no phrase. */
static const char *phrase(uint16_t status)
{
    for (size_t i = 0; i < sizeof PHRASES / sizeof *PHRASES; i++)
        if (PHRASES[i].status == status)
            return PHRASES[i].text;
    return "-";
}

static char *put_request_line(char *out, const char *end, const struct log_facts *facts)
{
    out = put(escape_text(out, end, facts->method), end, " ", 1);
    out = put(escape_text(out, end, facts->target), end, " ", 1);
    return put_protocol(out, end, facts->minor);
}

static char *put_found(char *out, const char *end, const struct log_facts *facts,
                       enum log_source source, struct slice name)
{
    struct slice value = {0};
    if (facts->find)
        value = facts->find(facts->context, source, name);
    return value.at ? escape_text(out, end, value) : put(out, end, "-", 1);
}

static char *put_pid(char *out, const char *end, int32_t pid)
{
    return put(put_number(put(out, end, "<", 1), end, (uint64_t)pid), end, ">", 1);
}

static char *put_date(char *out, const char *end, const struct log_format *format,
                      const struct log_facts *facts)
{
    int64_t ns;
    return put(out, end, date_of(format, facts, &ns)->clf, DATE_LEN);
}

static char *put_item(char *out, const char *end, const struct log_format *format,
                      const struct log_item *item, const struct log_facts *facts)
{
    int64_t took = facts->duration_ns;
    switch (item->atom) {
    case ATOM_TEXT: return put(out, end, item->name.at, item->name.len);
    case ATOM_REMOTE: return escape_text(out, end, facts->remote);
    case ATOM_DASH: return put(out, end, "-", 1);
    case ATOM_USER: return put_user(out, end, facts);
    case ATOM_DATE: return put_date(out, end, format, facts);
    case ATOM_REQUEST_LINE: return put_request_line(out, end, facts);
    case ATOM_METHOD: return escape_text(out, end, facts->method);
    case ATOM_PATH: return escape_path(out, end, facts->path);
    case ATOM_QUERY: return escape_text(out, end, facts->query);
    case ATOM_PROTOCOL: return put_protocol(out, end, facts->minor);
    case ATOM_STATUS: return put_number(out, end, facts->status);
    case ATOM_PHRASE: return put(out, end, phrase(facts->status), strlen(phrase(facts->status)));
    case ATOM_SENT: return put_number(out, end, facts->sent);
    case ATOM_REFERER: return put_or_dash(out, end, facts->referer);
    case ATOM_AGENT: return put_or_dash(out, end, facts->agent);
    case ATOM_SECONDS: return put_number(out, end, (uint64_t)(took / BILLION));
    case ATOM_MILLISECONDS: return put_number(out, end, (uint64_t)(took / 1000000));
    case ATOM_MICROSECONDS: return put_number(out, end, (uint64_t)(took / 1000));
    case ATOM_DECIMAL: return put_decimal(out, end, took);
    case ATOM_PID: return put_pid(out, end, facts->pid);
    case ATOM_REQUEST_FIELD: return put_found(out, end, facts, LOG_REQUEST_FIELD, item->name);
    case ATOM_RESPONSE_FIELD: return put_found(out, end, facts, LOG_RESPONSE_FIELD, item->name);
    case ATOM_ENVIRON: return put_found(out, end, facts, LOG_ENVIRON, item->name);
    }
    return out;
}

/* ---- json -------------------------------------------------------------------- */

#define PUT(text) put(out, end, text, sizeof(text) - 1)

/* Bytes of a json line beside the texts of its values, at most: names and punctuation about
 * 170, date 34, numbers 5 + 20 + 20 + 11. */
#define JSON_FRAME 320

/* A string, or null when it is empty; takes its bytes from *left, so that the frame still fits. */
static char *put_value(char *out, size_t *left, struct slice text)
{
    if (!text.len) {
        memcpy(out, "null", 4);
        return out + 4;
    }
    *out++ = '"';
    char *stop = escape_json(out, out + *left, text);
    *left -= (size_t)(stop - out);
    *stop++ = '"';
    return stop;
}

static char *put_json_date(char *out, const char *end, const struct log_format *format,
                           const struct log_facts *facts)
{
    int64_t ns;
    const struct log_date *date = date_of(format, facts, &ns);
    char fraction[7] = ".";
    put_padded(fraction + 1, 6, (uint64_t)(ns / 1000));
    out = put(out, end, date->iso, sizeof date->iso);
    out = put(out, end, fraction, sizeof fraction);
    return put(out, end, date->zone, sizeof date->zone);
}

static char *put_json_line(const struct log_format *format, const struct log_facts *facts,
                           char *out, const char *end)
{
    char user[USER_MAX];
    size_t left = (size_t)(end - out) - JSON_FRAME;
    out = PUT("{\"time\":\"");
    out = put_json_date(out, end, format, facts);
    out = PUT("\",\"remote\":");
    out = put_value(out, &left, facts->remote);
    out = PUT(",\"user\":");
    out = put_value(out, &left, basic_user(facts->authorization, user, sizeof user));
    out = PUT(",\"method\":");
    out = put_value(out, &left, facts->method);
    out = PUT(",\"target\":");
    out = put_value(out, &left, facts->target);
    out = PUT(",\"protocol\":\"");
    out = put_protocol(out, end, facts->minor);
    out = PUT("\",\"status\":");
    out = put_number(out, end, facts->status);
    out = PUT(",\"bytes\":");
    out = put_number(out, end, facts->sent);
    out = PUT(",\"seconds\":");
    out = put_decimal(out, end, facts->duration_ns);
    out = PUT(",\"referer\":");
    out = put_value(out, &left, facts->referer);
    out = PUT(",\"agent\":");
    out = put_value(out, &left, facts->agent);
    out = PUT(",\"pid\":");
    out = put_number(out, end, (uint64_t)facts->pid);
    return PUT("}");
}

size_t log_render(const struct log_format *format, const struct log_facts *facts, char *out,
                  size_t room)
{
    if (!room)
        return 0;
    char *start = out, *end = out + room - 1;
    if (format->json)
        out = room - 1 < JSON_FRAME ? put(out, end, "{}", room > 2 ? 2 : 0)
                                    : put_json_line(format, facts, out, end);
    for (size_t i = 0; i < format->count; i++)
        out = put_item(out, end, format, &format->items[i], facts);
    *out++ = '\n';
    return (size_t)(out - start);
}
