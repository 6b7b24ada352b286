//! Blind mutation of inputs: what the smoke run has in place of a fuzzer's feedback.

use testkit::Rng;

/// Longest input that is made, in bytes.
const LONGEST: usize = 16 * 1024;

/// Bytes at which parsers change their mind.
const EDGES: [u8; 14] =
    [0, 1, 0x7f, 0x80, 0xff, b'\r', b'\n', b' ', b'\t', b':', b'/', b'%', b'0', b'-'];

/// An input made from one of `seeds` by a few random changes; with no seed from nothing. `words`
/// are what the format's own syntax is made of.
pub(crate) fn input(rng: &mut Rng, seeds: &[&[u8]], words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = if seeds.is_empty() { Vec::new() } else { rng.pick(seeds).to_vec() };
    // Mostly few changes: what is almost right reaches deepest.
    let changes = if rng.one_in(8) { rng.range(8..64) } else { rng.range(0..6) };
    for _ in 0..changes {
        change(rng, &mut bytes, seeds, words);
    }
    bytes.truncate(LONGEST);
    bytes
}

fn change(rng: &mut Rng, bytes: &mut Vec<u8>, seeds: &[&[u8]], words: &[&[u8]]) {
    let at = rng.below(bytes.len() as u64 + 1) as usize;
    let end = at + rng.below((bytes.len() - at).min(64) as u64 + 1) as usize;
    match rng.below(9) {
        0 if at < bytes.len() => bytes[at] ^= 1 << rng.below(8),
        1 if at < bytes.len() => bytes[at] = *rng.pick(&EDGES),
        2 if at < bytes.len() => bytes[at] = rng.next_u64() as u8,
        3 => drop(bytes.drain(at..end)),
        4 => {
            let again = bytes[at..end].to_vec();
            bytes.splice(at..at, again);
        }
        5 if !words.is_empty() => insert(bytes, at, rng.pick::<&[u8]>(words)),
        6 if !seeds.is_empty() => {
            let other = *rng.pick::<&[u8]>(seeds);
            let from = rng.below(other.len() as u64 + 1) as usize;
            bytes.truncate(at);
            bytes.extend_from_slice(&other[from..]);
        }
        7 => bytes.truncate(at),
        _ => {
            let mut some = vec![0; rng.range(1..9) as usize];
            rng.fill(&mut some);
            insert(bytes, at, &some);
        }
    }
}

fn insert(bytes: &mut Vec<u8>, at: usize, more: &[u8]) {
    bytes.splice(at..at, more.iter().copied());
}

#[cfg(test)]
mod tests {
    use super::{LONGEST, input};
    use testkit::Rng;

    #[test]
    fn the_same_seed_makes_the_same_inputs() {
        let make = |seed| -> Vec<Vec<u8>> {
            let mut rng = Rng::new(seed);
            (0..100).map(|_| input(&mut rng, &[b"one", b"two"], &[b"word"])).collect()
        };
        assert_eq!(make(1), make(1));
        assert_ne!(make(1), make(2));
    }

    #[test]
    fn inputs_vary_and_stay_short() {
        let mut rng = Rng::seeded();
        let long = vec![b'a'; LONGEST];
        let inputs: Vec<_> =
            (0..2_000).map(|_| input(&mut rng, &[b"seed", &long], &[b"word"])).collect();
        assert!(inputs.iter().all(|it| it.len() <= LONGEST));
        assert!(inputs.iter().any(|it| it == b"seed"), "some are unchanged");
        assert!(inputs.iter().any(|it| it.windows(4).any(|four| four == b"word")));
        assert!((0..100).any(|_| !input(&mut rng, &[], &[]).is_empty()), "from nothing, too");
    }
}
