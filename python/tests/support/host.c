/* host.c - the Python interpreter, linked by the compiler of an instrumented build: the sanitizer's runtime must be in
 * the program from its start, and Debian's python3 was built without. */
#include <Python.h>

int main(int argc, char **argv) { return Py_BytesMain(argc, argv); }
