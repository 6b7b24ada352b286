//! Connections over a wire that blocks where it is told to, on a clock that is moved by hand.

use super::*;
use crate::{
    counters::{Counters, Counts},
    entity::{Found, Seen},
    files::Root,
    journal::Log,
    limits::{GATHER_BYTES, Limits, SMALL_FILE_BYTES, STALL_LOOKS, TURN_BYTES},
    log::Format,
    out::Out,
    rehearsal::{Pipe, WaitsFor, rehearse_on, settle},
    testing::{Answer, Site, large},
};
use proptest::prelude::*;
use std::{
    cell::Cell,
    mem::take,
    os::unix::net::UnixStream,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};
use ukevent_buf::{Arena, FramePool};
use ukevent_queue::sim::Sim;
use ukevent_task::{JoinHandle, block_on, net::TcpStream, spawn};

mod live;
mod table;

const GET: &[u8] = b"GET /hello.txt HTTP/1.1\r\nHost: a\r\n\r\n";
const LARGE: &[u8] = b"GET /large.bin HTTP/1.1\r\nHost: a\r\n\r\n";
const S: Duration = Duration::from_secs(1);
const MOMENT: Duration = Duration::from_millis(1);

/// Files, seen so late that all of them are settled.
struct Settled(Root);

impl Content for Settled {
    fn find(&mut self, path: &[u8], seen: Seen, counts: &Counts) -> Found {
        self.0.find(path, Seen { unix_s: seen.unix_s + 1000, ..seen }, counts)
    }
}

/// A server without a listener, on a clock that is moved by hand.
struct Bench<C> {
    sim: Sim,
    shared: Rc<Shared<C>>,
}

/// A connection at work, and its other end.
struct Peer {
    pipe: Pipe,
    task: JoinHandle<()>,
    busy: Rc<Cell<bool>>,
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wants {
    Input,
    Output,
    Content,
    /// Nothing: it is over.
    Nothing,
}

/// Runs a test with a bench for this content.
fn on_bench<C: Content + 'static>(content: C, limits: Limits, test: impl AsyncFnOnce(Bench<C>)) {
    let sim = Sim::new(1);
    // The changes of files bear the real time.
    sim.set_wall_clock(UNIX_EPOCH.elapsed().unwrap());
    rehearse_on(&sim, async {
        let shared = Rc::new(Shared::new(content, limits, Out::default()));
        test(Bench { sim: sim.clone(), shared }).await;
    });
}

/// The same for the files of a site.
fn on_files(test: impl AsyncFnOnce(Bench<Settled>, &Site)) {
    let site = Site::new();
    let root = Settled(Root::open(&site.root()).unwrap());
    on_bench(root, Limits::default(), async |bench| test(bench, &site).await);
}

impl<C: Content + 'static> Bench<C> {
    fn connect(&self) -> Peer {
        let busy = Rc::new(Cell::new(false));
        self.spawn(busy.clone(), |pipe, shared| serve(pipe, shared, move |is| busy.set(is)))
    }

    fn spawn<F: Future<Output = ()> + 'static>(
        &self,
        busy: Rc<Cell<bool>>,
        serve: impl FnOnce(Pipe, Rc<Shared<C>>) -> F,
    ) -> Peer {
        let pipe = Pipe::default();
        let task = spawn(serve(pipe.clone(), Rc::clone(&self.shared)));
        Peer { pipe, task, busy }
    }

    fn counters(&self) -> Counters {
        self.shared.counters()
    }

    /// What a fresh connection answers to these bytes.
    async fn answers(&self, bytes: &[u8]) -> Vec<Answer> {
        let peer = self.connect();
        peer.receive(bytes).await;
        peer.taken(bytes.starts_with(b"HEAD"))
    }

    /// Lets time pass.
    async fn pass(&self, time: Duration, peer: &Peer) {
        self.sim.advance(time);
        settle(&peer.pipe).await;
    }
}

impl Peer {
    /// Lets bytes arrive.
    async fn hand_in(&self, bytes: &[u8]) {
        self.pipe.with(|state| state.arrived.push_back(bytes.to_vec()));
        settle(&self.pipe).await;
    }

    /// Lets the end arrive.
    async fn end_input(&self) {
        self.pipe.with(|state| state.peer_ended = true);
        settle(&self.pipe).await;
    }

    /// Lets leave what the wire takes, if not all of it is blocked.
    async fn proceed(&self) {
        settle(&self.pipe).await;
        while self.wants() == Wants::Output && self.pipe.with(|state| state.room != Some(0)) {
            settle(&self.pipe).await;
        }
    }

    /// Lets everything arrive that is on its way, and be answered.
    async fn catch_up(&self) {
        while self.wants() != Wants::Input || self.pipe.with(|state| !state.arrived.is_empty()) {
            assert_ne!(self.wants(), Wants::Nothing, "it has ended");
            settle(&self.pipe).await;
        }
    }

    /// Lets bytes arrive, and everything leave.
    async fn receive(&self, bytes: &[u8]) {
        self.hand_in(bytes).await;
        self.proceed().await;
    }

    fn wants(&self) -> Wants {
        match self.pipe.waits_for() {
            _ if self.task.has_ended() => Wants::Nothing,
            WaitsFor::Input => Wants::Input,
            WaitsFor::Room => Wants::Output,
            WaitsFor::Nothing => Wants::Content,
        }
    }

    fn has_ended_sending(&self) -> bool {
        self.pipe.with(|state| state.ended)
    }

    fn sent_bytes(&self) -> usize {
        self.pipe.with(|state| state.sent.len())
    }

    fn room(&self, bytes: Option<usize>) {
        self.pipe.with(|state| state.room = bytes);
    }

    /// What the wire carried since it was asked last.
    fn taken(&self, is_head: bool) -> Vec<Answer> {
        let sent = self.pipe.with(|state| std::mem::take(&mut state.sent));
        Answer::all(&sent, |_| is_head)
    }
}

fn statuses(answers: &[Answer]) -> Vec<u16> {
    answers.iter().map(|answer| answer.status).collect()
}

#[test]
fn at_rest_it_holds_nothing() {
    on_files(async |bench, _| {
        let pipe = Pipe::default();
        let shared = Rc::clone(&bench.shared);
        let mut connection = Connection::new(pipe.clone(), shared).ok().unwrap();
        for request in [GET, LARGE] {
            for (bytes, held) in
                [([request, &request[..10]].concat(), 10), (request[10..].into(), 0)]
            {
                pipe.with(|state| state.arrived.push_back(bytes));
                // It waits for more, and nothing is lost if it is not waited for here.
                assert_eq!(at_once(connection.requests(&|_| ())).await, None);
                assert_eq!(connection.input.len(), held);
                assert_eq!(connection.input.capacity() > 0, held > 0);
                assert_eq!(connection.answers.capacity(), 0);
                assert!(connection.tail.is_none());
            }
        }
        assert_eq!(bench.counters().requests, 4);
    });
}

/// Most connections rest, so this is what many of them take.
#[test]
fn a_connection_at_rest_is_small() {
    block_on(async {
        let (socket, _peer) = UnixStream::pair().unwrap();
        let wire = wire::Plain::new(TcpStream::from_socket(socket).unwrap().into_split());
        let content = Settled(Root::open(std::path::Path::new("/")).unwrap());
        let shared = Rc::new(Shared::new(content, Limits::default(), Out::default()));
        let busy = Rc::new(Cell::new(false));
        let serving = serve(wire, shared, move |is| busy.set(is));
        let bytes = size_of_val(&serving);
        assert!(bytes <= 700, "{bytes} bytes");
    })
    .unwrap();
}

/// What is received into is everybody's: whoever waits has copied what it needs of it.
#[test]
fn no_frame_is_held_while_waiting() {
    on_files(async |bench, _| {
        let arena = Arena::new(1 << 20).unwrap();
        let frames = Arc::new(FramePool::builder(1, 4096).build(&arena).unwrap());
        let peer = bench.connect();
        peer.pipe.with(|state| state.frames = Some(Arc::clone(&frames)));
        let all_free = |what: &str| assert_eq!(frames.statistics().unwrap().free, 1, "{what}");
        peer.hand_in(&[GET, &GET[..10]].concat()).await;
        all_free("in a head");
        peer.room(Some(0));
        peer.hand_in(&[&GET[10..], LARGE, GET].concat()).await;
        assert_eq!(peer.wants(), Wants::Output);
        all_free("behind an answer");
        peer.room(Some(1000));
        settle(&peer.pipe).await;
        all_free("behind a file");
        peer.room(None);
        peer.hand_in(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n1").await;
        all_free("in a body");
        peer.hand_in(b"2").await;
        all_free("in a body");
        peer.receive(&[b"3", GET].concat()).await;
        assert_eq!(statuses(&peer.taken(false)), [200, 200, 200, 200, 405, 200]);
        all_free("at rest");
    });
}

#[test]
fn an_answer_that_does_not_fit_waits_and_stops_the_input() {
    on_files(async |bench, _| {
        let peer = bench.connect();
        peer.room(Some(100));
        peer.hand_in(&[LARGE, GET, GET].concat()).await;
        assert_eq!(peer.wants(), Wants::Output);
        assert_eq!(bench.counters().requests, 1, "the next request was looked at too early");
        // A few bytes of the file, then nothing: still the first; and what comes stays where it is.
        peer.room(Some(50_000));
        peer.hand_in(GET).await;
        assert_eq!((peer.wants(), bench.counters().requests), (Wants::Output, 1));
        assert_eq!(peer.pipe.with(|state| state.arrived.len()), 1, "it was received");
        peer.room(None);
        peer.proceed().await;
        assert_eq!((peer.wants(), bench.counters().requests), (Wants::Input, 4));
        let sent = peer.sent_bytes() as u64;
        let answers = peer.taken(false);
        assert_eq!(statuses(&answers), [200, 200, 200, 200]);
        assert_eq!(answers[0].content, large());
        assert_eq!(bench.counters().bytes_sent, sent);
    });
}

/// A large file leaves piece by piece, so that others have their turn, by one registration.
#[test]
fn a_file_is_registered_once_for_an_answer() {
    on_files(async |bench, site| {
        let content: Vec<u8> = large().repeat(35);
        std::fs::write(site.root().join("huge"), &content).unwrap();
        let peer = bench.connect();
        let request = b"GET /huge HTTP/1.1\r\nHost: a\r\n\r\n";
        for _ in 0..2 {
            peer.hand_in(request).await;
            peer.proceed().await;
            let answers = peer.taken(false);
            assert!(answers.len() == 1 && answers[0].content == content);
            let handed = peer.pipe.with(|state| (take(&mut state.files), take(&mut state.pieces)));
            assert_eq!(handed, (1, content.len().div_ceil(TURN_BYTES as usize)));
        }
    });
}

#[test]
fn pipelined_answers_are_gathered_up_to_a_bound() {
    on_files(async |bench, _| {
        let peer = bench.connect();
        peer.room(Some(0));
        peer.hand_in(&GET.repeat(1000)).await;
        assert!(bench.counters().requests < 1000, "all answers were made at once");
        peer.room(None);
        peer.proceed().await;
        assert_eq!(peer.taken(false).len(), 1000);
    });
    // With the largest file that is answered from memory: what a peer that takes nothing may pin.
    on_files(async |bench, site| {
        std::fs::write(site.root().join("hello.txt"), vec![7; SMALL_FILE_BYTES as usize]).unwrap();
        for many in [1, 2, 10, 1000] {
            let peer = bench.connect();
            peer.receive(&GET.repeat(many)).await;
            assert_eq!(peer.taken(false).len(), many);
            let most = GATHER_BYTES + SMALL_FILE_BYTES as usize + 4096;
            let handed = peer.pipe.with(|state| state.most_handed);
            assert!(handed <= most, "{handed} bytes");
        }
    });
}

#[test]
fn the_end_of_the_input_is_not_the_end_of_the_answers() {
    on_files(async |bench, _| {
        let peer = bench.connect();
        peer.room(Some(0));
        peer.hand_in(&[LARGE, GET].concat()).await;
        peer.end_input().await;
        assert_eq!(peer.wants(), Wants::Output);
        peer.room(None);
        peer.proceed().await;
        assert_eq!(peer.wants(), Wants::Nothing);
        assert_eq!(statuses(&peer.taken(false)), [200, 200]);
    });
}

#[test]
fn a_head_without_end_is_forgotten() {
    on_files(async |bench, _| {
        let peer = bench.connect();
        peer.hand_in(&GET[..20]).await;
        peer.end_input().await;
        assert_eq!((peer.wants(), peer.sent_bytes()), (Wants::Nothing, 0));
    });
}

#[test]
fn the_server_ends_gently_and_the_client_at_once() {
    on_files(async |bench, _| {
        let peer = bench.connect();
        peer.receive(b"GET / HTTP/1.1\r\n\r\n").await;
        assert!(peer.has_ended_sending(), "the sending side stays open");
        assert_eq!(peer.wants(), Wants::Input, "the rest is not read");
        peer.receive(&[b'x'; 1000]).await;
        peer.end_input().await;
        assert_eq!(peer.wants(), Wants::Nothing);

        let close = b"GET /hello.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        for (behind, wants) in [(&b""[..], Wants::Nothing), (b"more", Wants::Input)] {
            let peer = bench.connect();
            peer.receive(&[close, behind].concat()).await;
            assert_eq!(peer.has_ended_sending(), wants == Wants::Input);
            assert_eq!(peer.wants(), wants);
            // The same if it comes while the answer leaves.
            let peer = bench.connect();
            peer.room(Some(10));
            peer.hand_in(close).await;
            if !behind.is_empty() {
                peer.hand_in(behind).await;
            }
            peer.room(None);
            peer.proceed().await;
            assert_eq!(peer.has_ended_sending(), wants == Wants::Input);
            assert_eq!(peer.wants(), wants);
        }
    });
}

#[test]
fn lingering_has_an_end() {
    on_files(async |bench, _| {
        let peer = bench.connect();
        peer.receive(b"\0").await;
        let mut bytes = 0;
        while peer.wants() == Wants::Input {
            peer.receive(&[b'x'; 10_000]).await;
            bytes += 10_000;
            assert!(bytes <= LINGER_BYTES + 10_000);
        }
        assert!(bytes > LINGER_BYTES);

        let peer = bench.connect();
        peer.receive(b"\0").await;
        bench.pass(2 * S - MOMENT, &peer).await;
        assert_eq!(peer.wants(), Wants::Input);
        bench.pass(2 * MOMENT, &peer).await;
        assert_eq!(peer.wants(), Wants::Nothing);
        assert_eq!(bench.counters().timed_out, 0);
    });
}

/// What came when, when it is over, and whether that is said.
type Course = (&'static [(u32, &'static [u8])], u32, bool);

#[test]
fn deadlines() {
    const BODY: &[u8] = b" HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n1";
    const BEGUN: &[u8] = b"GET /";
    const MORE: &[u8] = b"hello.txt";
    const COURSES: [Course; 9] = [
        // The first request is due.
        (&[], 10, false),
        (&[(1, b"\r\n")], 10, false),
        // It may rest.
        (&[(1, GET)], 61, false),
        // A head has begun, and more of it is no reason to wait longer.
        (&[(1, GET), (20, BEGUN)], 30, true),
        (&[(1, GET), (20, BEGUN), (25, MORE)], 30, true),
        // So has a body.
        (&[(1, GET), (20, BEGUN), (25, MORE), (25, BODY)], 55, true),
        (&[(1, GET), (20, BEGUN), (25, MORE), (25, BODY), (30, b"2")], 55, true),
        (&[(1, GET), (20, BEGUN), (25, MORE), (25, BODY), (30, b"2"), (30, b"3")], 90, false),
        // An empty line is no request.
        (&[(1, GET), (21, b"\r\n")], 61, false),
    ];
    for (course, over, is_said) in COURSES {
        on_files(async |bench, _| {
            let peer = bench.connect();
            settle(&peer.pipe).await;
            let mut answers = 0;
            for &(at, bytes) in course {
                bench.pass(at * S - bench.sim.elapsed(), &peer).await;
                peer.receive(bytes).await;
                answers += peer.taken(false).len();
            }
            bench.pass(over * S - bench.sim.elapsed() - MOMENT, &peer).await;
            let stands = (peer.wants(), peer.sent_bytes());
            assert_eq!(stands, (Wants::Input, 0), "{course:?} after {answers}: too early");
            bench.pass(2 * MOMENT, &peer).await;
            let wants = if is_said { Wants::Input } else { Wants::Nothing };
            assert_eq!((peer.wants(), peer.has_ended_sending()), (wants, is_said), "{course:?}");
            let said: &[u16] = if is_said { &[408] } else { &[] };
            assert_eq!(statuses(&peer.taken(false)), said, "{course:?}");
            assert_eq!(bench.counters().timed_out, u64::from(is_said));
        });
    }
}

/// A timer that expired and what came before it are seen in this order, and the other counts.
#[test]
fn what_came_in_time_is_answered_though_the_timer_is_first() {
    for (begun, is_behind) in [(0, false), (10, false), (0, true), (10, true)] {
        on_files(async |bench, _| {
            let peer = bench.connect();
            peer.receive(&[GET, &GET[..begun]].concat()).await;
            assert_eq!(peer.taken(false).len(), 1);
            // Nobody wakes it for that: its timer does, and if the queue tells that first, a look.
            bench.sim.advance(60 * S + MOMENT);
            if is_behind {
                look().await;
            }
            peer.pipe.with(|state| state.arrived.push_back(GET[begun..].to_vec()));
            for _ in 0..4 {
                look().await;
            }
            assert_eq!(statuses(&peer.taken(false)), [200]);
            assert_eq!((peer.wants(), bench.counters().timed_out), (Wants::Input, 0));
        });
    }
}

#[test]
fn a_peer_that_takes_nothing_is_dropped_and_a_slow_one_is_not() {
    // So long may it take nothing at least, and that long and a look at most.
    let stall = Limits::default().stall;
    let look = stall / STALL_LOOKS;
    on_files(async |bench, _| {
        let peer = bench.connect();
        peer.room(Some(0));
        peer.hand_in(LARGE).await;
        let look_at = async |outstanding: u32| {
            peer.pipe.with(|state| state.outstanding = outstanding);
            // Timers are a little late.
            bench.pass(look + MOMENT, &peer).await;
            peer.wants()
        };
        // It takes a little at a time; what is outstanding grows where the kernel took more meanwhile.
        for outstanding in [1000, 900, 1200, 800, 1200] {
            assert_eq!(look_at(outstanding).await, Wants::Output, "no slower than it may be");
        }
        for _ in 1..STALL_LOOKS {
            assert_eq!(look_at(1200).await, Wants::Output, "given up too early");
        }
        assert_eq!(look_at(1200).await, Wants::Nothing, "it took nothing");
        assert_eq!((peer.sent_bytes(), bench.counters().timed_out), (0, 1));
    });
    // One that takes nothing from the beginning, and one that took a whole piece.
    for pieces in [0, 1] {
        on_files(async |bench, site| {
            std::fs::write(site.root().join("huge"), large().repeat(35)).unwrap();
            let peer = bench.connect();
            // The kernel holds what the peer does not take.
            peer.pipe.with(|state| state.outstanding = 1000);
            peer.room(Some(0));
            peer.hand_in(b"GET /huge HTTP/1.1\r\nHost: a\r\n\r\n").await;
            let mut began = bench.sim.elapsed();
            if pieces > 0 {
                bench.pass(20 * S, &peer).await;
                peer.room(Some(TURN_BYTES as usize + 1000));
                settle(&peer.pipe).await;
                began = bench.sim.elapsed();
            }
            assert_eq!(peer.pipe.with(|state| state.pieces), pieces + 1);
            while peer.wants() == Wants::Output {
                bench.pass(look / 10 + MOMENT, &peer).await;
            }
            let waited = bench.sim.elapsed() - began;
            assert!((stall..=stall + look + look / 5).contains(&waited), "{waited:?}");
            assert_eq!(bench.counters().timed_out, 1);
        });
    }
}

/// All that the kernel was given has reached the peer, and the rest is waited for: it is the server's own
/// disk that is slow.
#[test]
fn a_peer_that_took_everything_has_not_stalled() {
    on_files(async |bench, _| {
        let peer = bench.connect();
        peer.room(Some(0));
        peer.hand_in(LARGE).await;
        for _ in 0..100 {
            bench.pass(Limits::default().stall / STALL_LOOKS, &peer).await;
            assert_eq!(peer.wants(), Wants::Output, "dropped after {:?}", bench.sim.elapsed());
        }
        peer.room(None);
        peer.proceed().await;
        assert_eq!(peer.taken(false)[0].content, large());
        assert_eq!(bench.counters().timed_out, 0);
    });
}

/// What a server that ends sees of who rests, and who does not.
#[test]
fn who_is_asked_something_is_busy() {
    on_files(async |bench, _| {
        let peer = bench.connect();
        settle(&peer.pipe).await;
        assert!(!peer.busy.get(), "nothing was asked");
        peer.room(Some(0));
        peer.hand_in(LARGE).await;
        assert!(peer.busy.get(), "it is answered");
        peer.room(None);
        peer.proceed().await;
        assert!(!peer.busy.get(), "it rests");
        peer.hand_in(&GET[..10]).await;
        assert!(peer.busy.get(), "it is asking");
        peer.hand_in(&GET[10..]).await;
        assert!(!peer.busy.get(), "it rests again");
        peer.receive(b"\r\n").await;
        assert!(!peer.busy.get(), "an empty line is nothing");
        assert_eq!(peer.taken(false).len(), 2);
        peer.end_input().await;
        assert_eq!(peer.wants(), Wants::Nothing);
    });
}

/// It is busy from the moment in which something comes, though its answer waits for a look.
#[test]
fn who_waits_for_a_look_is_busy() {
    on_files(async |bench, _| {
        let peer = bench.connect();
        settle(&peer.pipe).await;
        bench.shared.rely_on_reports(true);
        let asked = bench.shared.asked();
        peer.pipe.with(|state| state.arrived.push_back(GET.to_vec()));
        peer.pipe.nudge();
        while bench.shared.asked() == asked {
            yield_now().await;
        }
        assert!(peer.busy.get());
        assert_eq!((peer.sent_bytes(), bench.counters().requests), (0, 0), "there was no look");
        settle(&peer.pipe).await;
        assert_eq!(statuses(&peer.taken(false)), [200]);
    });
}

/// Content that remembers how sure one was who asked.
#[derive(Default)]
struct Recorder(Vec<bool>);

impl Content for Recorder {
    fn find(&mut self, _: &[u8], seen: Seen, _: &Counts) -> Found {
        self.0.push(seen.sure);
        Found::Nothing
    }
}

/// Reports are relied on only if a look between the request and its answer brought none.
#[test]
fn it_is_sure_after_a_look_without_reports() {
    on_bench(Recorder::default(), Limits::default(), async |bench| {
        let peer = bench.connect();
        peer.receive(GET).await;
        bench.shared.rely_on_reports(true);
        for is_reported in [false, true, false] {
            let asked = bench.shared.asked();
            peer.pipe.with(|state| state.arrived.push_back(GET.to_vec()));
            peer.pipe.nudge();
            while bench.shared.asked() == asked {
                yield_now().await;
            }
            if is_reported {
                bench.shared.took_report();
            }
            settle(&peer.pipe).await;
        }
        // The head came before the report, and its end after it.
        peer.receive(&GET[..10]).await;
        bench.shared.took_report();
        peer.receive(&GET[10..]).await;
        assert_eq!(bench.shared.begin().content.0, [false, true, false, true, true]);
    });
}

/// An answer that said that the connection stays leaves while the server ends.
#[test]
fn when_the_server_ends_an_answer_that_left_was_the_last() {
    for asks_more in [false, true] {
        on_files(async |bench, _| {
            let peer = bench.connect();
            peer.room(Some(0));
            peer.hand_in(LARGE).await;
            bench.shared.end();
            if asks_more {
                peer.hand_in(GET).await;
            }
            peer.room(None);
            peer.proceed().await;
            assert!(peer.has_ended_sending() && peer.busy.get());
            let answers = peer.taken(false);
            assert_eq!(answers[0].field("Connection"), None);
            assert_eq!(answers.len(), 1 + usize::from(asks_more));
            assert!(answers[1..].iter().all(|it| it.field("Connection") == Some("close")));
            assert_eq!(peer.wants(), Wants::Input, "it lingers");
            peer.end_input().await;
            assert_eq!(peer.wants(), Wants::Nothing);
        });
    }
}

/// What comes behind an answer that is leaving waits, and is answered when that has left.
#[test]
fn input_waits_behind_an_answer() {
    on_files(async |bench, _| {
        let peer = bench.connect();
        peer.room(Some(0));
        peer.hand_in(LARGE).await;
        for _ in 0..1000 {
            peer.hand_in(&GET[..7]).await;
            peer.hand_in(&GET[7..]).await;
        }
        peer.hand_in(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n1").await;
        peer.hand_in(b"23").await;
        assert_eq!((peer.wants(), bench.counters().requests), (Wants::Output, 1));
        assert_eq!(peer.pipe.with(|state| state.arrived.len()), 2002, "some was received");
        peer.room(None);
        peer.catch_up().await;
        assert_eq!(peer.taken(false).len(), 1002);
    });
}

/// The body of a request may come while its client is told to send it.
#[test]
fn a_body_that_overtakes_the_interim_answer() {
    on_files(async |bench, _| {
        let peer = bench.connect();
        let head = b"GET /hello.txt HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";
        peer.room(Some(0));
        peer.hand_in(head).await;
        peer.hand_in(&[b"123", GET].concat()).await;
        peer.room(None);
        peer.proceed().await;
        assert_eq!(statuses(&peer.taken(false)), [100, 200, 200]);
    });
}

#[test]
fn what_takes_too_long_to_arrive_is_told_so() {
    for begun in [&GET[..10], b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n1234"] {
        on_files(async |bench, _| {
            let peer = bench.connect();
            peer.receive(begun).await;
            bench.pass(30 * S + MOMENT, &peer).await;
            assert!(peer.has_ended_sending());
            let answer = peer.taken(false).remove(0);
            assert_eq!((answer.status, answer.field("Connection")), (408, Some("close")));
            assert_eq!(bench.counters().timed_out, 1);
            bench.pass(2 * S + MOMENT, &peer).await;
            assert_eq!(peer.wants(), Wants::Nothing);
        });
    }
}

/// A request that was answered before does not buy those time that begin another and do not go on.
#[test]
fn the_pace_of_a_head_is_the_same_behind_an_answer() {
    let limits = Limits { least_rate: 100, slow: S, head: 60 * S, ..Limits::default() };
    for before in [&b""[..], GET] {
        let root = Settled(Root::open(&Site::new().root()).unwrap());
        on_bench(root, limits.clone(), async |bench| {
            let peer = bench.connect();
            peer.receive(&[before, &GET[..10]].concat()).await;
            peer.taken(false);
            bench.pass(2 * S, &peer).await;
            assert_eq!(statuses(&peer.taken(false)), [408], "behind {} bytes", before.len());
        });
    }
}

/// A seat of somebody who has asked too often.
struct Weary;

impl Seat for Weary {
    fn is_busy(&self, _: bool) {}

    fn may_ask(&self) -> bool {
        false
    }
}

/// RFC 9110, 9.3.2: whatever is wrong with it.
#[test]
fn a_refused_head_has_no_content_either() {
    let long = format!("HEAD / HTTP/1.1\r\nHost: a\r\nA: {}\r\n\r\n", "x".repeat(20_000));
    let of = |fields: &str| format!("HEAD /hello.txt HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    let no_host = "HEAD / HTTP/1.1\r\n\r\n".to_owned();
    for (head, rest, status) in [
        (of("Content-Length: 99999999\r\n"), "", 413),
        (of("Transfer-Encoding: chunked\r\n"), "z", 400),
        (no_host, "", 400),
        (long, "", 431),
        (of("Content-Length: 9\r\n"), "", 408),
    ] {
        for pieces in [vec![[&head, rest].concat()], vec![head.clone(), rest.to_owned()]] {
            on_files(async |bench, _| {
                let peer = bench.connect();
                for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
                    peer.receive(piece.as_bytes()).await;
                }
                bench.pass(if status == 408 { 31 * S } else { MOMENT }, &peer).await;
                assert_eq!(statuses(&peer.taken(true)), [status]);
            });
        }
    }
    on_files(async |bench, _| {
        let peer = bench.spawn(Rc::default(), |pipe, shared| serve(pipe, shared, Weary));
        peer.receive(of("").as_bytes()).await;
        assert_eq!(statuses(&peer.taken(true)), [429]);
    });
}

/// What is logged of a request is held until it is logged, and no longer.
#[test]
fn at_rest_its_journal_holds_nothing() {
    let site = Site::new();
    let root = Settled(Root::open(&site.root()).unwrap());
    rehearse_on(&Sim::new(1), async {
        let log = Some(Log::new(Format::Common, 1));
        let shared = Rc::new(Shared::new(root, Limits::default(), Out::default()).logging(log));
        let pipe = Pipe::default();
        let mut connection = Connection::new(pipe.clone(), Rc::clone(&shared)).ok().unwrap();
        pipe.with(|state| state.arrived.push_back(GET.repeat(50)));
        assert_eq!(at_once(connection.requests(&|_| ())).await, None);
        assert_eq!(shared.counters().requests, 50);
        assert_eq!(connection.journal.as_ref().map(|journal| journal.held_bytes()), Some(0));
    });
}

#[test]
fn rest_ends_without_a_word() {
    on_files(async |bench, _| {
        for (request, limit) in [(&b""[..], 10), (GET, 60)] {
            let peer = bench.connect();
            settle(&peer.pipe).await;
            if !request.is_empty() {
                peer.receive(request).await;
            }
            peer.taken(false);
            bench.pass(limit * S + MOMENT, &peer).await;
            assert_eq!((peer.wants(), peer.sent_bytes()), (Wants::Nothing, 0));
            assert!(!peer.has_ended_sending());
        }
        assert_eq!(bench.counters().timed_out, 0);
    });
}

#[test]
fn a_broken_wire_ends_it() {
    on_files(async |bench, _| {
        for is_sending in [false, true] {
            let peer = bench.connect();
            peer.room(Some(100));
            peer.hand_in(if is_sending { LARGE } else { &LARGE[..10] }).await;
            peer.pipe.with(|state| state.broken = true);
            peer.room(None);
            settle(&peer.pipe).await;
            assert_eq!(peer.wants(), Wants::Nothing);
        }
    });
}

#[test]
fn a_file_that_ends_early_ends_the_connection() {
    on_files(async |bench, site| {
        let peer = bench.connect();
        bench.answers(LARGE).await;
        std::fs::File::options()
            .write(true)
            .open(site.root().join("large.bin"))
            .and_then(|file| file.set_len(5_000))
            .unwrap();
        // Found in the same moment as before.
        peer.hand_in(&[LARGE, GET].concat()).await;
        peer.proceed().await;
        assert_eq!(peer.wants(), Wants::Nothing);
        assert!((5_000..6_000).contains(&peer.sent_bytes()), "{}", peer.sent_bytes());
        assert!(!peer.has_ended_sending(), "the end of the answer is no end");
    });
}

#[test]
fn one_too_many_is_told_so() {
    on_files(async |bench, _| {
        let peer = bench.spawn(Rc::default(), |pipe, shared| refuse(pipe, shared, |_| ()));
        settle(&peer.pipe).await;
        assert_eq!(peer.wants(), Wants::Input, "it lingers");
        let answer = peer.taken(false).remove(0);
        assert_eq!(answer.status, 503);
        assert_eq!(answer.field("Connection"), Some("close"));
        assert_eq!(answer.field("Retry-After"), Some("1"));
    });
}

#[test]
fn when_the_server_ends_every_answer_is_the_last() {
    on_files(async |bench, _| {
        let peer = bench.connect();
        peer.receive(&GET[..10]).await;
        bench.shared.end();
        peer.receive(&[&GET[10..], GET].concat()).await;
        assert!(peer.has_ended_sending());
        let answers = peer.taken(false);
        assert_eq!(statuses(&answers), [200]);
        assert_eq!(answers[0].field("Connection"), Some("close"));
    });
}

#[test]
fn expectations() {
    let head = |fields: &str| format!("GET /hello.txt HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    let waits = "Expect: 100-continue\r\nContent-Length: 3\r\n";
    on_files(async |bench, _| {
        // The client waits, is told to go on, and goes on.
        let peer = bench.connect();
        peer.receive(head(waits).as_bytes()).await;
        assert_eq!(peer.pipe.with(|state| state.sent.clone()), response::CONTINUE);
        peer.taken(false);
        peer.receive(&[b"123", GET].concat()).await;
        assert_eq!(statuses(&peer.taken(false)), [200, 200]);
        // It comes behind answers that are not sent yet.
        peer.receive(&[GET, GET, head(waits).as_bytes()].concat()).await;
        assert_eq!(statuses(&peer.taken(false)), [200, 200, 100]);
        peer.receive(b"123").await;
        assert_eq!(statuses(&peer.taken(false)), [200]);
        // It did not wait.
        peer.receive(format!("{}123", head(waits)).as_bytes()).await;
        assert_eq!(statuses(&peer.taken(false)), [200]);
        peer.receive(format!("{}1", head(waits)).as_bytes()).await;
        assert_eq!(peer.sent_bytes(), 0);
        peer.receive(b"23").await;
        assert_eq!(statuses(&peer.taken(false)), [200]);
        // There is nothing to wait for.
        peer.receive(head("Expect: 100-continue\r\n").as_bytes()).await;
        assert_eq!(statuses(&peer.taken(false)), [200]);
        // What is refused anyway is refused before the body.
        let too_large = head("Expect: 100-continue\r\nContent-Length: 999999\r\n");
        for (head, status) in [
            (head(waits).replace("GET", "POST"), 405),
            (head(waits).replace("GET", "BREW"), 501),
            (head(waits).replace("100-continue", "a miracle"), 417),
            (too_large, 413),
        ] {
            let peer = bench.connect();
            peer.receive(head.as_bytes()).await;
            assert!(peer.has_ended_sending(), "{head}");
            let answer = peer.taken(false).remove(0);
            assert_eq!((answer.status, answer.field("Connection")), (status, Some("close")));
        }
    });
}

#[test]
fn a_long_head_that_drips_is_read_line_by_line() {
    on_files(async |bench, _| {
        let peer = bench.connect();
        let fields = format!("A: {}\r\n", "x".repeat(3000)).repeat(4);
        let head = format!("GET /hello.txt HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        for byte in head.as_bytes() {
            assert_eq!(peer.sent_bytes(), 0);
            peer.receive(&[*byte]).await;
        }
        assert_eq!(statuses(&peer.taken(false)), [200]);
        // And its limits are seen on time, though no line ends.
        let limits = Limits::default();
        for (start, status, limit) in [
            ("GET /".to_owned(), 414, limits.line_bytes),
            (head[..head.len() - 2].to_owned() + "B: ", 431, limits.head_bytes),
        ] {
            let peer = bench.connect();
            peer.receive(start.as_bytes()).await;
            let mut bytes = start.len();
            while peer.sent_bytes() == 0 {
                peer.receive(b"y").await;
                bytes += 1;
            }
            assert_eq!((statuses(&peer.taken(false)), bytes), (vec![status], limit));
        }
    });
}

#[test]
fn counts_what_it_did() {
    on_files(async |bench, _| {
        bench.answers(&[GET, b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n", b"\0"].concat()).await;
        assert_eq!(bench.counters().requests, 2);
        assert_eq!(bench.counters().answers, [0, 0, 1, 0, 2, 0]);
    });
}

/// Content that is there only when it was offered.
struct Slow {
    offered: Option<Found>,
    asked: u64,
}

impl Content for Slow {
    fn find(&mut self, _: &[u8], _: Seen, _: &Counts) -> Found {
        self.offered.take().unwrap_or_else(|| {
            self.asked += 1;
            Found::Later(self.asked)
        })
    }

    fn offer(&mut self, found: Option<Found>) {
        self.offered = found;
    }
}

fn on_slow(test: impl AsyncFnOnce(Bench<Slow>)) {
    on_bench(Slow { offered: None, asked: 0 }, Limits::default(), test);
}

impl Bench<Slow> {
    fn asked(&self) -> u64 {
        self.shared.begin().content.asked
    }

    /// Ends the load that was asked for last.
    fn load(&self) {
        let number = self.asked();
        self.shared.loads.done(number, &Found::Forbidden);
    }
}

#[test]
fn content_that_must_be_waited_for() {
    on_slow(async |bench| {
        let peer = bench.connect();
        peer.receive(&[GET, GET].concat()).await;
        assert_eq!((peer.wants(), bench.asked()), (Wants::Content, 1));
        assert!(peer.busy.get() && peer.sent_bytes() == 0);
        // Neither more requests, nor the end of them, nor time changes that.
        peer.hand_in(GET).await;
        peer.end_input().await;
        for _ in 0..10 {
            bench.pass(100 * S, &peer).await;
        }
        assert_eq!((peer.wants(), bench.asked()), (Wants::Content, 1));
        for answered in 1..=3 {
            bench.load();
            peer.proceed().await;
            assert_eq!(statuses(&peer.taken(false)), [403]);
            let wants = if answered < 3 { Wants::Content } else { Wants::Nothing };
            assert_eq!((peer.wants(), bench.counters().requests), (wants, 3.min(answered + 1)));
        }
        assert_eq!((bench.asked(), bench.shared.loads.len()), (3, 0));
        assert_eq!(bench.counters().timed_out, 0);
    });
}

/// It comes while the answer before it is on its way: it is kept, and not asked for anew.
#[test]
fn content_that_comes_too_early() {
    on_slow(async |bench| {
        let peer = bench.connect();
        let options = b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n";
        peer.room(Some(0));
        peer.hand_in(&[options, GET].concat()).await;
        assert_eq!((peer.wants(), bench.asked()), (Wants::Output, 1));
        bench.load();
        settle(&peer.pipe).await;
        assert_eq!((peer.wants(), bench.asked()), (Wants::Output, 1));
        peer.room(None);
        peer.proceed().await;
        assert_eq!((peer.wants(), bench.asked()), (Wants::Input, 1));
        assert_eq!(statuses(&peer.taken(false)), [204, 403]);
        assert_eq!(bench.counters().requests, 2);
    });
}

/// The last answer of a connection is waited for, too, with the body of its request.
#[test]
fn content_of_a_last_request() {
    for ending in [false, true] {
        on_slow(async |bench| {
            let peer = bench.connect();
            if ending {
                bench.shared.end();
            }
            let head = b"GET /hello.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 3\r\n\r\n";
            peer.receive(head).await;
            peer.receive(b"123").await;
            assert_eq!(peer.wants(), Wants::Content);
            bench.load();
            peer.proceed().await;
            let wants = if ending { Wants::Input } else { Wants::Nothing };
            assert_eq!(peer.wants(), wants);
            let answer = peer.taken(false).remove(0);
            assert_eq!((answer.status, answer.field("Connection")), (403, Some("close")));
            assert_eq!(bench.counters().requests, 1);
        });
    }
}

/// Whoever asks for what must be loaded and goes away leaves nothing behind, and others get it.
#[test]
fn who_is_gone_waits_for_nothing() {
    on_slow(async |bench| {
        let (gone, stays) = (bench.connect(), bench.connect());
        gone.receive(GET).await;
        bench.shared.begin().content.asked -= 1;
        stays.receive(GET).await;
        assert_eq!(bench.shared.loads.waiting(), 2, "they do not wait for the same");
        gone.task.cancel();
        assert_eq!(bench.shared.loads.waiting(), 1);
        bench.load();
        settle(&stays.pipe).await;
        assert_eq!(statuses(&stays.taken(false)), [403]);
        assert_eq!((bench.shared.loads.len(), gone.sent_bytes()), (0, 0));
    });
}

proptest! {
    /// Requests, bodies and rubbish, cut and sent in any pieces.
    #[test]
    fn any_pieces_give_the_same_answers(
        pace in any::<u8>(),
        parts in prop::collection::vec(
            prop_oneof![
                Just("GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
                Just("GET /d?q HTTP/1.1\r\nHost: a\r\n\r\n"),
                Just("GET /a HTTP/1.1\r\nHost: a\r\nRange: bytes=5-\r\n\r\n"),
                Just("GET /a HTTP/1.1\r\nHost: a\r\nIf-None-Match: \"tag\"\r\n\r\n"),
                Just("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"),
                Just("POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"),
                Just("3\r\nabc\r\n"), Just("0\r\n\r\n"), Just("\r\n"), Just("\r"), Just("\n"),
                Just("GET / HTTP/1.0\r\n\r\n"),
                Just("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
                Just("GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
                Just("GET / HTTP/1.1\r\nA: "), Just("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
                Just("GET / HTTP/2.0\r\n\r\n"), Just("\0"), Just(" "),
            ],
            0..12,
        )
    ) {
        crate::fuzz::connection(&[&[pace], parts.concat().as_bytes()].concat());
    }

    /// Many requests at a time, over a wire that blocks now and then: each is answered once, in order.
    #[test]
    fn each_request_of_many_is_answered_once_and_in_order(
        many in prop::collection::vec((0u32..99_990, 0usize..4, 0usize..1500), 1..150),
        cuts in prop::collection::vec(1usize..5000, 1..20),
        rooms in prop::collection::vec(1usize..100_000, 1..20),
    ) {
        let mut requests = Vec::new();
        for &(at, kind, padding) in &many {
            let padding = "x".repeat(padding);
            let (method, body) = match kind {
                0 => ("GET", "Content-Length: 3\r\n\r\nabc"),
                1 => ("GET", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
                2 => ("POST", "\r\n"),
                _ => ("GET", "\r\n"),
            };
            let range = format!("Range: bytes={at}-{}", at + 9);
            requests.extend_from_slice(
                format!("{method} /large.bin HTTP/1.1\r\nHost: a\r\nX: {padding}\r\n{range}\r\n{body}")
                    .as_bytes(),
            );
        }
        on_files(async |bench, _| {
            let peer = bench.connect();
            let mut rest = &requests[..];
            let mut rooms = rooms.iter().cycle();
            for &cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let piece = rest.split_off(..cut.min(rest.len())).unwrap();
                peer.pipe.with(|state| {
                    state.arrived.push_back(piece.to_vec());
                    state.room = rooms.next().copied();
                });
                settle(&peer.pipe).await;
            }
            peer.room(None);
            peer.catch_up().await;
            let answers = peer.taken(false);
            assert_eq!(answers.len(), many.len());
            for (answer, &(at, kind, _)) in answers.iter().zip(&many) {
                let range = format!("bytes {at}-{}/100000", at + 9);
                let expected = (kind != 2).then_some(&range[..]);
                assert_eq!(answer.field("Content-Range"), expected);
                assert_eq!(answer.status, if kind == 2 { 405 } else { 206 });
            }
            assert_eq!(bench.counters().requests as usize, many.len());
        });
    }

    #[test]
    fn any_bytes(data in prop::collection::vec(any::<u8>(), 0..600)) {
        crate::fuzz::connection(&data);
    }
}
