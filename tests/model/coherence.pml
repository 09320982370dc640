/* The protocol by which copies in a process's memory die when another process changes the store, for spin.
 *
 * Two processes with a memory each, one store, keys 1 and 2; to each process a link, which delivers messages late and in
 * order, and may break. The store's value of a key is a number that grows with every change, so "older" is "less". What
 * is modelled is src/cache/coherence.h; the same names are used. Process 0 reads and writes, process 1 writes and keeps
 * what it wrote; with FLIGHT process 0 has two readers instead, of which the second may follow the first.
 *
 * Checked:
 *   - a read that begins after a message was processed returns nothing older than what the message told of;
 *   - a copy that is put into memory is not older than what the messages processed so far have told of;
 *   - once everything has been delivered and every copy that nobody guards has ended its short life, no memory holds
 *     anything but the store's value; but, while the watch is lost, what the store did not take.
 *
 * Every rule has a macro WITHOUT_... that takes it out; check.sh sees that the check fails then.
 *
 * Variants: PLAIN FLIGHT ECHO PER_KEY. ECHO: the store tells writers of their own changes too. PER_KEY: it tells a process only
 * of keys that it has read (or written, by a store that guards these too) since it was told last. */

#define PROCESSES 2
#define KEYS 2
#define QUEUE 3

#ifndef WRITES
#define WRITES 1
#endif

byte stored[KEYS];   /* the store's values */
byte newest;         /* numbers given out */

/* Of process p and key k, at p * KEYS + k. */
#define AT(p, k) ((p) * KEYS + (k))
byte copy[PROCESSES * KEYS];        /* 0: none */
bool unguarded[PROCESSES * KEYS];   /* the copy lives for a moment only */
bool alone[PROCESSES * KEYS];       /* the copy is of a write that the store did not take */
bool found[PROCESSES * KEYS];       /* a row for it stands in the table of copies: a message finds it */
byte told[PROCESSES * KEYS];        /* what the messages processed so far have told of */
bool read_since[PROCESSES * KEYS];  /* PER_KEY: the store remembers that the process has read it */

byte state[PROCESSES];              /* of the watch: odd is guarded */
bool up[PROCESSES];                 /* the link */
bool lost_untold[PROCESSES];        /* it broke, and the process has not noticed */

chan link0 = [QUEUE] of { byte, byte };
chan link1 = [QUEUE] of { byte, byte };

/* What is under way: a note for each worker. */
#define WORKERS 5
byte note_key[WORKERS];
bool note_on[WORKERS];
bool note_changed[WORKERS];
byte note_state[WORKERS];
#define note_of(w) ((w) % 2) /* the process */

/* The flight of process 0's first reader. */
bool flight_open;
byte flight_key;
byte flight_value;
bool flight_landed;

byte running; /* workers that have not ended */

inline note_begin(w, p, k) {
    note_key[w] = k; note_on[w] = true; note_changed[w] = false; note_state[w] = state[p]
}
inline note_end(w) {
    note_key[w] = 0; note_on[w] = false; note_changed[w] = false; note_state[w] = 0
}

/* Everything under way with the key, in process p, is overtaken. */
inline mark(p, k) {
    for (i : 0 .. WORKERS - 1) {
        if
        :: note_on[i] && note_of(i) == p && note_key[i] == k -> note_changed[i] = true
        :: else
        fi
    }
    i = 0
}

inline drop_copy(p, k) {
    copy[AT(p, k)] = 0; unguarded[AT(p, k)] = false; alone[AT(p, k)] = false; found[AT(p, k)] = false
}

/* The table of copies gets a row for the key; another may have to be given up. */
inline add_row(p, k) {
    if
    :: found[AT(p, 1 - (k))] ->
#ifndef WITHOUT_ROWS_TAKE_THEIR_COPY
        drop_copy(p, 1 - (k));
#else
        found[AT(p, 1 - (k))] = false;
#endif
    :: else
    fi;
    found[AT(p, k)] = true
}

#ifndef WITHOUT_SHORT_LIFE
#define SHORT_LIFE(p) (state[p] % 2 == 0)
#else
#define SHORT_LIFE(p) false
#endif

/* ckiti_copy_put: `put` tells whether it was done. */
inline copy_put(w, p, k, v, written) {
    put = true;
#ifndef WITHOUT_NOTES
    if
    :: note_changed[w] -> put = false
    :: else
    fi;
#endif
#ifndef WITHOUT_STATE_OF_NOTE
    if
    :: note_state[w] != state[p] -> put = false
    :: else
    fi;
#endif
#ifdef PER_KEY
#ifndef WITHOUT_WRITES_ARE_NOT_GUARDED /* PER_KEY */
    if
    :: written && state[p] % 2 == 1 -> put = false
    :: else
    fi;
#endif
#endif
    if
    :: put ->
        assert(v >= told[AT(p, k)]); /* no stale fill */
        copy[AT(p, k)] = v;
        alone[AT(p, k)] = false;
        unguarded[AT(p, k)] = SHORT_LIFE(p);
#ifndef WITHOUT_ROWS_OF_THE_UNGUARDED
        add_row(p, k)
#else
        if
        :: state[p] % 2 == 1 -> add_row(p, k)
        :: else -> found[AT(p, k)] = false
        fi
#endif
    :: else
    fi
}

/* The store tells process q of a change of key k to v. */
inline send(q, k, v) {
    if
    :: !up[q]
    :: up[q] && q == 0 -> link0 ! k, v
    :: up[q] && q == 1 -> link1 ! k, v
    fi
}

/* The store makes a change, for process p: to it and to the messages about it, nothing comes between. */
inline store_change(p, k, v) {
    newest++;
    v = newest;
    stored[k] = v;
#ifdef PER_KEY
    if
    :: read_since[AT(1 - (p), k)] -> send((1 - (p)), k, v); read_since[AT(1 - (p), k)] = false
    :: else
    fi;
    read_since[AT(p, k)] = false
#else
    send((1 - (p)), k, v);
#ifdef ECHO
    send((p), k, v)
#endif
#endif
}

#define can_send(p) (len(link0) < QUEUE && len(link1) < QUEUE)

/* A read through memory and store. `w` is its note. */
inline look(w, p, k, v, lo) {
    atomic {
        lo = told[AT(p, k)];
        v = copy[AT(p, k)]
    }
    if
    :: v != 0 -> assert(v >= lo)
    :: else ->
#ifndef WITHOUT_NOTE_BEFORE_READING
        atomic { note_begin(w, p, k) };
#endif
        atomic {
            v = stored[k];
            read_since[AT(p, k)] = up[p]
        };
        /* the reply is on its way */
#ifdef WITHOUT_NOTE_BEFORE_READING
        atomic { note_begin(w, p, k) };
#endif
#ifndef WITHOUT_PUTTING_AT_ONCE
        atomic { copy_put(w, p, k, v, false); note_end(w) };
#else
        atomic { put = !note_changed[w] && note_state[w] == state[p] };
        if
        :: put -> atomic { note_changed[w] = false; copy_put(w, p, k, v, false) }
        :: else
        fi;
        atomic { note_end(w) };
#endif
        assert(v >= lo)
    fi
}

/* What it knew is of no more interest to anybody. */
inline end_worker() {
    atomic { k = 0; v = 0; lo = 0; put = false; running-- }
}

#ifdef FLIGHT
/* The first reader of process 0 leads a flight while it reads. */
proctype leader() {
    byte k, v, lo, i;
    bool put;
    if
    :: k = 0
    :: k = 1
    fi;
    atomic {
        lo = told[AT(0, k)];
        v = copy[AT(0, k)];
        if
        :: v != 0
        :: else -> note_begin(0, 0, k); flight_key = k; flight_open = true
        fi
    };
    if
    :: v != 0 -> assert(v >= lo)
    :: else ->
        atomic { v = stored[k]; read_since[AT(0, k)] = up[0] };
        atomic { copy_put(0, 0, k, v, false); flight_value = v; flight_landed = true; flight_open = false };
        atomic { note_end(0) };
        assert(v >= lo)
    fi;
    end_worker()
}

#ifndef WITHOUT_LEAVING_OVERTAKEN_FLIGHTS /* FLIGHT */
#define TAKES_FOLLOWERS (!note_changed[0])
#else
#define TAKES_FOLLOWERS true
#endif

/* The second joins it when it has begun before, or reads by itself. */
proctype follower() {
    byte k, v, lo, i;
    bool put, joined;
    if
    :: k = 0
    :: k = 1
    fi;
    atomic {
        lo = told[AT(0, k)];
        if
        :: copy[AT(0, k)] == 0 && flight_open && flight_key == k && TAKES_FOLLOWERS -> joined = true
        :: else
        fi
    };
    if
    :: joined -> atomic { flight_landed -> v = flight_value }; assert(v >= lo)
    :: else -> look(2, 0, k, v, lo)
    fi;
    end_worker()
}
#else

proctype reader(byte p) {
    byte k, v, lo, i;
    byte who = p;
    bool put;
    if
    :: k = 0
    :: k = 1
    fi;
    look(who, p, k, v, lo);
    end_worker()
}
#endif

/* Writes, or (delete) makes the store forget, which is a change like another. */
proctype writer(byte p) {
    byte k, v, i, n;
    bool put, fails;
#ifdef FLIGHT
    byte w = 4 - p; /* 4 and 3 */
#else
    byte w = 2 + p;
#endif
    do
    :: n < WRITES ->
        n++;
        if
        :: k = 0
        :: p == 0 -> k = 1 /* the keys are alike: that of the other writer counts as the first */
        fi;
#ifndef WITHOUT_NOTE_BEFORE_WRITING
        atomic { note_begin(w, p, k) };
#endif
        if
        :: atomic { can_send(p) -> store_change(p, k, v) }
        :: atomic { p == 0 && !up[p] -> newest++; v = newest; fails = true } /* nobody is there to take it */
        fi;
        /* the reply is on its way */
#ifdef WITHOUT_NOTE_BEFORE_WRITING
        atomic { note_begin(w, p, k) };
#endif
        atomic {
            /* Nothing older stays, whoever put it there, and what this process reads meanwhile is not put over it. */
            put = false;
            note_on[w] = false; /* its own change does not overtake it */
#ifndef WITHOUT_OWN_WRITES_OVERTAKE_READS
            mark(p, k);
#endif
#ifndef WITHOUT_OWN_WRITES_REPLACE
            drop_copy(p, k);
#endif
            copy_put(w, p, k, v, true);
            if
            :: fails && put && state[p] % 2 == 0 -> alone[AT(p, k)] = true; unguarded[AT(p, k)] = false
            :: else
            fi;
            fails = false;
            note_end(w)
        }
    :: else -> break
    od;
    n = 0;
    atomic { w = 0; k = 0; v = 0; put = false; running-- }
}

/* The process at the end of a link. */
inline process_message(p, k, v) {
#ifndef WITHOUT_MESSAGES_MARK_NOTES
    mark(p, k);
#endif
#ifndef WITHOUT_MESSAGES_DROP_COPIES
    if
    :: found[AT(p, k)] -> drop_copy(p, k)
    :: else
    fi;
#endif
    told[AT(p, k)] = v; /* messages of one link come in order */
    k = 0; v = 0
}

inline drop_all(p) { drop_copy(p, 0); drop_copy(p, 1) }

proctype receiver(byte p) {
    byte k, v, i;
end:
    do
    :: atomic { p == 0 && nempty(link0) -> link0 ? k, v; process_message(p, k, v) }
    :: atomic { p == 1 && nempty(link1) -> link1 ? k, v; process_message(p, k, v) }
    /* It notices that the link is broken. */
    :: atomic { lost_untold[p] && ((p == 0 && empty(link0)) || (p == 1 && empty(link1))) ->
        lost_untold[p] = false;
        state[p]++;
#ifndef WITHOUT_LOSING_DROPS_COPIES
        drop_all(p);
#endif
       }
    /* And makes another. */
#ifndef WITHOUT_CONFIRMATION
    :: atomic { !up[p] && !lost_untold[p] && state[p] % 2 == 0 -> up[p] = true };
#else
    :: atomic { !up[p] && !lost_untold[p] && state[p] % 2 == 0 -> state[p]++; drop_all(p) };
       atomic { up[p] = true };
#endif
    :: atomic { up[p] && !lost_untold[p] && state[p] % 2 == 0 ->
        state[p]++;
#ifndef WITHOUT_GUARDING_DROPS_COPIES
        drop_all(p);
#endif
       }
    /* The short life of a copy ends. */
    :: atomic { unguarded[AT(p, 0)] -> drop_copy(p, 0) }
    :: atomic { unguarded[AT(p, 1)] -> drop_copy(p, 1) }
    od
}

/* A link breaks, once: what it holds is lost. */
proctype breaker() {
    if
    :: atomic { up[0] ->
        up[0] = false; lost_untold[0] = true;
        read_since[AT(0, 0)] = false; read_since[AT(0, 1)] = false;
        do
        :: nempty(link0) -> link0 ? _, _
        :: empty(link0) -> break
        od
       }
    :: atomic { true }
    fi;
    running--
}

/* What the store did not take may stay while the watch is lost. */
#define AS_STORED(p, k) \
    (copy[AT(p, k)] == 0 || copy[AT(p, k)] == stored[k] || (alone[AT(p, k)] && state[p] % 2 == 0))

/* The check of the end: nothing is under way, everything is delivered, no short life is left. */
proctype judge() {
    atomic {
        running == 0 && empty(link0) && empty(link1) && !lost_untold[0] && !lost_untold[1] &&
        !unguarded[0] && !unguarded[1] && !unguarded[2] && !unguarded[3];
        assert(AS_STORED(0, 0) && AS_STORED(0, 1) && AS_STORED(1, 0) && AS_STORED(1, 1))
    }
}

init {
    atomic {
        stored[0] = 1; stored[1] = 1; newest = 1;
        up[0] = true; up[1] = true; state[0] = 1; state[1] = 1;
        running = 4;
#ifdef FLIGHT
        run leader();
        run follower();
#else
        run reader(0);
        run writer(0);
#endif
        run writer(1);
        run breaker();
        run receiver(0);
        run receiver(1);
        run judge()
    }
}
