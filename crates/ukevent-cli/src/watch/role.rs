//! Whose event it is: the command's own names for its registrations, as tokens of the queue.

use ukevent::{Signal, Token};
use ukevent_sys::signal::{Disposition, disposition};

/// What a registration is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The spec of this place in the list.
    Source(u32),
    /// The running command of this number.
    Command(u32),
    /// Ctrl-C.
    Interrupt,
    /// The request to end.
    Terminate,
    /// The time that `--for` gives.
    Deadline,
    /// Standard output.
    Output,
}

/// The signals that end a watch, unless they are being watched for themselves. To be asked before the
/// first is watched: one that the process was started to ignore, as below nohup(1) or in the
/// background of a script, stays ignored.
pub(crate) fn ends() -> Vec<(Signal, Role)> {
    let ends = [(Signal::INT, Role::Interrupt), (Signal::TERM, Role::Terminate)];
    let is_ignored = |signal: Signal| disposition(signal.number()) == Ok(Disposition::Ignore);
    ends.into_iter().filter(|(signal, _)| !is_ignored(*signal)).collect()
}

impl Role {
    pub(crate) fn token(self) -> Token {
        let (tag, index) = match self {
            Self::Source(index) => (0, index),
            Self::Command(number) => (1, number),
            Self::Interrupt => (2, 0),
            Self::Terminate => (3, 0),
            Self::Deadline => (4, 0),
            Self::Output => (5, 0),
        };
        Token(tag << 32 | u64::from(index))
    }

    /// `None` for a token that is not of this command.
    pub(crate) fn of(Token(bits): Token) -> Option<Self> {
        let index = u32::try_from(bits & u64::from(u32::MAX)).ok()?;
        match bits >> 32 {
            0 => Some(Self::Source(index)),
            1 => Some(Self::Command(index)),
            2 => Some(Self::Interrupt),
            3 => Some(Self::Terminate),
            4 => Some(Self::Deadline),
            5 => Some(Self::Output),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Role;
    use ukevent::Token;

    #[test]
    fn tokens_lead_back() {
        for role in [
            Role::Source(0),
            Role::Source(u32::MAX),
            Role::Command(7),
            Role::Interrupt,
            Role::Terminate,
            Role::Deadline,
            Role::Output,
        ] {
            assert_eq!(Role::of(role.token()), Some(role));
        }
        assert_eq!(Role::of(Token(u64::MAX)), None);
    }
}
