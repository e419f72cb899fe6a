//! Several blobs at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::Error;

/// Calls `work` for each item, on up to `concurrency` threads. Returns the first error; the flag
/// that `work` is given then tells the others to stop.
pub(crate) fn each<T: Sync>(
    items: &[T],
    concurrency: usize,
    work: impl Fn(&T, &AtomicBool) -> Result<(), Error> + Sync,
) -> Result<(), Error> {
    let halt = AtomicBool::new(false);
    let queue = Mutex::new(items.iter());
    let failed = Mutex::new(None);
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    std::thread::scope(|scope| {
        for _ in 0..concurrency.min(items.len()) {
            scope.spawn(|| {
                while !halt.load(Ordering::Relaxed)
                    && let Some(item) = next()
                {
                    if let Err(error) = work(item, &halt)
                        && !halt.swap(true, Ordering::Relaxed)
                    {
                        *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    }
                }
            });
        }
    });
    failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn the_first_error_ends_it_and_is_returned() {
        let done = AtomicUsize::new(0);
        let outcome = each(&[1, 2, 3, 4], 1, |item, _| {
            done.fetch_add(1, Ordering::Relaxed);
            if *item == 2 { Err(Error::Canceled) } else { Ok(()) }
        });
        assert!(matches!(outcome, Err(Error::Canceled)));
        assert_eq!(done.into_inner(), 2);
    }

    #[test]
    fn every_item_is_worked_on_once() {
        let items: Vec<usize> = (0..100).collect();
        let sum = AtomicUsize::new(0);
        each(&items, 8, |item, _| {
            sum.fetch_add(*item, Ordering::Relaxed);
            Ok(())
        })
        .unwrap();
        assert_eq!(sum.into_inner(), 4950);
    }
}
