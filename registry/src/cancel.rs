//! Ending what is under way from another thread.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use ureq::Agent;

use crate::Error;

/// Ends transfers: waits end at once, and connections are shut down under their readers.
/// Clones end the same transfers.
#[derive(Clone, Default)]
pub struct Cancel(Arc<Inner>);

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    canceled: bool,
    agents: Vec<Agent>,
}

impl Cancel {
    /// Ends everything that was started with this.
    pub fn cancel(&self) {
        let agents = {
            let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.canceled = true;
            std::mem::take(&mut state.agents)
        };
        self.0.wake.notify_all();
        agents.into_iter().for_each(Agent::shutdown);
    }

    /// Whether [`Cancel::cancel`] was called.
    pub fn is_canceled(&self) -> bool {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).canceled
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.is_canceled() { Err(Error::Canceled) } else { Ok(()) }
    }

    /// Shuts down the connections of `agent` as well.
    pub(crate) fn covers(&self, agent: &Agent) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.canceled {
            drop(state);
            agent.clone().shutdown();
        } else {
            state.agents.push(agent.clone());
        }
    }

    /// Waits, unless it is canceled before.
    pub(crate) fn sleep(&self, time: Duration) -> Result<(), Error> {
        let state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.0.wake.wait_timeout_while(state, time, |state| !state.canceled);
        drop(waited);
        self.check()
    }
}

impl fmt::Debug for Cancel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cancel({})", self.is_canceled())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_when_it_is_canceled() {
        let cancel = Cancel::default();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| cancel.sleep(Duration::from_secs(3600)));
            cancel.cancel();
            assert!(matches!(waiting.join().unwrap(), Err(Error::Canceled)));
        });
        assert!(matches!(cancel.clone().check(), Err(Error::Canceled)));
    }
}
