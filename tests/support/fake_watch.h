/* support/fake_watch.h - connections to a fake store that tell of changes, when the test says so.
 *
 *     fake_hub *hub = fake_hub_open(store);
 *     ckit_cache_new(&options, fake_watch_connect(hub, FAKE_FULL, &a), &cache, &err);
 *     fake_guard(a, CKIT_GUARDS_READS | CKIT_GUARDS_WRITES);
 *     ... another connection of the hub changes an entry ...
 *     fake_deliver(a);
 *     ...
 *     ckit_cache_close(cache);
 *     fake_hub_close(hub);
 *
 * Every change that is made through a connection of the hub waits in the queue of each of its connections, but that of
 * its maker, until it is delivered; in order. Messages are delivered in the thread that asks for it. Thread-safe. */
#ifndef CKIT_SUPPORT_FAKE_WATCH_H
#define CKIT_SUPPORT_FAKE_WATCH_H

#include "support/fake_backend.h"

typedef struct fake_hub   fake_hub;
typedef struct fake_watch fake_watch;

fake_hub *fake_hub_open(fake_store *store);
/* Every connection has been closed. */
void fake_hub_close(fake_hub *hub);
/* Changes are told to their makers too. */
void fake_hub_echo(fake_hub *hub, bool echo);
/* The next watches are refused. */
void fake_hub_refuse(fake_hub *hub, ckit_status status);

/* *out lives as long as the backend. */
ckit_backend *fake_watch_connect(fake_hub *hub, fake_kind kind, fake_watch **out);
bool          fake_is_watched(fake_watch *watch);

/* Delivers what waits: one message (false: there is none), or all of them. */
bool   fake_deliver_one(fake_watch *watch);
size_t fake_deliver(fake_watch *watch);
size_t fake_waiting(fake_watch *watch);

/* The link breaks: what waits is lost, and so is what comes until it is repaired. The other end has not noticed yet. */
void fake_break_link(fake_watch *watch);
void fake_repair_link(fake_watch *watch);
/* The other end notices. */
void fake_lose(fake_watch *watch);
/* The other end is told by the (repaired) link that everything is told from now on. */
void fake_guard(fake_watch *watch, unsigned what);

/* Messages that nobody's operation has caused. */
void fake_tell(fake_watch *watch, ckit_slice key);
void fake_tell_call(fake_watch *watch, ckit_slice namespace_name, ckit_slice hash);
void fake_tell_scope(fake_watch *watch, const ckit_scope *scope);

#endif
