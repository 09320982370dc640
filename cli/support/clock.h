/* clock.h - the time. */
#ifndef CKIT_CLI_CLOCK_H
#define CKIT_CLI_CLOCK_H

#include <stdint.h>

/* Milliseconds of CLOCK_MONOTONIC, which deadlines are given in. */
uint64_t cli_now_ms(void);
/* A point `ms` from now on it. */
uint64_t cli_deadline_in(uint64_t ms);
/* Unix time in milliseconds. */
int64_t cli_wall_ms(void);

#endif
