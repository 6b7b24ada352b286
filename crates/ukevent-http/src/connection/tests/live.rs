//! The stream of events, on a clock that is moved by hand.

use super::*;
use crate::{limits::LINGER_BYTES, page::Page};

const LIVE: &[u8] = b"GET /live HTTP/1.1\r\nHost: a\r\n\r\n";
const ROOT: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const RETRY: &str = "retry: 2000\n";

fn on_page(test: impl AsyncFnOnce(Bench<Page>)) {
    on_bench(Page::new(), Limits::default(), test);
}

/// What the wire carried since it was asked last.
fn carried(peer: &Peer) -> String {
    String::from_utf8(peer.pipe.with(|state| take(&mut state.sent))).unwrap()
}

/// The head, and what follows it.
fn split(answer: &str) -> (&str, &str) {
    answer.split_once("\r\n\r\n").expect("a head")
}

/// What whole chunks carry; the last one is a word of its own.
fn chunks(mut bytes: &str) -> Vec<&str> {
    let mut chunks = Vec::new();
    while let Some((len, behind)) = bytes.split_once("\r\n") {
        let (chunk, rest) = behind.split_at(usize::from_str_radix(len, 16).unwrap());
        chunks.push(if chunk.is_empty() { "the last" } else { chunk });
        bytes = rest.strip_prefix("\r\n").expect("the end of a chunk");
    }
    assert_eq!(bytes, "");
    chunks
}

/// The number of an event, and its data.
fn event(text: &str) -> (u64, &str) {
    let (id, behind) = text.strip_prefix("id: ").expect("a number").split_once('\n').unwrap();
    let data = behind.strip_prefix("data: ").and_then(|data| data.strip_suffix("\n\n"));
    let data = data.unwrap_or_else(|| panic!("no event: {text:?}"));
    assert!(data.starts_with('{') && data.ends_with('}') && !data.contains('\n'), "{data}");
    (id.parse().unwrap(), data)
}

#[test]
fn an_event_now_and_one_a_second() {
    on_page(async |bench| {
        let peer = bench.connect();
        peer.receive(LIVE).await;
        let answer = carried(&peer);
        let (head, content) = split(&answer);
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        for field in [
            "Content-Type: text/event-stream",
            "Cache-Control: no-store",
            "Transfer-Encoding: chunked",
            "Connection: close",
        ] {
            assert!(head.lines().any(|line| line == field), "{field}: {head}");
        }
        assert!(!head.contains("Content-Length"), "{head}");
        let [first] = chunks(content)[..] else { panic!("{content:?}") };
        assert_eq!(event(first.strip_prefix(RETRY).unwrap()).0, 0);
        for number in 1..=5 {
            bench.pass(S - MOMENT, &peer).await;
            assert_eq!(carried(&peer), "", "{number} came early");
            bench.pass(MOMENT + MOMENT / 10, &peer).await;
            let events = carried(&peer);
            let [only] = chunks(&events)[..] else { panic!("{events:?}") };
            assert_eq!(event(only).0, number);
        }
        assert_eq!((bench.counters().requests, bench.counters().open), (1, 0));
    });
}

#[test]
fn all_who_watch_are_told_the_same() {
    on_page(async |bench| {
        let one = bench.connect();
        one.receive(LIVE).await;
        bench.pass(S / 2, &one).await;
        let other = bench.connect();
        other.receive(LIVE).await;
        bench.pass(S / 2 + MOMENT, &one).await;
        settle(&other.pipe).await;
        let both = [&one, &other].map(carried);
        let both = both.each_ref().map(|answer| chunks(split(answer).1));
        assert_eq!((both[0].len(), &both[0]), (2, &both[1]));
    });
}

/// From the receipt of the request until its answer has left.
#[test]
fn an_event_tells_how_long_answers_took() {
    on_page(async |bench| {
        let watcher = bench.connect();
        watcher.receive(LIVE).await;
        assert!(carried(&watcher).contains("\"p50_us\":null,\"p99_us\":null,"));
        let peer = bench.connect();
        peer.room(Some(0));
        peer.hand_in(&[ROOT, ROOT, ROOT].concat()).await;
        bench.pass(S / 4, &peer).await;
        peer.room(None);
        peer.proceed().await;
        // Whoever watches is answered all the time, and this is not of interest.
        assert_eq!(bench.shared.snapshot().latency.count(), 3);
        bench.pass(S * 3 / 4 + MOMENT, &watcher).await;
        let told = carried(&watcher);
        assert!(told.contains("\"p50_us\":250000,\"p99_us\":250000,"), "{told}");
        bench.pass(S, &watcher).await;
        assert!(carried(&watcher).contains("\"p50_us\":null,"));
    });
}

#[test]
fn a_client_of_http_1_0_is_told_until_the_end() {
    on_page(async |bench| {
        let peer = bench.connect();
        peer.receive(b"GET /live HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await;
        bench.pass(S + MOMENT, &peer).await;
        let answer = carried(&peer);
        let (head, content) = split(&answer);
        assert!(!head.contains("Transfer-Encoding") && head.contains("Connection: close"));
        let (first, then) = content.strip_prefix(RETRY).unwrap().split_once("\n\n").unwrap();
        assert_eq!((event(&format!("{first}\n\n")).0, event(then).0), (0, 1));
        bench.shared.end();
        bench.pass(S + MOMENT, &peer).await;
        assert_eq!(event(&carried(&peer)).0, 2, "there is no last chunk");
        assert!(peer.has_ended_sending());
    });
}

#[test]
fn head_has_no_events_and_the_connection_stays() {
    on_page(async |bench| {
        let peer = bench.connect();
        peer.receive(b"HEAD /live HTTP/1.1\r\nHost: a\r\n\r\n").await;
        bench.pass(5 * S, &peer).await;
        let answer = carried(&peer);
        let (head, content) = split(&answer);
        assert!(head.contains("Transfer-Encoding: chunked") && !head.contains("Connection:"));
        assert_eq!((content, peer.wants()), ("", Wants::Input));
        peer.receive(ROOT).await;
        assert_eq!(statuses(&peer.taken(false)), [200]);
    });
}

#[test]
fn answers_before_it_come_first() {
    on_page(async |bench| {
        let peer = bench.connect();
        peer.receive(&[ROOT, LIVE, ROOT].concat()).await;
        bench.pass(S + MOMENT, &peer).await;
        let answer = carried(&peer);
        let (head, behind) = split(&answer);
        let len = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
        let events = &behind[len.parse().unwrap()..];
        assert_eq!(chunks(split(events).1).len(), 2);
        assert_eq!(bench.counters().requests, 2, "what is behind it is never answered");
        peer.end_input().await;
        assert_eq!(peer.wants(), Wants::Nothing);
    });
}

/// A server that ends ends who is not busy at once. It does that from outside: here the stream ends by
/// itself, as it does if the server ended before the first event had left.
#[test]
fn who_watches_is_not_busy() {
    on_page(async |bench| {
        let peer = bench.connect();
        peer.room(Some(0));
        peer.hand_in(LIVE).await;
        assert!(peer.busy.get(), "nothing has left");
        peer.room(None);
        peer.proceed().await;
        assert!(!peer.busy.get());
        bench.pass(S + MOMENT, &peer).await;
        assert!(!peer.busy.get() && !peer.has_ended_sending());
        peer.task.cancel();
        settle(&peer.pipe).await;
        assert!(peer.task.has_ended());
    });
    for after_the_answer in [false, true] {
        on_page(async |bench| {
            let peer = bench.connect();
            if after_the_answer {
                peer.room(Some(0));
                peer.hand_in(LIVE).await;
                bench.shared.end();
                peer.room(None);
                peer.proceed().await;
            } else {
                bench.shared.end();
                peer.receive(LIVE).await;
            }
            let answer = carried(&peer);
            let [first, "the last"] = chunks(split(&answer).1)[..] else { panic!("{answer}") };
            assert_eq!(event(first.strip_prefix(RETRY).unwrap()).0, 0);
            assert!(peer.has_ended_sending());
            peer.end_input().await;
            assert_eq!(peer.wants(), Wants::Nothing);
        });
    }
}

#[test]
fn a_peer_that_goes_is_noticed_at_once() {
    for is_reset in [false, true] {
        on_page(async |bench| {
            let peer = bench.connect();
            peer.receive(LIVE).await;
            bench.pass(S + MOMENT, &peer).await;
            assert_eq!(peer.wants(), Wants::Input);
            peer.pipe.with(|state| state.broken = is_reset);
            peer.end_input().await;
            assert_eq!(peer.wants(), Wants::Nothing);
            assert!(!peer.has_ended_sending(), "it said something to nobody");
        });
    }
}

#[test]
fn what_the_peer_says_meanwhile_is_thrown_away_up_to_a_bound() {
    on_page(async |bench| {
        let peer = bench.connect();
        peer.receive(LIVE).await;
        carried(&peer);
        let piece = vec![b'x'; 64 * 1024];
        for number in 1..=LINGER_BYTES / piece.len() as u64 {
            peer.receive(&piece).await;
            bench.pass(S + MOMENT, &peer).await;
            let told = carried(&peer);
            assert_eq!(event(chunks(&told)[0]).0, number, "what came has put it off");
        }
        peer.receive(b"x").await;
        assert_eq!(peer.wants(), Wants::Nothing);
    });
}

/// One event is in memory at a time, and nobody is told what is not so any more.
#[test]
fn a_slow_peer_misses_some() {
    on_page(async |bench| {
        let peer = bench.connect();
        peer.receive(LIVE).await;
        carried(&peer);
        peer.room(Some(100));
        for outstanding in 1..=8 {
            // It takes what the kernel has, and no more comes.
            peer.pipe.with(|state| state.outstanding = outstanding);
            bench.pass(S + MOMENT, &peer).await;
            assert_eq!(peer.wants(), Wants::Output);
        }
        peer.room(None);
        peer.proceed().await;
        let told = carried(&peer);
        let numbers: Vec<_> = chunks(&told).iter().map(|text| event(text).0).collect();
        assert_eq!(numbers, [1, 8]);
        assert!(peer.pipe.with(|state| state.most_handed) <= 4096);
    });
}

#[test]
fn a_peer_that_takes_nothing_has_stalled() {
    on_page(async |bench| {
        let peer = bench.connect();
        peer.receive(LIVE).await;
        peer.pipe.with(|state| (state.room, state.outstanding) = (Some(0), 1000));
        let stall = Limits::default().stall;
        let began = bench.sim.elapsed();
        while peer.wants() != Wants::Nothing {
            bench.pass(S, &peer).await;
            assert!(bench.sim.elapsed() - began < 2 * stall, "it still waits");
        }
        assert!(bench.sim.elapsed() - began > stall);
        assert_eq!(bench.counters().timed_out, 1);
    });
}
