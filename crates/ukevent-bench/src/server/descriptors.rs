//! How many descriptors this process may have (getrlimit(2)).

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The limit, once it is as high as wanted, or as high as it may be: above the hard limit it may only with
/// `CAP_SYS_RESOURCE`. It stays so for the whole process.
pub(crate) fn raised(wanted: u64) -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // `None` is without a limit.
    let Some(now) = current.filter(|&now| now < wanted) else { return current.unwrap_or(wanted) };
    let maximum = maximum.unwrap_or(u64::MAX);
    for new in [(wanted, maximum.max(wanted)), (maximum.min(wanted), maximum)] {
        let limit = Rlimit { current: Some(new.0), maximum: Some(new.1) };
        if setrlimit(Resource::Nofile, limit).is_ok() {
            return new.0;
        }
    }
    now
}

#[cfg(test)]
mod tests {
    use super::raised;

    #[test]
    fn it_is_raised_and_never_lowered() {
        let now = raised(0);
        assert!(raised(now + 1) >= now);
        assert!(raised(1) >= now);
    }
}
