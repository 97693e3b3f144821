/* What a compiled log format is made of; for accesslog.c and accesslog_render.c only. */
#ifndef CHAUSSETTE_ACCESSLOG_ITEMS_H
#define CHAUSSETTE_ACCESSLOG_ITEMS_H

#include "accesslog.h"

enum log_atom {
    ATOM_TEXT, /* name is the text itself */
    ATOM_REMOTE,
    ATOM_DASH,
    ATOM_USER,
    ATOM_DATE,
    ATOM_REQUEST_LINE,
    ATOM_METHOD,
    ATOM_PATH,
    ATOM_QUERY,
    ATOM_PROTOCOL,
    ATOM_STATUS,
    ATOM_PHRASE,
    ATOM_SENT,
    ATOM_REFERER,
    ATOM_AGENT,
    ATOM_SECONDS,
    ATOM_MILLISECONDS,
    ATOM_MICROSECONDS,
    ATOM_DECIMAL,
    ATOM_PID,
    ATOM_REQUEST_FIELD, /* name is what is looked up, lower case, as with the next two */
    ATOM_RESPONSE_FIELD,
    ATOM_ENVIRON,
};

struct log_item {
    enum log_atom atom;
    struct slice name; /* within log_format.text */
};

#define DATE_LEN 28 /* "[20/Nov/2026:23:41:22 +0000]" */

/* The date as it was last rendered: one second has one text. */
struct log_date {
    int64_t second;
    char clf[DATE_LEN];
    char iso[19]; /* "2026-11-20T23:41:22" */
    char zone[6]; /* "+00:00" */
};

struct log_format {
    bool json;
    uint8_t wants; /* one bit for each enum log_source */
    struct log_date *date;
    size_t count;
    char *text;
    struct log_item items[];
};

#endif
