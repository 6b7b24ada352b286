//! The ring between two threads: under loom in every order, otherwise for long.

use super::ring;

#[cfg(loom)]
mod in_every_order {
    use super::*;
    use loom::thread;

    /// Items arrive once each and in order, over places that are used again.
    #[test]
    fn loom_items_arrive_in_order() {
        loom::model(|| {
            let (mut producer, mut consumer) = ring::<Box<u32>>(2);
            let thread = thread::spawn(move || {
                for item in 0..3 {
                    let mut item = Box::new(item);
                    while let Err(back) = producer.push(item) {
                        item = back;
                        thread::yield_now();
                    }
                }
            });
            for expected in 0..3 {
                let item = loop {
                    match consumer.pop() {
                        Some(item) => break item,
                        None => thread::yield_now(),
                    }
                };
                assert_eq!(*item, expected);
            }
            thread.join().unwrap();
            assert!(consumer.pop().is_none() && consumer.is_closed());
        });
    }

    /// Batches on both sides; what is left when both ends are gone is dropped once.
    #[test]
    fn loom_batches_and_the_rest() {
        loom::model(|| {
            let (mut producer, mut consumer) = ring::<loom::sync::Arc<()>>(4);
            let item = loom::sync::Arc::new(());
            let items = [item.clone(), item.clone(), item.clone()];
            let thread = thread::spawn(move || assert_eq!(producer.push_all(items), 3));
            let taken = consumer.pop_all(2).count();
            assert!(taken <= 2);
            drop(consumer);
            thread.join().unwrap();
            assert_eq!(loom::sync::Arc::strong_count(&item), 1);
        });
    }
}

#[cfg(not(loom))]
mod with_threads {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn is_full_and_empty_when_it_is() {
        let (mut producer, mut consumer) = ring(3);
        assert_eq!((producer.capacity(), producer.room(), consumer.len()), (4, 4, 0));
        assert!(consumer.pop().is_none() && consumer.is_empty());
        for item in 0..4 {
            assert_eq!(producer.push(item), Ok(()));
        }
        assert_eq!(producer.push(4), Err(4));
        assert_eq!((producer.room(), consumer.len()), (0, 4));
        assert_eq!(consumer.pop(), Some(0));
        assert_eq!(producer.push(4), Ok(()));
        assert_eq!(consumer.pop_all(9).collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert!(consumer.pop().is_none());
    }

    #[test]
    fn a_batch_takes_no_item_that_has_no_place() {
        let (mut producer, mut consumer) = ring(4);
        let mut items = 0..;
        assert_eq!(producer.push_all(items.by_ref()), 4);
        assert_eq!(items.next(), Some(4));
        assert_eq!(consumer.pop_all(3).count(), 3);
        assert_eq!(producer.push_all(items.by_ref().take(2)), 2);
        assert_eq!(producer.push_all([]), 0);
        assert_eq!(consumer.pop_all(9).collect::<Vec<_>>(), [3, 5, 6]);
    }

    #[test]
    fn what_a_batch_has_not_given_out_stays() {
        let (mut producer, mut consumer) = ring(4);
        producer.push_all(0..4);
        {
            let mut batch = consumer.pop_all(4);
            assert_eq!((batch.next(), batch.size_hint()), (Some(0), (3, Some(3))));
        }
        assert_eq!((producer.room(), consumer.len()), (1, 3));
        assert_eq!(consumer.pop_all(4).take(2).count(), 2);
        assert_eq!(consumer.pop(), Some(3));
    }

    #[test]
    fn drops_what_is_left_once() {
        let item = Arc::new(());
        for leak_batch in [false, true] {
            let (mut producer, mut consumer) = ring(8);
            producer.push_all((0..6).map(|_| item.clone()));
            drop(consumer.pop());
            if leak_batch {
                let mut batch = consumer.pop_all(3);
                drop(batch.next());
                std::mem::forget(batch);
            }
            assert!(!producer.is_closed());
            drop(consumer);
            assert!(producer.is_closed());
            assert_eq!(producer.push(item.clone()), Ok(()));
            drop(producer);
            assert_eq!(Arc::strong_count(&item), 1);
        }
    }

    #[test]
    fn a_million_items_arrive_in_order() {
        const ITEMS: u64 = if cfg!(miri) { 1_000 } else { 1_000_000 };
        let (mut producer, mut consumer) = ring(64);
        let thread = std::thread::spawn(move || {
            let mut rng = testkit::Rng::new(1);
            let mut next = 0;
            while next < ITEMS {
                let end = (next + rng.range(1..50)).min(ITEMS);
                let pushed = producer.push_all(next..end) as u64;
                next += pushed;
                if pushed == 0 {
                    std::thread::yield_now();
                }
            }
        });
        let mut rng = testkit::Rng::new(2);
        let mut expected = 0;
        while expected < ITEMS {
            let before = expected;
            for item in consumer.pop_all(rng.range(1..50) as usize) {
                assert_eq!(item, expected);
                expected += 1;
            }
            if let Some(item) = consumer.pop() {
                assert_eq!(item, expected);
                expected += 1;
            }
            if expected == before {
                std::thread::yield_now();
            }
        }
        thread.join().unwrap();
        assert!(consumer.is_closed() && consumer.is_empty());
    }
}
