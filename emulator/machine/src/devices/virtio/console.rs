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
pub(crate) use self::port::Port;
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
        let ports = (0..).zip(names).map(|(number, name)| Port::new(number, name)).collect();
        Self::resume(host, ports)
    }

    /// A console that goes on with these [`ports`](Self::ports).
    pub(crate) fn resume(host: Box<dyn host::Console>, ports: Vec<Port>) -> Self {
        let mut config = [0; 12];
        config[4..8].copy_from_slice(&(ports.len() as u32).to_le_bytes());
        Self { host, ports, config }
    }

    /// All that a console remembers.
    pub(crate) fn ports(&self) -> &[Port] {
        &self.ports
    }

    /// Numbers of the ports that would take input: the guest has posted a buffer and the host had
    /// nothing to put into it at the last poll.
    pub fn wants_input(&self) -> impl Iterator<Item = u32> + '_ {
        self.ports.iter().filter(|port| port.wants_input()).map(Port::number)
    }

    /// Whether the host refused output that the next poll offers again. Ports do not wait for one
    /// another: what a guest wrote to one port last can arrive before older output that is pending
    /// on another, so a host that stops at some message must first poll until nothing is pending.
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

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::VecDeque;
    use std::rc::Rc;

    use super::*;
    use crate::MmioDevice;
    use crate::devices::test_support::{DATA, Driver, Readable, Writable};
    use crate::host::Input;

    // Section 5.3.6.2.
    const DEVICE_READY: u16 = 0;
    const PORT_ADD: u16 = 1;
    const PORT_READY: u16 = 3;
    const PORT_OPEN: u16 = 6;
    const PORT_NAME: u16 = 7;

    // Section 5.3.2: receiveq(port0), transmitq(port0), control, then two for each further port.
    const CONTROL_IN: u64 = 2;
    const CONTROL_OUT: u64 = 3;
    const FIRST_IN: u64 = 0;
    const FIRST_OUT: u64 = 1;
    const SECOND_IN: u64 = 4;
    const SECOND_OUT: u64 = 5;

    /// Host ends of two ports.
    #[derive(Default)]
    struct HostEnds {
        input: [VecDeque<Input>; 2],
        bytes: [VecDeque<u8>; 2],
        output: [Vec<u8>; 2],
        room: Option<usize>,
        reads: usize,
    }

    struct SharedHost(Rc<RefCell<HostEnds>>);

    impl host::Console for SharedHost {
        fn write(&mut self, port: u32, bytes: &[u8]) -> usize {
            let mut host = self.0.borrow_mut();
            let taken = bytes.len().min(host.room.unwrap_or(usize::MAX));
            host.room = host.room.map(|room| room - taken);
            host.output[port as usize].extend(&bytes[..taken]);
            taken
        }

        fn read(&mut self, port: u32, into: &mut [u8]) -> Input {
            let mut host = self.0.borrow_mut();
            host.reads += 1;
            let port = port as usize;
            if host.bytes[port].is_empty() {
                return host.input[port].front().copied().unwrap_or(Input::Empty);
            }
            let count = into.len().min(host.bytes[port].len());
            into.iter_mut().zip(host.bytes[port].drain(..count)).for_each(|(to, from)| *to = from);
            Input::Bytes(count)
        }
    }

    type Host = Rc<RefCell<HostEnds>>;

    fn console() -> (Driver<Console>, Host) {
        let host = Host::default();
        let names = vec!["first".to_owned(), "second".to_owned()];
        (Driver::start(Console::new(Box::new(SharedHost(Rc::clone(&host))), names)), host)
    }

    fn tell(driver: &mut Driver<Console>, id: u32, event: u16, value: u16) {
        driver.ram.store(DATA, &id.to_le_bytes());
        driver.ram.store(DATA + 4, &event.to_le_bytes());
        driver.ram.store(DATA + 6, &value.to_le_bytes());
        driver.send(CONTROL_OUT, &[Readable(DATA, 8)]);
        assert_eq!(driver.used(CONTROL_OUT).len(), 1);
    }

    fn post_control_buffers(driver: &mut Driver<Console>, count: u64) {
        for index in 0..count {
            driver.post(CONTROL_IN, &[Writable(DATA + 0x1000 + index * 0x100, 0x100)]);
        }
        driver.notify(CONTROL_IN);
    }

    /// Control messages received: port, event, value, payload. Relies on the buffers of
    /// [`post_control_buffers`], of which each call uses up its own.
    fn told(driver: &mut Driver<Console>) -> Vec<(u32, u16, u16, Vec<u8>)> {
        let used = driver.used(CONTROL_IN);
        used.into_iter()
            .map(|(head, len)| {
                let at = DATA + 0x1000 + u64::from(head) * 0x100;
                let bytes = driver.ram.bytes(at, len as usize);
                let half = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
                (u32::from(half(0)), half(4), half(6), bytes[8..].to_vec())
            })
            .collect()
    }

    fn open(driver: &mut Driver<Console>, port: u32) {
        tell(driver, port, PORT_OPEN, 1);
    }

    fn say(host: &Host, port: usize, bytes: &[u8]) {
        host.borrow_mut().bytes[port].extend(bytes);
    }

    fn close(host: &Host, port: usize) {
        host.borrow_mut().input[port].push_back(Input::Closed);
    }

    #[test]
    fn ports_are_announced_then_introduced() {
        let (mut driver, _host) = console();
        post_control_buffers(&mut driver, 8);
        tell(&mut driver, 0xffff_ffff, DEVICE_READY, 1);
        assert_eq!(told(&mut driver), [(0, PORT_ADD, 1, vec![]), (1, PORT_ADD, 1, vec![])]);
        tell(&mut driver, 1, PORT_READY, 1);
        assert_eq!(
            told(&mut driver),
            [(1, PORT_NAME, 1, b"second".to_vec()), (1, PORT_OPEN, 1, vec![])]
        );
    }

    #[test]
    fn control_messages_wait_for_buffers() {
        let (mut driver, _host) = console();
        tell(&mut driver, 0, DEVICE_READY, 1);
        for _ in 0..1000 {
            tell(&mut driver, 0, PORT_READY, 1);
        }
        assert_eq!(told(&mut driver), []);
        post_control_buffers(&mut driver, 8);
        let events: Vec<_> =
            told(&mut driver).iter().map(|message| (message.0, message.1)).collect();
        assert_eq!(events, [(0, PORT_ADD), (0, PORT_NAME), (0, PORT_OPEN), (1, PORT_ADD)]);
    }

    #[test]
    fn nonsense_on_the_control_queue_is_ignored() {
        let (mut driver, _host) = console();
        post_control_buffers(&mut driver, 8);
        for (id, event, value) in [
            (2, PORT_READY, 1),
            (u32::MAX, PORT_OPEN, 1),
            (0, PORT_READY, 0),
            (0, 99, 1),
            (0, 0, 0),
        ] {
            tell(&mut driver, id, event, value);
        }
        driver.send(CONTROL_OUT, &[Readable(DATA, 7)]);
        driver.send(CONTROL_OUT, &[Writable(DATA, 8)]);
        assert_eq!(told(&mut driver), []);
        assert!(!driver.failed());
    }

    #[test]
    fn output_reaches_the_host_byte_by_byte() {
        let (mut driver, host) = console();
        let long: Vec<u8> = (0..10_000).map(|at| (at % 251) as u8).collect();
        driver.ram.store(DATA + 0x801, &long);
        driver.send(
            SECOND_OUT,
            &[Readable(DATA + 0x801, 9_000), Readable(DATA + 0x801 + 9_000, 1_000)],
        );
        assert_eq!(host.borrow().output[1], long);
        assert_eq!(driver.used(SECOND_OUT), [(0, 0)]);
        driver.ram.store(DATA, b"hello");
        driver.send(FIRST_OUT, &[Readable(DATA, 5)]);
        assert_eq!(host.borrow().output[0], b"hello");
    }

    #[test]
    fn a_busy_host_gets_the_rest_later_and_in_order() {
        let (mut driver, host) = console();
        driver.ram.store(DATA, b"abcdefgh");
        host.borrow_mut().room = Some(3);
        driver.send(FIRST_OUT, &[Readable(DATA, 2), Readable(DATA + 2, 4)]);
        driver.send(FIRST_OUT, &[Readable(DATA + 6, 2)]);
        assert_eq!(driver.used(FIRST_OUT), []);
        assert!(driver.transport.device().has_pending_output());
        driver.poll();
        assert_eq!(host.borrow().output[0], b"abc");
        host.borrow_mut().room = None;
        driver.poll();
        assert_eq!(host.borrow().output[0], b"abcdefgh");
        assert_eq!(driver.used(FIRST_OUT), [(0, 0), (2, 0)]);
        assert!(!driver.transport.device().has_pending_output());
    }

    #[test]
    fn input_fills_posted_buffers() {
        let (mut driver, host) = console();
        driver.post(SECOND_IN, &[Writable(DATA, 4)]);
        driver.post(SECOND_IN, &[Writable(DATA + 0x100, 64)]);
        say(&host, 1, b"hello!");
        open(&mut driver, 1);
        assert_eq!(driver.used(SECOND_IN), [(0, 4), (1, 2)]);
        assert_eq!(driver.ram.bytes(DATA + 0x100, 2), b"o!");
    }

    #[test]
    fn the_host_is_asked_only_when_the_guest_can_take_input() {
        let (mut driver, host) = console();
        say(&host, 0, b"x");
        driver.poll();
        open(&mut driver, 0);
        driver.poll();
        assert_eq!(host.borrow().reads, 0, "no buffer");
        assert_eq!(driver.transport.device().wants_input().count(), 0);
        tell(&mut driver, 0, PORT_OPEN, 0);
        driver.send(FIRST_IN, &[Writable(DATA + 0x200, 8)]);
        driver.poll();
        assert_eq!(host.borrow().reads, 0, "not open");
        open(&mut driver, 0);
        assert_eq!(driver.used(FIRST_IN), [(0, 1)]);
    }

    #[test]
    fn ports_that_wait_for_input_are_listed() {
        let (mut driver, host) = console();
        open(&mut driver, 1);
        driver.send(SECOND_IN, &[Writable(DATA + 0x200, 8)]);
        assert_eq!(driver.transport.device().wants_input().collect::<Vec<_>>(), [1]);
        say(&host, 1, b"x");
        driver.poll();
        assert_eq!(driver.used(SECOND_IN), [(0, 1)]);
        assert_eq!(driver.transport.device().wants_input().count(), 0);
    }

    #[test]
    fn the_end_of_input_follows_the_last_byte() {
        let (mut driver, host) = console();
        post_control_buffers(&mut driver, 8);
        driver.post(SECOND_IN, &[Writable(DATA + 0x200, 8)]);
        driver.post(SECOND_IN, &[Writable(DATA + 0x300, 8)]);
        say(&host, 1, b"last");
        close(&host, 1);
        open(&mut driver, 1);
        assert_eq!(driver.used(SECOND_IN), [(0, 4)]);
        assert_eq!(told(&mut driver), [(1, PORT_OPEN, 0, vec![])]);
        let reads = host.borrow().reads;
        driver.poll();
        assert_eq!(host.borrow().reads, reads, "a closed host is not asked again");
        tell(&mut driver, 1, PORT_READY, 1);
        assert_eq!(told(&mut driver)[1], (1, PORT_OPEN, 0, vec![]));
    }

    #[test]
    fn a_reset_forgets_buffers_and_openness() {
        let (mut driver, host) = console();
        open(&mut driver, 1);
        driver.send(SECOND_IN, &[Writable(DATA + 0x200, 8)]);
        host.borrow_mut().room = Some(0);
        driver.send(FIRST_OUT, &[Readable(DATA, 8)]);
        driver.set(0x70, 0);
        assert_eq!(driver.transport.device().wants_input().count(), 0);
        assert!(!driver.transport.device().has_pending_output());
    }

    #[test]
    fn a_stopped_queue_forgets_the_buffers_taken_from_it() {
        let (mut driver, host) = console();
        open(&mut driver, 1);
        driver.send(SECOND_IN, &[Writable(DATA + 0x200, 8)]);
        driver.set(0x30, SECOND_IN);
        driver.set(0x44, 0);
        say(&host, 1, b"x");
        driver.poll();
        assert_eq!(driver.used(SECOND_IN), []);
        assert!(!driver.failed());
    }

    #[test]
    fn the_configuration_counts_the_ports() {
        let (mut driver, _host) = console();
        assert_eq!(driver.transport.read(0x104, 4, &mut driver.ram), 2);
        assert_eq!(driver.get(0x08), 3);
        assert_eq!(driver.transport.device().features(), 1 << 1);
        driver.set(0x30, 5);
        assert_ne!(driver.get(0x34), 0);
        driver.set(0x30, 6);
        assert_eq!(driver.get(0x34), 0);
    }

    #[test]
    fn a_console_without_ports_has_only_idle_queues() {
        let mut driver =
            Driver::start(Console::new(Box::new(SharedHost(Host::default())), Vec::new()));
        for queue in 0..4 {
            driver.send(queue, &[Readable(DATA, 8)]);
        }
        driver.poll();
        assert!(!driver.failed());
    }
}
