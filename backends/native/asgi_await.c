/* What `receive()` and `send()` return: awaitables that are done at once when they can be. */
#include "asgi.h"

#define KEPT 32 /* on the free list */

struct operation {
    PyObject_HEAD
    attempt *attempt;
    struct call *call;  /* owned; NULL once it is over */
    PyObject *message;  /* owned, or NULL */
    PyObject *iterator; /* owned: of the future that is waited for, or NULL */
};

static PyTypeObject Operation_Type;
static struct operation *kept[KEPT];
static int kept_count;
static PyObject *CREATE_FUTURE, *DONE, *SET_RESULT;

/* ---- who waits ------------------------------------------------------------------------ */

static bool is_done(PyObject *future) {
    PyObject *done = PyObject_CallMethodNoArgs(future, DONE);
    bool result = done == Py_True;

    if (done == NULL)
        PyErr_WriteUnraisable(future);
    Py_XDECREF(done);
    return result;
}

/* A list of those that still wait: cancelled ones are left out. */
static PyObject *waiting(PyObject *place) {
    PyObject *list = PyList_New(0);
    bool is_list = PyList_CheckExact(place);
    Py_ssize_t count = is_list ? PyList_GET_SIZE(place) : 1;

    for (Py_ssize_t i = 0; list != NULL && i < count; i++) {
        PyObject *each = is_list ? PyList_GET_ITEM(place, i) : place;
        if (!is_done(each) && PyList_Append(list, each) < 0)
            Py_CLEAR(list);
    }
    return list;
}

PyObject *wait_in(struct server *server, PyObject **place) {
    PyObject *future = PyObject_CallMethodNoArgs(server->loop, CREATE_FUTURE), *list;

    if (future == NULL)
        return NULL;
    if (*place == NULL || (!PyList_CheckExact(*place) && is_done(*place))) {
        Py_XSETREF(*place, Py_NewRef(future));
        return future;
    }
    if ((list = waiting(*place)) == NULL || PyList_Append(list, future) < 0) {
        Py_XDECREF(list);
        Py_DECREF(future);
        return NULL;
    }
    Py_XSETREF(*place, list);
    return future;
}

static void resolve(PyObject *future) {
    PyObject *result = is_done(future) ? Py_NewRef(Py_None) /* it was cancelled meanwhile */
                                       : PyObject_CallMethodOneArg(future, SET_RESULT, Py_None);

    if (result == NULL)
        PyErr_WriteUnraisable(future);
    Py_XDECREF(result);
}

void wake(PyObject **place) {
    PyObject *who = *place;

    if (who == NULL)
        return;
    *place = NULL;
    if (!PyList_CheckExact(who))
        resolve(who);
    else
        for (Py_ssize_t i = 0; i < PyList_GET_SIZE(who); i++)
            resolve(PyList_GET_ITEM(who, i));
    Py_DECREF(who);
}

/* ---- the coroutine protocol -------------------------------------------------------- */

static void finish(struct operation *operation) {
    Py_CLEAR(operation->call);
    Py_CLEAR(operation->message);
    Py_CLEAR(operation->iterator);
}

/* The iterator of a future: asyncio's way to wait for it. Steals `future`. */
static int wait_for(struct operation *operation, PyObject *future) {
    PyAsyncMethods *methods = Py_TYPE(future)->tp_as_async;

    if (methods != NULL && methods->am_await != NULL)
        operation->iterator = methods->am_await(future);
    else
        PyErr_SetString(PyExc_TypeError, "the event loop's futures cannot be awaited");
    Py_DECREF(future);
    return operation->iterator ? 0 : -1;
}

static PySendResult operation_send(PyObject *self, PyObject *value, PyObject **result) {
    struct operation *operation = (struct operation *)self;

    if (operation->call == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "cannot reuse already awaited coroutine");
        *result = NULL;
        return PYGEN_ERROR;
    }
    for (;;) {
        PyObject *future = NULL;
        if (operation->iterator != NULL) {
            PySendResult step = PyIter_Send(operation->iterator, value, result);
            if (step != PYGEN_RETURN) {
                if (step == PYGEN_ERROR)
                    finish(operation);
                return step;
            }
            Py_CLEAR(*result);
            Py_CLEAR(operation->iterator);
            value = Py_None;
        }
        switch (operation->attempt(operation->call, operation->message, result, &future)) {
        case 1:
            finish(operation);
            return PYGEN_RETURN;
        case 0:
            Py_CLEAR(operation->message); /* it is sent; what is left is to wait */
            if (future == NULL && !PyErr_Occurred()) { /* for others to have a turn */
                *result = Py_NewRef(Py_None);
                return PYGEN_NEXT;
            }
            if (future != NULL && wait_for(operation, future) == 0)
                continue;
            break;
        default:
            break;
        }
        finish(operation);
        *result = NULL;
        return PYGEN_ERROR;
    }
}

/* An operation's step for those who do not know am_send. */
static PyObject *step(PyObject *self, PyObject *value) {
    PyObject *result;

    switch (operation_send(self, value, &result)) {
    case PYGEN_NEXT:
        return result;
    case PYGEN_RETURN:
        _PyGen_SetStopIterationValue(result);
        Py_DECREF(result);
        return NULL;
    case PYGEN_ERROR:
        break;
    }
    return NULL;
}

static PyObject *operation_next(PyObject *self) { return step(self, Py_None); }

/* Delivers an exception into the wait, so that a cancelled task's future knows of it. */
static PyObject *operation_throw(PyObject *self, PyObject *args) {
    struct operation *operation = (struct operation *)self;
    PyObject *type, *value = NULL, *traceback = NULL, *result;

    if (!PyArg_UnpackTuple(args, "throw", 1, 3, &type, &value, &traceback))
        return NULL;
    if (operation->iterator != NULL) {
        PyObject *method = PyObject_GetAttrString(operation->iterator, "throw");
        result = method ? PyObject_CallObject(method, args) : NULL;
        Py_XDECREF(method);
        if (result == NULL)
            finish(operation);
        return result;
    }
    finish(operation);
    if (PyExceptionInstance_Check(type))
        PyErr_SetObject((PyObject *)Py_TYPE(type), type);
    else
        PyErr_Restore(Py_NewRef(type), Py_XNewRef(value), Py_XNewRef(traceback));
    return NULL;
}

static PyObject *operation_close(PyObject *self, PyObject *unused) {
    (void)unused;
    finish((struct operation *)self);
    Py_RETURN_NONE;
}

/* ---- the type ------------------------------------------------------------------------ */

static int operation_traverse(PyObject *self, visitproc visit, void *arg) {
    struct operation *operation = (struct operation *)self;

    Py_VISIT(operation->call);
    Py_VISIT(operation->message);
    Py_VISIT(operation->iterator);
    return 0;
}

static int operation_clear(PyObject *self) {
    finish((struct operation *)self);
    return 0;
}

/* As of any coroutine: what was to be sent has not been. */
static void warn(struct operation *operation) {
    PyObject *type, *value, *traceback;

    if (operation->call == NULL || operation->iterator != NULL)
        return;
    PyErr_Fetch(&type, &value, &traceback);
    if (PyErr_WarnEx(PyExc_RuntimeWarning,
                     operation->message ? "send() was never awaited" : "receive() was never awaited",
                     1) < 0)
        PyErr_WriteUnraisable(NULL);
    PyErr_Restore(type, value, traceback);
}

static void operation_dealloc(PyObject *self) {
    PyObject_GC_UnTrack(self);
    warn((struct operation *)self);
    finish((struct operation *)self);
    if (kept_count < KEPT)
        kept[kept_count++] = (struct operation *)self;
    else
        PyObject_GC_Del(self);
}

static PyMethodDef operation_methods[] = {
    {"send", step, METH_O, "Takes a step."},
    {"throw", operation_throw, METH_VARARGS, "Delivers an exception."},
    {"close", operation_close, METH_NOARGS, "Gives up."},
    {NULL, NULL, 0, NULL},
};

static PyAsyncMethods operation_async = {.am_await = PyObject_SelfIter, .am_send = operation_send};

static PyTypeObject Operation_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "chaussette.backends.native.operation",
    .tp_basicsize = sizeof(struct operation),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_as_async = &operation_async,
    .tp_iter = PyObject_SelfIter,
    .tp_iternext = operation_next,
    .tp_methods = operation_methods,
    .tp_traverse = operation_traverse,
    .tp_clear = operation_clear,
    .tp_dealloc = operation_dealloc,
    .tp_doc = "What receive() and send() return.",
};

int awaitables_ready(void) {
    CREATE_FUTURE = PyUnicode_InternFromString("create_future");
    DONE = PyUnicode_InternFromString("done");
    SET_RESULT = PyUnicode_InternFromString("set_result");
    if (CREATE_FUTURE == NULL || DONE == NULL || SET_RESULT == NULL)
        return -1;
    return PyType_Ready(&Operation_Type);
}

PyObject *operation_new(attempt *attempt, struct call *call, PyObject *message) {
    struct operation *operation;

    if (kept_count > 0) {
        operation = kept[--kept_count];
        (void)PyObject_Init((PyObject *)operation, &Operation_Type);
    } else if ((operation = PyObject_GC_New(struct operation, &Operation_Type)) == NULL) {
        return NULL;
    }
    operation->attempt = attempt;
    operation->call = (struct call *)Py_NewRef((PyObject *)call);
    operation->message = Py_XNewRef(message);
    operation->iterator = NULL;
    PyObject_GC_Track((PyObject *)operation);
    return (PyObject *)operation;
}
