//! What a race would have to be met for, step by step.

use crate::key::Token;
use crate::mode::Mode;
use crate::queue::Queue;
use crate::shared::Claims;
use crate::source::{Fd, User};
use crate::{BackendKind, Builder};

fn shared() -> Queue {
    let mut queue = Builder::new().backend(BackendKind::Epoll).build().expect("a kernel");
    assert!(queue.share().is_some());
    queue
}

#[test]
fn each_staging_has_a_number_of_its_own() {
    let (mut queue, claims, mut number) = (shared(), Claims::new(), 0);
    let key = queue.register(User::each(8), Token(1), Mode::Level).unwrap();
    let poster = queue.poster(key).unwrap();
    (0..3).for_each(|data| poster.post(data).unwrap());
    queue.let_in().unwrap();
    let mut last = 0;
    for _ in 0..3 {
        let staged = queue.stage(&claims, &mut number).unwrap();
        assert!(staged.stamp.number() > last, "a void one would be taken for it");
        last = staged.stamp.number();
    }
    assert!(queue.stage(&claims, &mut number).is_none());
}

/// An event by dispatch was taken, and before its mode had its way, another thread made a level of it and disabled it.
#[test]
fn what_became_a_level_and_was_disabled_is_not_watched_by_its_event() {
    let (mut queue, claims) = (shared(), Claims::new());
    let (reader, _writer) = std::io::pipe().unwrap();
    let key = queue.register(Fd::new(reader), Token(1), Mode::Level).unwrap();
    queue.let_in().unwrap();
    queue.disable(key).unwrap();
    queue.let_in().unwrap();
    let before = queue.counters().system_calls;
    assert!(queue.is_settled());
    assert!(queue.commit(&claims, key, 1));
    assert!(queue.is_settled(), "nothing is to be armed");
    queue.let_in().unwrap();
    assert_eq!(queue.counters().system_calls, before);
}
