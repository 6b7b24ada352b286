//! Runs a program, and says all there is to know about its failure.

use crate::program::{Program, Simplify};
use crate::shrink::shrink;
use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

/// Runs a program by `run`, which says the step at which it is; and if it fails, the smallest part of it
/// that does.
///
/// # Errors
/// That part, the step at which it fails, and why.
pub(crate) fn check<S: Simplify, T>(
    program: &Program<S>,
    run: impl Fn(&Program<S>, &Cell<usize>) -> Result<T, String>,
) -> Result<(), String> {
    let failure = |program: &Program<S>| failure(program, &run);
    if failure(program).is_none() {
        return Ok(());
    }
    let least = shrink(program, |program| failure(program).map(|(at, _)| at));
    let Some((at, why)) = failure(&least) else { unreachable!("the shrinker keeps what fails") };
    Err(format!("{least}fails at step {at}: {why}\n"))
}

/// The step at which a program fails, and why.
fn failure<S, T>(
    program: &Program<S>,
    run: impl Fn(&Program<S>, &Cell<usize>) -> Result<T, String>,
) -> Option<(usize, String)> {
    let at = Cell::new(0);
    match without_noise(|| run(program, &at)) {
        Ok(Ok(_)) => None,
        Ok(Err(why)) | Err(why) => Some((at.get(), why)),
    }
}

thread_local! {
    /// What a panic of this thread said, if it is to be told later and not printed.
    static SAID: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Calls `body`; the error is what its panic said. A shrinker makes hundreds of them.
fn without_noise<T>(body: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            SAID.with_borrow_mut(|said| match said {
                Some(said) => *said = info.to_string(),
                None => usual(info),
            });
        }));
    });
    SAID.set(Some(String::new()));
    let outcome = panic::catch_unwind(AssertUnwindSafe(body));
    let said = SAID.take().unwrap_or_default();
    outcome.map_err(|_| said)
}
