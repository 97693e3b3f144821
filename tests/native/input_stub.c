/* The types of input.h as a module of their own, for the tests. */
#include "input.h"

#include <errno.h>

static PyObject *from_bytes(PyObject *Py_UNUSED(module), PyObject *bytes) {
    return input_from_bytes(bytes == Py_None ? NULL : Py_NewRef(bytes));
}

/* from_body(data, memory, directory, piece): appended piece by piece. */
static PyObject *from_body(PyObject *Py_UNUSED(module), PyObject *args) {
    const char *data, *directory;
    Py_ssize_t len, memory, piece;
    if (!PyArg_ParseTuple(args, "y#nsn", &data, &len, &memory, &directory, &piece))
        return NULL;
    struct body body;
    body_start(&body);
    for (Py_ssize_t at = 0; at < len; at += piece) {
        size_t part = (size_t)(len - at < piece ? len - at : piece);
        if (body_append(&body, data + at, part, (uint64_t)len, (size_t)memory, directory) < 0) {
            PyErr_SetFromErrno(PyExc_OSError);
            body_free(&body);
            return NULL;
        }
    }
    PyObject *input = input_from_body(&body);
    if (body.file != -1 || body.data != NULL || body.size != 0) {
        PyErr_SetString(PyExc_AssertionError, "the body was not taken over");
        Py_CLEAR(input);
    }
    return input;
}

static PyObject *detach(PyObject *Py_UNUSED(module), PyObject *input) {
    input_detach(input);
    Py_RETURN_NONE;
}

static PyObject *range(PyObject *Py_UNUSED(module), PyObject *result) {
    int fd = -1;
    int64_t offset = -1, count = -1;
    if (!file_wrapper_range(result, &fd, &offset, &count))
        return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
    return Py_BuildValue("iLL", fd, (long long)offset, (long long)count);
}

static PyMethodDef methods[] = {
    {"from_bytes", from_bytes, METH_O, NULL},
    {"from_body", from_body, METH_VARARGS, NULL},
    {"detach", detach, METH_O, NULL},
    {"range", range, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "input_stub", .m_size = -1, .m_methods = methods};

PyMODINIT_FUNC PyInit_input_stub(void);

PyMODINIT_FUNC PyInit_input_stub(void) {
    PyObject *module = PyModule_Create(&definition);
    if (module != NULL && input_ready(module) < 0)
        Py_CLEAR(module);
    return module;
}
