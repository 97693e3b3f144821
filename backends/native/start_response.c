/* start_response and write() of one request (PEP 3333).
 *
 * One object is both: called with one argument it is what start_response returns. The head is
 * checked and rendered in the call, so that what may not reach the wire fails in the
 * application's own stack.
 */
#include "core.h"
#include "guard.h"

#ifdef CHAUSSETTE_DEBUG
#define KEPT 0 /* so that tools see whose memory it is */
#else
#define KEPT 16 /* on the free list */
#endif

static PyTypeObject StartResponse_Type;
static struct start_response *kept[KEPT + 1];
static int kept_count;

/* ---- rendering ------------------------------------------------------------------- */

/* The bytes of a native string; TypeError or ValueError when it is none. */
static int native(PyObject *text, const char *what, struct slice *out) {
    if (!PyUnicode_Check(text)) {
        PyErr_Format(PyExc_TypeError, "%s must be a str, not %.100s", what, Py_TYPE(text)->tp_name);
        return -1;
    }
    if (PyUnicode_READY(text) < 0)
        return -1;
    if (PyUnicode_KIND(text) != PyUnicode_1BYTE_KIND) {
        PyErr_Format(PyExc_ValueError, "%s has characters beyond latin-1: %.200R", what, text);
        return -1;
    }
    out->at = (const char *)PyUnicode_1BYTE_DATA(text);
    out->len = (uint32_t)PyUnicode_GET_LENGTH(text);
    return 0;
}

static int render_field(struct head *head, PyObject *pair) {
    struct slice name, value;

    if (!PyTuple_Check(pair) || PyTuple_GET_SIZE(pair) != 2) {
        PyErr_Format(PyExc_TypeError, "a response header must be a (name, value) tuple, not %.200R",
                     pair);
        return -1;
    }
    if (native(PyTuple_GET_ITEM(pair, 0), "a header's name", &name) < 0 ||
        native(PyTuple_GET_ITEM(pair, 1), "a header's value", &value) < 0)
        return -1;
    return head_field(head, name, value);
}

static int render(struct head *head, PyObject *status, PyObject *headers) {
    struct slice text;

    if (!PyList_Check(headers)) {
        PyErr_Format(PyExc_TypeError, "the response headers must be a list, not %.100s",
                     Py_TYPE(headers)->tp_name);
        return -1;
    }
    if (native(status, "the status", &text) < 0 || head_status(head, text.at, text.len) < 0)
        return -1;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(headers); i++)
        if (render_field(head, PyList_GET_ITEM(headers, i)) < 0)
            return -1;
    return 0;
}

/* ---- start_response and write() ------------------------------------------------------- */

static bool is_started(const struct start_response *start) {
    return start->exchange->phase != RESPONSE_NONE;
}

/* exc_info's rules: without it only the first call counts; with it the head is replaced as
 * long as it is not sent, and after that the exception goes on. */
static int check_exc_info(struct start_response *start, PyObject *exc_info) {
    PyObject *type, *value, *traceback;

    if (exc_info == NULL || exc_info == Py_None) {
        if (start->exchange->phase != RESPONSE_NONE)
            PyErr_SetString(PyExc_AssertionError,
                            "start_response was called a second time without exc_info");
        return is_started(start) ? -1 : 0;
    }
    if (start->exchange->phase < RESPONSE_HEAD_SENT)
        return 0;
    if (!PyArg_ParseTuple(exc_info, "OOO;exc_info must be sys.exc_info()", &type, &value,
                          &traceback))
        return -1;
    if (!PyExceptionInstance_Check(value)) { /* sys.exc_info() without an exception */
        PyErr_SetString(PyExc_AssertionError,
                        "start_response was called again after its head was sent");
        return -1;
    }
    PyErr_SetObject((PyObject *)Py_TYPE(value), value);
    return -1;
}

static PyObject *call_start(struct start_response *start, PyObject *status, PyObject *headers,
                            PyObject *exc_info) {
    if (start->exchange == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "start_response was called after its request was over");
        return NULL;
    }
    if (check_exc_info(start, exc_info) < 0)
        return NULL;
    start->exchange->phase = RESPONSE_NONE;
    if (render(&start->exchange->head, status, headers) < 0)
        return NULL;
    start->exchange->phase = RESPONSE_STARTED;
    return Py_NewRef((PyObject *)start);
}

/* write(): the head, and the data at once (PEP 3333). */
static PyObject *call_write(struct start_response *start, PyObject *data) {
    int sent;

    if (start->exchange == NULL || !is_started(start)) {
        PyErr_SetString(PyExc_RuntimeError, "write() was called outside of its request");
        return NULL;
    }
    if (!PyBytes_Check(data)) {
        PyErr_Format(PyExc_TypeError, "write() takes bytes, not %.100s", Py_TYPE(data)->tp_name);
        return NULL;
    }
    guard_leave(start->lane); /* until the application goes on */
    sent = response_block(start->lane, start->exchange, data, false);
    out_flush(start->lane);
    if (sent == 0)
        sent = out_throttle(start->exchange->conn);
    guard_enter(start->lane);
    if (sent == 0)
        Py_RETURN_NONE;
    if (!PyErr_Occurred())
        PyErr_SetString(PyExc_ConnectionError, "the client has gone");
    return NULL;
}

static PyObject *start_response_call(PyObject *self, PyObject *const *args, size_t flags,
                                     PyObject *names) {
    struct start_response *start = (struct start_response *)self;
    Py_ssize_t count = PyVectorcall_NARGS(flags);
    Py_ssize_t named = names ? PyTuple_GET_SIZE(names) : 0;
    PyObject *given[3] = {NULL, NULL, NULL};
    static const char *const known[3] = {"status", "headers", "exc_info"};

    if (count == 1 && named == 0)
        return call_write(start, args[0]);
    if (count > 3)
        goto wrong;
    for (Py_ssize_t i = 0; i < count; i++)
        given[i] = args[i];
    for (Py_ssize_t i = 0; i < named; i++) {
        int place = 2;
        while (place >= 0 &&
               PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, i), known[place]) != 0)
            place--;
        if (place < 0 || given[place] != NULL)
            goto wrong;
        given[place] = args[count + i];
    }
    if (given[0] == NULL || given[1] == NULL)
        goto wrong;
    return call_start(start, given[0], given[1], given[2]);
wrong:
    PyErr_SetString(PyExc_TypeError,
                    "start_response takes status, headers and exc_info=None; write takes bytes");
    return NULL;
}

static void start_response_dealloc(PyObject *self) {
    PyObject_Free(self);
}

static PyTypeObject StartResponse_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "chaussette.backends.native.start_response",
    .tp_basicsize = sizeof(struct start_response),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_call = PyVectorcall_Call,
    .tp_vectorcall_offset = offsetof(struct start_response, vectorcall),
    .tp_dealloc = start_response_dealloc,
    .tp_doc = "start_response(status, headers, exc_info=None); what it returns is write(data).",
};

int start_response_ready(void) { return PyType_Ready(&StartResponse_Type); }

struct start_response *start_response_new(struct lane *lane, struct exchange *exchange) {
    struct start_response *start;

    if (kept_count > 0)
        start = kept[--kept_count];
    else {
        start = PyObject_New(struct start_response, &StartResponse_Type);
        if (start == NULL)
            return NULL;
        start->vectorcall = start_response_call;
    }
    live_add(LIVE_STARTS, 1);
    start->exchange = exchange;
    start->lane = lane;
    return start;
}

void start_response_release(struct start_response *start) {
    live_add(LIVE_STARTS, -1);
    start->exchange = NULL;
    if (Py_REFCNT(start) == 1 && kept_count < KEPT)
        kept[kept_count++] = start;
    else
        Py_DECREF(start);
}
