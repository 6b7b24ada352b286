//! The runtime against hostile programs: code that panics, drops, wakes and spawns where it hurts.

use futures_util::future::{join_all, select};
use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;
use ukevent_task::{JoinError, JoinHandle, Runtime, block_on, look, spawn, time::sleep, yield_now};

/// Runs this when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Gives the task's own waker.
async fn waker() -> Waker {
    poll_fn(|cx| Poll::Ready(cx.waker().clone())).await
}

/// Lets all others have a turn, a few times.
async fn settle() {
    for _ in 0..10 {
        yield_now().await;
    }
}

#[test]
fn results_come_to_who_joins() {
    block_on(async {
        let handles: Vec<_> = (0..1000).map(|number| spawn(async move { number })).collect();
        let mut sum = 0;
        for handle in handles {
            sum += handle.await.unwrap();
        }
        assert_eq!(sum, 499_500);
    })
    .unwrap();
}

#[test]
fn a_handle_that_is_joined_twice_says_so_and_does_not_hang() {
    block_on(async {
        let mut handle = spawn(async { 1 });
        assert_eq!((&mut handle).await.unwrap(), 1);
        // Another task may have the place by now.
        let other = spawn(pending::<()>());
        assert!(matches!((&mut handle).await, Err(JoinError::Cancelled)));
        handle.cancel();
        settle().await;
        assert!(!other.has_ended(), "an old handle does not name a new task");
    })
    .unwrap();
}

#[test]
fn a_handle_outlives_its_runtime() {
    let runtime = Runtime::new().unwrap();
    let never = runtime.spawn(pending::<()>());
    let mut other = Runtime::new().unwrap();
    drop(runtime);
    assert!(never.has_ended());
    assert!(matches!(other.block_on(never).unwrap(), Err(JoinError::Cancelled)));
}

#[test]
fn a_result_that_nobody_took_is_dropped_with_the_runtime() {
    let mut runtime = Runtime::new().unwrap();
    let shared = Rc::new(());
    let handle = runtime.spawn(ready(Rc::clone(&shared)));
    runtime.block_on(settle()).unwrap();
    assert_eq!(Rc::strong_count(&shared), 2);
    drop(runtime);
    assert_eq!(Rc::strong_count(&shared), 1);
    drop(handle);
}

#[test]
fn cancelling_drops_the_future_at_once() {
    block_on(async {
        let shared = Rc::new(());
        let held = Rc::clone(&shared);
        let task = spawn(async move {
            let _held = held;
            pending::<()>().await;
        });
        settle().await;
        task.cancel();
        assert_eq!(Rc::strong_count(&shared), 1);
        assert!(matches!(task.await, Err(JoinError::Cancelled)));
    })
    .unwrap();
}

/// A task that has its own handle cancels itself, and goes on until it waits.
#[test]
fn a_task_cancels_itself() {
    block_on(async {
        let own: Rc<RefCell<Option<JoinHandle<()>>>> = Rc::default();
        let went_on = Rc::new(Cell::new(false));
        let (inner, flag) = (Rc::clone(&own), Rc::clone(&went_on));
        let task = spawn(async move {
            inner.borrow().as_ref().unwrap().cancel();
            flag.set(true);
            pending::<()>().await;
        });
        *own.borrow_mut() = Some(task);
        settle().await;
        assert!(went_on.get());
        let task = own.borrow_mut().take().unwrap();
        assert!(task.has_ended());
        assert!(matches!(task.await, Err(JoinError::Cancelled)));
    })
    .unwrap();
}

/// One that cancels itself and then ends has its result all the same.
#[test]
fn a_task_that_ends_while_it_is_cancelled_has_a_result() {
    block_on(async {
        let own: Rc<RefCell<Option<JoinHandle<u32>>>> = Rc::default();
        let inner = Rc::clone(&own);
        *own.borrow_mut() = Some(spawn(async move {
            inner.borrow().as_ref().unwrap().cancel();
            7
        }));
        settle().await;
        let task = own.borrow_mut().take().unwrap();
        assert_eq!(task.await.unwrap(), 7);
    })
    .unwrap();
}

/// A task that drops its own handle, from inside of its own drop.
#[test]
fn a_task_holds_its_own_handle() {
    block_on(async {
        let own: Rc<RefCell<Option<JoinHandle<()>>>> = Rc::default();
        let inner = Rc::clone(&own);
        let task = spawn(async move {
            let _own = OnDrop(move || drop(inner.borrow_mut().take()));
            pending::<()>().await;
        });
        *own.borrow_mut() = Some(task);
        settle().await;
        own.borrow().as_ref().unwrap().cancel();
        settle().await;
    })
    .unwrap();
}

#[test]
fn a_panic_is_the_result() {
    block_on(async {
        let error = spawn(async { panic!("out of {}", "paper") }).await.unwrap_err();
        assert_eq!(error.to_string(), "the task panicked: out of paper");
        let passed_on: Box<dyn std::error::Error + Send + Sync> = error.into();
        assert!(std::io::Error::other(passed_on).to_string().contains("paper"));
        assert_eq!(spawn(async { 1 }).await.unwrap(), 1, "the others go on");
    })
    .unwrap();
}

/// A panic while a future that has its result is dropped.
#[test]
fn a_panic_in_the_drop_of_a_future_is_the_result() {
    block_on(async {
        struct Bomb<F>(F, bool);
        impl<F: Future + Unpin> Future for Bomb<F> {
            type Output = F::Output;
            fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
                let polled = Pin::new(&mut self.0).poll(cx);
                self.1 = polled.is_ready();
                polled
            }
        }
        impl<F> Drop for Bomb<F> {
            fn drop(&mut self) {
                assert!(!self.1, "dropped");
            }
        }
        let shared = Rc::new(());
        let ended = spawn(Bomb(ready(Rc::clone(&shared)), false)).await;
        assert_eq!(ended.unwrap_err().to_string(), "the task panicked: dropped");
        assert_eq!(Rc::strong_count(&shared), 1, "the result is dropped");

        // And the result panics as well, when it is dropped for that.
        let worse = spawn(Bomb(ready(OnDrop(|| panic!("worse"))), false)).await;
        assert!(matches!(worse, Err(JoinError::Panicked(_))));
        assert_eq!(spawn(async { 1 }).await.unwrap(), 1, "the others go on");
    })
    .unwrap();
}

/// Dropping what a panic was thrown with panics, too.
#[test]
fn a_panic_of_a_panic_ends_nothing() {
    block_on(async {
        let task = spawn(async {
            let _bomb = OnDrop(|| panic_any(OnDrop(|| panic_any(OnDrop(|| panic!("and again"))))));
            pending::<()>().await;
        });
        settle().await;
        task.cancel();
        assert!(matches!(task.await, Err(JoinError::Cancelled)));
        let detached = async { panic_any(OnDrop(|| panic!("again"))) };
        spawn(detached).detach();
        settle().await;
    })
    .unwrap();
}

#[test]
fn what_is_spawned_while_the_runtime_is_dropped_is_dropped() {
    let runtime = Runtime::new().unwrap();
    let shared = Rc::new(());
    let held = Rc::clone(&shared);
    let spawns = OnDrop(move || {
        let held = Rc::clone(&held);
        let task = spawn(async move {
            let _held = held;
            pending::<()>().await;
        });
        assert!(task.has_ended());
    });
    runtime
        .spawn(async move {
            let _spawns = spawns;
            pending::<()>().await;
        })
        .detach();
    drop(runtime);
    assert_eq!(Rc::strong_count(&shared), 1);
}

#[test]
fn block_on_goes_on_after_the_main_future_panicked() {
    let mut runtime = Runtime::new().unwrap();
    let beside = runtime.spawn(async {
        sleep(Duration::from_millis(1)).await;
        5
    });
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async {
            yield_now().await;
            panic!("in the main future");
        })
    }));
    assert!(panicked.is_err());
    let task = runtime.spawn(async { 6 });
    let sum = async { beside.await.unwrap() + task.await.unwrap() };
    assert_eq!(runtime.block_on(sum).unwrap(), 11);
}

#[test]
fn block_on_inside_of_a_runtime_says_why_not() {
    block_on(async {
        let task = spawn(async { block_on(async {}) });
        let error = task.await.unwrap_err().to_string();
        assert!(error.contains("await the future instead"), "{error}");
    })
    .unwrap();
}

/// The main future ends in the midst of a batch: the others are polled by the next call.
#[test]
fn what_is_in_line_stays_there() {
    let mut runtime = Runtime::new().unwrap();
    let ran = Rc::new(Cell::new(0));
    runtime
        .block_on(async {
            for _ in 0..100 {
                let ran = Rc::clone(&ran);
                spawn(async move { ran.set(ran.get() + 1) }).detach();
            }
        })
        .unwrap();
    runtime.block_on(async {}).unwrap();
    runtime.block_on(settle()).unwrap();
    assert_eq!(ran.get(), 100);
}

#[test]
fn wakers_of_a_runtime_that_is_gone_do_nothing() {
    let (there, from_task) = mpsc::channel();
    let mut runtime = Runtime::new().unwrap();
    runtime
        .block_on(async {
            there.send(waker().await).unwrap();
            spawn(async move { there.send(waker().await).unwrap() }).await.unwrap();
        })
        .unwrap();
    let wakers: Vec<_> = from_task.iter().collect();
    wakers.iter().for_each(Waker::wake_by_ref);
    runtime.block_on(settle()).unwrap();
    drop(runtime);
    let thread = thread::spawn(move || {
        wakers.iter().for_each(Waker::wake_by_ref);
        wakers.into_iter().for_each(Waker::wake);
    });
    thread.join().unwrap();
}

/// Wakes from other threads, at any time, while tasks come and go in the places.
#[test]
fn a_wake_from_another_thread_is_never_lost() {
    const TASKS: usize = 50;
    const ROUNDS: u32 = 200;
    let (to_thread, wakes) = mpsc::channel::<(Waker, Arc<Mutex<bool>>)>();
    let thread = thread::spawn(move || {
        for (waker, flag) in wakes {
            *flag.lock().unwrap() = true;
            waker.wake();
        }
    });
    block_on(async move {
        let task = |to_thread: mpsc::Sender<_>| async move {
            for _ in 0..ROUNDS {
                let flag = Arc::new(Mutex::new(false));
                let mut sent = false;
                poll_fn(|cx| {
                    if *flag.lock().unwrap() {
                        return Poll::Ready(());
                    }
                    if !std::mem::replace(&mut sent, true) {
                        to_thread.send((cx.waker().clone(), Arc::clone(&flag))).unwrap();
                    }
                    Poll::Pending
                })
                .await;
            }
        };
        let tasks: Vec<_> = (0..TASKS).map(|_| spawn(task(to_thread.clone()))).collect();
        for task in tasks {
            task.await.unwrap();
        }
    })
    .unwrap();
    thread.join().unwrap();
}

/// Polls all kinds of futures again and again for no reason.
#[test]
fn spurious_polls_do_no_harm() {
    block_on(async {
        let slow = spawn(async {
            sleep(Duration::from_millis(20)).await;
            3
        });
        let mut slow = pin!(slow);
        let mut time = pin!(sleep(Duration::from_millis(10)));
        let noise = spawn(async {
            loop {
                yield_now().await;
            }
        });
        let waker = waker().await;
        let noisy = spawn(async move {
            loop {
                waker.wake_by_ref();
                yield_now().await;
            }
        });
        let mut polls = 0;
        poll_fn(|cx| {
            polls += 1;
            time.as_mut().poll(cx)
        })
        .await;
        assert!(polls > 10, "woken for nothing: {polls}");
        assert_eq!(slow.as_mut().await.unwrap(), 3);
        noise.cancel();
        noisy.cancel();
    })
    .unwrap();
}

/// A waker whose every step (clone, drop, wake) uses the runtime: no table may be borrowed then.
#[test]
fn foreign_wakers_may_use_the_runtime() {
    /// Runs a task's worth of the runtime.
    struct Busy;
    impl Busy {
        fn use_it() {
            let task = spawn(pending::<()>());
            task.cancel();
            drop(task);
            let mut sleep = pin!(sleep(Duration::from_secs(60)));
            let _ = sleep.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        }
    }
    impl Drop for Busy {
        fn drop(&mut self) {
            Self::use_it();
        }
    }
    impl Wake for Busy {
        fn wake(self: Arc<Self>) {
            Self::use_it();
        }
    }
    block_on(async {
        let task = spawn(pending::<()>());
        // Each poll replaces the waker of the one before, and drops it.
        let mut join = pin!(async { drop(task.await) });
        let mut time = pin!(sleep(Duration::from_secs(60)));
        let (sender, receiver) = ukevent_task::channel::local::<u32>(1);
        let mut receive = pin!(async {
            let _ = receiver.receive().await;
        });
        let (posts, posted) = ukevent_task::channel::shared::<u32>(1);
        let mut take = pin!(async {
            let _ = posted.receive().await;
        });
        for _ in 0..2 {
            let futures: [Pin<&mut dyn Future<Output = ()>>; 4] =
                [join.as_mut(), time.as_mut(), receive.as_mut(), take.as_mut()];
            for future in futures {
                // One for each: the table's is the last of it.
                let waker = Waker::from(Arc::new(Busy));
                assert!(future.poll(&mut Context::from_waker(&waker)).is_pending());
            }
        }
        sender.try_send(1).unwrap();
        posts.try_send(1).unwrap();
        settle().await;
    })
    .unwrap();
}

/// A runtime that is dropped while its thread ends, when what is local to the thread may be gone.
#[test]
fn a_runtime_may_be_local_to_a_thread() {
    thread_local! {
        static RUNTIME: RefCell<Option<Runtime>> = const { RefCell::new(None) };
    }
    let (tell, told) = mpsc::channel();
    let thread = thread::spawn(move || {
        // First this, so that it is dropped last.
        RUNTIME.with_borrow_mut(|runtime| assert!(runtime.is_none()));
        let mut runtime = Runtime::new().unwrap();
        let tells = OnDrop(move || tell.send(()).unwrap());
        runtime
            .block_on(async {
                spawn(async move {
                    let _tells = tells;
                    pending::<()>().await;
                })
                .detach();
                settle().await;
            })
            .unwrap();
        RUNTIME.with_borrow_mut(|place| *place = Some(runtime));
    });
    thread.join().unwrap();
    told.recv().expect("the task is dropped");
}

/// A runtime beside another one, on one thread: each wakes its own tasks.
#[test]
fn two_runtimes_on_a_thread() {
    let (mut one, mut two) = (Runtime::new().unwrap(), Runtime::new().unwrap());
    let shared: Rc<RefCell<Option<Waker>>> = Rc::default();
    let waits = {
        let shared = Rc::clone(&shared);
        let mut polled = false;
        one.spawn(poll_fn(move |cx| {
            *shared.borrow_mut() = Some(cx.waker().clone());
            if std::mem::replace(&mut polled, true) { Poll::Ready(()) } else { Poll::Pending }
        }))
    };
    one.block_on(settle()).unwrap();
    // A task of the first, woken by the second.
    two.block_on(async { shared.borrow().as_ref().unwrap().wake_by_ref() }).unwrap();
    one.block_on(waits).unwrap().unwrap();
}

/// A task whose awaits are always ready lets the others have their turn.
#[test]
fn a_task_that_is_never_idle_does_not_starve_others() {
    let mut runtime = Runtime::new().unwrap();
    runtime
        .block_on(async {
            let (sender, receiver) = ukevent_task::channel::local::<u32>(1);
            let greedy = spawn(async move {
                loop {
                    sender.send(1).await.unwrap();
                    receiver.receive().await.unwrap();
                }
            });
            let (posts, posted) = ukevent_task::channel::shared::<u32>(1);
            let greedier = spawn(async move {
                loop {
                    posts.send(1).await.unwrap();
                    posted.receive().await.unwrap();
                }
            });
            let yields = spawn(async {
                loop {
                    yield_now().await;
                }
            });
            // All of this comes by way of the queue, and of the line.
            sleep(Duration::from_millis(5)).await;
            assert_eq!(spawn(async { 1 }).await.unwrap(), 1);
            look().await;
            greedy.cancel();
            greedier.cancel();
            yields.cancel();
        })
        .unwrap();
}

#[test]
fn other_libraries_wait_for_many_at_once() {
    block_on(async {
        let tasks: Vec<_> = (0..100)
            .map(|number| {
                spawn(async move {
                    sleep(Duration::from_micros(number % 10)).await;
                    number
                })
            })
            .collect();
        let sum: u64 = join_all(tasks).await.into_iter().map(Result::unwrap).sum();
        assert_eq!(sum, 4950);
        let (soon, late) = (spawn(async { 1 }), spawn(pending::<u32>()));
        let first = select(soon, late).await.factor_first().0;
        assert_eq!(first.unwrap(), 1);
    })
    .unwrap();
}
