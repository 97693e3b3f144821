/* wsgi.input: the whole body of one request, read from its start to its end, once.
 *
 * The body is complete before the app is called, so no read blocks on the client. It is either a
 * bytes object or a file; a file is read with the GIL held: another thread could close the
 * reader meanwhile, and what is read was written a moment ago and is in the page cache.
 */
#include "input.h"

#include <errno.h>
#include <string.h>

/* Dead readers kept for the next request. Zero in builds that look for memory errors. */
#ifndef INPUT_KEEP
#ifdef CHAUSSETTE_DEBUG
#define INPUT_KEEP 0
#else
#define INPUT_KEEP 16
#endif
#endif

enum { WINDOW = 8192 }; /* bytes of a spooled body that are looked through for line ends */

struct input {
    PyObject ob_base;
    PyObject *bytes;     /* owned; NULL: empty, spooled, closed or detached */
    struct body body;    /* owned; its file is -1 unless spooled */
    char *window;        /* owned; NULL until a line of a spooled body is asked for */
    uint64_t window_at;  /* where in the body the window begins */
    size_t window_len;
    uint64_t at;         /* the next byte to read */
    uint64_t size;
    bool closed;         /* by the app */
    bool detached;       /* by the server */
};

static PyTypeObject input_type;

#if INPUT_KEEP > 0
/* Guarded by the GIL. */
static struct input *kept[INPUT_KEEP];
static unsigned kept_count;
#endif

/* New reference with nothing in it, or NULL with an exception. */
static struct input *make(void) {
    struct input *self = NULL;
#if INPUT_KEEP > 0
    if (kept_count > 0) {
        self = kept[--kept_count];
        (void)PyObject_Init(&self->ob_base, &input_type);
    }
#endif
    if (self == NULL)
        self = PyObject_New(struct input, &input_type);
    if (self == NULL)
        return NULL;
    self->bytes = NULL;
    body_start(&self->body);
    self->window = NULL;
    self->window_at = self->at = self->size = 0;
    self->window_len = 0;
    self->closed = self->detached = false;
    return self;
}

static void release(struct input *self) {
    Py_CLEAR(self->bytes);
    body_free(&self->body);
    PyMem_Free(self->window);
    self->window = NULL;
    self->window_len = 0;
}

static void input_dealloc(PyObject *object) {
    struct input *self = (struct input *)object;
    release(self);
#if INPUT_KEEP > 0
    if (kept_count < INPUT_KEEP) {
        kept[kept_count++] = self;
        return;
    }
#endif
    PyObject_Free(self);
}

PyObject *input_from_bytes(PyObject *bytes) {
    if (bytes == NULL && PyErr_Occurred())
        return NULL;
    struct input *self = make();
    if (self == NULL) {
        Py_XDECREF(bytes);
        return NULL;
    }
    self->bytes = bytes;
    self->size = bytes ? (uint64_t)PyBytes_GET_SIZE(bytes) : 0;
    return &self->ob_base;
}

PyObject *input_from_body(struct body *body) {
    if (body->file < 0) {
        PyObject *bytes = NULL;
        if (body->size > 0) {
            bytes = PyBytes_FromStringAndSize(body->data, (Py_ssize_t)body->size);
            if (bytes == NULL) {
                body_free(body);
                return NULL;
            }
        }
        body_free(body);
        return input_from_bytes(bytes);
    }
    struct input *self = make();
    if (self == NULL) {
        body_free(body);
        return NULL;
    }
    self->body = *body;
    self->size = body->size;
    body_start(body);
    return &self->ob_base;
}

void input_detach(PyObject *input) {
    struct input *self = (struct input *)input;
    release(self);
    self->detached = true;
}

/* 0, or -1 with the exception that a read of a closed or detached reader raises. */
static int check_open(const struct input *self) {
    if (self->closed) {
        PyErr_SetString(PyExc_ValueError, "I/O operation on closed wsgi.input");
        return -1;
    }
    if (self->detached) {
        PyErr_SetString(PyExc_OSError, "wsgi.input is read after its request was answered");
        return -1;
    }
    return 0;
}

/* The optional size of read(), readline() and readlines(): none, None and any negative number
 * are -1; numbers past Py_ssize_t are its end. 0, or -1 with an exception. */
static int get_size(const char *method, PyObject *const *args, Py_ssize_t nargs, Py_ssize_t *size) {
    *size = -1;
    if (nargs > 1) {
        PyErr_Format(PyExc_TypeError, "%s() takes at most 1 argument (%zd given)", method, nargs);
        return -1;
    }
    if (nargs == 0 || args[0] == Py_None)
        return 0;
    if (!PyIndex_Check(args[0])) {
        PyErr_Format(PyExc_TypeError, "%s() argument must be an integer or None, not %.100s",
                     method, Py_TYPE(args[0])->tp_name);
        return -1;
    }
    *size = PyNumber_AsSsize_t(args[0], NULL);
    if (*size == -1 && PyErr_Occurred())
        return -1;
    return 0;
}

/* How many bytes a read of `size` (-1: all) may return. */
static size_t bounded(const struct input *self, Py_ssize_t size) {
    uint64_t left = self->size - self->at;
    if (size >= 0 && (uint64_t)size < left)
        left = (uint64_t)size;
    return (size_t)left;
}

/* Exactly `len` bytes, which the body has, into `out`. 0, or -1 with an exception. */
static int copy_out(struct input *self, char *out, size_t len) {
    if (self->bytes != NULL) {
        memcpy(out, PyBytes_AS_STRING(self->bytes) + self->at, len);
    } else if (len > 0 && body_read(&self->body, self->at, out, len) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    self->at += len;
    return 0;
}

/* The next `len` bytes, which the body has, as bytes; new reference, or NULL with an exception
 * (then nothing is consumed). A whole body in memory is handed out without a copy. */
static PyObject *take(struct input *self, size_t len) {
    if (self->bytes != NULL && self->at == 0 && len == self->size) {
        self->at = len;
        return Py_NewRef(self->bytes);
    }
    PyObject *result = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)len);
    if (result == NULL)
        return NULL;
    if (len > 0 && copy_out(self, PyBytes_AS_STRING(result), len) < 0)
        Py_CLEAR(result);
    return result;
}

static PyObject *input_read(PyObject *object, PyObject *const *args, Py_ssize_t nargs) {
    struct input *self = (struct input *)object;
    Py_ssize_t size;
    if (get_size("read", args, nargs, &size) < 0 || check_open(self) < 0)
        return NULL;
    return take(self, bounded(self, size));
}

/* Makes the window hold the byte at `at`, which the body has. 0, or -1 with an exception. */
static int look(struct input *self, uint64_t at) {
    if (at >= self->window_at && at - self->window_at < self->window_len)
        return 0;
    if (self->window == NULL) {
        self->window = PyMem_Malloc(WINDOW);
        if (self->window == NULL) {
            PyErr_NoMemory();
            return -1;
        }
    }
    self->window_len = 0; /* in case the read fails half way */
    int64_t got = body_read(&self->body, at, self->window, WINDOW);
    if (got < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    self->window_at = at;
    self->window_len = (size_t)got;
    return 0;
}

/* The length of the next line of a spooled body, its end included, at most `limit`; -1 with an
 * exception. */
static int64_t spooled_line(struct input *self, size_t limit) {
    size_t len = 0;
    while (len < limit) {
        if (look(self, self->at + len) < 0)
            return -1;
        size_t offset = (size_t)(self->at + len - self->window_at);
        size_t part = self->window_len - offset;
        if (part > limit - len)
            part = limit - len;
        const char *end = memchr(self->window + offset, '\n', part);
        if (end != NULL)
            return (int64_t)(len + (size_t)(end - (self->window + offset)) + 1);
        len += part;
    }
    return (int64_t)len;
}

/* The next line of at most `size` bytes (-1: of any length), b"" at the end; new reference, or
 * NULL with an exception. */
static PyObject *take_line(struct input *self, Py_ssize_t size) {
    size_t limit = bounded(self, size);
    if (self->bytes != NULL) {
        const char *start = PyBytes_AS_STRING(self->bytes) + self->at;
        const char *end = memchr(start, '\n', limit);
        return take(self, end != NULL ? (size_t)(end - start) + 1 : limit);
    }
    int64_t len = spooled_line(self, limit);
    if (len < 0)
        return NULL;
    /* Nearly every line lies within the window: no second system call. */
    if (len > 0 && self->at >= self->window_at &&
        self->at - self->window_at + (uint64_t)len <= self->window_len) {
        const char *start = self->window + (self->at - self->window_at);
        PyObject *line = PyBytes_FromStringAndSize(start, (Py_ssize_t)len);
        if (line != NULL)
            self->at += (uint64_t)len;
        return line;
    }
    return take(self, (size_t)len);
}

static PyObject *input_readline(PyObject *object, PyObject *const *args, Py_ssize_t nargs) {
    struct input *self = (struct input *)object;
    Py_ssize_t size;
    if (get_size("readline", args, nargs, &size) < 0 || check_open(self) < 0)
        return NULL;
    return take_line(self, size);
}

/* `hint` as in io.IOBase.readlines: no further line once that many bytes are there. */
static PyObject *input_readlines(PyObject *object, PyObject *const *args, Py_ssize_t nargs) {
    struct input *self = (struct input *)object;
    Py_ssize_t hint;
    if (get_size("readlines", args, nargs, &hint) < 0 || check_open(self) < 0)
        return NULL;
    PyObject *lines = PyList_New(0);
    if (lines == NULL)
        return NULL;
    Py_ssize_t total = 0;
    while (self->at < self->size) {
        PyObject *line = take_line(self, -1);
        if (line == NULL || PyList_Append(lines, line) < 0) {
            Py_XDECREF(line);
            Py_DECREF(lines);
            return NULL;
        }
        total += PyBytes_GET_SIZE(line);
        Py_DECREF(line);
        if (hint > 0 && total >= hint)
            break;
    }
    return lines;
}

static PyObject *input_next(PyObject *object) {
    struct input *self = (struct input *)object;
    if (check_open(self) < 0 || self->at == self->size)
        return NULL; /* without an exception: StopIteration */
    return take_line(self, -1);
}

static PyObject *input_iter(PyObject *object) {
    if (check_open((struct input *)object) < 0)
        return NULL;
    return Py_NewRef(object);
}

static PyObject *input_readinto(PyObject *object, PyObject *target) {
    struct input *self = (struct input *)object;
    Py_buffer buffer;
    if (check_open(self) < 0)
        return NULL;
    if (PyObject_GetBuffer(target, &buffer, PyBUF_WRITABLE) < 0) {
        PyErr_Format(PyExc_TypeError, "readinto() argument must be a writable bytes-like object, "
                     "not %.100s", Py_TYPE(target)->tp_name);
        return NULL;
    }
    PyObject *result = NULL;
    /* Taking the buffer may have run Python code that closed us. */
    if (check_open(self) == 0) {
        size_t len = bounded(self, buffer.len);
        if (len == 0 || copy_out(self, buffer.buf, len) == 0)
            result = PyLong_FromSize_t(len);
    }
    PyBuffer_Release(&buffer);
    return result;
}

static PyObject *yes(PyObject *object, PyObject *Py_UNUSED(none)) {
    return check_open((struct input *)object) < 0 ? NULL : Py_NewRef(Py_True);
}

static PyObject *no(PyObject *object, PyObject *Py_UNUSED(none)) {
    return check_open((struct input *)object) < 0 ? NULL : Py_NewRef(Py_False);
}

static PyObject *input_flush(PyObject *Py_UNUSED(object), PyObject *Py_UNUSED(none)) {
    Py_RETURN_NONE;
}

static PyObject *input_close(PyObject *object, PyObject *Py_UNUSED(none)) {
    struct input *self = (struct input *)object;
    release(self);
    self->closed = true;
    Py_RETURN_NONE;
}

static PyObject *input_enter(PyObject *object, PyObject *Py_UNUSED(none)) {
    return input_iter(object);
}

static PyObject *input_exit(PyObject *object, PyObject *Py_UNUSED(args)) {
    return input_close(object, NULL);
}

static PyObject *input_closed(PyObject *object, void *Py_UNUSED(closure)) {
    return PyBool_FromLong(((struct input *)object)->closed);
}

#define FAST(function) ((PyCFunction)(void (*)(void))(function))

static PyMethodDef input_methods[] = {
    {"read", FAST(input_read), METH_FASTCALL, "read(size=-1): all or at most size bytes."},
    {"read1", FAST(input_read), METH_FASTCALL, "As read."},
    {"readline", FAST(input_readline), METH_FASTCALL, "readline(size=-1): a line with its end."},
    {"readlines", FAST(input_readlines), METH_FASTCALL, "readlines(hint=-1): a list of lines."},
    {"readinto", input_readinto, METH_O, "readinto(buffer): fills it; how many bytes."},
    {"readinto1", input_readinto, METH_O, "As readinto."},
    {"readable", yes, METH_NOARGS, "True."},
    {"seekable", no, METH_NOARGS, "False."},
    {"writable", no, METH_NOARGS, "False."},
    {"flush", input_flush, METH_NOARGS, "Does nothing; wrappers of io call it."},
    {"close", input_close, METH_NOARGS, "Gives the body back; reads raise ValueError then."},
    {"__enter__", input_enter, METH_NOARGS, NULL},
    {"__exit__", input_exit, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef input_getset[] = {
    {"closed", input_closed, NULL, "Whether close() was called.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

/* Not a GC type: bytes objects refer to nothing. No constructor, no subclasses. */
static PyTypeObject input_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "chaussette.native.Input",
    .tp_doc = "wsgi.input: the body of one request.",
    .tp_basicsize = sizeof(struct input),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_dealloc = input_dealloc,
    .tp_iter = input_iter,
    .tp_iternext = input_next,
    .tp_methods = input_methods,
    .tp_getset = input_getset,
};

int input_ready(PyObject *module) {
    if (PyType_Ready(&input_type) < 0)
        return -1;
    if (PyModule_AddObjectRef(module, "Input", (PyObject *)&input_type) < 0)
        return -1;
    return file_wrapper_ready(module);
}
