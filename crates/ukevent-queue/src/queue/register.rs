//! How registrations come, change and go.

use super::Queue;
use crate::backend::choice::BackendKind;
use crate::backend::{Arm, Poll, Ticket};
use crate::error::{ChangeError, NoSuchKey, RegisterError, WrongThread};
use crate::event::Changes;
use crate::key::{Key, Token};
use crate::mode::{Interest, Mode};
use crate::slot::{Flags, Slot};
use crate::source::InodeHub;
use crate::source::NetlinkWatch;
use crate::source::Owner;
use crate::source::SignalHub;
use crate::source::{ConnectorHub, ProcessWatch};
use crate::source::{
    Fd, Inode, Netlink, Own, Process, Removed, Signal, Source, State, Stream, StreamSource, Timer,
};
use std::os::fd::{AsRawFd, RawFd};
use ukevent_sys::Error;
use ukevent_sys::poll::PollMask;
use ukevent_sys::runner::Runner;

/// A change of a registration, for [`Queue::modify`]: what is not named stays.
///
/// ```
/// use ukevent_queue::{Change, Interest, Mode};
///
/// let change = Change::new().interest(Interest::WRITE).mode(Mode::Edge);
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub struct Change {
    token: Option<Token>,
    mode: Option<Mode>,
    interest: Option<Interest>,
    timer: Option<Timer>,
    changes: Option<Changes>,
}

impl Change {
    /// Changes nothing yet.
    pub const fn new() -> Self {
        Self { token: None, mode: None, interest: None, timer: None, changes: None }
    }

    /// Whether a timer begins anew by it.
    pub(crate) const fn has_timer(&self) -> bool {
        self.timer.is_some()
    }

    /// Another token, for the events delivered from now on.
    pub const fn token(mut self, token: Token) -> Self {
        self.token = Some(token);
        self
    }

    /// Another mode.
    pub const fn mode(mut self, mode: Mode) -> Self {
        self.mode = Some(mode);
        self
    }

    /// Another interest, of a descriptor or socket.
    pub const fn interest(mut self, interest: Interest) -> Self {
        self.interest = Some(interest);
        self
    }

    /// Another time, of a timer: it starts anew, and what expired but was not delivered is dropped.
    pub const fn timer(mut self, timer: Timer) -> Self {
        self.timer = Some(timer);
        self
    }

    /// Other changes to be told of, of an inode.
    pub const fn changes(mut self, changes: Changes) -> Self {
        self.changes = Some(changes);
        self
    }
}

impl Queue {
    /// Registers a source: its events carry `token` and come as `mode` says, until the key that is
    /// returned is removed.
    ///
    /// Takes the source; [`Queue::remove`] gives the owner of a descriptor back. The same descriptor
    /// or inode may be registered several times. On io_uring it costs no system call of its own for
    /// descriptors and timers.
    ///
    /// # Errors
    /// [`RegisterError`]; the source is dropped and nothing is left behind.
    #[doc(alias = "EV_ADD")]
    pub fn register(
        &mut self,
        source: impl Into<Source>,
        token: Token,
        mode: Mode,
    ) -> Result<Key, RegisterError> {
        self.check_thread()?;
        let source = source.into();
        let Some(key) = self.slots.vacant() else {
            if let Source::Fd(fd) = source {
                self.let_go_of(fd.owner);
            }
            return Err(RegisterError::Full { limit: self.slots.limit() });
        };
        match source {
            Source::Timer(timer) => self.register_timer(key, timer, token, mode),
            Source::Fd(fd) => self.register_fd(key, fd, token, mode)?,
            Source::User(user) => {
                user.check()?;
                let state = State::User(Box::new(user.state(key.to_bits())));
                self.slots.insert(key, token, mode, state);
            }
            Source::Inode(inode) => return self.register_inode(&inode, token, mode),
            Source::Signal(signal) => return self.register_signal(&signal, token, mode),
            Source::Process(process) => return self.register_process(&process, token, mode),
            Source::Netlink(netlink) => self.register_netlink(key, &netlink, token, mode)?,
        }
        self.registered(key)
    }

    /// Lets a registration take effect; if that fails, all is as if it had never been wanted.
    #[inline]
    fn registered(&mut self, key: Key) -> Result<Key, RegisterError> {
        match self.changed() {
            Ok(()) => Ok(key),
            Err(error) => Err(self.unregistered(key, error)),
        }
    }

    #[cold]
    fn unregistered(&mut self, key: Key, error: Error) -> RegisterError {
        self.unready(key);
        if let Removed(Some(owner)) = self.give_up(key) {
            self.let_go_of(owner);
        }
        error.into()
    }

    /// Drops an owner; of a shared queue as soon as nobody has its lock, as dropping it may use the queue.
    fn let_go_of(&mut self, owner: Owner) {
        if self.is_shared {
            self.waste.push(Removed(Some(owner)));
        }
    }

    fn register_fd(
        &mut self,
        key: Key,
        fd: Fd,
        token: Token,
        mode: Mode,
    ) -> Result<(), RegisterError> {
        if fd.owner.simulated() != (self.kind == BackendKind::Sim) {
            self.let_go_of(fd.owner);
            return Err(RegisterError::Unsupported {
                what: "this descriptor",
                needs: "a queue of its own kind: simulated descriptors go with the sim backend, \
                        real ones with the others",
            });
        }
        let number = fd.owner.number();
        let state = State::Fd { owner: fd.owner, fd: number, interest: fd.interest };
        let slot = self.slots.insert(key, token, mode, state);
        slot.flags.set(Flags::MEASURED, fd.measured);
        if fd.unwatched {
            slot.flags.remove(Flags::ENABLED);
            return Ok(());
        }
        if let Err(error) = self.arm(key) {
            if let State::Fd { owner, .. } = self.slots.remove(key) {
                self.let_go_of(owner);
            }
            return Err(error.into());
        }
        Ok(())
    }

    fn register_inode(
        &mut self,
        inode: &Inode,
        token: Token,
        mode: Mode,
    ) -> Result<Key, RegisterError> {
        self.refuse_sim("an inode")?;
        if self.hubs.inodes.is_none() {
            let hub = InodeHub::new()?;
            let key = self.watch_own(Own::Inodes);
            self.hubs.inodes = Some((hub, key));
            self.arm_own(key)?;
        }
        let key = self.insert_stream(StreamSource::Inode, token, mode)?;
        let (hub, watched_by) = self.hubs.inodes.as_mut().expect("made above");
        hub.add(key.index, inode).inspect_err(|_| drop(self.slots.remove(key)))?;
        if hub.has_news() {
            self.hot.push(*watched_by);
        }
        self.registered(key)
    }

    fn register_signal(
        &mut self,
        signal: &Signal,
        token: Token,
        mode: Mode,
    ) -> Result<Key, RegisterError> {
        self.refuse_sim("a signal")?;
        self.claim_thread()?;
        if self.hubs.signals.is_none() {
            let hub = SignalHub::new()?;
            let key = self.watch_own(Own::Signals);
            self.hubs.signals = Some((hub, key));
            self.arm_own(key)?;
        }
        let key = self.insert_stream(StreamSource::Signal, token, mode)?;
        let (hub, _) = self.hubs.signals.as_mut().expect("made above");
        hub.add(key.index, signal).inspect_err(|_| drop(self.slots.remove(key)))?;
        self.registered(key)
    }

    fn register_process(
        &mut self,
        process: &Process,
        token: Token,
        mode: Mode,
    ) -> Result<Key, RegisterError> {
        self.refuse_sim("a process")?;
        let watch = ProcessWatch::new(process)?;
        let life = watch.changes().intersection(ProcessWatch::BY_CONNECTOR);
        let pid = watch.pid();
        if !life.is_empty() && self.hubs.connector.is_none() {
            let hub = ConnectorHub::new()?;
            let key = self.watch_own(Own::Connector);
            self.hubs.connector = Some((hub, key));
            self.arm_own(key)?;
        }
        let key = self.insert_stream(StreamSource::Process(watch), token, mode)?;
        self.arm(key).inspect_err(|_| drop(self.slots.remove(key)))?;
        if !life.is_empty() {
            let (hub, _) = self.hubs.connector.as_mut().expect("made above");
            hub.add(key.index, pid, life);
        }
        self.registered(key)
    }

    fn register_netlink(
        &mut self,
        key: Key,
        netlink: &Netlink,
        token: Token,
        mode: Mode,
    ) -> Result<(), RegisterError> {
        self.refuse_sim("netlink")?;
        let stream = Stream::new(StreamSource::Netlink(NetlinkWatch::new(netlink)?));
        self.slots.insert(key, token, mode, State::Stream(Box::new(stream)));
        if let Err(error) = self.arm(key) {
            if let State::Fd { owner, .. } = self.slots.remove(key) {
                self.let_go_of(owner);
            }
            return Err(error.into());
        }
        Ok(())
    }

    pub(super) fn insert_stream(
        &mut self,
        from: StreamSource,
        token: Token,
        mode: Mode,
    ) -> Result<Key, RegisterError> {
        let key = self.slots.vacant().ok_or(RegisterError::Full { limit: self.slots.limit() })?;
        self.slots.insert(key, token, mode, State::Stream(Box::new(Stream::new(from))));
        Ok(key)
    }

    /// A slot for a descriptor of the queue's own.
    pub(super) fn watch_own(&mut self, own: Own) -> Key {
        let key = self.slots.vacant_own();
        self.slots.insert(key, Token::default(), Mode::Level, State::Own(own));
        key
    }

    /// Lets the backend watch it; if that fails, all is as if it had never been wanted.
    pub(super) fn arm_own(&mut self, key: Key) -> Result<(), RegisterError> {
        self.arm(key).map_err(|error| {
            if let State::Own(own) = self.slots.remove(key) {
                match own {
                    Own::Inodes => self.hubs.inodes = None,
                    Own::Signals => self.hubs.signals = None,
                    Own::Connector => self.hubs.connector = None,
                    Own::Clock(clock) => self.timers.forget_fd(clock),
                    Own::Deadline | Own::Limit(_) => {}
                }
            }
            error.into()
        })
    }

    fn refuse_sim(&self, what: &'static str) -> Result<(), RegisterError> {
        if self.kind == BackendKind::Sim {
            return Err(RegisterError::Unsupported {
                what,
                needs: "a backend with a kernel, not sim",
            });
        }
        Ok(())
    }

    /// Changes a registration, in place: the key stays. What is ready now is reported (again).
    ///
    /// # Errors
    /// [`ChangeError::NoSuchKey`]; [`ChangeError::Refused`] if the change does not fit the source,
    /// which then is as before.
    #[doc(alias = "EPOLL_CTL_MOD")]
    pub fn modify(&mut self, key: Key, change: Change) -> Result<(), ChangeError> {
        self.check_thread().map_err(RegisterError::from)?;
        let slot = self.slots.find(key).ok_or(NoSuchKey)?;
        let fits = match &slot.state {
            State::Fd { .. } => change.timer.is_none() && change.changes.is_none(),
            State::Timer(_) => change.interest.is_none() && change.changes.is_none(),
            State::Stream(stream) => {
                let inode = matches!(stream.from, StreamSource::Inode);
                change.interest.is_none()
                    && change.timer.is_none()
                    && (inode || change.changes.is_none())
            }
            State::User(_) => {
                change.interest.is_none() && change.timer.is_none() && change.changes.is_none()
            }
            State::Work(_) | State::Own(_) | State::Free => return Err(ChangeError::NoSuchKey),
        };
        if !fits {
            return Err(RegisterError::Invalid(
                "this change is for another kind of source: interest is for descriptors, timer for \
                 timers, changes for inodes",
            )
            .into());
        }
        if let (Some(changes), Some((hub, _))) = (change.changes, &mut self.hubs.inodes) {
            hub.modify(key.index, changes)?;
        }
        if let Some(token) = change.token {
            slot.token = token;
        }
        if let Some(mode) = change.mode {
            slot.mode = mode;
        }
        if let State::Fd { interest, .. } = &mut slot.state {
            if let Some(new) = change.interest {
                *interest = new;
            }
            self.unready(key);
            self.arm_if_enabled(key)?;
        }
        if let Some(timer) = change.timer {
            self.unready(key);
            self.restart_timer(key, timer);
        }
        self.changed()?;
        Ok(())
    }

    /// Lets a registration report again, after [`Queue::disable`] or a [`Mode::Dispatch`] event.
    /// What happened meanwhile, or is so now, is reported.
    ///
    /// # Errors
    /// [`ChangeError`].
    #[doc(alias = "EV_ENABLE")]
    pub fn enable(&mut self, key: Key) -> Result<(), ChangeError> {
        self.check_thread().map_err(RegisterError::from)?;
        let slot = self.slots.find(key).ok_or(NoSuchKey)?;
        if matches!(slot.state, State::Work(_)) {
            return Err(ChangeError::NoSuchKey);
        }
        if slot.flags.contains(Flags::ENABLED) {
            return Ok(());
        }
        slot.flags.insert(Flags::ENABLED);
        if matches!(slot.state, State::Fd { .. }) {
            self.arm(key)?;
        } else {
            self.queue_kept(key);
        }
        self.changed()?;
        Ok(())
    }

    /// Keeps a registration, but delivers nothing of it until it is enabled. Timers go on, posts and
    /// changes are kept; the state of a descriptor is looked at when it is enabled.
    ///
    /// # Errors
    /// [`NoSuchKey`].
    #[doc(alias = "EV_DISABLE")]
    pub fn disable(&mut self, key: Key) -> Result<(), NoSuchKey> {
        self.check_process()?;
        let slot = self.slots.find(key).ok_or(NoSuchKey)?;
        if matches!(slot.state, State::Work(_)) {
            return Err(NoSuchKey);
        }
        slot.flags.remove(Flags::ENABLED);
        if matches!(slot.state, State::Fd { .. }) {
            self.disarm(key);
        }
        self.unready(key);
        Ok(())
    }

    /// Ends a registration. When this returns, no event of it is delivered any more. Gives back the
    /// owner of a descriptor; dropping that closes it. On io_uring the kernel lets go of the file
    /// with the next wait.
    ///
    /// # Errors
    /// [`NoSuchKey`].
    #[doc(alias = "EV_DELETE")]
    pub fn remove(&mut self, key: Key) -> Result<Removed, NoSuchKey> {
        self.check_process()?;
        let slot = self.slots.find(key).ok_or(NoSuchKey)?;
        if slot.flags.contains(Flags::READY) {
            self.unready(key);
        }
        let removed = self.give_up(key);
        if !self.operations.is_empty() {
            // The next in a line has its turn, which whoever watches the queue is told by its timer.
            let _: Result<(), Error> = self.changed();
        }
        Ok(removed)
    }

    /// Takes a slot that is not in the list of ready ones out of everything.
    #[inline]
    pub(super) fn give_up(&mut self, key: Key) -> Removed {
        let (_, slot) = self.slots.at(key.index);
        if let State::Timer(timer) = &slot.state {
            let clock = timer.clock;
            self.stop_timer(key.index, clock);
            // A timer owns nothing.
            std::mem::forget(self.slots.remove(key));
            return Removed(None);
        }
        self.give_up_untimed(key)
    }

    /// The same for all that is no timer, of which many come and go.
    #[inline(never)]
    fn give_up_untimed(&mut self, key: Key) -> Removed {
        if self.operations.were_used() {
            self.drop_operations_on(key);
        }
        self.disarm(key);
        match self.slots.remove(key) {
            State::Fd { owner, .. } => Removed(Some(owner)),
            State::Work(work) => {
                self.drop_work(key, &work);
                Removed(None)
            }
            State::User(user) => {
                if user.inbox.close() {
                    self.orphans.insert(key.to_bits(), user.inbox);
                }
                Removed(None)
            }
            State::Stream(stream) => {
                self.leave_hub(key.index, &stream);
                Removed(None)
            }
            State::Timer(_) | State::Own(_) | State::Free => Removed(None),
        }
    }

    fn leave_hub(&mut self, index: u32, stream: &Stream) {
        match &stream.from {
            StreamSource::Inode => {
                if let Some((hub, _)) = &mut self.hubs.inodes {
                    hub.remove(index);
                }
            }
            StreamSource::Signal => {
                if let Some((hub, _)) = &mut self.hubs.signals {
                    hub.remove(index);
                }
            }
            StreamSource::Process(_) => {
                if let Some((hub, _)) = &mut self.hubs.connector {
                    hub.remove(index);
                }
            }
            StreamSource::Netlink(_) => {}
        }
    }

    /// Hands the descriptor of a slot to the backend. Without one there is nothing to do.
    pub(super) fn arm(&mut self, key: Key) -> Result<(), Error> {
        let (_, slot) = self.slots.at(key.index);
        if matches!(slot.state, State::Work(_)) {
            return self.proceed(key, PollMask::empty());
        }
        let Some((fd, mask)) = watched(&self.hubs, &self.timers, slot) else { return Ok(()) };
        let arm = match (&slot.state, slot.mode) {
            _ if slot.flags.contains(Flags::BY_EDGE) => Arm::Edge,
            (State::Fd { .. }, Mode::Level) if !self.is_shared => Arm::Level,
            // Of several threads none is to find what another one works on.
            (State::Fd { .. }, Mode::Level | Mode::OneShot | Mode::Dispatch) => Arm::Once,
            // Streams are read until dry, and read again when there is news.
            _ => Arm::Edge,
        };
        if slot.flags.contains(Flags::ARMED) {
            self.backend.cancel(Ticket { index: key.index, serial: slot.ticket }, fd, true);
        }
        slot.ticket = slot.ticket.wrapping_add(1);
        let ticket = Ticket { index: key.index, serial: slot.ticket };
        slot.flags.remove(Flags::TO_ARM | Flags::ARMED);
        slot.failed = 0;
        // Watched by somebody else, it is armed at once: then it is old when a wait comes.
        slot.armed_in = if self.nest.is_some() { 0 } else { self.epoch };
        self.backend.submit(ticket, Poll { fd, mask, arm })?;
        slot.flags.insert(Flags::ARMED | Flags::KNOWN);
        Ok(())
    }

    fn arm_if_enabled(&mut self, key: Key) -> Result<(), Error> {
        let (_, slot) = self.slots.at(key.index);
        if slot.flags.contains(Flags::ENABLED) { self.arm(key) } else { Ok(()) }
    }

    #[inline(never)]
    pub(super) fn disarm(&mut self, key: Key) {
        let (_, slot) = self.slots.at(key.index);
        if !slot.flags.contains(Flags::KNOWN) {
            return;
        }
        let Some((fd, _)) = watched(&self.hubs, &self.timers, slot) else { return };
        let armed = slot.flags.contains(Flags::ARMED);
        self.backend.cancel(Ticket { index: key.index, serial: slot.ticket }, fd, armed);
        slot.ticket = slot.ticket.wrapping_add(1);
        slot.flags.remove(Flags::ARMED | Flags::KNOWN | Flags::TO_ARM);
    }

    /// The queue belongs to the thread that first asks here.
    pub(super) fn claim_thread(&mut self) -> Result<(), WrongThread> {
        self.check_thread()?;
        if self.owner.is_none() && !self.is_shared {
            self.owner = Some(Runner::current());
        }
        Ok(())
    }

    /// In a child made by fork(2) no key names anything.
    #[inline]
    pub(super) fn check_process(&self) -> Result<(), NoSuchKey> {
        if self.made_by.is_current() { Ok(()) } else { Err(NoSuchKey) }
    }

    /// Whether it belongs to this thread, or to none yet.
    #[inline]
    pub(super) fn check_thread(&self) -> Result<(), WrongThread> {
        let is_ours = match self.owner {
            Some(owner) => owner.is_current(),
            None => self.made_by.is_current(),
        };
        if is_ours { Ok(()) } else { Err(WrongThread) }
    }
}

impl From<WrongThread> for RegisterError {
    fn from(_: WrongThread) -> Self {
        Self::WrongThread
    }
}

/// The descriptor that a slot is watched by, and for what.
fn watched(hubs: &super::Hubs, timers: &super::Timers, slot: &Slot) -> Option<(RawFd, PollMask)> {
    let number = match &slot.state {
        State::Fd { fd, interest, .. } => return Some((*fd, interest.mask())),
        State::Stream(stream) => match &stream.from {
            StreamSource::Process(watch) => watch.fd()?.as_raw_fd(),
            StreamSource::Netlink(watch) => watch.fd().as_raw_fd(),
            StreamSource::Inode | StreamSource::Signal => return None,
        },
        State::Own(Own::Inodes) => hubs.inodes.as_ref()?.0.fd().as_raw_fd(),
        State::Own(Own::Signals) => hubs.signals.as_ref()?.0.fd().as_raw_fd(),
        State::Own(Own::Connector) => hubs.connector.as_ref()?.0.fd().as_raw_fd(),
        State::Own(Own::Clock(clock)) => timers.fd(*clock)?.as_raw_fd(),
        State::Work(work) if work.fd >= 0 => return Some((work.fd, work.waits_for)),
        State::Own(Own::Deadline | Own::Limit(_))
        | State::Work(_)
        | State::Timer(_)
        | State::User(_)
        | State::Free => {
            return None;
        }
    };
    Some((number, PollMask::IN))
}
