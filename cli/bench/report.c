#include "bench/report.h"

#include "support/figures.h"
#include "support/output.h"
#include "support/units.h"

#include <cachekit/buf.h>
#include <inttypes.h>
#include <stdio.h>

static const struct share {
    const char *name;
    double      share;
} shares[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}};
#define SHARE_COUNT (sizeof shares / sizeof *shares)

static double part(uint64_t some, uint64_t all) { return all == 0 ? 0 : (double)some / (double)all; }
static double seconds(uint64_t ns) { return (double)ns / 1e9; }
static double mean_ns(const cli_histogram *h) { return part(h->sum_ns, h->count); }

/* ---- for people --------------------------------------------------------------------------------------------- */

#define TIME_TEXT 24
static const char *time_text(double ns, char text[TIME_TEXT]) {
    static const char *const units[] = {"ns", "us", "ms", "s"};
    unsigned                 unit = 0;
    for (; ns >= 999.5 && unit < 3; unit++) {
        ns /= 1000;
    }
    (void)snprintf(text, TIME_TEXT, "%.*f %s", unit == 0 || ns >= 99.95 ? 0 : ns >= 9.995 ? 1 : 2, ns, units[unit]);
    return text;
}

static void print_load(const cli_load_plan *plan, const cli_bench_facts *facts) {
    char least[CLI_UNITS_TEXT], most[CLI_UNITS_TEXT];
    cli_print("store       %s%s\n", facts->backend, facts->is_private ? ", a private one that is gone again" : "");
    if (facts->trace != NULL) {
        cli_print("load        the trace ");
        cli_print_escaped(ckit_slice_str(facts->trace));
    } else {
        cli_print("load        %g %% gets, %" PRIu64 " keys, ", plan->get_share * 100, (uint64_t)plan->keys.items);
        if (plan->keys.skew == 0) {
            cli_print("all alike");
        } else {
            cli_print("Zipf %g", plan->keys.skew);
        }
    }
    cli_print(", values of %s", cli_size_text(plan->value_min, least));
    if (plan->value_max != plan->value_min) {
        cli_print(" to %s", cli_size_text(plan->value_max, most));
    }
    cli_print(" bytes, %u %s\n", plan->threads, plan->threads == 1 ? "thread" : "threads");
}

static void print_counts(const cli_load_result *r, const cli_bench_facts *facts) {
    char     read[CLI_UNITS_TEXT], written[CLI_UNITS_TEXT];
    uint64_t gets = r->get_times.count;
    cli_print("time        %.2f s%s, processor %.2f s user, %.2f s system\n", seconds(r->elapsed_ns),
              facts->interrupted ? " (interrupted)" : "", seconds(r->user_ns), seconds(r->system_ns));
    cli_print(
        "operations  %" PRIu64 ", %.0f/s: %" PRIu64 " gets, %" PRIu64 " sets, and %" PRIu64 " sets after misses\n",
        r->operations, (double)r->operations / seconds(r->elapsed_ns), gets, r->set_times.count - r->fills, r->fills);
    cli_print("hit ratio   %.2f %%: memory %.2f %%, store %.2f %%\n", 100 * part(r->memory_hits + r->store_hits, gets),
              100 * part(r->memory_hits, gets), 100 * part(r->store_hits, gets));
    if (facts->was_empty && r->misses > 0) {
        cli_print(
            "            (the store was empty when the run began, so the first get of a key misses: a longer run hits "
            "more)\n");
    }
    cli_print("values      %s bytes read, %s bytes written\n", cli_size_text(r->read_bytes, read),
              cli_size_text(r->written_bytes, written));
    cli_print("errors      %" PRIu64, r->get_errors + r->set_errors);
    if (r->wrong_values > 0) {
        cli_print(", and %" PRIu64 " values of other keys", r->wrong_values);
    }
    cli_print("\n\n");
}

static void print_times(const char *name, const cli_histogram *h) {
    char text[TIME_TEXT];
    if (h->count == 0) {
        return;
    }
    cli_print("%-6s", name);
    for (size_t i = 0; i < SHARE_COUNT; i++) {
        cli_print("%11s", time_text((double)cli_histogram_at(h, shares[i].share), text));
    }
    cli_print("%11s", time_text((double)h->max_ns, text));
    cli_print("%11s\n", time_text(mean_ns(h), text));
}

void cli_bench_report(const cli_load_plan *plan, const cli_load_result *r, const cli_bench_facts *facts) {
    print_load(plan, facts);
    print_counts(r, facts);
    cli_print("%-6s", "");
    for (size_t i = 0; i < SHARE_COUNT; i++) {
        cli_print("%11s", shares[i].name);
    }
    cli_print("%11s%11s\n", "max", "mean");
    print_times("get", &r->get_times);
    print_times("set", &r->set_times);
    cli_print("\nEach time holds one reading of the clock, %.0f ns.", r->clock_ns);
    if (r->generator_ns > 0) {
        cli_print(" Making an operation takes %.0f ns beside it, clock included.", r->generator_ns);
    }
    cli_print("\n");
}

/* ---- for programs ------------------------------------------------------------------------------------------- */

static json_object *times(const cli_histogram *h) {
    json_object *object = cli_json_object();
    if (h->count == 0) {
        json_object_put(object);
        return NULL; /* json-c's null */
    }
    for (size_t i = 0; i < SHARE_COUNT; i++) {
        cli_json_add(object, shares[i].name, cli_json_uint(cli_histogram_at(h, shares[i].share)));
    }
    cli_json_add(object, "max", cli_json_uint(h->max_ns));
    cli_json_add(object, "mean", cli_json_decimals(mean_ns(h), 1));
    return object;
}

static json_object *ratio(uint64_t hits, uint64_t gets) {
    return gets == 0 ? NULL : cli_json_decimals(part(hits, gets), 6);
}

static json_object *load(const cli_load_plan *plan, const cli_bench_facts *facts) {
    json_object *object = cli_json_object();
    cli_json_add(object, "threads", cli_json_uint(plan->threads));
    if (facts->trace != NULL) {
        cli_json_add(object, "trace", cli_json_bytes(ckit_slice_str(facts->trace)));
    } else {
        cli_json_add(object, "get_percent", cli_json_decimals(plan->get_share * 100, 3));
        cli_json_add(object, "keys", cli_json_uint((uint64_t)plan->keys.items));
        cli_json_add(object, "zipf", cli_json_decimals(plan->keys.skew, 6));
        cli_json_add(object, "seed", cli_json_uint(plan->seed));
    }
    cli_json_add(object, "value_min", cli_json_uint(plan->value_min));
    cli_json_add(object, "value_max", cli_json_uint(plan->value_max));
    return object;
}

static json_object *gets(const cli_load_result *r) {
    uint64_t     count = r->get_times.count;
    json_object *object = cli_json_object(), *hits = cli_json_object();
    cli_json_add(object, "count", cli_json_uint(count));
    cli_json_add(object, "memory_hits", cli_json_uint(r->memory_hits));
    cli_json_add(object, "store_hits", cli_json_uint(r->store_hits));
    cli_json_add(object, "misses", cli_json_uint(r->misses));
    cli_json_add(object, "errors", cli_json_uint(r->get_errors));
    cli_json_add(object, "wrong", cli_json_uint(r->wrong_values));
    cli_json_add(object, "bytes", cli_json_uint(r->read_bytes));
    cli_json_add(hits, "total", ratio(r->memory_hits + r->store_hits, count));
    cli_json_add(hits, "memory", ratio(r->memory_hits, count));
    cli_json_add(hits, "store", ratio(r->store_hits, count));
    cli_json_add(object, "hit_ratio", hits);
    cli_json_add(object, "latency_ns", times(&r->get_times));
    return object;
}

static json_object *sets(const cli_load_result *r) {
    json_object *object = cli_json_object();
    cli_json_add(object, "count", cli_json_uint(r->set_times.count));
    cli_json_add(object, "after_misses", cli_json_uint(r->fills));
    cli_json_add(object, "errors", cli_json_uint(r->set_errors));
    cli_json_add(object, "bytes", cli_json_uint(r->written_bytes));
    cli_json_add(object, "latency_ns", times(&r->set_times));
    return object;
}

void cli_bench_report_json(const cli_load_plan *plan, const cli_load_result *r, const cli_bench_facts *facts) {
    json_object *object = cli_json_object(), *cpu = cli_json_object();
    cli_json_add(object, "backend", cli_json_text(facts->backend));
    cli_json_add(object, "store", facts->store == NULL ? NULL : cli_json_bytes(ckit_slice_str(facts->store)));
    cli_json_add(object, "private", cli_json_bool(facts->is_private));
    cli_json_add(object, "was_empty", cli_json_bool(facts->was_empty));
    cli_json_add(object, "load", load(plan, facts));
    cli_json_add(object, "seconds", cli_json_decimals(seconds(r->elapsed_ns), 6));
    cli_json_add(object, "interrupted", cli_json_bool(facts->interrupted));
    cli_json_add(object, "operations", cli_json_uint(r->operations));
    cli_json_add(object, "operations_per_second", cli_json_decimals((double)r->operations / seconds(r->elapsed_ns), 1));
    cli_json_add(object, "gets", gets(r));
    cli_json_add(object, "sets", sets(r));
    cli_json_add(object, "errors", cli_json_uint(r->get_errors + r->set_errors));
    cli_json_add(cpu, "user", cli_json_decimals(seconds(r->user_ns), 6));
    cli_json_add(cpu, "system", cli_json_decimals(seconds(r->system_ns), 6));
    cli_json_add(object, "cpu_seconds", cpu);
    cli_json_add(object, "clock_ns", cli_json_decimals(r->clock_ns, 1));
    cli_json_add(object, "generator_ns", r->generator_ns > 0 ? cli_json_decimals(r->generator_ns, 1) : NULL);
    cli_print_json(object);
}
