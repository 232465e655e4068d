//! Repeats an attempt until it succeeds or the time is over.

use std::time::{Duration, Instant};

use crate::Error;

const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Repeats the attempt until it succeeds.
///
/// # Errors
/// When it does not succeed within `timeout`: the reason of the last attempt.
pub fn within<T>(
    timeout: Duration,
    mut attempt: impl FnMut() -> Result<T, String>,
) -> Result<T, Error> {
    let begun = Instant::now();
    loop {
        match attempt() {
            Ok(value) => return Ok(value),
            Err(reason) if begun.elapsed() > timeout => {
                return Err(Error::NotInTime { reason, timeout });
            }
            Err(_) => std::thread::sleep(POLL_INTERVAL),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn it_tries_until_it_succeeds_and_says_what_it_saw_last() {
        let mut left = 3;
        let counted = within(Duration::from_secs(10), || {
            left -= 1;
            if left == 0 {
                Ok("done")
            } else {
                Err(String::new())
            }
        });
        assert_eq!((counted.unwrap(), left), ("done", 0));
        let never = within(Duration::ZERO, || Err::<(), _>("still dark".to_owned()));
        assert!(never.unwrap_err().to_string().contains("still dark"));
    }
}
