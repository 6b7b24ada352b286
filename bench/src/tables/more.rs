//! The rivals that join the command's own tables.

use crate::rivals::{
    atomic::Word,
    bare_ring::{BareRing, MessageTarget, RingTimeouts},
    binary_heap::LazyHeap,
    btree::Tree,
    heap::IndexedHeap,
    libevent::{self, Libevent},
    libuv::{self, UvPoll, UvTimers},
    mio::Mio,
    mio_serve::MioServer,
    notify::Notify,
    polling::Polling,
    ring_take::RingTake,
    slots::BareSlots,
    std_channel::StdChannel,
    tokio_channel::TokioChannel,
    tokio_timers::DelayTimers,
    ukevent_shared::SharedTarget,
};
use ukevent_bench::tables::inode::Reach;
use ukevent_bench::tables::ready::Trigger;
use ukevent_bench::tables::timers::late;
use ukevent_bench::tables::wake::Posts;
use ukevent_bench::tables::{dead, events, inode, ready, timers, wake};
use ukevent_measure::Contender;

/// Of `ready`. mio has edges only, libuv levels only.
pub(crate) fn ready(trigger: Trigger) -> Vec<Contender<ready::Setup>> {
    let mut contenders = vec![
        Contender { name: "bare ring", round: ready::round::<BareRing> },
        Contender { name: "polling", round: ready::round::<Polling> },
    ];
    if trigger == Trigger::Edge {
        contenders.push(Contender { name: "mio", round: ready::round::<Mio> });
    }
    if libevent::is_here() {
        contenders.push(Contender { name: "libevent", round: ready::round::<Libevent> });
    }
    if trigger == Trigger::Level && libuv::is_here() {
        contenders.push(Contender { name: "libuv", round: ready::round::<UvPoll> });
    }
    contenders
}

/// Of `events`.
pub(crate) fn events() -> Vec<Contender<events::Setup>> {
    let mut contenders = vec![
        Contender { name: "bare ring", round: events::round::<RingTake> },
        Contender { name: "mio", round: events::round::<events::ReadsTold<Mio>> },
        Contender { name: "polling", round: events::round::<events::ReadsTold<Polling>> },
    ];
    if libevent::is_here() {
        let round = events::round::<events::ReadsTold<Libevent>>;
        contenders.push(Contender { name: "libevent", round });
    }
    contenders
}

/// Of `timers`, with so many live.
pub(crate) fn timers(live: usize) -> Vec<Contender<timers::Setup>> {
    let mut contenders = vec![
        Contender { name: "bare slots", round: timers::round::<BareSlots> },
        Contender { name: "tokio DelayQueue", round: timers::round::<DelayTimers> },
        Contender { name: "indexed heap", round: timers::round::<IndexedHeap> },
        Contender { name: "lazy heap", round: timers::round::<LazyHeap> },
        Contender { name: "BTreeMap", round: timers::round::<Tree> },
    ];
    if libuv::is_here() {
        contenders.push(Contender { name: "libuv", round: timers::round::<UvTimers> });
    }
    // Cancelling looks through all of the kernel's time-outs, so that more would take minutes.
    if live <= 1_000 {
        let round = timers::round::<RingTimeouts>;
        contenders.push(Contender { name: "io_uring time-outs", round });
    }
    contenders
}

/// Of `timers`, for how late they fire.
pub(crate) fn sleepers() -> Vec<Contender<late::Setup>> {
    let mut contenders = vec![
        Contender { name: "tokio DelayQueue", round: late::round::<DelayTimers> },
        Contender { name: "io_uring time-outs", round: late::round::<RingTimeouts> },
    ];
    if libuv::is_here() {
        contenders.push(Contender { name: "libuv", round: late::round::<UvTimers> });
    }
    contenders
}

/// Of `wake`.
pub(crate) fn wake(posts: Posts) -> Vec<Contender<wake::Setup>> {
    let mut contenders = vec![
        Contender { name: "ukevent shared", round: wake::round::<SharedTarget> },
        Contender { name: "tokio", round: wake::round::<TokioChannel> },
    ];
    contenders.extend(match posts {
        Posts::Merged => vec![Contender { name: "bare word", round: wake::round::<Word> }],
        Posts::Each => vec![
            Contender { name: "std channel", round: wake::round::<StdChannel> },
            Contender { name: "MSG_RING", round: wake::round::<MessageTarget> },
        ],
    });
    contenders
}

/// Of `dead`.
pub(crate) fn dead() -> Vec<Contender<dead::Setup>> {
    vec![Contender { name: "mio", round: dead::round::<MioServer> }]
}

/// Of `inode`. What is in a directory before notify watches it is lost, as in a tree that grows.
pub(crate) fn inode(reach: Reach) -> Vec<Contender<inode::Setup>> {
    match reach {
        Reach::Growing => Vec::new(),
        _ => vec![Contender { name: "notify", round: inode::round::<Notify> }],
    }
}
