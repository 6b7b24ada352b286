//! That limits hold for all threads together, whatever order they come in.

use super::*;
use std::sync::Barrier;

#[test]
fn no_more_are_served_than_may_be() {
    let limits = Limits { connections: 7, ..Limits::default() };
    let whole = Whole::new(4, &limits);
    let (begun, most) = (Barrier::new(4), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                begun.wait();
                for _ in 0..10_000 {
                    let mine = (0..5).filter(|_| whole.enter()).count();
                    most.fetch_max(whole.served.load(Ordering::Relaxed), Ordering::Relaxed);
                    (0..mine).for_each(|_| whole.left());
                }
            });
        }
    });
    assert!((1..=7).contains(&most.into_inner()));
    assert_eq!(whole.served.load(Ordering::Relaxed), 0);
    assert_eq!((0..10).filter(|_| whole.enter()).count(), 7);
    assert!(whole.is_full());
    whole.left();
    assert!(!whole.is_full() && whole.enter());
}

#[test]
fn who_is_alone_has_no_shards() {
    let limits = Limits { address_connections: 1, ..Limits::default() };
    assert!(Whole::new(1, &limits).addresses.is_none());
    assert!(Whole::new(2, &limits).addresses.is_some());
    assert!(Whole::new(2, &Limits::default()).addresses.is_none());
}

#[test]
fn it_starts_once() {
    let whole = Whole::new(2, &Limits::default());
    assert_eq!(whole.started(Duration::from_secs(3)), Duration::from_secs(3));
    assert_eq!(whole.started(Duration::from_secs(4)), Duration::from_secs(3));
}
