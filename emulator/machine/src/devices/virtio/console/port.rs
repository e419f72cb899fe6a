//! One port: its state in both directions and the control messages it still has to send.

use super::control::{ControlMessage, Event};
use crate::GuestMemory;
use crate::devices::virtio::COPY_LEN;
use crate::devices::virtio::chain::Chain;
use crate::devices::virtio::queue::{Queue, QueueError};
use crate::host::{self, Input};

/// A driver's buffer of which the host has taken the first `sent` bytes.
#[derive(Debug, Clone)]
struct Output {
    chain: Chain,
    sent: u64,
}

/// Control messages owed to the driver. Flags rather than a list, so that a driver that asks
/// without ever posting control buffers makes nothing grow.
#[derive(Debug, Clone, Default)]
struct Owed {
    add: bool,
    name: bool,
    open: bool,
}

/// A port.
#[derive(Debug, Clone)]
pub(crate) struct Port {
    number: u32,
    name: String,
    guest_open: bool,
    host_closed: bool,
    owed: Owed,
    /// A buffer taken from the input queue that the host has not filled yet.
    posted: Option<Chain>,
    pending: Option<Output>,
}

impl Port {
    pub(super) fn new(number: u32, name: String) -> Self {
        Self {
            number,
            name,
            guest_open: false,
            host_closed: false,
            owed: Owed::default(),
            posted: None,
            pending: None,
        }
    }

    pub(super) fn number(&self) -> u32 {
        self.number
    }

    /// The host's end stays as it is: closed input does not reopen with a driver.
    pub(super) fn reset(&mut self) {
        let host_closed = self.host_closed;
        *self = Self::new(self.number, std::mem::take(&mut self.name));
        self.host_closed = host_closed;
    }

    pub(super) fn wants_input(&self) -> bool {
        self.takes_input() && self.posted.is_some()
    }

    pub(super) fn has_pending_output(&self) -> bool {
        self.pending.is_some()
    }

    /// Linux throws away what arrives on a port that no process has open.
    fn takes_input(&self) -> bool {
        self.guest_open && !self.host_closed
    }

    /// The driver is ready: tell it that the port exists.
    pub(super) fn announce(&mut self) {
        self.owed.add = true;
    }

    /// The driver has the port: tell it the name and whether the host's end is open.
    pub(super) fn introduce(&mut self) {
        self.owed.name = true;
        self.owed.open = true;
    }

    pub(super) fn set_guest_open(&mut self, open: bool) {
        self.guest_open = open;
    }

    pub(super) fn has_control(&self) -> bool {
        self.owed.add || self.owed.name || self.owed.open
    }

    /// The next message owed, with its payload.
    pub(super) fn next_control(&mut self) -> Option<Vec<u8>> {
        if std::mem::take(&mut self.owed.add) {
            return Some(self.message(Event::PortAdd, 1).to_bytes());
        }
        if std::mem::take(&mut self.owed.name) {
            let mut bytes = self.message(Event::PortName, 1).to_bytes();
            bytes.extend(self.name.as_bytes());
            return Some(bytes);
        }
        let open = u16::from(!self.host_closed);
        std::mem::take(&mut self.owed.open).then(|| self.message(Event::PortOpen, open).to_bytes())
    }

    fn message(&self, event: Event, value: u16) -> ControlMessage {
        ControlMessage { id: self.number, event: event as u16, value }
    }

    /// Gives the driver's output to the host until either has enough.
    pub(super) fn pump_output(
        &mut self,
        host: &mut dyn host::Console,
        queue: &mut Queue,
        memory: &mut dyn GuestMemory,
    ) -> Result<(), QueueError> {
        loop {
            if self.pending.is_none() {
                self.pending = queue.take(memory)?.map(|chain| Output { chain, sent: 0 });
            }
            let Some(mut output) = self.pending.take() else { return Ok(()) };
            if !output.offer(self.number, host, memory)? {
                self.pending = Some(output);
                return Ok(());
            }
            queue.give_back(memory, output.chain, 0)?;
        }
    }

    /// Fills the driver's posted buffers with the host's input until either runs out.
    pub(super) fn pump_input(
        &mut self,
        host: &mut dyn host::Console,
        queue: &mut Queue,
        memory: &mut dyn GuestMemory,
    ) -> Result<(), QueueError> {
        while self.takes_input() {
            if self.posted.is_none() {
                self.posted = queue.take(memory)?;
            }
            let Some(chain) = self.posted.take() else { return Ok(()) };
            let Some(written) = self.fill(&chain, host, memory)? else {
                self.posted = Some(chain);
                return Ok(());
            };
            queue.give_back(memory, chain, written)?;
        }
        Ok(())
    }

    /// Puts input into `chain`; returns how much, or nothing if there was none.
    fn fill(
        &mut self,
        chain: &Chain,
        host: &mut dyn host::Console,
        memory: &mut dyn GuestMemory,
    ) -> Result<Option<u32>, QueueError> {
        let mut page = [0; COPY_LEN];
        let mut room = chain.writable();
        let len = room.remaining().min(COPY_LEN as u64) as usize;
        if len == 0 {
            return Ok(Some(0));
        }
        match host.read(self.number, &mut page[..len]) {
            Input::Bytes(count) => {
                let written = room.write(memory, &page[..count.min(len)])?;
                Ok(Some(written as u32))
            }
            Input::Empty => Ok(None),
            Input::Closed => {
                self.host_closed = true;
                self.owed.open = true;
                Ok(None)
            }
        }
    }
}

impl Output {
    /// Offers what is left to the host; returns whether it took everything.
    fn offer(
        &mut self,
        port: u32,
        host: &mut dyn host::Console,
        memory: &dyn GuestMemory,
    ) -> Result<bool, QueueError> {
        let mut page = [0; COPY_LEN];
        let mut rest = self.chain.readable();
        rest.advance(self.sent);
        while let Some((at, run)) = rest.run() {
            let bytes = &mut page[..run];
            memory.read(at, bytes)?;
            let taken = host.write(port, bytes).min(run);
            rest.advance(taken as u64);
            self.sent += taken as u64;
            if taken < run {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
