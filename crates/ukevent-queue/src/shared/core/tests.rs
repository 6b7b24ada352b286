//! What cannot be met step by step from outside.

use crate::shared::group::Group;
use crate::shared::keeper::Signals;
use crate::source::Source;
use crate::{Change, Event, Kind, Mode, SharedBuilder, Timer, Token};
use std::sync::Arc;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

fn group() -> Arc<Group> {
    Group::new(&SharedBuilder::new(), &Signals::new()).expect("a kernel")
}

/// A waiter has the expiry out of the ring, and has not taken it yet, when another thread changes the timer.
#[test]
fn an_expiry_of_before_a_change_is_not_told_after_it() {
    for is_changed in [true, false] {
        let group = group();
        let outside = &group.outside;
        let timer = Source::from(Timer::after(Duration::from_nanos(1)));
        let key = group.register(timer, Token(1), Mode::Level, false).unwrap();
        let mut core = group.lock();
        let staged = loop {
            core.let_in().unwrap();
            core.fill(outside, 1);
            if let Some(staged) = core.ring.pop() {
                break staged;
            }
        };
        let change = match is_changed {
            true => Change::new().timer(Timer::after(HOUR)),
            false => Change::new().token(Token(2)),
        };
        core.modify(outside, key, change).unwrap();
        assert!(!outside.claims.take(key.index, staged.stamp), "it is void by the change");
        core.unstage(outside, staged);
        core.let_in().unwrap();
        core.fill(outside, 1);
        let told = core.ring.pop().map(|staged| staged.event);
        match told {
            None => assert!(is_changed),
            Some(Event { token, kind: Kind::Timer(expired), .. }) => {
                assert!(!is_changed && token == Token(2) && expired.expirations > 0);
            }
            told => panic!("{told:?}"),
        }
    }
}
