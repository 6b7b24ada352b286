//! The claims: under loom in every order, otherwise one step after the other.

use super::{Claims, LetGo};
use crate::shared::ring::Stamp;

const SLOT: u32 = 0;

const fn stamp(number: u64) -> Stamp {
    Stamp::new(number, 0)
}

#[cfg(loom)]
mod in_every_order {
    use super::*;
    use crate::key::Key;
    use crate::primitive::{Arc, AtomicBool, AtomicU64, Ordering, fence};
    use crate::shared::lane::Lane;
    use loom::thread::{self, JoinHandle};

    const KEY: Key = Key { index: SLOT, generation: 1 };

    /// The claims with this staged, and a waiter's lane.
    struct Scene {
        claims: Claims,
        lane: Lane,
        /// Waiters at work on an event of the slot.
        at_work: AtomicU64,
        /// Something was done with an event.
        is_touched: AtomicBool,
        /// When nothing of the first stagings may be taken any more.
        is_void: AtomicBool,
    }

    fn scene() -> Arc<Scene> {
        let scene = Scene {
            claims: Claims::new(),
            lane: Lane::new(1),
            at_work: AtomicU64::new(0),
            is_touched: AtomicBool::new(false),
            is_void: AtomicBool::new(false),
        };
        assert!(scene.claims.stage(SLOT, stamp(1), false), "the word is free");
        Arc::new(scene)
    }

    fn spawn<T: 'static>(
        scene: &Arc<Scene>,
        body: impl FnOnce(&Scene) -> T + 'static,
    ) -> JoinHandle<T> {
        let scene = scene.clone();
        thread::spawn(move || body(&scene))
    }

    fn join<T>(thread: JoinHandle<T>) -> T {
        thread.join().expect("does not panic")
    }

    /// Loom takes an access that is SeqCst for one that acquires or releases. Where the code relies on the one
    /// order of all SeqCst accesses, a fence, which loom knows, stands for it in the model.
    fn one_order_of_all() {
        fence(Ordering::SeqCst);
    }

    /// Takes an event as a waiter does, works on it, and lets go.
    fn take_and_work(scene: &Scene, take: impl Fn(&Claims) -> bool, let_go: bool) -> bool {
        scene.lane.hold(KEY);
        one_order_of_all();
        let has_ended = scene.is_void.load(Ordering::Acquire);
        if !take(&scene.claims) {
            scene.lane.let_go();
            return false;
        }
        assert!(!has_ended, "taken after it was made void");
        scene.is_touched.store(true, Ordering::Relaxed);
        if let_go {
            scene.lane.let_go();
        }
        true
    }

    /// Removes as the core does. Whoever has an event is seen, or is done with it.
    fn remove(scene: &Scene) -> (bool, bool) {
        scene.claims.revoke(SLOT, 1);
        scene.is_void.store(true, Ordering::Release);
        one_order_of_all();
        (scene.lane.holds(KEY), scene.is_touched.load(Ordering::Relaxed))
    }

    fn no_holder_is_missed(take: fn(&Claims) -> bool, let_go: bool) {
        loom::model(move || {
            let scene = scene();
            let waiter = spawn(&scene, move |scene| take_and_work(scene, take, let_go));
            let (is_held, is_touched) = remove(&scene);
            let is_taken = join(waiter);
            assert!(!is_taken || is_held || is_touched, "somebody has it, and nobody is seen");
            if is_taken && !let_go {
                assert!(is_held, "somebody works on it unseen");
            }
        });
    }

    /// With a claim no fence is needed: both change one word, and the later one sees all before the earlier.
    #[test]
    fn loom_who_has_a_claim_is_seen_without_a_fence() {
        loom::model(|| {
            let scene = scene();
            let waiter = spawn(&scene, |scene| {
                scene.lane.hold(KEY);
                let is_taken = scene.claims.take(SLOT, stamp(1));
                scene.is_touched.store(is_taken, Ordering::Relaxed);
                if !is_taken {
                    scene.lane.let_go();
                }
                is_taken
            });
            scene.claims.revoke(SLOT, 1);
            let is_held = scene.lane.holds(KEY);
            assert!(!join(waiter) || is_held, "somebody works on it unseen");
        });
    }

    #[test]
    fn loom_who_has_a_claim_is_seen() {
        no_holder_is_missed(|claims| claims.take(SLOT, stamp(1)), false);
    }

    #[test]
    fn loom_who_had_a_claim_is_done_or_seen() {
        no_holder_is_missed(
            |claims| {
                let is_taken = claims.take(SLOT, stamp(1));
                // The order of Waiter::let_go: first the claim, then the lane.
                assert!(!is_taken || claims.let_go(SLOT, stamp(1)) != LetGo::News);
                is_taken
            },
            true,
        );
    }

    #[test]
    fn loom_who_has_an_event_without_a_claim_is_seen() {
        for let_go in [false, true] {
            no_holder_is_missed(
                |claims| claims.is_above_floor(SLOT, Stamp::new(1, Stamp::FREE)),
                let_go,
            );
        }
    }

    #[test]
    fn loom_who_has_an_event_for_all_is_seen() {
        for let_go in [false, true] {
            no_holder_is_missed(
                |claims| claims.is_staged(SLOT, Stamp::new(1, Stamp::FOR_ALL)),
                let_go,
            );
        }
    }

    /// Two have found the same event; the core makes it void meanwhile.
    #[test]
    fn loom_one_takes_it_and_nobody_once_it_is_void() {
        loom::model(|| {
            let scene = scene();
            let takers = [(); 2].map(|()| {
                spawn(&scene, |scene| {
                    let is_void = scene.is_void.load(Ordering::Acquire);
                    let is_taken = scene.claims.take(SLOT, stamp(1));
                    assert!(!is_void || !is_taken, "taken after it was made void");
                    is_taken
                })
            });
            scene.claims.revoke(SLOT, 1);
            scene.is_void.store(true, Ordering::Release);
            let taken = takers.map(join);
            assert!(taken != [true; 2], "two have one event");
            assert_eq!(scene.claims.let_go(SLOT, stamp(1)), LetGo::Void);
        });
    }

    #[test]
    fn loom_news_are_never_lost() {
        loom::model(|| {
            let scene = scene();
            let holder = spawn(&scene, |scene| {
                assert!(scene.claims.take(SLOT, stamp(1)), "nobody else does");
                scene.claims.let_go(SLOT, stamp(1))
            });
            // The core has the next one.
            let is_free = scene.claims.stage(SLOT, stamp(2), false);
            let let_go = join(holder);
            assert_eq!(let_go, if is_free { LetGo::Done } else { LetGo::News });
            // It stays held until the core has looked.
            assert_eq!(scene.claims.clear(SLOT, stamp(1)), !is_free);
            assert_eq!(scene.claims.is_staged(SLOT, stamp(2)), is_free);
        });
    }

    /// The news come while one hands the event on and another one takes it.
    #[test]
    fn loom_an_event_that_is_handed_on_has_one_holder_and_its_news() {
        loom::model(|| {
            let scene = scene();
            assert!(scene.claims.take(SLOT, stamp(1)));
            scene.at_work.store(1, Ordering::Relaxed);
            let first = spawn(&scene, |scene| {
                assert_eq!(scene.at_work.fetch_sub(1, Ordering::Relaxed), 1);
                assert!(scene.claims.put_back(SLOT, stamp(1)), "nobody made it void");
            });
            let second = spawn(&scene, |scene| {
                if !scene.claims.take(SLOT, stamp(1)) {
                    return None;
                }
                assert_eq!(scene.at_work.fetch_add(1, Ordering::Relaxed), 0, "two hold it");
                Some(scene.claims.let_go(SLOT, stamp(1)))
            });
            let is_free = scene.claims.stage(SLOT, stamp(2), false);
            join(first);
            let let_go = join(second);
            assert!(!is_free || let_go == Some(LetGo::Done), "free while it is under way");
            if !is_free && let_go.is_some() {
                assert_eq!(let_go, Some(LetGo::News));
            }
            if let_go.is_none() {
                assert!(scene.claims.is_staged(SLOT, stamp(1)), "it is there for the next");
            }
        });
    }

    /// To disable takes back what nobody has; who has it goes on with it.
    #[test]
    fn loom_what_is_held_is_not_withdrawn() {
        loom::model(|| {
            let scene = scene();
            let waiter = spawn(&scene, |scene| {
                let is_void = scene.is_void.load(Ordering::Acquire);
                let is_taken = scene.claims.take(SLOT, stamp(1));
                assert!(!is_void || !is_taken, "taken after it was withdrawn");
                is_taken
            });
            scene.claims.withdraw(SLOT, 1);
            scene.is_void.store(true, Ordering::Release);
            let is_free = scene.claims.stage(SLOT, stamp(2), false);
            let is_held = join(waiter);
            assert_eq!(is_free, !is_held, "either one has it, or it is withdrawn");
            let expected = if is_held { LetGo::News } else { LetGo::Void };
            assert_eq!(scene.claims.let_go(SLOT, stamp(1)), expected);
        });
    }

    /// Removed, and the slot used again at once; the old event is still in somebody's hands.
    #[test]
    fn loom_a_void_stamp_does_nothing_to_the_next() {
        loom::model(|| {
            let scene = scene();
            let old = spawn(&scene, |scene| {
                let claims = &scene.claims;
                let is_taken = claims.take(SLOT, stamp(1));
                let is_back = claims.put_back(SLOT, stamp(1));
                let again = claims.take(SLOT, stamp(1));
                assert!(is_taken || !is_back && !again, "void, and taken afterwards");
                let is_done = claims.let_go(SLOT, stamp(1)) == LetGo::Done;
                assert!(again || !is_back || !is_done);
                is_done
            });
            scene.claims.revoke(SLOT, 1);
            let is_free = scene.claims.stage(SLOT, stamp(2), false);
            assert!(is_free, "what was revoked leaves the word free");
            let new = spawn(&scene, |scene| scene.claims.take(SLOT, stamp(2)));
            assert!(join(new), "nobody else has its number");
            join(old);
            assert!(!scene.claims.take(SLOT, stamp(1)) && !scene.claims.put_back(SLOT, stamp(1)));
            assert!(!scene.claims.clear(SLOT, stamp(1)));
            assert_eq!(scene.claims.let_go(SLOT, stamp(2)), LetGo::Done, "nobody touched it");
        });
    }

    /// The core ends a claim for news that the holder found, while the registration goes: once.
    #[test]
    fn loom_a_claim_ends_once() {
        loom::model(|| {
            let scene = scene();
            assert!(scene.claims.take(SLOT, stamp(1)));
            let holder = spawn(&scene, |scene| scene.claims.let_go(SLOT, stamp(1)));
            let is_cleared = scene.claims.clear(SLOT, stamp(1));
            let let_go = join(holder);
            assert_eq!(let_go, if is_cleared { LetGo::Void } else { LetGo::Done });
            assert!(scene.claims.stage(SLOT, stamp(2), false), "the word is free");
        });
    }
}

#[cfg(not(loom))]
mod step_by_step {
    use super::*;

    #[test]
    fn each_slot_has_a_word_of_its_own() {
        let claims = Claims::new();
        // The ends of the first chunks, and one far out.
        let slots = [0, 1, 63, 64, 65, 191, 192, 447, 448, 100_000];
        for (number, slot) in (1..).zip(slots) {
            assert!(claims.stage(slot, stamp(number), false), "slot {slot} is free");
            claims.set_nearest(slot, number as u32);
        }
        for (number, slot) in (1..).zip(slots) {
            assert!(claims.is_staged(slot, stamp(number)));
            assert!(claims.take(slot, stamp(number)) && !claims.take(slot, stamp(number)));
            assert_eq!(claims.nearest(slot), number as u32);
            assert_eq!(claims.let_go(slot, stamp(number)), LetGo::Done);
        }
        assert_eq!(claims.nearest(66), crate::shared::ring::ANYBODY);
    }

    #[test]
    fn one_event_of_a_slot_is_under_way_at_a_time() {
        let claims = Claims::new();
        assert!(claims.stage(SLOT, stamp(1), false));
        assert!(!claims.stage(SLOT, stamp(2), false), "one is under way");
        assert!(!claims.take(SLOT, stamp(2)), "that one was never staged");
        assert!(claims.take(SLOT, stamp(1)));
        assert_eq!(claims.let_go(SLOT, stamp(1)), LetGo::News);
        assert!(!claims.stage(SLOT, stamp(3), false), "held until the core has looked");
        assert!(claims.clear(SLOT, stamp(1)) && !claims.clear(SLOT, stamp(1)));
        assert!(claims.stage(SLOT, stamp(4), true));
        assert!(claims.take(SLOT, stamp(4)));
        assert_eq!(claims.let_go(SLOT, stamp(4)), LetGo::News, "staged with news");
    }

    #[test]
    fn what_is_put_back_keeps_its_number_and_its_news() {
        let claims = Claims::new();
        assert!(claims.stage(SLOT, stamp(1), false));
        assert!(!claims.put_back(SLOT, stamp(1)), "nobody has taken it");
        assert!(claims.take(SLOT, stamp(1)));
        assert!(!claims.stage(SLOT, stamp(2), false));
        assert!(claims.put_back(SLOT, stamp(1)));
        assert_eq!(claims.let_go(SLOT, stamp(1)), LetGo::Void, "it is not held");
        assert!(claims.take(SLOT, stamp(1)));
        assert_eq!(claims.let_go(SLOT, stamp(1)), LetGo::News);
    }

    #[test]
    fn to_revoke_ends_all_and_to_withdraw_what_nobody_has() {
        let claims = Claims::new();
        let free = |number| Stamp::new(number, Stamp::FREE);
        assert!(claims.stage(SLOT, stamp(1), false) && claims.take(SLOT, stamp(1)));
        claims.withdraw(SLOT, 1);
        assert!(claims.put_back(SLOT, stamp(1)), "held, so not withdrawn");
        claims.withdraw(SLOT, 1);
        assert!(!claims.take(SLOT, stamp(1)), "staged, so withdrawn");
        assert!(claims.stage(SLOT, stamp(2), false) && claims.take(SLOT, stamp(2)));
        claims.revoke(SLOT, 3);
        assert_eq!(claims.let_go(SLOT, stamp(2)), LetGo::Void);
        assert!(!claims.is_above_floor(SLOT, free(3)) && claims.is_above_floor(SLOT, free(4)));
        claims.withdraw(SLOT, 5);
        assert!(!claims.is_above_floor(SLOT, free(5)) && claims.is_above_floor(SLOT, free(6)));
        assert!(claims.is_above_floor(SLOT + 1, free(1)), "each slot has a floor of its own");
    }
}
