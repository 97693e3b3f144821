/* A real asyncio.Task for each request, whose first step is taken at once.
 *
 * From Python 3.12 on a task does that by itself (eager_start). Before, a task asks the loop
 * for its first step with call_soon(): that one call is caught, and the step taken here.
 */
#include "asgi.h"

static PyObject *TASK, *CALL_SOON, *IS_DONE, *EXCEPTION, *ADD_DONE;
static PyObject *caught;       /* owned: the step that a task has asked for */
static PyObject *catcher;      /* stands for the loop's call_soon meanwhile */
static PyObject *eager_names, *names;

/* ---- the end of the application ------------------------------------------------------ */

/* Whether the task is over; then the call is ended with what it raised. */
static bool ended(struct call *call, PyObject *task) {
    PyObject *done = PyObject_CallMethodNoArgs(task, IS_DONE), *error;
    bool is_done = done == Py_True;

    Py_XDECREF(done);
    if (!is_done)
        return false;
    error = PyObject_CallMethodNoArgs(task, EXCEPTION);
    if (error == NULL) { /* it was cancelled */
        PyErr_Clear();
        call_ended(call, NULL);
        return true;
    }
    call_ended(call, error == Py_None ? NULL : error);
    Py_DECREF(error);
    return true;
}

static PyObject *on_done(PyObject *self, PyObject *task) {
    struct call *call = (struct call *)self;

    ended(call, task);
    if (call->server->lanes != NULL) /* else it outlived the server */
        out_settle(call->server);
    Py_RETURN_NONE;
}

static PyMethodDef on_done_method = {"on_done", on_done, METH_O, NULL};

static void watch(struct call *call, PyObject *task) {
    PyObject *callback = PyCFunction_New(&on_done_method, (PyObject *)call);
    PyObject *added = callback ? PyObject_CallMethodOneArg(task, ADD_DONE, callback) : NULL;

    if (added == NULL)
        PyErr_WriteUnraisable(task);
    else
        call_waits(call, task);
    Py_XDECREF(added);
    Py_XDECREF(callback);
}

/* ---- the first step -------------------------------------------------------------------- */

static PyObject *catch_step(PyObject *self, PyObject *const *args, Py_ssize_t count,
                            PyObject *keywords) {
    (void)self;
    (void)keywords;
    if (count > 0)
        Py_XSETREF(caught, Py_NewRef(args[0]));
    Py_RETURN_NONE;
}

static PyMethodDef catch_method = {"call_soon", (PyCFunction)(void (*)(void))catch_step,
                                   METH_FASTCALL | METH_KEYWORDS, NULL};

/* Whether a task is over, whatever exception is set. */
static bool is_done(PyObject *task) {
    PyObject *type, *value, *traceback, *done;
    bool result;

    PyErr_Fetch(&type, &value, &traceback);
    done = PyObject_CallMethodNoArgs(task, IS_DONE);
    result = done == Py_True;
    Py_XDECREF(done);
    PyErr_Restore(type, value, traceback);
    return result;
}

/* Makes a task and takes its step; a new reference, or NULL with an exception. */
static PyObject *task_caught(struct server *server, PyObject *coroutine, PyObject *context) {
    PyObject *args[] = {coroutine, server->loop, context}, *task, *step, *result;

    if (PyObject_SetAttr(server->loop, CALL_SOON, catcher) < 0)
        return NULL;
    task = PyObject_Vectorcall(TASK, args, 1, names);
    if (PyObject_SetAttr(server->loop, CALL_SOON, NULL) < 0) { /* the class's own again */
        Py_XDECREF(task);
        return NULL;
    }
    if (task == NULL)
        return NULL;
    step = caught;
    caught = NULL;
    result = step ? PyObject_CallNoArgs(step) : NULL;
    Py_XDECREF(step);
    if (result == NULL && is_done(task))
        PyErr_Clear(); /* SystemExit and KeyboardInterrupt, which the task tells as well */
    else if (result == NULL)
        Py_CLEAR(task);
    Py_XDECREF(result);
    return task;
}

static PyObject *task_eager(struct server *server, PyObject *coroutine, PyObject *context) {
    PyObject *args[] = {coroutine, server->loop, context, Py_True};

    return PyObject_Vectorcall(TASK, args, 1, eager_names);
}

static PyObject *call_app(struct server *server, struct call *call, PyObject *scope,
                          PyMethodDef *receive, PyMethodDef *send) {
    PyObject *args[4] = {NULL, scope, PyCFunction_New(receive, (PyObject *)call),
                         PyCFunction_New(send, (PyObject *)call)};
    PyObject *coroutine = NULL;

    if (args[2] != NULL && args[3] != NULL)
        coroutine = PyObject_Vectorcall(server->app, args + 1, 3 | PY_VECTORCALL_ARGUMENTS_OFFSET,
                                        NULL);
    Py_XDECREF(args[2]);
    Py_XDECREF(args[3]);
    return coroutine;
}

/* The application failed before it gave a coroutine. */
static void failed(struct call *call) {
    PyObject *type, *error, *traceback;

    PyErr_Fetch(&type, &error, &traceback);
    PyErr_NormalizeException(&type, &error, &traceback);
    if (traceback != NULL)
        PyException_SetTraceback(error, traceback);
    call_ended(call, error ? error : Py_None);
    Py_XDECREF(type);
    Py_XDECREF(error);
    Py_XDECREF(traceback);
}

void task_start(struct lane *lane, struct call *call, PyObject *scope, PyMethodDef *receive,
                PyMethodDef *send) {
    struct server *server = lane->server;
    PyObject *context = PyContext_CopyCurrent(), *coroutine, *task = NULL;

    if (context == NULL || PyContext_Enter(context) < 0) {
        failed(call);
        Py_XDECREF(context);
        return;
    }
    coroutine = call_app(server, call, scope, receive, send);
    if (coroutine != NULL)
        task = eager_names ? task_eager(server, coroutine, context)
                           : task_caught(server, coroutine, context);
    if (PyContext_Exit(context) < 0)
        PyErr_WriteUnraisable(context);
    if (task == NULL)
        failed(call);
    else if (!ended(call, task))
        watch(call, task);
    Py_XDECREF(task);
    Py_XDECREF(coroutine);
    Py_DECREF(context);
}

int tasks_ready(void) {
    PyObject *asyncio = PyImport_ImportModule("asyncio");

    if (asyncio == NULL)
        return -1;
    TASK = PyObject_GetAttrString(asyncio, "Task");
    Py_DECREF(asyncio);
    CALL_SOON = PyUnicode_InternFromString("call_soon");
    IS_DONE = PyUnicode_InternFromString("done");
    EXCEPTION = PyUnicode_InternFromString("exception");
    ADD_DONE = PyUnicode_InternFromString("add_done_callback");
    catcher = PyCFunction_New(&catch_method, NULL);
    names = Py_BuildValue("(ss)", "loop", "context");
    if (Py_Version >= 0x030c0000)
        eager_names = Py_BuildValue("(sss)", "loop", "context", "eager_start");
    return TASK && CALL_SOON && IS_DONE && EXCEPTION && ADD_DONE && catcher && names ? 0 : -1;
}
