/* The head of a response: what an application says of it, checked and rendered.
 *
 * Rendering happens when the application speaks, so that a field that may not reach the wire
 * fails in its own stack. Needs the GIL: what is wrong is raised as a Python exception.
 */
#ifndef CHAUSSETTE_HEAD_H
#define CHAUSSETTE_HEAD_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "parse.h"

#define HEAD_INLINE 1024      /* bytes of a head that need no allocation */
#define HEAD_MOST (64 * 1024) /* bytes of a head that is still accepted */

struct head {
    uint16_t status;
    bool has_length;  /* Content-Length was given; it is not among the rendered fields */
    bool has_date;
    bool has_server;
    uint64_t length;
    uint32_t len, room;
    char *text;       /* status line and fields; inline_text or owned */
    char inline_text[HEAD_INLINE];
};

/* An empty head; it owns nothing yet. */
void head_start(struct head *head);
/* Gives memory back; the head is empty again. */
void head_free(struct head *head);

/* Begins a head without a status line: what is rendered are fields only. */
void head_begin(struct head *head, uint16_t status);

/* Begins with the status line: "200 OK", without a version. 0, or -1 with ValueError. */
int head_status(struct head *head, const char *text, size_t len);

/* Adds a field (RFC 9110 section 5). Content-Length, Date and Server are noticed; hop-by-hop
 * fields are refused (PEP 3333). 0, or -1 with ValueError. */
int head_field(struct head *head, struct slice name, struct slice value);

#endif
