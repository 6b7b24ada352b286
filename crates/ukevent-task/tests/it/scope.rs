//! Scopes: no task outlives its own.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;
use ukevent_task::{JoinError, Scope, block_on, spawn, time::sleep, time::timeout, yield_now};

#[test]
fn dropping_it_ends_all_of_its_tasks_at_once() {
    block_on(async {
        let shared = Rc::new(());
        let mut scope = Scope::new();
        for index in 0..10 {
            let held = Rc::clone(&shared);
            scope.spawn(async move {
                let _held = held;
                if index % 2 == 0 {
                    pending::<()>().await;
                }
            });
        }
        yield_now().await;
        drop(scope);
        assert_eq!(Rc::strong_count(&shared), 1);
    })
    .unwrap();
}

/// A scope within a task that is cancelled: the whole tree goes.
#[test]
fn a_tree_of_scopes_goes_with_its_root() {
    async fn tree(depth: u32, held: Rc<()>) {
        let mut scope = Scope::new();
        for _ in 0..if depth == 0 { 0 } else { 3 } {
            scope.spawn(Box::pin(tree(depth - 1, Rc::clone(&held)))
                as std::pin::Pin<Box<dyn Future<Output = ()>>>);
        }
        pending::<()>().await;
    }
    block_on(async {
        let shared = Rc::new(());
        let root = spawn(tree(4, Rc::clone(&shared)));
        for _ in 0..20 {
            yield_now().await;
        }
        assert_eq!(Rc::strong_count(&shared), 1 + 1 + 3 + 9 + 27 + 81);
        root.cancel();
        assert_eq!(Rc::strong_count(&shared), 1);
    })
    .unwrap();
}

#[test]
fn results_come_as_tasks_end() {
    block_on(async {
        let mut scope = Scope::new();
        for millis in [20, 1, 10] {
            scope.spawn(async move {
                sleep(Duration::from_millis(millis)).await;
                millis
            });
        }
        assert_eq!(scope.len(), 3);
        assert_eq!(scope.join_next().await.unwrap().unwrap(), 1);
        let rest: Vec<_> = scope.join_all().await.into_iter().map(Result::unwrap).collect();
        assert_eq!(rest, [10, 20]);
        assert!(scope.is_empty());
        assert!(scope.join_next().await.is_none());
        scope.spawn(async { 5 });
        assert_eq!(scope.join_next().await.unwrap().unwrap(), 5, "it is used again");
    })
    .unwrap();
}

#[test]
fn a_panic_is_the_result_of_one() {
    block_on(async {
        let mut scope = Scope::new();
        scope.spawn(async { panic!("one") });
        scope.spawn(async { 2 });
        let (mut panics, mut sum) = (0, 0);
        for ended in scope.join_all().await {
            match ended {
                Ok(number) => sum += number,
                Err(JoinError::Panicked(_)) => panics += 1,
                Err(other) => panic!("{other}"),
            }
        }
        assert_eq!((panics, sum), (1, 2));
    })
    .unwrap();
}

#[test]
fn what_is_cancelled_is_joined() {
    block_on(async {
        let mut scope = Scope::new();
        scope.spawn(pending::<()>());
        scope.spawn(async {});
        yield_now().await;
        scope.cancel();
        let ended = scope.join_all().await;
        let cancelled = ended.iter().filter(|it| matches!(it, Err(JoinError::Cancelled))).count();
        assert_eq!((ended.len(), cancelled), (2, 1));
    })
    .unwrap();
}

#[test]
fn a_join_that_is_dropped_has_joined_none() {
    block_on(async {
        let mut scope = Scope::new();
        scope.spawn(async {
            sleep(Duration::from_millis(5)).await;
            1
        });
        let soon = timeout(Duration::from_micros(10), scope.join_next()).await;
        assert!(soon.is_err());
        assert_eq!(scope.join_next().await.unwrap().unwrap(), 1);
    })
    .unwrap();
}

/// A task that drops the scope it runs in.
#[test]
fn a_task_ends_its_own_scope() {
    block_on(async {
        let shared: Rc<RefCell<Option<Scope<()>>>> = Rc::default();
        let (inner, went_on) = (Rc::clone(&shared), Rc::new(Cell::new(false)));
        let flag = Rc::clone(&went_on);
        let mut scope = Scope::new();
        scope.spawn(async move {
            let own = inner.borrow_mut().take();
            drop(own);
            flag.set(true);
            pending::<()>().await;
        });
        scope.spawn(pending());
        *shared.borrow_mut() = Some(scope);
        for _ in 0..5 {
            yield_now().await;
        }
        assert!(went_on.get());
        assert_eq!(Rc::strong_count(&went_on), 1, "it is gone");
    })
    .unwrap();
}

/// Ten thousand in one scope, which holds few places if they are joined.
#[test]
fn places_are_used_again() {
    block_on(async {
        let mut scope = Scope::new();
        let mut sum = 0;
        for number in 0..10_000_u64 {
            scope.spawn(async move { number });
            if scope.len() == 16 {
                sum += scope.join_next().await.unwrap().unwrap();
            }
        }
        sum += scope.join_all().await.into_iter().map(Result::unwrap).sum::<u64>();
        assert_eq!(sum, 9_999 * 10_000 / 2);
    })
    .unwrap();
}
