//! What an event of an operation may say.

use super::Task;
use super::naive::Sent;
use super::run::{Run, Started, State, Verdict, content, cuts};
use crate::program::Id;
use ukevent_queue::{Completed, Direction, Errno, Event, Interest, Kind, Payload, Token};

const ENOMEM: i32 = 12;
const EPIPE: i32 = 32;
const ECONNRESET: i32 = 104;
const ENOBUFS: i32 = 105;
const ETIMEDOUT: i32 = 110;
const ECANCELED: i32 = 125;

impl Run {
    pub(super) fn took(&mut self, event: Event) -> Verdict {
        let Some(&id) = self.ids.get(&event.key) else {
            return Err(format!("{event:?} of nobody"));
        };
        let told = format!("of {id}: {:?}", event.kind);
        let Kind::Completed(completed) = event.kind else { return Err(told) };
        let Some(task) = self.tasks.get(&id) else { return Err(told) };
        if event.token != Token(u64::from(id)) {
            return Err(format!("{told}: another token"));
        }
        if matches!(task.state, State::Ended | State::Removed) {
            return Err(format!("{told}: it is {:?}", task.state));
        }
        self.completed(id, completed).map_err(|why| format!("{told}: {why}"))
    }

    fn completed(&mut self, id: Id, completed: Completed) -> Verdict {
        let Completed { result, payload } = completed;
        let Some(task) = self.tasks.get(&id) else { return Ok(()) };
        let (what, at, is_cancelled) = (task.what, task.stream, task.is_cancelled);
        if let Err(Errno(errno)) = result {
            self.allows(id, errno)?;
        }
        let goes_on = what == Task::ReceiveEach && result.is_ok_and(|count| count > 0);
        let is_untimely = matches!(result, Err(Errno(ECANCELED | ETIMEDOUT)));
        if what.is_in_line() && !is_untimely {
            let stream = &mut self.streams[at];
            let turn = stream.line.iter().position(|&other| other == id).unwrap_or(0);
            if turn < stream.turns {
                return Err("not in its turn".into());
            }
            stream.turns = turn + 1;
        }
        match what {
            Task::Receive { .. } | Task::ReceivePooled | Task::ReceiveEach => {
                self.received(at, what, result, payload)?;
            }
            Task::Send(len) | Task::SendShare(len) | Task::SendPieces(len, _) => {
                match (what, payload) {
                    (Task::SendPieces(len, count), Payload::Buffers(buffers)) => {
                        let cuts = cuts(len, count).filter(|(at, _)| at % 3 != 2);
                        let sent = content(id, len);
                        if !cuts.map(|(_, cut)| &sent[cut]).eq(buffers.iter().map(|it| &it[..])) {
                            return Err(format!("{buffers:?} came back"));
                        }
                    }
                    (Task::Send(_), Payload::Buffer(buffer)) if buffer[..] == content(id, len) => {}
                    (Task::SendShare(_), Payload::None) => {}
                    (_, payload) => return Err(format!("{payload:?} came back")),
                }
                let waits = self.tasks[&id].waits;
                // Then it was in the line when that happened.
                let is_behind = |other: &Started| other.waits == waits && other.was_torn();
                if result.is_ok_and(|count| count > 0) && self.before(id).any(is_behind) {
                    return Err("it came behind one that was cut short".into());
                }
                let stream = &self.streams[at];
                let sent = match result {
                    Ok(count) if count as usize == len => Sent::Exactly(len),
                    Ok(count) => {
                        let may_fail =
                            stream.is_broken || self.faults.reset > 0 || self.faults.no_memory > 0;
                        if !may_fail || count == 0 {
                            return Err(format!("of {len}, for no reason"));
                        }
                        Sent::Exactly(count as usize)
                    }
                    Err(Errno(ECANCELED)) if !is_cancelled => Sent::Exactly(0),
                    Err(_) if is_untimely => Sent::Perhaps,
                    Err(_) => Sent::Exactly(0),
                };
                self.reached.sent += u64::from(result.is_ok());
                if let Some(task) = self.tasks.get_mut(&id) {
                    task.sent = sent;
                }
            }
            Task::Shutdown(_) | Task::Poll(_) | Task::Close => {
                if payload != Payload::None {
                    return Err("a payload".into());
                }
                let stream = &self.streams[at];
                let was_readable =
                    stream.receipt.written > 0 || stream.finished || self.faults.reset > 0;
                if what == Task::Poll(Interest::READ) && result.is_ok() && !was_readable {
                    return Err("it never was".into());
                }
                if result.is_ok_and(|bits| (bits == 0) == matches!(what, Task::Poll(_))) {
                    return Err("ready for nothing, or too much".into());
                }
            }
        }
        if what == Task::Close && result.is_ok() {
            self.reached.closed += 1;
            self.lose_stream(at, Some(id));
        }
        if let Some(task) = self.tasks.get_mut(&id)
            && !goes_on
        {
            task.state = State::Ended;
        }
        Ok(())
    }

    fn received(
        &mut self,
        at: usize,
        what: Task,
        result: Result<u32, Errno>,
        payload: Payload,
    ) -> Verdict {
        let count = result.unwrap_or(0) as usize;
        let head = if let Task::Receive { head, .. } = what { head } else { 0 };
        let stream = &mut self.streams[at];
        if let Payload::Buffer(buffer) = payload {
            if buffer.len() != head + count || buffer[..head] != [b'h'; 8][..head] {
                return Err(format!("{} bytes in the buffer", buffer.len()));
            }
            stream.receipt.comes(&buffer[head..])?;
            self.reached.received += u64::from(count > 0);
            if count > 0 && buffer.frame_index().is_some() {
                self.held.push(buffer);
            }
        } else if what != Task::ReceiveEach || count > 0 {
            return Err("no buffer came back".into());
        }
        let stream = &self.streams[at];
        if result == Ok(0) {
            self.reached.ends += 1;
            if !stream.finished && self.faults.reset == 0 {
                return Err("it is not at its end".into());
            }
            let receipt = &stream.receipt;
            if receipt.came + receipt.may_be_lost < receipt.written {
                let missing = receipt.written - receipt.came;
                return Err(format!("the end came before {missing} bytes"));
            }
        }
        Ok(())
    }

    /// Whether it is a send behind one that was, or may have been, cut short.
    fn is_cut(&self, id: Id) -> bool {
        let is_torn = |other: &Started| other.sent == Sent::Perhaps && other.state != State::Alive;
        let is_send = self.tasks[&id].what.outgoing().is_some();
        is_send && self.before(id).any(|other| is_torn(other) || other.was_torn())
    }

    /// Those before it in the line.
    fn before(&self, id: Id) -> impl Iterator<Item = &Started> {
        let line = &self.streams[self.tasks[&id].stream].line;
        line.iter().take_while(move |&&other| other != id).map(|other| &self.tasks[other])
    }

    /// Whether an operation may fail with this.
    fn allows(&mut self, id: Id, errno: i32) -> Verdict {
        let task = &self.tasks[&id];
        let stream = &self.streams[task.stream];
        let moves = task.what.is_receiver() || task.what.outgoing().is_some();
        let is_right = match errno {
            ECANCELED => task.is_cancelled || self.is_cut(id),
            ETIMEDOUT => task.until_ns.is_some_and(|until_ns| until_ns <= self.now_ns()),
            ECONNRESET => moves && (stream.was_reset || self.faults.reset > 0),
            ENOBUFS | ENOMEM => moves && self.faults.no_memory > 0,
            EPIPE => {
                let is_before = |&&other: &&Id| other != id;
                let shut = stream.line.iter().take_while(is_before).any(|other| {
                    let sending = Task::Shutdown(Direction::Sending);
                    let both = Task::Shutdown(Direction::Both);
                    [sending, both].contains(&self.tasks[other].what)
                });
                let is_broken = stream.is_broken || self.faults.reset > 0;
                task.what.outgoing().is_some() && (shut || is_broken)
            }
            _ => false,
        };
        match errno {
            ECANCELED => self.reached.cancelled += 1,
            ETIMEDOUT => self.reached.timed_out += 1,
            _ => self.reached.failed += 1,
        }
        if is_right { Ok(()) } else { Err("it cannot fail so".into()) }
    }
}

impl Started {
    /// A send of which a part has left.
    fn was_torn(&self) -> bool {
        matches!((self.sent, self.what.outgoing()), (Sent::Exactly(count), Some(len)) if 0 < count && count < len)
    }
}
