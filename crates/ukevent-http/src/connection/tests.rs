//! Connections over a wire that blocks where it is told to, on a clock that is moved by hand.

use super::*;
use crate::{
    files::Root,
    limits::{LINGER_BYTES, SMALL_FILE_BYTES},
    testing::{Answer, Bench, Site, large},
};
use proptest::prelude::*;

mod table;

const GET: &[u8] = b"GET /hello.txt HTTP/1.1\r\nHost: a\r\n\r\n";
const LARGE: &[u8] = b"GET /large.bin HTTP/1.1\r\nHost: a\r\n\r\n";
const S: u64 = 1_000_000_000;

fn bench() -> (Site, Bench<Root>) {
    let site = Site::new();
    let root = Root::open(&site.root()).unwrap();
    (site, Bench::new(root))
}

fn statuses(answers: &[Answer]) -> Vec<u16> {
    answers.iter().map(|answer| answer.status).collect()
}

#[test]
fn at_rest_it_holds_nothing() {
    let (_site, mut bench) = bench();
    let mut connection = bench.connect();
    for request in [GET, LARGE] {
        bench.receive(&mut connection, &[request, &request[..10]].concat());
        assert!(connection.held_bytes() > 0);
        bench.receive(&mut connection, &request[10..]);
        assert_eq!(connection.held_bytes(), 0);
        assert!(connection.is_idle());
    }
    assert!(size_of::<Connection>() <= 96, "{}", size_of::<Connection>());
}

#[test]
fn an_answer_that_does_not_fit_waits_and_stops_the_input() {
    let (_site, mut bench) = bench();
    let mut connection = bench.connect();
    bench.wire.takes.extend([100, 0]);
    bench.hand_in(&mut connection, &[LARGE, GET, GET].concat());
    bench.proceed(&mut connection);
    assert_eq!(connection.wants(), Wants::Output);
    assert_eq!(bench.counters.requests, 1, "the next request was looked at too early");
    // A few bytes of the file, then nothing: still the first.
    bench.wire.takes.extend([usize::MAX, 50_000, 0]);
    bench.proceed(&mut connection);
    assert_eq!((connection.wants(), bench.counters.requests), (Wants::Output, 1));
    bench.proceed(&mut connection);
    assert_eq!((connection.wants(), bench.counters.requests), (Wants::Input, 3));
    let sent = bench.wire.sent.len() as u64;
    let answers = bench.taken(false);
    assert_eq!(statuses(&answers), [200, 200, 200]);
    assert_eq!(answers[0].content, large());
    assert_eq!(bench.counters.bytes_sent, sent);
    assert_eq!(connection.held_bytes(), 0);
}

#[test]
fn a_budget_ends_the_turn_before_the_file() {
    let (_site, mut bench) = bench();
    let mut connection = bench.connect();
    bench.budget_bytes = 30_000;
    bench.hand_in(&mut connection, LARGE);
    let mut turns = 0;
    while connection.wants() == Wants::Output {
        assert!(bench.proceed_once(&mut connection));
        turns += 1;
        assert!(bench.wire.sent.len() <= turns * 30_000, "more than its share");
    }
    assert_eq!(turns, 4);
    assert_eq!(bench.taken(false)[0].content, large());
}

#[test]
fn pipelined_answers_are_gathered_up_to_a_bound() {
    let (_site, mut bench) = bench();
    let mut connection = bench.connect();
    bench.hand_in(&mut connection, &GET.repeat(1000));
    assert!(bench.counters.requests < 1000, "all answers were made at once");
    assert!(connection.held_bytes() < GET.len() * 1000, "{}", connection.held_bytes());
    bench.proceed(&mut connection);
    assert_eq!(bench.taken(false).len(), 1000);

    // With the largest file that is answered from memory: what a peer that takes nothing may pin.
    let (site, mut bench) = self::bench();
    std::fs::write(site.root().join("hello.txt"), vec![7; SMALL_FILE_BYTES as usize]).unwrap();
    for many in [1, 2, 10, 1000] {
        let mut connection = bench.connect();
        bench.wire.most_handed = 0;
        bench.receive(&mut connection, &GET.repeat(many));
        assert_eq!(bench.taken(false).len(), many);
        let most = GATHER_BYTES + SMALL_FILE_BYTES as usize + 4096;
        assert!(bench.wire.most_handed <= most, "{} bytes", bench.wire.most_handed);
    }
}

#[test]
fn the_end_of_the_input_is_not_the_end_of_the_answers() {
    let (_site, mut bench) = bench();
    let mut connection = bench.connect();
    bench.hand_in(&mut connection, &[LARGE, GET].concat());
    bench.turn(|wire, turn| connection.end_of_input(wire, turn));
    assert_eq!(connection.wants(), Wants::Output);
    bench.proceed(&mut connection);
    assert_eq!(connection.wants(), Wants::Nothing);
    assert_eq!(statuses(&bench.taken(false)), [200, 200]);
}

#[test]
fn a_head_without_end_is_forgotten() {
    let (_site, mut bench) = bench();
    let mut connection = bench.connect();
    bench.turn(|wire, turn| connection.receive(&GET[..20], wire, turn));
    bench.turn(|wire, turn| connection.end_of_input(wire, turn));
    assert_eq!(connection.wants(), Wants::Nothing);
    assert!(bench.wire.sent.is_empty());
}

#[test]
fn the_server_ends_gently_and_the_client_at_once() {
    let (_site, mut bench) = bench();
    let mut connection = bench.connect();
    bench.receive(&mut connection, b"GET / HTTP/1.1\r\n\r\n");
    assert!(bench.wire.ended, "the sending side stays open");
    assert_eq!(connection.wants(), Wants::Input, "the rest is not read");
    bench.receive(&mut connection, &[b'x'; 1000]);
    bench.turn(|wire, turn| connection.end_of_input(wire, turn));
    assert_eq!(connection.wants(), Wants::Nothing);

    let close = b"GET /hello.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    for (behind, wants) in [(&b""[..], Wants::Nothing), (b"more", Wants::Input)] {
        bench.taken(false);
        let mut connection = bench.connect();
        bench.receive(&mut connection, &[close, behind].concat());
        assert_eq!(bench.wire.ended, wants == Wants::Input);
        assert_eq!(connection.wants(), wants);
    }
}

#[test]
fn lingering_has_an_end() {
    let (_site, mut bench) = bench();
    let mut connection = bench.connect();
    bench.receive(&mut connection, b"\0");
    let mut bytes = 0;
    while connection.wants() == Wants::Input {
        bench.receive(&mut connection, &[b'x'; 10_000]);
        bytes += 10_000;
        assert!(bytes <= LINGER_BYTES + 10_000);
    }
    assert_eq!(connection.wants(), Wants::Nothing);

    let mut connection = bench.connect();
    bench.wire.ended = false;
    bench.receive(&mut connection, b"\0");
    assert_eq!(connection.deadline_ns(), 2 * S);
    bench.turn(|wire, turn| connection.expire(wire, turn));
    assert_eq!(connection.wants(), Wants::Nothing);
}

#[test]
fn deadlines() {
    let (_site, mut bench) = bench();
    bench.now_ns = 100 * S;
    let mut connection = bench.connect();
    assert_eq!(connection.deadline_ns(), 110 * S, "the first request is due");
    bench.now_ns = 101 * S;
    bench.receive(&mut connection, GET);
    assert_eq!(connection.deadline_ns(), 161 * S, "it may rest");
    bench.now_ns = 120 * S;
    bench.receive(&mut connection, &GET[..5]);
    assert_eq!(connection.deadline_ns(), 130 * S, "a head has begun");
    bench.now_ns = 125 * S;
    bench.receive(&mut connection, &GET[5..14]);
    bench.receive(&mut connection, b"");
    assert_eq!(connection.deadline_ns(), 130 * S, "more of it is no reason to wait longer");
    bench.receive(&mut connection, b" HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n1");
    assert_eq!(connection.deadline_ns(), 155 * S, "a body has begun");
    bench.now_ns = 130 * S;
    bench.receive(&mut connection, b"2");
    assert_eq!(connection.deadline_ns(), 155 * S);
    bench.receive(&mut connection, b"3");
    assert_eq!(connection.deadline_ns(), 190 * S);
    bench.receive(&mut connection, b"\r\n");
    assert_eq!(connection.deadline_ns(), 190 * S, "an empty line is no request");
}

#[test]
fn a_peer_that_takes_nothing_is_dropped_and_a_slow_one_is_not() {
    let (_site, mut bench) = bench();
    let mut connection = bench.connect();
    bench.hand_in(&mut connection, LARGE);
    // So long may it take nothing at least, and that long and a look at most.
    let (stall_ns, look_ns) = (30 * S, 30 * S / 4);
    let mut look = |bench: &mut Bench<Root>, outstanding: u32| {
        assert!(connection.deadline_ns() <= bench.now_ns + look_ns, "it is not looked at");
        bench.now_ns = connection.deadline_ns();
        bench.wire.outstanding = outstanding;
        bench.turn(|wire, turn| connection.expire(wire, turn));
        connection.wants() == Wants::Output
    };
    // It takes a little at a time; what is outstanding grows where the kernel took more meanwhile.
    for outstanding in [1000, 900, 1200, 800, 1200] {
        assert!(look(&mut bench, outstanding), "it is no slower than it may be");
    }
    let progress_ns = bench.now_ns;
    while look(&mut bench, 1200) {
        assert!(bench.now_ns < progress_ns + stall_ns, "it took nothing");
    }
    assert_eq!(bench.now_ns, progress_ns + stall_ns, "given up too early");
    assert_eq!(connection.wants(), Wants::Nothing);
    assert_eq!((bench.wire.sent.len(), bench.counters.timed_out), (0, 1));

    // One that takes nothing from the beginning, and one that took a whole piece.
    for taken in [0, 30_000] {
        let (_site, mut bench) = self::bench();
        bench.budget_bytes = 30_000;
        // The kernel holds what the peer does not take.
        bench.wire.outstanding = 1000;
        let mut connection = bench.connect();
        bench.hand_in(&mut connection, LARGE);
        if taken > 0 {
            bench.now_ns = 20 * S;
            assert!(bench.proceed_once(&mut connection));
            assert!(connection.deadline_ns() > 20 * S, "it is past");
        }
        let began_ns = bench.now_ns;
        while connection.wants() == Wants::Output {
            bench.now_ns = connection.deadline_ns();
            bench.turn(|wire, turn| connection.expire(wire, turn));
        }
        let waited_ns = bench.now_ns - began_ns;
        assert!((stall_ns..=stall_ns + look_ns).contains(&waited_ns), "{waited_ns}");
        assert_eq!((bench.wire.sent.len(), bench.counters.timed_out), (taken, 1));
    }
}

/// All that the kernel was given has reached the peer, and the rest is waited for: it is the server's own
/// disk that is slow.
#[test]
fn a_peer_that_took_everything_has_not_stalled() {
    let (_site, mut bench) = bench();
    let mut connection = bench.connect();
    bench.hand_in(&mut connection, LARGE);
    bench.wire.outstanding = 0;
    for _ in 0..100 {
        bench.now_ns = connection.deadline_ns();
        bench.turn(|wire, turn| connection.expire(wire, turn));
        assert_eq!(connection.wants(), Wants::Output, "dropped after {} s", bench.now_ns / S);
    }
    bench.proceed(&mut connection);
    assert_eq!(bench.taken(false)[0].content, large());
    assert_eq!(bench.counters.timed_out, 0);
}

/// What a server that ends says to whoever rests, and to nobody else.
#[test]
fn a_connection_at_rest_is_ended() {
    let (_site, mut bench) = bench();
    let mut connection = bench.connect();
    bench.hand_in(&mut connection, LARGE);
    bench.turn(|wire, turn| connection.end_at_rest(wire, turn));
    assert_eq!((connection.wants(), bench.wire.ended), (Wants::Output, false), "it is answered");
    bench.proceed(&mut connection);
    bench.hand_in(&mut connection, &GET[..10]);
    bench.turn(|wire, turn| connection.end_at_rest(wire, turn));
    assert!(!bench.wire.ended, "it is asking");
    bench.hand_in(&mut connection, &GET[10..]);
    bench.proceed(&mut connection);
    bench.turn(|wire, turn| connection.end_at_rest(wire, turn));
    assert!(bench.wire.ended);
    assert_eq!(bench.taken(false).len(), 2);
    bench.turn(|wire, turn| connection.end_of_input(wire, turn));
    assert_eq!(connection.wants(), Wants::Nothing);
}

/// What comes behind an answer that is leaving is held, and answered when that has left.
#[test]
fn input_is_held_up_to_a_bound() {
    let (_site, mut bench) = bench();
    let mut connection = bench.connect();
    bench.hand_in(&mut connection, LARGE);
    let mut requests = 1;
    while connection.takes_input() {
        assert!(connection.held_bytes() < 2 * HELD_BYTES);
        bench.hand_in(&mut connection, &GET[..7]);
        bench.hand_in(&mut connection, &GET[7..]);
        requests += 1;
    }
    // What had come before it was told to stop.
    bench.hand_in(&mut connection, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n1");
    bench.hand_in(&mut connection, b"23");
    assert_eq!((connection.wants(), bench.counters.requests), (Wants::Output, 1));
    bench.proceed(&mut connection);
    assert_eq!(bench.taken(false).len(), requests + 1);
    assert!(connection.takes_input());
    assert_eq!((connection.wants(), connection.held_bytes()), (Wants::Input, 0));
}

/// The body of a request may come while its client is told to send it.
#[test]
fn a_body_that_overtakes_the_interim_answer() {
    let (_site, mut bench) = bench();
    let mut connection = bench.connect();
    let head =
        b"GET /hello.txt HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";
    bench.hand_in(&mut connection, head);
    bench.hand_in(&mut connection, &[b"123", GET].concat());
    bench.proceed(&mut connection);
    assert_eq!(statuses(&bench.taken(false)), [100, 200, 200]);
}

#[test]
fn what_takes_too_long_to_arrive_is_told_so() {
    for begun in [&GET[..10], b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n1234"] {
        let (_site, mut bench) = bench();
        let mut connection = bench.connect();
        bench.receive(&mut connection, begun);
        bench.turn(|wire, turn| connection.expire(wire, turn));
        bench.proceed(&mut connection);
        assert!(bench.wire.ended);
        let answer = bench.taken(false).remove(0);
        assert_eq!((answer.status, answer.field("Connection")), (408, Some("close")));
        assert_eq!(bench.counters.timed_out, 1);
        bench.turn(|wire, turn| connection.expire(wire, turn));
        assert_eq!(connection.wants(), Wants::Nothing);
    }
}

#[test]
fn rest_ends_without_a_word() {
    let (_site, mut bench) = bench();
    for request in [&b""[..], GET] {
        let mut connection = bench.connect();
        bench.receive(&mut connection, request);
        bench.taken(false);
        bench.turn(|wire, turn| connection.expire(wire, turn));
        assert_eq!(connection.wants(), Wants::Nothing);
        assert!(bench.wire.sent.is_empty());
    }
    assert_eq!(bench.counters.timed_out, 0);
}

#[test]
fn a_broken_wire_ends_it() {
    let (_site, mut bench) = bench();
    let mut connection = bench.connect();
    bench.wire.broken = true;
    bench.receive(&mut connection, LARGE);
    assert_eq!((connection.wants(), connection.held_bytes()), (Wants::Nothing, 0));
}

#[test]
fn a_file_that_ends_early_ends_the_connection() {
    let (site, mut bench) = bench();
    let mut connection = bench.connect();
    bench.budget_bytes = 10_000;
    bench.hand_in(&mut connection, LARGE);
    std::fs::File::options()
        .write(true)
        .open(site.root().join("large.bin"))
        .and_then(|file| file.set_len(5_000))
        .unwrap();
    bench.proceed(&mut connection);
    assert_eq!(connection.wants(), Wants::Nothing);
}

#[test]
fn one_too_many_is_told_so() {
    let (_site, mut bench) = bench();
    let mut connection = bench.turn(Connection::refused);
    bench.proceed(&mut connection);
    assert_eq!(connection.wants(), Wants::Input, "it lingers");
    let answer = bench.taken(false).remove(0);
    assert_eq!(answer.status, 503);
    assert_eq!(answer.field("Connection"), Some("close"));
    assert_eq!(answer.field("Retry-After"), Some("1"));
}

#[test]
fn when_the_server_ends_every_answer_is_the_last() {
    let (_site, mut bench) = bench();
    let mut connection = bench.connect();
    bench.receive(&mut connection, &GET[..10]);
    assert!(!connection.is_idle());
    bench.ending = true;
    bench.receive(&mut connection, &[&GET[10..], GET].concat());
    assert!(bench.wire.ended);
    let answers = bench.taken(false);
    assert_eq!(statuses(&answers), [200]);
    assert_eq!(answers[0].field("Connection"), Some("close"));
}

#[test]
fn expectations() {
    let head = |fields: &str| format!("GET /hello.txt HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    let waits = "Expect: 100-continue\r\nContent-Length: 3\r\n";
    // The client waits, is told to go on, and goes on.
    let (_site, mut bench) = bench();
    let mut connection = bench.connect();
    bench.receive(&mut connection, head(waits).as_bytes());
    assert_eq!(bench.wire.sent, response::CONTINUE);
    bench.taken(false);
    bench.receive(&mut connection, &[b"123", GET].concat());
    assert_eq!(statuses(&bench.taken(false)), [200, 200]);
    // It did not wait.
    bench.receive(&mut connection, format!("{}123", head(waits)).as_bytes());
    assert_eq!(statuses(&bench.taken(false)), [200]);
    bench.receive(&mut connection, format!("{}1", head(waits)).as_bytes());
    assert!(bench.wire.sent.is_empty());
    bench.receive(&mut connection, b"23");
    assert_eq!(statuses(&bench.taken(false)), [200]);
    // There is nothing to wait for.
    bench.receive(&mut connection, head("Expect: 100-continue\r\n").as_bytes());
    assert_eq!(statuses(&bench.taken(false)), [200]);
    // What is refused anyway is refused before the body.
    let too_large = head("Expect: 100-continue\r\nContent-Length: 999999\r\n");
    for (head, status) in [
        (head(waits).replace("GET", "POST"), 405),
        (head(waits).replace("GET", "BREW"), 501),
        (head(waits).replace("100-continue", "a miracle"), 417),
        (too_large, 413),
    ] {
        let mut connection = bench.connect();
        bench.receive(&mut connection, head.as_bytes());
        assert!(bench.wire.ended, "{head}");
        let answer = bench.taken(false).remove(0);
        assert_eq!((answer.status, answer.field("Connection")), (status, Some("close")));
    }
}

#[test]
fn a_long_head_that_drips_is_read_line_by_line() {
    let (_site, mut bench) = bench();
    let mut connection = bench.connect();
    let fields = format!("A: {}\r\n", "x".repeat(3000)).repeat(4);
    let head = format!("GET /hello.txt HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    for byte in head.as_bytes() {
        assert!(bench.wire.sent.is_empty());
        bench.receive(&mut connection, &[*byte]);
    }
    assert_eq!(statuses(&bench.taken(false)), [200]);
    // And its limits are seen on time, though no line ends.
    for (start, status, limit) in [
        ("GET /".to_owned(), 414, bench.limits.line_bytes),
        (head[..head.len() - 2].to_owned() + "B: ", 431, bench.limits.head_bytes),
    ] {
        let mut connection = bench.connect();
        bench.receive(&mut connection, start.as_bytes());
        let mut bytes = start.len();
        while bench.wire.sent.is_empty() {
            bench.receive(&mut connection, b"y");
            bytes += 1;
        }
        assert_eq!((statuses(&bench.taken(false)), bytes), (vec![status], limit));
    }
}

#[test]
fn counts_what_it_did() {
    let (_site, mut bench) = bench();
    bench.answers(&[GET, b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n", b"\0"].concat());
    assert_eq!(bench.counters.requests, 2);
    assert_eq!(bench.counters.answers, [0, 0, 1, 0, 2, 0]);
}

/// Content that is there only when it was asked for once, and then fetched.
struct Slow {
    root: Root,
    /// Of each question.
    is_there: bool,
    asked: u32,
}

impl Content for Slow {
    fn find(
        &mut self,
        path: &[u8],
        seen: crate::entity::Seen,
        counters: &Counters,
    ) -> crate::entity::Found {
        self.asked += 1;
        match std::mem::take(&mut self.is_there) {
            true => self.root.find(path, seen, counters),
            false => crate::entity::Found::Later,
        }
    }
}

fn slow() -> (Site, Bench<Slow>) {
    let site = Site::new();
    let root = Root::open(&site.root()).unwrap();
    (site, Bench::new(Slow { root, is_there: false, asked: 0 }))
}

fn fetch(bench: &mut Bench<Slow>, connection: &mut Connection) {
    bench.content.is_there = true;
    bench.turn(|wire, turn| connection.content_ready(wire, turn));
    bench.content.is_there = false;
}

#[test]
fn content_that_must_be_waited_for() {
    let (_site, mut bench) = slow();
    let mut connection = bench.connect();
    bench.receive(&mut connection, &[GET, GET].concat());
    assert_eq!((connection.wants(), bench.content.asked), (Wants::Content, 1));
    assert!(!connection.is_idle() && bench.wire.sent.is_empty());
    // Neither more requests, nor the end of them, nor time changes that.
    bench.hand_in(&mut connection, GET);
    bench.turn(|wire, turn| connection.end_of_input(wire, turn));
    bench.now_ns = connection.deadline_ns();
    bench.turn(|wire, turn| connection.expire(wire, turn));
    assert!(connection.deadline_ns() > bench.now_ns, "the delay is not the peer's");
    assert_eq!((connection.wants(), bench.content.asked), (Wants::Content, 1));
    for answered in 1..=3 {
        fetch(&mut bench, &mut connection);
        bench.proceed(&mut connection);
        assert_eq!(statuses(&bench.taken(false)), [200]);
        let wants = if answered < 3 { Wants::Content } else { Wants::Nothing };
        assert_eq!((connection.wants(), bench.counters.requests), (wants, 3.min(answered + 1)));
    }
    assert_eq!(connection.held_bytes(), 0);
}

/// It comes while the answer before it is on its way: then it is asked for anew.
#[test]
fn content_that_comes_too_early() {
    let (_site, mut bench) = slow();
    let mut connection = bench.connect();
    let options = b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n";
    bench.hand_in(&mut connection, &[options, GET].concat());
    assert_eq!((connection.wants(), bench.content.asked), (Wants::Output, 1));
    fetch(&mut bench, &mut connection);
    assert_eq!((connection.wants(), bench.content.asked), (Wants::Output, 1));
    bench.content.is_there = true;
    bench.proceed(&mut connection);
    assert_eq!((connection.wants(), bench.content.asked), (Wants::Input, 2));
    assert_eq!(statuses(&bench.taken(false)), [204, 200]);
    assert_eq!(bench.counters.requests, 2);
}

/// The last answer of a connection is waited for, too, with the body of its request.
#[test]
fn content_of_a_last_request() {
    let (_site, mut bench) = slow();
    for ending in [false, true] {
        let mut connection = bench.connect();
        bench.ending = ending;
        let head =
            b"GET /hello.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 3\r\n\r\n";
        bench.receive(&mut connection, head);
        bench.receive(&mut connection, b"123");
        assert_eq!(connection.wants(), Wants::Content);
        fetch(&mut bench, &mut connection);
        bench.proceed(&mut connection);
        let wants = if ending { Wants::Input } else { Wants::Nothing };
        assert_eq!(connection.wants(), wants);
        let answer = bench.taken(false).remove(0);
        assert_eq!((answer.status, answer.field("Connection")), (200, Some("close")));
    }
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

    #[test]
    fn any_bytes(data in prop::collection::vec(any::<u8>(), 0..600)) {
        crate::fuzz::connection(&data);
    }
}
