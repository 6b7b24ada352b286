//! All kinds of sources in one queue, in one wait.

use crate::bench::{A, Bench, batch, now_sorted, patient, silent, tokens, wait};
use crate::subject::Queue;
use rustix::process::{getpid, kill_process};
use std::{process::Command, process::Stdio, time::Duration};
use testkit::{Child, TempTree};
use ukevent_queue::{
    Changes, Clock, Inode, Kind, Merge, Mode, Process, Signal, Timer, Token, User, Wait,
};

cases! {
    alone: [
        one_wait_takes_one_of_each_kind,
        each_kind_is_removed_in_the_loop_by_the_event_of_another,
        each_kind_is_silent_while_it_is_disabled,
    ],
}

/// One of each kind, by number; and what makes all of them happen.
struct All {
    queue: Queue,
    keys: Vec<ukevent_queue::Key>,
    happen: Box<dyn FnMut()>,
}

fn all(bench: &Bench) -> All {
    let (mut queue, door, tree) = (bench.queue(), bench.door(), TempTree::new());
    let mut child = Child::spawn(Command::new("cat").stdin(Stdio::piped()));
    let mut keys = Vec::new();
    let soon = Duration::from_millis(1);
    keys.push(queue.register(door.source(), Token(0), Mode::OneShot).unwrap());
    for (clock, token) in [(Clock::Monotonic, 1), (Clock::Boot, 2), (Clock::Wall, 3)] {
        let timer = Timer::after(soon).on(clock);
        keys.push(queue.register(timer, Token(token), Mode::OneShot).unwrap());
    }
    keys.push(queue.register(User::merged(Merge::Sum), Token(4), Mode::OneShot).unwrap());
    let inode = Inode::path(tree.path()).on(Changes::CREATED);
    keys.push(queue.register(inode, Token(5), Mode::OneShot).unwrap());
    keys.push(queue.register(Signal::USR1, Token(6), Mode::OneShot).unwrap());
    keys.push(queue.register(Process::child(&child), Token(7), Mode::OneShot).unwrap());
    let poster = queue.poster(keys[4]).unwrap();
    let happen = Box::new(move || {
        door.knock();
        let _ = poster.post(1);
        tree.file("note", "");
        kill_process(getpid(), rustix::process::Signal::USR1).unwrap();
        drop(child.stdin.take());
    });
    All { queue, keys, happen }
}

pub(crate) fn one_wait_takes_one_of_each_kind(bench: &Bench) {
    let All { mut queue, keys, mut happen } = all(bench);
    silent_but_timers(&mut queue);
    happen();
    let mut events = batch(&mut queue, patient().at_least(keys.len()));
    events.sort_by_key(|event| event.token);
    assert_eq!(tokens(&events), (0..8).map(Token).collect::<Vec<_>>());
    assert!(events.iter().zip(&keys).all(|(event, key)| event.key == *key));
    let kinds = |at: usize| &events[at].kind;
    assert!(matches!(kinds(0), Kind::Ready(_)));
    assert!((1..=3).all(|at| matches!(kinds(at), Kind::Timer(_))));
    assert!(matches!(kinds(4), Kind::User(_)));
    assert!(matches!(kinds(5), Kind::Inode(_)));
    assert!(matches!(kinds(6), Kind::Signal(_)));
    assert!(matches!(kinds(7), Kind::Process(_)));
    silent(&mut queue);
    assert_eq!(queue.counters().registered, 0);
}

/// A wait that arms all, before anything happens but time.
fn silent_but_timers(queue: &mut Queue) {
    let early = wait(queue, Wait::now()).unwrap();
    assert!(early <= 3, "only the timers may be over by now");
}

fn each_kind_is_removed_in_the_loop_by_the_event_of_another(bench: &Bench) {
    for victim in 0..8 {
        let All { mut queue, keys, mut happen } = all(bench);
        happen();
        assert_eq!(wait(&mut queue, patient().at_least(8)), Ok(8));
        queue.remove(keys[victim]).unwrap();
        let mut came = Vec::from_iter(std::iter::from_fn(|| queue.next_event()));
        came.sort_by_key(|event| event.token);
        let expected: Vec<Token> = (0..8).filter(|&at| at != victim as u64).map(Token).collect();
        assert_eq!(tokens(&came), expected);
        silent(&mut queue);
    }
}

fn each_kind_is_silent_while_it_is_disabled(bench: &Bench) {
    let All { mut queue, keys, mut happen } = all(bench);
    let other = queue.register(User::merged(Merge::Sum), A, Mode::Level).unwrap();
    for &key in &keys {
        queue.disable(key).unwrap();
    }
    happen();
    // The queue comes by all of it, and keeps it.
    assert_eq!(wait(&mut queue, Wait::within(Duration::from_millis(30))), Ok(0));
    queue.poster(other).unwrap().post(1).unwrap();
    assert_eq!(now_sorted(&mut queue), [A]);
    for &key in &keys {
        queue.enable(key).unwrap();
    }
    let mut came = tokens(&batch(&mut queue, patient().at_least(8)));
    came.sort_unstable();
    assert_eq!(came, (0..8).map(Token).collect::<Vec<_>>());
}
