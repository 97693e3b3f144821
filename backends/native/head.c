#include "head.h"

#include <stdlib.h>
#include <string.h>

static int grow(struct head *head, size_t more) {
    size_t wanted = head->len + more, room = head->room;
    char *grown;

    if (wanted <= room)
        return 0;
    if (wanted > HEAD_MOST) {
        PyErr_Format(PyExc_ValueError, "the response head is larger than %d bytes", HEAD_MOST);
        return -1;
    }
    while (room < wanted)
        room *= 2;
    grown = head->text == head->inline_text ? malloc(room) : realloc(head->text, room);
    if (grown == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    if (head->text == head->inline_text)
        memcpy(grown, head->inline_text, head->len);
    head->text = grown;
    head->room = (uint32_t)room;
    return 0;
}

static void add(struct head *head, const char *text, size_t len) {
    memcpy(head->text + head->len, text, len);
    head->len += (uint32_t)len;
}

static PyObject *shown(struct slice text) {
    return PyUnicode_DecodeLatin1(text.at, text.len < 200 ? text.len : 200, NULL);
}

/* ValueError about a field; -1. */
static int bad_field(const char *format, struct slice name, struct slice value) {
    PyObject *shown_name = shown(name), *shown_value = shown(value);

    if (shown_name != NULL && shown_value != NULL)
        PyErr_Format(PyExc_ValueError, format, shown_name, shown_value);
    Py_XDECREF(shown_name);
    Py_XDECREF(shown_value);
    return -1;
}

void head_begin(struct head *head, uint16_t status) {
    head->len = 0;
    head->has_length = head->has_date = head->has_server = false;
    head->status = status;
}

int head_status(struct head *head, const char *at, size_t len) {
    head->len = 0;
    head->has_length = head->has_date = head->has_server = false;
    if (len < 3 || at[0] < '2' || at[0] > '9' || at[1] < '0' || at[1] > '9' || at[2] < '0' ||
        at[2] > '9' || (len > 3 && at[3] != ' ') || !is_field_value(at, len)) {
        return bad_field("the status must be three digits from 200 on, a space and a reason, not %R",
                         (struct slice){at, (uint32_t)len}, (struct slice){at, 0});
    }
    head->status = (uint16_t)((at[0] - '0') * 100 + (at[1] - '0') * 10 + (at[2] - '0'));
    if (grow(head, len + 16) < 0)
        return -1;
    add(head, "HTTP/1.1 ", 9);
    add(head, at, len);
    if (len == 3)
        add(head, " ", 1);
    add(head, "\r\n", 2);
    return 0;
}

static int read_length(struct head *head, struct slice value) {
    uint64_t length = 0;

    for (uint32_t i = 0; i < value.len && value.len <= 18; i++) {
        if (value.at[i] < '0' || value.at[i] > '9')
            goto bad;
        length = length * 10 + (uint64_t)(value.at[i] - '0');
    }
    if (value.len == 0 || value.len > 18 || head->has_length)
        goto bad;
    head->has_length = true;
    head->length = length;
    return 0;
bad:
    PyErr_Format(PyExc_ValueError, head->has_length ? "Content-Length is there twice"
                                                     : "Content-Length is not a number");
    return -1;
}

static bool is_hop_by_hop(struct slice name) {
    static const struct slice names[] = {
        {"connection", 10}, {"keep-alive", 10}, {"proxy-authenticate", 18},
        {"proxy-authorization", 19}, {"te", 2}, {"trailer", 7}, {"trailers", 8},
        {"transfer-encoding", 17}, {"upgrade", 7}};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (slice_is(name, names[i].at, names[i].len))
            return true;
    return false;
}

/* Notices fields that matter to the server: 1: not to be rendered; 0: as any other; -1: an
 * exception is set. */
static int notice(struct head *head, struct slice name, struct slice value) {
    switch (name.at[0] | 0x20) {
    case 'c':
        if (slice_is(name, "content-length", 14))
            return read_length(head, value) < 0 ? -1 : 1;
        break;
    case 'd':
        head->has_date |= slice_is(name, "date", 4);
        return 0;
    case 's':
        head->has_server |= slice_is(name, "server", 6);
        return 0;
    case 'k':
    case 'p':
    case 't':
    case 'u':
        break;
    default:
        return 0;
    }
    if (!is_hop_by_hop(name))
        return 0;
    return bad_field("%R is a hop-by-hop field, which is the server's own (PEP 3333): %R", name,
                     value);
}

int head_field(struct head *head, struct slice name, struct slice value) {
    int noticed;

    if (!is_token(name.at, name.len))
        return bad_field("%R cannot be the name of a header", name, value);
    if (!is_field_value(value.at, value.len))
        return bad_field("the value of header %R has control characters: %R", name, value);
    noticed = notice(head, name, value);
    if (noticed != 0) /* Content-Length is written when the framing is known */
        return noticed < 0 ? -1 : 0;
    if (grow(head, (size_t)name.len + value.len + 4) < 0)
        return -1;
    add(head, name.at, name.len);
    add(head, ": ", 2);
    add(head, value.at, value.len);
    add(head, "\r\n", 2);
    return 0;
}

void head_start(struct head *head) {
    head->status = 0;
    head->has_length = head->has_date = head->has_server = false;
    head->length = 0;
    head->len = 0;
    head->text = head->inline_text;
    head->room = HEAD_INLINE;
}

void head_free(struct head *head) {
    if (head->text != head->inline_text)
        free(head->text);
    head_start(head);
}
