/* What skyplot asks of the system's own libraries: LAPACK to solve, libpng to write. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <errno.h>
#include <limits.h>
#include <png.h>
#include <stdio.h>
#include <string.h>

/* liblapack-dev has no C header: Fortran passes everything by reference. */
extern void dgesv_(const int *n, const int *nrhs, double *a, const int *lda, int *ipiv, double *b, const int *ldb,
                   int *info);
extern void ilaver_(int *major, int *minor, int *patch);

PyDoc_STRVAR(solve_doc,
             "solve(matrix, right, /) -> bytearray\n\n"
             "Solve matrix x = right. Both are contiguous buffers of doubles, the matrix row by row;\n"
             "the result holds the doubles of x. ValueError for a singular matrix or sizes that do not fit.");

static PyObject *solve(PyObject *module, PyObject *args)
{
    Py_buffer matrix, right;
    PyObject *result = NULL;
    double *columns = NULL;
    int *pivots = NULL;
    (void)module;

    if (!PyArg_ParseTuple(args, "y*y*:solve", &matrix, &right))
        return NULL;
    Py_ssize_t count = right.len / (Py_ssize_t)sizeof(double);
    if (count < 1 || count > 4096 || right.len != count * (Py_ssize_t)sizeof(double) || matrix.len != count * right.len) {
        PyErr_SetString(PyExc_ValueError, "solve() needs a square matrix of doubles and as many on the right");
        goto done;
    }
    columns = PyMem_Malloc((size_t)matrix.len);
    pivots = PyMem_Calloc((size_t)count, sizeof(int));
    result = PyByteArray_FromStringAndSize(right.buf, right.len);
    if (!columns || !pivots || !result) {
        Py_CLEAR(result);
        PyErr_NoMemory();
        goto done;
    }
    /* LAPACK destroys the matrix and wants it column by column. */
    for (Py_ssize_t row = 0; row < count; row++)
        for (Py_ssize_t column = 0; column < count; column++)
            memcpy(&columns[column * count + row], (char *)matrix.buf + (row * count + column) * (Py_ssize_t)sizeof(double),
                   sizeof(double));
    int n = (int)count, one = 1, info = 0;
    dgesv_(&n, &one, columns, &n, pivots, (double *)PyByteArray_AS_STRING(result), &n, &info);
    if (info != 0) {
        Py_CLEAR(result);
        PyErr_Format(PyExc_ValueError, "the matrix is singular (dgesv: info = %d)", info);
    }
done:
    PyMem_Free(columns);
    PyMem_Free(pivots);
    PyBuffer_Release(&matrix);
    PyBuffer_Release(&right);
    return result;
}

struct sink {
    FILE *file;
    Py_ssize_t bytes;
    int error;
};

static void write_to_sink(png_structp png, png_bytep data, png_size_t length)
{
    struct sink *sink = png_get_io_ptr(png);
    if (fwrite(data, 1, length, sink->file) != length) {
        sink->error = errno;
        png_error(png, "cannot write");
    }
    sink->bytes += (Py_ssize_t)length;
}

static void flush_sink(png_structp png)
{
    struct sink *sink = png_get_io_ptr(png);
    fflush(sink->file);
}

/* By itself, so that longjmp() crosses no local variable that changes after setjmp(). */
static int write_rows(png_structp png, png_infop info, struct sink *sink, const unsigned char *pixels, png_uint_32 width,
                      png_uint_32 height)
{
    if (setjmp(png_jmpbuf(png)))
        return -1;
    png_set_write_fn(png, sink, write_to_sink, flush_sink);
    png_set_IHDR(png, info, width, height, 8, PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    for (png_uint_32 row = 0; row < height; row++)
        png_write_row(png, (png_bytep)(pixels + (size_t)row * width));
    png_write_end(png, NULL);
    return 0;
}

PyDoc_STRVAR(write_gray_png_doc,
             "write_gray_png(path, pixels, width, height, /) -> int\n\n"
             "Write width * height bytes, row by row, as an 8-bit grayscale PNG; return the file's bytes.\n"
             "OSError where the file cannot be written, ValueError where the sizes do not fit.");

static PyObject *write_gray_png(PyObject *module, PyObject *args)
{
    PyObject *path = NULL;
    Py_buffer pixels;
    unsigned int width, height;
    struct sink sink = {NULL, 0, 0};
    png_structp png = NULL;
    png_infop info = NULL;
    int failed = -1;
    (void)module;

    if (!PyArg_ParseTuple(args, "O&y*II:write_gray_png", PyUnicode_FSConverter, &path, &pixels, &width, &height))
        return NULL;
    if (width == 0 || height == 0 || width > INT_MAX || (size_t)pixels.len / width != height ||
        (size_t)pixels.len % width != 0) {
        PyErr_SetString(PyExc_ValueError, "write_gray_png() needs width * height bytes");
        goto done;
    }
    png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    info = png ? png_create_info_struct(png) : NULL;
    if (!info) {
        PyErr_NoMemory();
        goto done;
    }
    sink.file = fopen(PyBytes_AS_STRING(path), "wb");
    if (!sink.file) {
        PyErr_SetFromErrnoWithFilename(PyExc_OSError, PyBytes_AS_STRING(path));
        goto done;
    }
    failed = write_rows(png, info, &sink, pixels.buf, width, height);
    if (fclose(sink.file) != 0 && !failed) {
        sink.error = errno;
        failed = -1;
    }
    if (failed) {
        errno = sink.error ? sink.error : EIO;
        PyErr_SetFromErrnoWithFilename(PyExc_OSError, PyBytes_AS_STRING(path));
    }
done:
    png_destroy_write_struct(&png, &info);
    PyBuffer_Release(&pixels);
    Py_DECREF(path);
    return failed ? NULL : PyLong_FromSsize_t(sink.bytes);
}

PyDoc_STRVAR(library_versions_doc, "library_versions() -> dict\n\nThe versions of LAPACK and libpng that are loaded.");

static PyObject *library_versions(PyObject *module, PyObject *unused)
{
    int major, minor, patch;
    char lapack[48];
    (void)module, (void)unused;

    ilaver_(&major, &minor, &patch);
    snprintf(lapack, sizeof lapack, "%d.%d.%d", major, minor, patch);
    return Py_BuildValue("{s:s,s:s}", "LAPACK", lapack, "libpng", png_get_libpng_ver(NULL));
}

static PyMethodDef methods[] = {
    {"solve", solve, METH_VARARGS, solve_doc},
    {"write_gray_png", write_gray_png, METH_VARARGS, write_gray_png_doc},
    {"library_versions", library_versions, METH_NOARGS, library_versions_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_native", "LAPACK and libpng, as far as skyplot needs them.", 0, methods, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__native(void)
{
    return PyModuleDef_Init(&definition);
}
