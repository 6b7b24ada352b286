//! Who tells the content what has changed, and what was loaded.

use super::{House, threads::Vital};
use crate::{entity::Content, files::Reports, journal::Gathered};
use std::{collections::HashMap, future::poll_fn, pin::pin, rc::Rc, task::Poll};
use ukevent_queue::{Inode, Key, Kind, RegisterError};
use ukevent_task::{EventSet, Events, JoinHandle, channel::SharedReceiver};

/// What is watched for the sake of the files at hand.
#[derive(Debug, Default)]
struct Reporter {
    events: EventSet,
    /// By the registration: what the content calls it.
    indices: HashMap<Key, u32>,
}

impl Reports for Reporter {
    fn register(&mut self, inode: Inode, index: u32) -> Result<Key, RegisterError> {
        let key = self.events.add(inode)?;
        self.indices.insert(key, index);
        Ok(key)
    }

    fn remove(&mut self, key: Key) {
        self.indices.remove(&key);
        self.events.remove(key);
    }
}

/// What there is to do.
enum Task {
    Report(Key, Kind),
    Tend,
}

impl House {
    /// Takes reports of what is watched, and watches what is worth it.
    ///
    /// What a look at the queue brought of reports wakes this before the look is over. So a connection that
    /// lets the others go first after a look sees here whether there was anything, if not all of it: how
    /// much is taken at a time has its bound.
    pub(super) async fn report(self: Rc<Self>) {
        let _vital = Vital(Rc::clone(&self));
        let mut reporter = Reporter::default();
        self.shared.reports_come(reporter.events.untaken());
        loop {
            let task = {
                let mut tend = pin!(self.shared.tend.rung());
                poll_fn(|cx| match reporter.events.poll_next(cx) {
                    Poll::Ready((key, kind)) => Poll::Ready(Task::Report(key, kind)),
                    Poll::Pending if self.shared.begin().content.wants_tending() => {
                        Poll::Ready(Task::Tend)
                    }
                    Poll::Pending => tend.as_mut().poll(cx).map(|()| Task::Tend),
                })
                .await
            };
            let mut service = self.shared.begin();
            match task {
                Task::Report(key, kind) => {
                    self.shared.took_report();
                    // It may have been removed since.
                    if let Some(&index) = reporter.indices.get(&key) {
                        service.content.reported(&mut reporter, index, &kind);
                    }
                }
                Task::Tend => {
                    let unix_s = service.seen(false).unix_s;
                    service.content.tend(&mut reporter, unix_s);
                }
            }
            self.shared.rely_on_reports(service.content.relies_on_reports());
        }
    }

    /// Writes the access log, or lets the first thread do so.
    pub(super) async fn keep_log(self: Rc<Self>) {
        let _vital = Vital(Rc::clone(&self));
        if let (Some(log), Some(sink)) = (&self.shared.log, &self.sink) {
            log.keep(sink).await;
        }
    }

    /// Lets the task that does so come to its end.
    pub(super) async fn end_log(&self, keeping: &mut Option<JoinHandle<()>>) {
        if let (Some(log), Some(sink), Some(running)) =
            (&self.shared.log, &self.sink, &mut *keeping)
        {
            log.end(sink, running).await;
        }
        if let Some(late) = keeping.take() {
            late.cancel();
        }
    }

    /// Takes what the other threads log, until the last of them has ended.
    pub(super) async fn hear(self: Rc<Self>, others: SharedReceiver<Gathered>) {
        let _vital = Vital(Rc::clone(&self));
        match &self.shared.log {
            Some(log) => log.take_from(&others).await,
            None => while others.receive().await.is_some() {},
        }
    }

    /// Gives what was loaded to those who wait for it.
    pub(super) async fn take_loaded(self: Rc<Self>, mut told: Events) {
        let _vital = Vital(Rc::clone(&self));
        loop {
            told.next().await;
            let loaded = {
                let mut service = self.shared.begin();
                let seen = service.seen(false);
                service.content.take_loaded(seen)
            };
            for (number, found) in loaded {
                self.shared.loads.done(number, &found);
            }
        }
    }
}
