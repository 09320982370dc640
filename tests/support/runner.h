/* support/runner.h - between the runner and the checks. */
#ifndef CKIT_SUPPORT_RUNNER_H
#define CKIT_SUPPORT_RUNNER_H

/* Ends the running test as failed, in the way that fits the thread and process this is called from. */
_Noreturn void ckiti_test_leave(const char *file, int line);

#endif
