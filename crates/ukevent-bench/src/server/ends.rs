//! Where requests end: at the first empty line. (What a load asks here has no content.)

/// How much of an empty line has come.
///
/// ```
/// use ukevent_bench::server::Ends;
///
/// let mut ends = Ends::default();
/// assert_eq!(ends.count(b"GET / HTTP/1.1\r\nHost: a\r\n\r"), 0);
/// assert_eq!(ends.count(b"\nGET / HTTP/1.1\r\n\r\n"), 2);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Ends {
    /// Bytes of `END` that were the last.
    matched: usize,
}

const END: &[u8; 4] = b"\r\n\r\n";

impl Ends {
    /// How many requests end in what came now.
    #[inline]
    pub fn count(&mut self, bytes: &[u8]) -> usize {
        let mut ended = 0;
        for &byte in bytes {
            self.matched = match byte {
                _ if byte == END[self.matched] => self.matched + 1,
                b'\r' => 1,
                _ => 0,
            };
            if self.matched == END.len() {
                self.matched = 0;
                ended += 1;
            }
        }
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::Ends;

    #[test]
    fn ends_are_found_however_they_are_cut() {
        let text = b"GET / HTTP/1.1\r\n\r\nGET /\r \r\r\n\r\n\n\r\n\r\n";
        for cut in 0..text.len() {
            let mut ends = Ends::default();
            let (first, second) = text.split_at(cut);
            assert_eq!(ends.count(first) + ends.count(second), 3, "{cut}");
        }
    }
}
