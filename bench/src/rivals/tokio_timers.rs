//! tokio-util's `DelayQueue`: tokio's wheel of one millisecond, with timers that can be cancelled and
//! taken one by one.

use std::future::poll_fn;
use std::sync::LazyLock;
use std::task::Poll;
use std::time::Duration;
use tokio::runtime::{Builder, EnterGuard, Runtime};
use tokio::time::Instant;
use tokio_util::time::{DelayQueue, delay_queue::Key};
use ukevent_bench::tables::timers::Timers;
use ukevent_measure::Result;
use ukevent_measure::clock::now_ns;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime of one thread can be made")
});

pub(crate) struct DelayTimers {
    queue: DelayQueue<u32>,
    /// One moment, on both clocks.
    epoch: (Instant, u64),
    _inside: EnterGuard<'static>,
}

impl DelayTimers {
    /// Takes what is due; if there is nothing, sleeps until there is, or returns.
    fn take(&mut self, sleeps: bool, fired: &mut Vec<u32>) {
        let queue = &mut self.queue;
        // Without this the runtime ends a poll after 128 timers.
        RUNTIME.block_on(tokio::task::unconstrained(async {
            if !sleeps {
                // The runtime looks at the clock when a task yields.
                tokio::task::yield_now().await;
            }
            poll_fn(|context| {
                let before = fired.len();
                while let Poll::Ready(Some(expired)) = queue.poll_expired(context) {
                    fired.push(expired.into_inner());
                }
                if sleeps && fired.len() == before { Poll::Pending } else { Poll::Ready(()) }
            })
            .await;
        }));
    }
}

impl Timers for DelayTimers {
    type Id = Key;

    fn new(live: usize) -> Result<Self> {
        let inside = RUNTIME.enter();
        let epoch = (Instant::now(), now_ns());
        Ok(Self { queue: DelayQueue::with_capacity(live), epoch, _inside: inside })
    }

    fn add(&mut self, token: u32, deadline_ns: u64) -> Result<Key> {
        let (instant, ns) = self.epoch;
        let after = Duration::from_nanos(deadline_ns - ns);
        Ok(self.queue.insert_at(token, instant + after))
    }

    fn cancel(&mut self, key: Key) -> Result<bool> {
        Ok(self.queue.try_remove(&key).is_some())
    }

    fn fire(&mut self, fired: &mut Vec<u32>) -> Result<()> {
        self.take(false, fired);
        Ok(())
    }

    fn wait(&mut self, fired: &mut Vec<u32>) -> Result<()> {
        self.take(true, fired);
        Ok(())
    }
}
