// SPDX-License-Identifier: MIT
// A server that is drained while clients come and go: the threads around detail::Lifecycle, for spin. The life itself is
// the table lifecycle_table.h, which is made from the code (see README.md).
//
// Modelled: a serving thread, a handler for each client, one or two callers of drain(), one of server_close(). A critical
// section of the code is one atomic step here. Not modelled: workers, the time between two deadlines (a deadline
// may come at any moment), failures.

#ifndef CLIENTS
#define CLIENTS 2
#endif
#ifndef DRAINERS
#define DRAINERS 2
#endif

c_decl {
\#include "lifecycle_table.h"
}

// Events, in the order of the table's columns.
#define LONG_DRAIN 0
#define SHORT_DRAIN 1
#define ENDLESS_DRAIN 2
#define CLOSE 3
#define DEADLINE 4
#define LOOP_TURNED 5
#define QUEUE_EMPTY 6
#define SERVING_ENDED 7
#define SERVING_STOPPED 8

// Actions, as bits.
#define END_IDLE_INPUT 1
#define END_FRESH_INPUT 2
#define CANCEL_REQUESTS 4
#define STOP_SERVING 8
#define LET_GO 16
#define REFUSE_NEWCOMERS 32
#define POLICY_DRAIN 64
#define POLICY_CANCEL 128
#define POLICY_KILL 256

// Phases.
#define OPEN 0
#define CLOSED 6

byte life;   // the row of the table
byte event;
short actions;
byte phase;
bool queue_is_served, has_cancelled, is_closed, has_deadline;

mtype = { away, queued, accepted, fresh, busy, idle, gone, refused };
mtype client[CLIENTS] = away;
bool wants_to_send[CLIENTS], left[CLIENTS], cancelled[CLIENTS], stubborn[CLIENTS];
byte answered[CLIENTS];

bool listening = true, input_of_idle_is_over, input_of_fresh_is_over;
bool serving = true, stop, drain_is_over;
bool time_has_passed, close_was_asked;
byte drains_asked, drains_returned;
bool one_was_endless;
bool gave_up;  // the serving thread did not come to an end in time
// What the policy was told, in this order, each once; that there is a drain once more when nobody is waited for any more.
byte told_drain;
bool told_cancel, told_kill;

#define is_draining (phase != OPEN && phase != CLOSED)
#define lives(i) (client[i] == fresh || client[i] == busy || client[i] == idle)

inline look() {
    phase = c_expr { seen_of[now.life][0] };
    queue_is_served = c_expr { seen_of[now.life][1] };
    has_cancelled = c_expr { seen_of[now.life][2] };
    is_closed = c_expr { seen_of[now.life][3] };
    has_deadline = c_expr { seen_of[now.life][4] };
}

// Under the lock of the server: a step, and the actions that belong to the thread that steps.
inline step(what) {
    event = what;
    actions = c_expr { actions_of[now.life][now.event] };
    before = phase;
    life = c_expr { next_of[now.life][now.event] };
    look();
    assert(before <= phase);  // a phase never comes back
    before = 0;  // what is not needed any more makes no states
    event = 0;
    if
    :: (actions & END_IDLE_INPUT) -> input_of_idle_is_over = true
    :: else
    fi;
    if
    :: (actions & END_FRESH_INPUT) -> input_of_fresh_is_over = true
    :: else
    fi;
    if
    :: (actions & CANCEL_REQUESTS) ->
        for (each : 0 .. CLIENTS - 1) {
            if
            :: lives(each) -> cancelled[each] = true
            :: else
            fi
        }
    :: else
    fi;
    if
    :: (actions & STOP_SERVING) -> stop = true
    :: else
    fi;
    if
    :: (actions & LET_GO) -> listening = false
    :: else
    fi;
    each = 0
}

// The hooks of the policy. Killing includes what cancelling does.
inline tell_policy(what) {
    if
    :: (what & POLICY_DRAIN) -> assert(told_drain < 2 && !told_cancel && !told_kill); told_drain++
    :: else
    fi;
    if
    :: (what & POLICY_CANCEL) -> assert(!told_cancel && !told_kill); told_cancel = true
    :: else
    fi;
    if
    :: (what & POLICY_KILL) -> assert(!told_kill); told_kill = true
    :: else
    fi
}

proctype Client(byte me) {
    atomic {
        listening -> client[me] = queued
    }
    do
    :: atomic { (client[me] == fresh || client[me] == idle) && !wants_to_send[me] && answered[me] == 0 -> wants_to_send[me] = true }
    :: atomic { (lives(me) || client[me] == queued || client[me] == accepted) && !left[me] -> left[me] = true }
    :: client[me] == gone || client[me] == refused -> break
    od
}

// Serves the client `me` as soon as it is in the table. One that is stubborn computes for ever once it has a request.
proctype Handler(byte me) {
    if
    :: stubborn[me] = true
    :: skip
    fi;
    do
    :: atomic { (client[me] == fresh || client[me] == idle) && wants_to_send[me] ->
            wants_to_send[me] = false; client[me] = busy }
    :: atomic { (client[me] == fresh || client[me] == idle) && left[me] && !wants_to_send[me] -> client[me] = gone; break }
    :: atomic { client[me] == fresh && input_of_fresh_is_over && !wants_to_send[me] -> client[me] = gone; break }
    :: atomic { client[me] == idle && input_of_idle_is_over && !wants_to_send[me] -> client[me] = gone; break }
    :: atomic { client[me] == busy && !stubborn[me] && !cancelled[me] -> answered[me]++; client[me] = idle }
    :: atomic { cancelled[me] && lives(me) && !(client[me] == busy && stubborn[me]) -> client[me] = gone; break }
    // A client that is gone is no reason for a stubborn handler to end.
    :: client[me] == busy && stubborn[me] && drain_is_over -> break
    od
}

proctype Loop() {
    short mine;
    byte before, each, taken;
    bool nobody;
    do
    :: stop -> break
    :: else ->
        if
        :: is_draining ->
            atomic { step(LOOP_TURNED); mine = actions; actions = 0 };
            tell_policy(mine);
            // Is the drain over?
            atomic {
                mine = 0;
                nobody = true;
                for (each : 0 .. CLIENTS - 1) {
                    if
                    :: lives(each) || client[each] == accepted -> nobody = false
                    :: else
                    fi
                };
                each = 0;
                if
                :: queue_is_served && nobody -> goto end_of_serving
                :: else -> nobody = false
                fi
            }
        :: else
        fi;
        // Accept one, if there is one.
        atomic {
            taken = CLIENTS;
            for (each : 0 .. CLIENTS - 1) {
                if
                :: client[each] == queued && taken == CLIENTS -> taken = each
                :: else
                fi
            };
            if
            :: taken < CLIENTS ->
                assert(!drain_is_over);
                if
                :: has_cancelled -> client[taken] = refused; taken = CLIENTS
                :: else -> client[taken] = accepted
                fi
            :: else ->
                if
                :: is_draining ->
                    step(QUEUE_EMPTY);
                    if
                    :: (actions & REFUSE_NEWCOMERS) -> listening = false
                    :: else
                    fi;
                    actions = 0
                :: else
                fi
            fi
        };
        // Between accepting and the table the requests may have been cancelled, and this one missed.
        if
        :: taken < CLIENTS -> atomic { client[taken] = fresh; run Handler(taken); taken = 0 }
        :: else -> taken = 0
        fi
    od;
end_of_serving:
    atomic {
        serving = false;
        if
        :: is_closed -> listening = false
        :: else
        fi
    }
}

inline requests_remain() {
    remain = false;
    for (each : 0 .. CLIENTS - 1) {
        if
        :: lives(each) -> remain = true
        :: else
        fi
    };
    each = 0
}

proctype Drainer() {
    short mine;
    byte before, each, kind;
    bool remain;
    if
    :: kind = LONG_DRAIN
    :: kind = SHORT_DRAIN
    :: kind = ENDLESS_DRAIN
    fi;
    atomic {
        if
        :: is_closed -> goto returned
        :: else
        fi;
        drains_asked++;
        if
        :: kind == LONG_DRAIN -> step(LONG_DRAIN)
        :: kind == SHORT_DRAIN -> step(SHORT_DRAIN)
        :: else -> step(ENDLESS_DRAIN); one_was_endless = true
        fi;
        mine = actions & POLICY_KILL;
        actions = 0
    };
    do
    :: atomic { phase == CLOSED -> break }
    :: atomic {
            phase != CLOSED && !serving -> requests_remain();
            if
            :: remain -> step(SERVING_STOPPED)
            :: else -> step(SERVING_ENDED)
            fi;
            mine = mine | (actions & POLICY_KILL);
            actions = 0;
            remain = false
        }
    :: atomic { phase != CLOSED && serving && has_deadline ->
            time_has_passed = true; step(DEADLINE); mine = mine | (actions & POLICY_KILL); actions = 0; gave_up = gave_up || phase == CLOSED }
    od;
    tell_policy(mine);
    atomic {
        // Whoever is still served has been told to end.
        for (each : 0 .. CLIENTS - 1) {
            assert(!lives(each) || cancelled[each] || gave_up);
            // Nobody lost anything for whom there was time.
            assert(time_has_passed || close_was_asked || !cancelled[each]);
            assert(time_has_passed || close_was_asked || client[each] != refused)
        };
        if
        :: !serving -> drain_is_over = true
        :: else
        fi
    };
returned:
    drains_returned++
}

proctype Closer() {
    byte before, each;
    if
    :: skip ->
        atomic { close_was_asked = true; stop = true; step(CLOSE); actions = 0 };
        !serving
    :: true  // nobody closes it
    fi
}

init {
    byte each;
    atomic {
        look();
        for (each : 0 .. CLIENTS - 1) {
            run Client(each)
        };
        run Loop();
        run Closer();
        for (each : 1 .. DRAINERS) {
            run Drainer()
        }
    }
}

// Each drain comes to an end, whatever handlers and clients do, unless all drains were without end.
ltl drains_end { <> (drains_returned == DRAINERS || one_was_endless) }
