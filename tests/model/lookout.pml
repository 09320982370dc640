/* How copies in a process's memory hear of changes in a cluster, for spin: src/backend/redis/lookout.c, with the same names.
 *
 * Two nodes, a slot with the key that a process reads through its memory, and others that change this key, or another one, where
 * the slot is. The slot moves (key by key, which are changes for both nodes), or is taken over (a fail-over: nobody tells), and may
 * move back. Each watched node has a link that names the keys which change there, in order, late, and may break. What memory
 * does with "lost" and "guarded" is coherence.pml's; here it is as simple as can be. While nobody guards, copies live for a
 * second, which may be long enough for everything. The key's value is a number that grows with every change, so "older" is "less".
 *
 * Checked:
 *   - whoever has been told of a change reads nothing older than what the same node had changed before;
 *   - once everything has been delivered, noticed and asked for, the copy is what the store has.
 *
 * Every rule has a macro WITHOUT_... that takes it out; check.sh sees that the check fails then.
 *
 * Variants: LINKS MOVING FLEET RETURNING. LINKS: one node, whose link breaks. MOVING: the second node is not known at first, and
 * the slot goes there. FLEET: both are masters from the beginning. RETURNING: the slot is taken over, and moves back. */

#ifdef LINKS
#define SECOND false
#define BREAKS 2
#define LOOKS 2
#define WRITES 2
#define MOVES 0
#endif
#ifdef MOVING
#define SECOND false
#define BREAKS 0
#define LOOKS 1
#define WRITES 1
#define MOVES 1
#endif
#ifdef FLEET
#define SECOND true
#define BREAKS 0
#define LOOKS 1
#define WRITES 1
#define MOVES 1
#endif
#ifdef RETURNING
#define SECOND true
#define BREAKS 0
#define LOOKS 1
#define WRITES 1
#define MOVES 2
#define QUEUE 1
#endif
#ifndef QUEUE
#define QUEUE 2
#endif

byte stored;                    /* the key's value in the store, and with it how many changes there were */
byte place;                     /* the node that has the slot */
byte made[2];                   /* the key's last change at each node */

/* The process: its memory and the read that is under way, ... */
byte copy;                      /* 0: none */
byte told;                      /* nothing older may be read */
bool note_on, note_changed;

/* ... its map, ... */
byte slot;                      /* the node that it leads to */
bool listed[2];                 /* masters of the map */
bool visited[2];                /* somebody was sent there lately */
bool covered[2];

/* ... and its lookout. */
bool member[2];
bool guards[2];                 /* the member's watch is guarded */
bool up[2];                     /* the node tells this link of changes */
bool broken[2];                 /* the link has ended, and nobody has noticed */
bool guarded;                   /* the whole */
byte strays, losses;            /* since the lookout counted last */
bool dirty, judging;

/* Whether it is about the key, and the key's last change at this node. */
chan link0 = [QUEUE] of { bool, byte };
chan link1 = [QUEUE] of { bool, byte };

byte running;                   /* of reader, writer, mover and breaker */

/* With a loss, and when somebody guards again, memory begins anew. */
inline begin_anew() { copy = 0; note_changed = note_on }

/* With the cluster's lock held: calls are led to node n from now on. */
inline led(n) {
    if
    :: !covered[n] ->
#ifndef WITHOUT_STRAYS /* RETURNING */
        strays++;
#endif
        dirty = true
    :: else
    fi
}

/* ---- the cluster --------------------------------------------------------------------------------------------------------- */

#define CAN_TELL (len(link0) < QUEUE && len(link1) < QUEUE)

inline tell(n, ours) {
    if
    :: up[n] && n == 0 -> link0 ! ours, made[0]
    :: up[n] && n == 1 -> link1 ! ours, made[1]
    :: !up[n]
    fi
}

proctype writer() {
    byte n;
    do
    :: n < WRITES ->
        n++;
        if
        :: atomic { CAN_TELL -> stored++; made[place] = stored; tell(place, true) }
        :: atomic { BREAKS > 0 && CAN_TELL -> tell(place, false) } /* another key */
        fi
    :: else -> break
    od;
    atomic { n = 0; running-- }
}

proctype mover() {
    byte n;
    do
    :: n < MOVES ->
        n++;
        if
        /* For the old node the key goes, for the new one it comes. */
        :: atomic { n == MOVES && CAN_TELL -> tell(place, true); place = 1 - place; tell(place, true) }
        /* Or it is taken over, as the first that happens. */
        :: atomic { n == 1 -> place = 1 - place }
        :: break
        fi
    :: else -> break
    od;
    atomic { n = 0; running-- }
}

inline drain(n) {
    do
    :: n == 0 && len(link0) > 0 -> link0 ? _, _
    :: n == 1 && len(link1) > 0 -> link1 ? _, _
    :: else -> break
    od
}

/* What a link holds when it breaks is lost. */
proctype breaker() {
    byte n, times;
    do
    :: times < BREAKS ->
        times++;
        if
        :: atomic { up[0] -> n = 0; up[0] = false; broken[0] = true; drain(n) }
        :: atomic { up[1] -> n = 1; up[1] = false; broken[1] = true; drain(n) }
        :: break
        fi
    :: else -> break
    od;
    atomic { n = 0; times = 0; running-- }
}

/* ---- the process --------------------------------------------------------------------------------------------------------- */

proctype reader() {
    byte looks, v, lo, n;
    do
    :: looks < LOOKS ->
        atomic { looks++; lo = told; v = copy };
        if
        :: v != 0
        :: else ->
            atomic { note_on = true; n = slot };
            do
            :: atomic { n == place -> v = stored; break }
            :: atomic { n != place -> n = place }; /* MOVED or ASK, and on its way */
               atomic {
                if
                :: slot = n
                :: true
                fi;
                visited[n] = true;
                led(n)
               }
            od;
            atomic {
                if
                :: !note_changed -> copy = v
                :: else
                fi;
                note_on = false; note_changed = false
            }
        fi;
        atomic { assert(v >= lo); v = 0; lo = 0; n = 0 }
    :: else -> break
    od;
    atomic { looks = 0; running-- }
}

/* Now and then the map is asked for. */
proctype passing_time() {
end:
    do
#ifndef WITHOUT_ASKING_FOR_THE_MAP /* MOVING */
    :: atomic { slot != place || !listed[place] ->
        listed[place] = true;
        if
        :: SECOND -> true /* the other one has slots still */
        :: listed[1 - place] = false
        fi;
        led(place);
        slot = place;
        dirty = true
       }
#endif
    :: atomic { slot == place && listed[place] && (visited[0] || visited[1]) ->
        visited[0] = false; visited[1] = false; /* that was long ago */
        dirty = true
       }
    od
}

/* ---- watches ------------------------------------------------------------------------------------------------------------- */

inline heard(ours, last) {
    if
    :: ours -> copy = 0; note_changed = note_on
    :: else
    fi;
    if
    :: last > told -> told = last
    :: else
    fi;
    ours = false; last = 0
}

proctype watch(byte n) {
    bool ours;
    byte last;
end:
    do
    :: atomic { guards[n] && n == 0 && nempty(link0) -> link0 ? ours, last; heard(ours, last) }
    :: atomic { guards[n] && n == 1 && nempty(link1) -> link1 ? ours, last; heard(ours, last) }
    /* member_lost; the link is made anew only afterwards */
    :: atomic { broken[n] && member[n] -> guards[n] = false };
#ifndef WITHOUT_COUNTING_LOSSES
        losses++;
#endif
        atomic {
#ifndef WITHOUT_TELLING_LOSSES_AT_ONCE
            if
            :: guarded -> guarded = false; begin_anew()
            :: else
            fi;
#endif
            broken[n] = false;
            dirty = true
        }
    /* A link, and the node's word that it tells of changes */
    :: atomic { member[n] && !up[n] && !broken[n] && !guards[n] -> up[n] = true }
    :: atomic { member[n] && up[n] && !broken[n] && !guards[n] ->
#ifndef WITHOUT_BEGINNING_ANEW_WITH_A_LINK
        if
        :: !guarded || strays > 0 -> guarded = false; begin_anew()
        :: else
        fi;
#endif
        guards[n] = true; dirty = true
       }
    od
}

/* ---- the lookout --------------------------------------------------------------------------------------------------------- */

#define WANTED(n) (listed[n] || visited[n] || slot == (n))

inline add_wanted() {
    atomic { member[0] = member[0] || WANTED(0); member[1] = member[1] || WANTED(1) }
}

/* Its link and thread end; nothing more is told. */
inline remove(n) {
    atomic {
        if
        :: member[n] && !WANTED(n) ->
#ifndef WITHOUT_UNCOVERING /* RETURNING */
            covered[n] = false;
#endif
            left = true;
            member[n] = false; guards[n] = false; up[n] = false; broken[n] = false;
            drain(n)
        :: else
        fi
    }
}

proctype lookout() {
    byte s, l;
    bool whole, left;
end:
    do
    :: atomic { dirty -> dirty = false; judging = true };
#ifndef WITHOUT_COUNTING_BEFORE_LOOKING
        atomic { s = strays; l = losses };
#endif
        add_wanted();
        remove(0);
        remove(1);
        whole = !member[0] || guards[0];
#ifndef WITHOUT_GUARDING_ALL /* MOVING */
        whole = whole && (!member[1] || guards[1]);
#endif
#ifdef WITHOUT_COUNTING_BEFORE_LOOKING
        atomic { s = strays; l = losses };
#endif
        if
        :: whole ->
            covered[0] = covered[0] || member[0];
            covered[1] = covered[1] || member[1]
        :: else
        fi;
        atomic {
            if
#ifndef WITHOUT_LEAVING_IS_A_LOSS /* FLEET */
            :: guarded && (!whole || left || s > 0 || l > 0) -> guarded = false; begin_anew()
#else
            :: guarded && (!whole || s > 0 || l > 0) -> guarded = false; begin_anew()
#endif
            :: else
            fi;
            if
#ifndef WITHOUT_LOOKING_AT_LOSSES_AGAIN
            :: whole && !guarded && l == losses && s == strays ->
#else
            :: whole && !guarded && s == strays ->
#endif
                guarded = true; begin_anew()
            :: else
            fi;
            strays = strays - s; losses = losses - l;
            s = 0; l = 0; whole = false; left = false; judging = false
        }
    od
}

/* Nothing is under way, everything is delivered, what is to be noticed has been. */
#ifndef WITHOUT_ASKING_FOR_THE_MAP /* MOVING */
#define MAP_IS_TRUE (slot == place && listed[place])
#else
#define MAP_IS_TRUE true
#endif
#define CALM(n) (!broken[n] && (!member[n] || guards[n]))

proctype end_judge() {
    atomic {
        running == 0 && empty(link0) && empty(link1) && CALM(0) && CALM(1) && !dirty && !judging && MAP_IS_TRUE;
        assert(copy == 0 || copy == stored)
    }
}

init {
    atomic {
        stored = 1;
        if
        :: copy = 1 /* it was read before */
        :: true
        fi;
        listed[0] = true; listed[1] = SECOND;
        member[0] = true; guards[0] = true; up[0] = true; covered[0] = true;
        member[1] = SECOND; guards[1] = SECOND; up[1] = SECOND; covered[1] = SECOND;
        guarded = true;
        running = 4;
        run reader();
        run writer();
        run mover();
        run breaker();
        run watch(0);
        run watch(1);
        run passing_time();
        run lookout();
        run end_judge()
    }
}
