//! What is asked for: requests, and how often each of them.
//!
//! A mix is written as text, by people:
//!
//! ```text
//! # Of ten visitors seven look, two search, one writes.
//! 7 GET /
//! 2 GET /search?q=io_uring
//!     Accept: application/json
//! 1 POST /notes
//!     Content-Type: application/json
//!     > {"title": "Rings",
//!     >  "text": "…"}
//! ```
//!
//! - A line that is not indented begins a request: its weight (a whole number, 1 if left out), its method and its
//!   path, with spaces between them.
//! - Indented lines belong to the request above them: header fields as they are sent, and lines of its body.
//! - A line of a body begins with `>`; one space behind it is not part of the body. Lines are joined by LF, and
//!   none stands behind the last: an empty `>` at the end adds it.
//! - Empty lines and lines that begin with `#` say nothing.
//!
//! It is neither raw requests, where an invisible empty line parts fields from body and somebody has to count the
//! body's bytes, nor JSON, in which nobody likes to write JSON.
//!
//! Invariants: no [`Request`] can be made whose bytes would be read as anything but this one request (RFC 9112, 3,
//! 5 and 6); a [`Mix`] has at least one.

mod parse;
mod refusal;
mod request;

pub use parse::MixError;
pub use refusal::Refusal;
pub use request::Request;

/// Requests, each with a weight: how often it is sent, compared with the others.
///
/// ```
/// use ukevent_load::Mix;
///
/// let mix = Mix::parse("9 GET /\n1 POST /notes\n    Content-Type: text/plain\n    > Buy milk.\n")?;
/// let note = mix.requests()[1].bytes("localhost:8080", true)?;
/// assert!(note.starts_with(b"POST /notes HTTP/1.1\r\nHost: localhost:8080\r\n"));
/// assert!(note.ends_with(b"Content-Length: 9\r\n\r\nBuy milk."));
///
/// let mut random = fastrand::Rng::with_seed(1);
/// let notes = (0..1000).filter(|_| mix.draw(&mut random) == 1).count();
/// assert!((50..150).contains(&notes), "{notes}");
///
/// let error = Mix::parse("GET /\nPOST notes\n").unwrap_err();
/// assert_eq!(error.to_string(), "line 2: the path \"notes\" does not begin with /: write /notes");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Mix {
    requests: Vec<Request>,
    /// The weights of all requests up to this one together: above zero, and never falling.
    sums: Vec<u64>,
}

impl Mix {
    /// Always this one.
    #[must_use]
    pub fn one(request: Request) -> Self {
        Self { requests: vec![request], sums: vec![1] }
    }

    /// These, by weight.
    ///
    /// # Errors
    /// [`Refusal::Weight`] if a weight is 0, [`Refusal::Nothing`] if there are none.
    pub fn weighted(requests: impl IntoIterator<Item = (u32, Request)>) -> Result<Self, Refusal> {
        let mut mix = Self { requests: Vec::new(), sums: Vec::new() };
        let mut sum = 0_u64;
        for (weight, request) in requests {
            if weight == 0 {
                return Err(Refusal::Weight("0".to_owned()));
            }
            sum += u64::from(weight);
            mix.requests.push(request);
            mix.sums.push(sum);
        }
        if mix.requests.is_empty() { Err(Refusal::Nothing) } else { Ok(mix) }
    }

    /// Reads a mix as people write it; [the module](self) says how.
    ///
    /// # Errors
    /// [`MixError`], with the line and what to do there.
    pub fn parse(text: &str) -> Result<Self, MixError> {
        parse::parse(text)
    }

    /// All of them, in the order in which they were given.
    #[must_use]
    pub fn requests(&self) -> &[Request] {
        &self.requests
    }

    /// One of them by chance and weight: its index in [`requests`](Self::requests). Takes time with the logarithm
    /// of their number, and no chance if there is one.
    #[must_use]
    #[inline]
    pub fn draw(&self, random: &mut fastrand::Rng) -> usize {
        match self.sums.as_slice() {
            [] | [_] => 0,
            [.., total] => {
                let at = random.u64(..*total);
                self.sums.partition_point(|&sum| sum <= at)
            }
        }
    }
}

#[cfg(test)]
mod tests;
