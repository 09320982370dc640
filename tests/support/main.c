/* A main for test files without CKIT_TEST_MAIN: alone in its file, so that the linker takes it only then. */
#include "support/test.h"

CKIT_TEST_MAIN()
