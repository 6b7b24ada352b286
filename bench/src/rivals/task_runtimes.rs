//! Runtimes of tasks on one thread, each as its documentation makes one.
//!
//! `ukevent-task` as a program gets it; tokio's `current_thread` with a `LocalSet`, which is where its tasks
//! need not be `Send`; monoio, compio and glommio on io_uring, with the flags that they have in `echo`.

use crate::tables::tasks::{Channels, Tasks};
use glommio::channels::local_channel::{self, LocalReceiver, LocalSender};
use glommio::{LocalExecutor, LocalExecutorBuilder, Placement};
use monoio::{IoUringDriver, RuntimeBuilder};
use tokio::sync::mpsc;
use tokio::task::LocalSet;
use ukevent_measure::Result;
use ukevent_task::channel;

pub(crate) struct UkeventTask(ukevent_task::Runtime);

impl Tasks for UkeventTask {
    fn new() -> Result<Self> {
        Ok(Self(ukevent_task::Runtime::new()?))
    }

    fn block_on<F: Future>(&mut self, future: F) -> Result<F::Output> {
        Ok(self.0.block_on(future)?)
    }

    fn spawn<F: Future<Output: 'static> + 'static>(
        future: F,
    ) -> impl Future<Output = Option<F::Output>> + 'static {
        let task = ukevent_task::spawn(future);
        async { task.await.ok() }
    }
}

impl Channels for UkeventTask {
    type Sender = channel::LocalSender<u64>;
    type Receiver = channel::LocalReceiver<u64>;

    fn channel(capacity: usize) -> (Self::Sender, Self::Receiver) {
        channel::local(capacity)
    }

    async fn send(sender: &mut Self::Sender, message: u64) -> bool {
        sender.send(message).await.is_ok()
    }

    async fn receive(receiver: &mut Self::Receiver) -> Option<u64> {
        receiver.receive().await
    }
}

pub(crate) struct TokioLocal {
    runtime: tokio::runtime::Runtime,
    tasks: LocalSet,
}

impl Tasks for TokioLocal {
    fn new() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { runtime, tasks: LocalSet::new() })
    }

    fn block_on<F: Future>(&mut self, future: F) -> Result<F::Output> {
        Ok(self.tasks.block_on(&self.runtime, future))
    }

    fn spawn<F: Future<Output: 'static> + 'static>(
        future: F,
    ) -> impl Future<Output = Option<F::Output>> + 'static {
        let task = tokio::task::spawn_local(future);
        async { task.await.ok() }
    }
}

impl Channels for TokioLocal {
    type Sender = mpsc::Sender<u64>;
    type Receiver = mpsc::Receiver<u64>;

    fn channel(capacity: usize) -> (Self::Sender, Self::Receiver) {
        mpsc::channel(capacity)
    }

    async fn send(sender: &mut Self::Sender, message: u64) -> bool {
        sender.send(message).await.is_ok()
    }

    async fn receive(receiver: &mut Self::Receiver) -> Option<u64> {
        receiver.recv().await
    }
}

/// It has no channel of its own, and wakes from other threads only with a feature that changes its wakers.
pub(crate) struct Monoio(monoio::Runtime<IoUringDriver>);

impl Tasks for Monoio {
    fn new() -> Result<Self> {
        let mut flags = monoio_io_uring::IoUring::builder();
        flags.setup_single_issuer().setup_coop_taskrun().setup_taskrun_flag();
        Ok(Self(RuntimeBuilder::<IoUringDriver>::new().uring_builder(flags).build()?))
    }

    fn block_on<F: Future>(&mut self, future: F) -> Result<F::Output> {
        Ok(self.0.block_on(future))
    }

    fn spawn<F: Future<Output: 'static> + 'static>(
        future: F,
    ) -> impl Future<Output = Option<F::Output>> + 'static {
        let task = monoio::spawn(future);
        async { Some(task.await) }
    }
}

/// It has no channel of its own.
pub(crate) struct Compio(compio::runtime::Runtime);

impl Tasks for Compio {
    fn new() -> Result<Self> {
        let mut driver = compio::driver::ProactorBuilder::new();
        driver.single_issuer(true).defer_taskrun(true).taskrun_flag(true);
        let runtime = compio::runtime::RuntimeBuilder::new().with_proactor(driver).build()?;
        if runtime.driver_type().is_polling() {
            return Err("it fell back to polling".into());
        }
        Ok(Self(runtime))
    }

    fn block_on<F: Future>(&mut self, future: F) -> Result<F::Output> {
        Ok(self.0.block_on(future))
    }

    fn spawn<F: Future<Output: 'static> + 'static>(
        future: F,
    ) -> impl Future<Output = Option<F::Output>> + 'static {
        let task = compio::runtime::spawn(future);
        async { task.await.ok() }
    }
}

pub(crate) struct Glommio(LocalExecutor);

impl Tasks for Glommio {
    fn new() -> Result<Self> {
        // The thread is on its core already.
        let made = LocalExecutorBuilder::new(Placement::Unbound).make();
        Ok(Self(made.map_err(|error| error.to_string())?))
    }

    fn block_on<F: Future>(&mut self, future: F) -> Result<F::Output> {
        Ok(self.0.run(future))
    }

    fn spawn<F: Future<Output: 'static> + 'static>(
        future: F,
    ) -> impl Future<Output = Option<F::Output>> + 'static {
        let task = glommio::spawn_local(future);
        async { Some(task.await) }
    }
}

impl Channels for Glommio {
    type Sender = LocalSender<u64>;
    type Receiver = LocalReceiver<u64>;

    fn channel(capacity: usize) -> (Self::Sender, Self::Receiver) {
        local_channel::new_bounded(capacity)
    }

    async fn send(sender: &mut Self::Sender, message: u64) -> bool {
        sender.send(message).await.is_ok()
    }

    async fn receive(receiver: &mut Self::Receiver) -> Option<u64> {
        receiver.recv().await
    }
}
