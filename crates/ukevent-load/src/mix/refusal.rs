//! Why a request is none.

use std::{error, fmt};

/// Why a request, or a mix of them, is not sent: it would not be read as it was meant.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// A mix without a request.
    Nothing,
    /// A weight that is no whole number from 1 to `u32::MAX`.
    Weight(String),
    /// A line without a method and a path.
    Line(String),
    /// A method that is no token.
    Method(String),
    /// CONNECT, which is followed by a tunnel and not by replies.
    Connect,
    /// A path that does not begin with `/`.
    Path(String),
    /// A path with a character that may not stand there.
    PathCharacter(char),
    /// An indented line that is neither `Name: value` nor `> body`.
    Field(String),
    /// The name of a field that is no token.
    Name(String),
    /// The value of the field of this name has a control character.
    Value(String),
    /// A field of this name that may be there only once.
    Twice(&'static str),
    /// A Content-Length that is not that of the body.
    Length {
        /// As it was given.
        given: String,
        /// Bytes of the body.
        body_bytes: usize,
    },
    /// A Transfer-Encoding.
    Coding,
    /// A field, or a line of a body, that stands before the first request.
    Alone,
    /// A host that is empty or has a character that may not stand there.
    Host(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("there is no request: write one, such as GET /"),
            Self::Weight(given) => {
                write!(f, "the weight {given:?} is no whole number from 1 to {}", u32::MAX)
            }
            Self::Line(given) => {
                write!(f, "{given:?} is no request: write WEIGHT METHOD PATH, such as 3 GET /")
            }
            Self::Method(given) => {
                write!(f, "{given:?} is no method: write one such as GET, without other characters")
            }
            Self::Connect => f.write_str("CONNECT opens a tunnel, which has no replies: leave it out"),
            Self::Path(given) => {
                write!(f, "the path {given:?} does not begin with /: write /{given}")
            }
            Self::PathCharacter('#') => {
                f.write_str("what follows # in a path is never sent to a server: leave it out")
            }
            Self::PathCharacter(character) => {
                write!(f, "a path cannot have {character:?} in it: write ")?;
                let mut bytes = [0; 4];
                let mut all = character.encode_utf8(&mut bytes).bytes();
                all.try_for_each(|byte| write!(f, "%{byte:02X}"))
            }
            Self::Field(given) => {
                write!(f, "{given:?} is neither a field (Name: value) nor a line of a body (> text)")
            }
            Self::Name(given) => {
                write!(f, "{given:?} is no name of a field: write letters, digits and -")
            }
            Self::Value(name) => {
                write!(f, "the value of {name} has a control character: leave it out")
            }
            Self::Twice(name) => write!(f, "{name} is there twice: leave one out"),
            Self::Length { given, body_bytes } => write!(
                f,
                "Content-Length is {given:?} and the body has {body_bytes} bytes: leave the field out, \
                 it is added"
            ),
            Self::Coding => f.write_str(
                "a body is sent as it is, with its length: leave Transfer-Encoding out",
            ),
            Self::Alone => f.write_str(
                "an indented line belongs to the request above it, and there is none: begin with one, \
                 not indented",
            ),
            Self::Host(given) => {
                write!(f, "{given:?} is no host: write one such as localhost:8080")
            }
        }
    }
}

impl error::Error for Refusal {}
