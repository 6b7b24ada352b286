//! A load that is made by one thread, as tasks on its runtime: one for each connection, one for each client
//! that is only there, and the one that keeps the schedule.

mod connect;
mod connection;
mod idle;
mod run;
mod tally;
mod wire;
mod work;

use crate::{
    Arrivals, Class, Plan,
    plan::{Length, NeverDue, Pace},
    record::{Cpu, Record},
};
use connect::Route;
use idle::{Idler, be_there};
use run::{Run, now_ns};
use std::{future::poll_fn, io, rc::Rc, time::Duration};
use ukevent_sys::clock::thread_times;
use ukevent_task::{
    Scope, channel,
    time::{Deadline, sleep, timeout},
};
use work::{Due, Given, Work};

/// How long what is on its way may take when a load is ended early.
const LAST_CHANCE: Duration = Duration::from_secs(1);
/// Clients that are only there and connect at a time: no backlog is to be overrun by them.
const COMING: usize = 64;

/// A load that can begin: the target was looked up, and all are there who are only there.
///
/// ```
/// use std::time::Duration;
/// use ukevent_load::{Length, Load, Plan};
/// use ukevent_task::{block_on, net::TcpListener, spawn};
///
/// let record = block_on(async {
///     let mut listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
///     let url = format!("http://{}/", listener.address()?);
///     spawn(async move {
///         while let Ok(mut client) = listener.accept().await {
///             while client.receive().await.is_ok_and(|bytes| !bytes.is_empty()) {
///                 let _ = client.send(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()).await;
///             }
///         }
///     })
///     .detach();
///     let plan = Plan { length: Length::Requests(100), ..Plan::new(url.parse().unwrap()) };
///     let load = Load::prepare(plan).await?;
///     Ok::<_, std::io::Error>(load.run(|_| ()).await)
/// })??;
/// assert_eq!((record.replies, record.errors.total()), (100, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Load {
    run: Rc<Run>,
    /// Connecting, they are there, and go with this.
    _idlers: Scope<()>,
    deadline: Deadline,
}

/// Ends a load early, in good order: see [`Load::stop`].
///
/// ```
/// use ukevent_load::{Load, Plan};
/// use ukevent_task::block_on;
///
/// let record = block_on(async {
///     let load = Load::prepare(Plan::new("http://127.0.0.1:9/".parse().unwrap())).await?;
///     load.stop().now();
///     Ok::<_, std::io::Error>(load.run(|_| ()).await)
/// })??;
/// assert_eq!(record.requests, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Stop {
    run: Rc<Run>,
}

impl Stop {
    /// No request starts any more. What is on its way has a second; what has no reply then is counted as
    /// [`Class::Interrupted`], and what waited for a connection as [`Class::Crowded`]. The record is of the time
    /// until now. Again, or after the end, it does nothing.
    pub fn now(&self) {
        self.run.stop();
    }
}

/// How a load goes on: what was counted so far, and in the last whole second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Since the load began.
    pub at: Duration,
    /// Whole replies so far.
    pub replies: u64,
    /// Requests that failed so far.
    pub errors: u64,
    /// Whole replies in the last second.
    pub replies_per_s: u64,
    /// Percentile 99 of their latency, in ns.
    pub p99_ns: u64,
}

/// Connections that are held without a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Idle {
    /// How many there are.
    pub there: u64,
    /// How many the server closed so far.
    pub lost: u64,
}

impl Load {
    /// Looks the target up, and lets all come who are only there. If it is asked by TLS, makes a connection to
    /// see whether the server is trusted. Blocks to read the roots.
    ///
    /// # Errors
    /// When the target cannot be looked up, or one of those who are only there cannot connect: then there is no
    /// such load. What fails later is counted, and no error. Of TLS, with a [`TrustError`](crate::TrustError) in
    /// it: there are no roots, the server's certificate is not trusted, or it speaks no TLS. With a [`NeverDue`], if
    /// the rate falls to none before so many requests are due.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub async fn prepare(plan: Plan) -> io::Result<Self> {
        NeverDue::check(&plan)?;
        let route = Route::find(&plan.target, &plan.trust, &plan.sources).await?;
        route.try_tls(plan.connect_timeout).await?;
        let work = match (plan.pace, plan.length) {
            (Pace::Open { .. }, _) => Work::open(),
            (Pace::Closed { .. }, Length::Requests(count)) => Work::closed(Some(count)),
            (Pace::Closed { .. }, Length::Time(_)) => Work::closed(None),
        };
        let run = Rc::new(Run::new(plan, route, work).map_err(io::Error::other)?);
        let mut idlers = Scope::new();
        gather(&run, &mut idlers).await?;
        Ok(Self { run, _idlers: idlers, deadline: Deadline::after(Duration::ZERO)? })
    }

    /// Where the target was found.
    #[must_use]
    pub fn server(&self) -> String {
        self.run.route.to_string()
    }

    /// Those who are only there: how many are now, and how many times the server sent one of them away so far.
    #[must_use]
    pub fn idle(&self) -> Idle {
        self.run.idle()
    }

    /// Makes the load, and gives what was counted. `progress` is called once a second, and is to be quick.
    pub async fn run(mut self, progress: impl Fn(&Progress) + 'static) -> Record {
        let before = thread_times();
        self.run.begin();
        let tells = Rc::clone(&self.run);
        let mut tellers = Scope::new();
        tellers.spawn(async move {
            loop {
                sleep(Duration::from_secs(1)).await;
                progress(&tells.progress());
            }
        });
        let mut connections = Scope::new();
        let run = Rc::clone(&self.run);
        if run.unless_stopped(self.make(&mut connections)).await.is_none() {
            self.break_off(connections).await;
        }
        let after = thread_times();
        let mut record = self.run.take_record();
        let (user, system) = (after.0 - before.0, after.1 - before.1);
        let (user, system) = (Duration::from_nanos(user), Duration::from_nanos(system));
        record.cpu = Cpu::of_one(user, system, record.duration);
        record
    }

    /// What ends this load early, while it runs.
    #[must_use]
    pub fn stop(&self) -> Stop {
        Stop { run: Rc::clone(&self.run) }
    }

    /// All of it, to the last reply.
    async fn make(&mut self, connections: &mut Scope<()>) {
        self.start_all(connections).await;
        self.run.work.end();
        let is_timed = matches!(self.run.plan.length, Length::Time(_));
        let grace = self.run.plan.grace.unwrap_or(self.run.plan.reply_timeout);
        if is_timed && timeout(grace, join_all(connections)).await.is_err() {
            // What waits yet would wait for as long as the server likes.
            self.give_up_waiting();
        }
        join_all(connections).await;
    }

    /// Ends early what was begun.
    async fn break_off(&self, mut connections: Scope<()>) {
        self.run.work.end();
        self.give_up_waiting();
        if timeout(LAST_CHANCE, join_all(&mut connections)).await.is_err() {
            self.run.broken_off();
        }
    }

    /// What waits for a connection is not made any more.
    fn give_up_waiting(&self) {
        let left = self.run.work.forget();
        (0..left).for_each(|_| self.run.started());
        self.run.failed(Class::Crowded, left);
    }

    /// Until the last request has been given out.
    async fn start_all(&mut self, connections: &mut Scope<()>) {
        match self.run.plan.pace {
            Pace::Closed { connections: count, .. } => {
                for _ in 0..count {
                    connections.spawn(connection::carry(Rc::clone(&self.run)));
                }
                match self.run.plan.length {
                    Length::Time(time) => self.until(time).await,
                    Length::Requests(_) => while connections.join_next().await.is_some() {},
                }
            }
            Pace::Open { arrivals, connections: most } => {
                self.keep_the_schedule(arrivals, most as usize, connections).await;
            }
        }
    }

    /// Gives out requests when they are due, until the last one.
    async fn keep_the_schedule(
        &mut self,
        arrivals: Arrivals,
        most: usize,
        connections: &mut Scope<()>,
    ) {
        let (number, of) = self.run.plan.turn;
        let (number, of) = (number as usize, of.max(1) as usize);
        let mut count = 0;
        for at in arrivals.starts(self.run.plan.seed).skip(number).step_by(of) {
            match self.run.plan.length {
                Length::Time(time) if at >= time => return self.until(time).await,
                Length::Requests(all) if count >= all => return,
                // Of those who come at random fewer have come than on average.
                Length::Requests(_) if at == Duration::MAX => return,
                _ => count += 1,
            }
            self.until(at).await;
            let run = &self.run;
            let intended_ns = run.began_ns().saturating_add(run::nanoseconds(at));
            run.due(now_ns().saturating_sub(intended_ns));
            match run.work.give(Due { intended_ns }) {
                Given::Waits if connections.len() < most => {
                    connections.spawn(connection::carry(Rc::clone(run)));
                }
                Given::Taken | Given::Waits => {}
                Given::Refused => {
                    run.started();
                    run.failed(Class::Crowded, 1);
                }
            }
        }
    }

    /// Waits until so long after the beginning.
    async fn until(&mut self, at: Duration) {
        let then_ns = self.run.began_ns().saturating_add(run::nanoseconds(at));
        let left_ns = then_ns.saturating_sub(now_ns());
        if left_ns > 0 {
            self.deadline.set(Duration::from_nanos(left_ns));
            poll_fn(|cx| self.deadline.poll_passed(cx)).await;
        }
    }
}

/// Until all have ended.
async fn join_all(connections: &mut Scope<()>) {
    while connections.join_next().await.is_some() {}
}

/// Lets all come who are only there.
async fn gather(run: &Rc<Run>, idlers: &mut Scope<()>) -> io::Result<()> {
    let (told, heard) = channel::local(COMING);
    let told = Rc::new(told);
    let dead = (0..run.plan.dead).map(|_| Idler::Dead);
    let mut all = dead.chain((0..run.plan.slow).map(|_| Idler::Slow));
    let mut coming = 0;
    loop {
        while coming < COMING
            && let Some(idler) = all.next()
        {
            let told = Rc::clone(&told);
            idlers.spawn(be_there(Rc::clone(run), idler, move |failed| {
                // There is room for as many as are coming.
                let _ = told.try_send(failed);
            }));
            coming += 1;
        }
        if coming == 0 {
            return Ok(());
        }
        let failed: Option<Option<Class>> = heard.receive().await;
        coming -= 1;
        if let Some(Some(class)) = failed {
            let (there, all) = (idlers.len() - coming - 1, run.plan.dead + run.plan.slow);
            let why = format!("of {all} idle connections only {there} came about: {class}");
            return Err(io::Error::other(why));
        }
    }
}
