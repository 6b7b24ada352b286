//! What a load consists of.

use crate::{Arrivals, Mix, Request, Target, Trust};
use std::{error, fmt, io, net::IpAddr, time::Duration};

/// The highest rate of a schedule that makes sense, in requests a second: a hundred nanoseconds for each are
/// less than any one thread needs to make it, and more than any network of today carries.
pub const MOST_RATE: f64 = 10e6;

/// The deepest pipeline that makes sense. Servers look at one request after the other: what is behind a
/// thousand of them waits in buffers of sockets, and what is measured then is those.
pub const DEEPEST_PIPELINE: u32 = 1024;

/// A load: whom to ask, for what, how often, how long.
///
/// Its fields are what the options of `ukevent load` set; [`Plan::new`] has their defaults.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Whom to ask.
    pub target: Target,
    /// For what.
    pub mix: Mix,
    /// How often, or how many at a time.
    pub pace: Pace,
    /// How long.
    pub length: Length,
    /// Whether a connection is used for more than one request.
    pub keep_alive: bool,
    /// Which certificate is trusted, if the target is asked by TLS.
    pub trust: Trust,
    /// Within what time a connection is to be there, with TLS's handshake if there is one.
    pub connect_timeout: Duration,
    /// Within what time, from when it left, a request is to have its whole reply.
    pub reply_timeout: Duration,
    /// When its time is over, how long what is due may still wait for a connection; as long as for a reply, if
    /// nothing is said.
    pub grace: Option<Duration>,
    /// Connections held without a request beside the load.
    pub dead: u32,
    /// Clients that send one byte of a request after the other.
    pub slow: u32,
    /// The time between two bytes of those.
    pub slow_gap: Duration,
    /// Addresses to connect from, in turn; whatever the kernel picks, if there are none. Each has ports of its own. With
    /// most of them taken, connecting is several times as expensive: the kernel looks for one that is free.
    pub sources: Vec<IpAddr>,
    /// Which requests of the schedule are this one's: from this number on, each of so many.
    pub turn: (u32, u32),
    /// Of all that is random.
    pub seed: u64,
}

/// How requests are started.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Pace {
    /// A connection asks again when it was answered.
    Closed {
        /// How many there are.
        connections: u32,
        /// Requests on their way on each of them.
        pipeline: u32,
        /// How long each waits before it asks again.
        think: Duration,
    },
    /// Requests start when they are due.
    Open {
        /// When that is.
        arrivals: Arrivals,
        /// Connections at most. What is due when all of them are busy waits for one, and that counts as
        /// latency.
        connections: u32,
    },
}

/// When a load ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Length {
    /// No request starts after this time.
    Time(Duration),
    /// After so many requests; before that, if those who come at random are fewer when the rate has fallen to none.
    Requests(u64),
}

/// Why there is no load: its rate falls to none before so many requests are due, and it would wait for ever.
///
/// ```
/// use std::time::Duration;
/// use ukevent_load::{Arrivals, Length, Load, NeverDue, Pace, Plan, Ramp, Shape};
/// use ukevent_task::block_on;
///
/// let ramp = Ramp { over: Duration::from_secs(10), ..("100..0".parse()?) };
/// let arrivals = Arrivals::Ramp { ramp, shape: Shape::Even };
/// let plan = Plan {
///     pace: Pace::Open { arrivals, connections: 64 },
///     length: Length::Requests(1000),
///     ..Plan::new("http://127.0.0.1:9/".parse()?)
/// };
/// let error = block_on(Load::prepare(plan))?.unwrap_err();
/// let why = error.get_ref().unwrap().downcast_ref::<NeverDue>();
/// assert_eq!(why, Some(&NeverDue { asked: 1000, due: 500.0 }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NeverDue {
    /// Requests that were asked for.
    pub asked: u64,
    /// Of them so many are due, on average.
    pub due: f64,
}

impl NeverDue {
    /// Whether that is so of this plan.
    pub(crate) fn check(plan: &Plan) -> Result<(), Self> {
        let (Pace::Open { arrivals, .. }, Length::Requests(asked)) = (plan.pace, plan.length)
        else {
            return Ok(());
        };
        let (number, of) = (u64::from(plan.turn.0), u64::from(plan.turn.1.max(1)));
        let last = asked.checked_sub(1).map(|last| last.saturating_mul(of).saturating_add(number));
        if last.is_none_or(|last| arrivals.reaches(last)) {
            return Ok(());
        }
        Err(Self { asked, due: arrivals.all() / of as f64 })
    }
}

impl fmt::Display for NeverDue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { asked, due } = self;
        write!(
            f,
            "of {asked} requests only {due:.0} are due before the rate falls to none: ask for fewer, or for a time"
        )
    }
}

impl error::Error for NeverDue {}

impl From<NeverDue> for io::Error {
    fn from(error: NeverDue) -> Self {
        Self::new(io::ErrorKind::InvalidInput, error)
    }
}

impl Plan {
    /// GET of one URL by 64 connections for ten seconds.
    #[must_use]
    pub fn new(target: Target) -> Self {
        let mix = Mix::one(Request::get(&target));
        Self {
            target,
            mix,
            pace: Pace::Closed { connections: 64, pipeline: 1, think: Duration::ZERO },
            length: Length::Time(Duration::from_secs(10)),
            keep_alive: true,
            trust: Trust::System,
            connect_timeout: Duration::from_secs(5),
            reply_timeout: Duration::from_secs(10),
            grace: None,
            dead: 0,
            slow: 0,
            slow_gap: Duration::from_millis(100),
            sources: Vec::new(),
            turn: (0, 1),
            seed: 1,
        }
    }
}
