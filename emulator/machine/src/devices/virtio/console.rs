//! Console device (virtio 1.2, section 5.3) with several named ports, none of them a console.
//!
//! A port carries bytes in both directions once the driver has opened it. The host's end counts as
//! open until [`Console::read`](crate::host::Console::read) answers
//! [`Closed`](crate::host::Input::Closed): the guest then reads the end of the file after the last
//! byte. A host must therefore answer `Empty`, never `Closed`, for ports that only carry output:
//! Linux blocks writers of a port whose host end is closed.
//!
//! Input is read from the host only when the driver has posted a buffer to put it into, so nothing
//! is held here that a frozen machine could lose. Output that the host refuses stays in the
//! driver's buffer until a later poll.

mod control;
mod port;

use std::fmt;

use self::control::{CONTROL_LEN, ControlMessage, Event};
use self::port::Port;
use super::VirtioDevice;
use super::queue::{Queue, QueueError};
use crate::GuestMemory;
use crate::host;

const DEVICE_ID: u32 = 3;
const VIRTIO_CONSOLE_F_MULTIPORT: u64 = 1 << 1;

/// Linux posts a page for each descriptor of an input queue: small queues keep its memory, and
/// with it the frozen image, small.
const INPUT_QUEUE_SIZE: u16 = 8;
const OUTPUT_QUEUE_SIZE: u16 = 32;

const CONTROL_INPUT: usize = 2;
const CONTROL_OUTPUT: usize = 3;

/// The console device.
pub struct Console {
    host: Box<dyn host::Console>,
    ports: Vec<Port>,
    /// `struct virtio_console_config`: only `max_nr_ports` is meaningful.
    config: [u8; 12],
}

impl Console {
    /// A console with a port for each of `names`; the index is the port number.
    #[must_use]
    pub fn new(host: Box<dyn host::Console>, names: Vec<String>) -> Self {
        let mut config = [0; 12];
        config[4..8].copy_from_slice(&(names.len() as u32).to_le_bytes());
        let ports = (0..).zip(names).map(|(number, name)| Port::new(number, name)).collect();
        Self { host, ports, config }
    }

    /// Numbers of the ports that would take input: the guest has posted a buffer and the host had
    /// nothing to put into it at the last poll.
    pub fn wants_input(&self) -> impl Iterator<Item = u32> + '_ {
        self.ports.iter().filter(|port| port.wants_input()).map(Port::number)
    }

    /// Whether the host refused output that the next poll offers again.
    #[must_use]
    pub fn has_pending_output(&self) -> bool {
        self.ports.iter().any(Port::has_pending_output)
    }

    fn receive_control(
        &mut self,
        queue: &mut Queue,
        memory: &mut dyn GuestMemory,
    ) -> Result<(), QueueError> {
        while let Some(chain) = queue.take(memory)? {
            let mut bytes = [0; CONTROL_LEN];
            let len = chain.readable().read(memory, &mut bytes)?;
            queue.give_back(memory, chain, 0)?;
            if len == CONTROL_LEN {
                self.handle(ControlMessage::from_bytes(bytes));
            }
        }
        Ok(())
    }

    /// Messages about ports that do not exist and events that only devices send are ignored.
    fn handle(&mut self, message: ControlMessage) {
        let set = message.value != 0;
        if message.event == Event::DeviceReady as u16 && set {
            self.ports.iter_mut().for_each(Port::announce);
            return;
        }
        let Some(port) = self.ports.get_mut(message.id as usize) else { return };
        if message.event == Event::PortReady as u16 && set {
            port.introduce();
        } else if message.event == Event::PortOpen as u16 {
            port.set_guest_open(set);
        }
    }

    fn send_control(
        &mut self,
        queue: &mut Queue,
        memory: &mut dyn GuestMemory,
    ) -> Result<(), QueueError> {
        for port in &mut self.ports {
            while port.has_control() {
                let Some(chain) = queue.take(memory)? else { return Ok(()) };
                let Some(message) = port.next_control() else { break };
                let written = chain.writable().write(memory, &message)?;
                queue.give_back(memory, chain, written as u32)?;
            }
        }
        Ok(())
    }

    fn pump_input(
        &mut self,
        port: usize,
        queues: &mut [Queue],
        memory: &mut dyn GuestMemory,
    ) -> Result<(), QueueError> {
        let Some(to) = self.ports.get_mut(port) else { return Ok(()) };
        to.pump_input(&mut *self.host, &mut queues[input_queue(port)], memory)
    }

    fn pump_output(
        &mut self,
        port: usize,
        queues: &mut [Queue],
        memory: &mut dyn GuestMemory,
    ) -> Result<(), QueueError> {
        let Some(from) = self.ports.get_mut(port) else { return Ok(()) };
        from.pump_output(&mut *self.host, &mut queues[input_queue(port) + 1], memory)
    }
}

/// Input queue of a port, its output queue being the next (section 5.3.2): port 0 comes before
/// the control queues, all others after them.
fn input_queue(port: usize) -> usize {
    if port == 0 { 0 } else { 2 * port + 2 }
}

/// The port that an input or output queue belongs to.
fn port_of(queue: usize) -> usize {
    (queue / 2).saturating_sub(1)
}

impl fmt::Debug for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Console").field("ports", &self.ports).finish_non_exhaustive()
    }
}

impl VirtioDevice for Console {
    fn device_id(&self) -> u32 {
        DEVICE_ID
    }

    fn features(&self) -> u64 {
        VIRTIO_CONSOLE_F_MULTIPORT
    }

    fn queue_sizes(&self) -> Vec<u16> {
        let pairs = self.ports.len().max(1) + 1;
        [INPUT_QUEUE_SIZE, OUTPUT_QUEUE_SIZE].repeat(pairs)
    }

    fn config(&self) -> &[u8] {
        &self.config
    }

    fn notify(
        &mut self,
        queue: usize,
        queues: &mut [Queue],
        memory: &mut dyn GuestMemory,
    ) -> Result<(), QueueError> {
        match queue {
            CONTROL_INPUT => {}
            CONTROL_OUTPUT => {
                self.receive_control(&mut queues[CONTROL_OUTPUT], memory)?;
                for port in 0..self.ports.len() {
                    self.pump_input(port, queues, memory)?;
                }
            }
            _ if queue.is_multiple_of(2) => self.pump_input(port_of(queue), queues, memory)?,
            _ => self.pump_output(port_of(queue), queues, memory)?,
        }
        self.send_control(&mut queues[CONTROL_INPUT], memory)
    }

    /// Touches only ports with something to move: everything else waits for a notification.
    fn poll(
        &mut self,
        queues: &mut [Queue],
        memory: &mut dyn GuestMemory,
    ) -> Result<(), QueueError> {
        for port in 0..self.ports.len() {
            if self.ports[port].has_pending_output() {
                self.pump_output(port, queues, memory)?;
            }
            if self.ports[port].wants_input() {
                self.pump_input(port, queues, memory)?;
            }
        }
        self.send_control(&mut queues[CONTROL_INPUT], memory)
    }

    fn reset(&mut self) {
        self.ports.iter_mut().for_each(Port::reset);
    }
}
