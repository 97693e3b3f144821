/* wsgi.file_wrapper (PEP 3333, "Optional Platform-Specific File Handling"). */
#include "input.h"

#include <structmember.h>
#include <sys/stat.h>

struct file_wrapper {
    PyObject ob_base;
    PyObject *filelike; /* owned */
    PyObject *blksize;  /* owned; an int */
    bool begun;         /* a block was asked for */
};

static PyTypeObject wrapper_type;

/* Owned, for the life of the process: io.FileIO, io.BufferedReader, io.BufferedRandom. */
static PyObject *file_io, *buffered_reader, *buffered_random;

static PyObject *wrapper_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"filelike", "blksize", NULL};
    PyObject *filelike;
    Py_ssize_t blksize = 8192;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|n:FileWrapper", names, &filelike, &blksize))
        return NULL;
    if (blksize == 0) {
        PyErr_SetString(PyExc_ValueError, "FileWrapper() blksize must not be 0");
        return NULL;
    }
    struct file_wrapper *self = (struct file_wrapper *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->filelike = Py_NewRef(filelike);
    self->blksize = PyLong_FromSsize_t(blksize);
    if (self->blksize == NULL)
        Py_CLEAR(self);
    return (PyObject *)self;
}

static int wrapper_traverse(PyObject *object, visitproc visit, void *arg) {
    struct file_wrapper *self = (struct file_wrapper *)object;
    Py_VISIT(self->filelike);
    return 0;
}

static int wrapper_clear(PyObject *object) {
    struct file_wrapper *self = (struct file_wrapper *)object;
    Py_CLEAR(self->filelike);
    return 0;
}

static void wrapper_dealloc(PyObject *object) {
    struct file_wrapper *self = (struct file_wrapper *)object;
    PyObject_GC_UnTrack(object);
    Py_CLEAR(self->filelike);
    Py_CLEAR(self->blksize);
    Py_TYPE(object)->tp_free(object);
}

/* A block, or NULL: with an exception, or without one at the end. */
static PyObject *wrapper_next(PyObject *object) {
    struct file_wrapper *self = (struct file_wrapper *)object;
    if (self->filelike == NULL) /* the collector was here */
        return NULL;
    self->begun = true;
    PyObject *block = PyObject_CallMethod(self->filelike, "read", "O", self->blksize);
    if (block == NULL)
        return NULL;
    int more = PyObject_IsTrue(block);
    if (more <= 0)
        Py_CLEAR(block);
    return block;
}

/* Looked up now and not at the start: frameworks put their own close on the file. */
static PyObject *wrapper_close(PyObject *object, PyObject *Py_UNUSED(none)) {
    struct file_wrapper *self = (struct file_wrapper *)object;
    if (self->filelike == NULL)
        Py_RETURN_NONE;
    PyObject *close = PyObject_GetAttrString(self->filelike, "close");
    if (close == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_AttributeError))
            return NULL;
        PyErr_Clear();
        Py_RETURN_NONE;
    }
    PyObject *result = PyObject_CallNoArgs(close);
    Py_DECREF(close);
    return result;
}

static PyMethodDef wrapper_methods[] = {
    {"close", wrapper_close, METH_NOARGS, "Closes the file, if it has a close()."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef wrapper_members[] = {
    {"filelike", T_OBJECT, offsetof(struct file_wrapper, filelike), READONLY, "The file."},
    {"blksize", T_OBJECT, offsetof(struct file_wrapper, blksize), READONLY, "Bytes per block."},
    {NULL, 0, 0, 0, NULL},
};

static PyTypeObject wrapper_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "chaussette.native.FileWrapper",
    .tp_doc = "FileWrapper(filelike, blksize=8192): an iterator over the blocks of a file.",
    .tp_basicsize = sizeof(struct file_wrapper),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_new = wrapper_new,
    .tp_dealloc = wrapper_dealloc,
    .tp_traverse = wrapper_traverse,
    .tp_clear = wrapper_clear,
    .tp_iter = PyObject_SelfIter,
    .tp_iternext = wrapper_next,
    .tp_methods = wrapper_methods,
    .tp_members = wrapper_members,
};

PyObject *file_wrapper_type(void) { return (PyObject *)&wrapper_type; }

static bool is_exactly(PyObject *object, PyObject *type) {
    return (PyObject *)Py_TYPE(object) == type;
}

/* The file of the io module whose own read() `filelike.read` is. New reference, or NULL, with or
 * without an exception. Anything else (gzip, a decrypting wrapper, a text file) may show bytes
 * that are not those on disk. */
static PyObject *plain_file(PyObject *filelike) {
    PyObject *read = PyObject_GetAttrString(filelike, "read");
    if (read == NULL)
        return NULL;
    PyObject *file = PyCFunction_Check(read) ? Py_XNewRef(PyCFunction_GET_SELF(read)) : NULL;
    Py_DECREF(read);
    if (file == NULL || is_exactly(file, file_io))
        return file;
    if (is_exactly(file, buffered_reader) || is_exactly(file, buffered_random)) {
        PyObject *raw = PyObject_GetAttrString(file, "raw");
        bool plain = raw != NULL && is_exactly(raw, file_io);
        Py_XDECREF(raw);
        if (plain)
            return file;
    }
    Py_DECREF(file);
    return NULL;
}

/* file.method() as a number; -1 with an exception, also for a number below 0. */
static int64_t ask(PyObject *file, const char *method) {
    PyObject *answer = PyObject_CallMethod(file, method, NULL);
    if (answer == NULL)
        return -1;
    long long number = PyLong_AsLongLong(answer);
    Py_DECREF(answer);
    if (number < 0 && !PyErr_Occurred())
        PyErr_SetString(PyExc_OSError, "negative answer");
    return number < 0 ? -1 : number;
}

/* What was written through a BufferedRandom and is still in its buffer. */
static int flush(PyObject *file) {
    if (!is_exactly(file, buffered_random))
        return 0;
    PyObject *done = PyObject_CallMethod(file, "flush", NULL);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

int file_wrapper_range(PyObject *result, int *fd, int64_t *offset, int64_t *count) {
    if (Py_TYPE(result) != &wrapper_type)
        return 0;
    struct file_wrapper *self = (struct file_wrapper *)result;
    if (self->begun || self->filelike == NULL)
        return 0;
    int found = 0;
    PyObject *file = plain_file(self->filelike);
    if (file == NULL || flush(file) < 0)
        goto done;
    int64_t number = ask(file, "fileno");
    int64_t position = number < 0 ? -1 : ask(file, "tell");
    struct stat facts;
    if (position < 0 || fstat((int)number, &facts) < 0 || !S_ISREG(facts.st_mode))
        goto done;
    *fd = (int)number;
    *offset = position;
    *count = facts.st_size > position ? facts.st_size - position : 0;
    found = 1;
done:
    Py_XDECREF(file);
    /* Nothing is lost: the first read() of the iteration says what is wrong. */
    PyErr_Clear();
    return found;
}

static PyObject *from_io(PyObject *io, const char *name) {
    return io == NULL ? NULL : PyObject_GetAttrString(io, name);
}

int file_wrapper_ready(PyObject *module) {
    PyObject *io = PyImport_ImportModule("io");
    Py_XSETREF(file_io, from_io(io, "FileIO"));
    Py_XSETREF(buffered_reader, from_io(io, "BufferedReader"));
    Py_XSETREF(buffered_random, from_io(io, "BufferedRandom"));
    Py_XDECREF(io);
    if (file_io == NULL || buffered_reader == NULL || buffered_random == NULL)
        return -1;
    if (PyType_Ready(&wrapper_type) < 0)
        return -1;
    return PyModule_AddObjectRef(module, "FileWrapper", (PyObject *)&wrapper_type);
}
