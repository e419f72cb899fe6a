//! A gateway that the machine and its owner share.

use std::cell::RefCell;
use std::rc::Rc;

use lithify_hostnet::Sockets;
use lithify_machine::host::Link;

use crate::gateway::Gateway;

/// Clones are the same gateway: one is the machine's [`Link`], another stays with who waits for
/// the machine.
#[derive(Debug)]
pub struct SharedGateway<S>(Rc<RefCell<Gateway<S>>>);

impl<S: Sockets> SharedGateway<S> {
    /// Shares a gateway.
    #[must_use]
    pub fn new(gateway: Gateway<S>) -> Self {
        Self(Rc::new(RefCell::new(gateway)))
    }

    /// Does something with the gateway.
    pub fn with<R>(&self, work: impl FnOnce(&mut Gateway<S>) -> R) -> R {
        work(&mut self.0.borrow_mut())
    }
}

impl<S> Clone for SharedGateway<S> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<S: Sockets> Link for SharedGateway<S> {
    fn send(&mut self, frame: &[u8]) -> bool {
        self.0.borrow_mut().send(frame)
    }

    fn poll(&mut self) {
        self.0.borrow_mut().poll();
    }

    fn receive(&mut self, take: &mut dyn FnMut(&[u8]) -> bool) {
        self.0.borrow_mut().receive(take);
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl SharedGateway<lithify_hostnet::SystemSockets> {
    /// Sleeps until the gateway has something to do or this time has passed: what an idle machine
    /// does in place of sleeping.
    ///
    /// # Errors
    /// If the operating system cannot wait.
    pub fn wait(&self, timeout: Option<std::time::Duration>) -> std::io::Result<()> {
        self.with(|gateway| {
            let timeout = [gateway.rest(), timeout].into_iter().flatten().min();
            gateway.sockets_mut().wait(timeout)
        })
    }
}
