//! 9P transport device (virtio 1.2, section 5.15 reserves the ID; the device is as Linux's
//! `net/9p/trans_virtio.c` and QEMU's `virtio-9p` have it): requests go in, answers come out.
//!
//! Requests are served while the driver notifies, as the disk's are. A message is copied once in
//! each direction between the guest's pages and one buffer: with half a megabyte in it, the copy is
//! lost in the host's own, and one host call serves a hundred scattered pages.

use std::fmt;

use super::VirtioDevice;
use super::queue::{Queue, QueueError};
use crate::GuestMemory;
use crate::host::FileServer;

const DEVICE_ID: u32 = 9;
const VIRTIO_9P_MOUNT_TAG: u64 = 1 << 0;
/// Linux fills at most this many segments per request, and 125 pages of data with it.
const QUEUE_SIZE: u16 = 128;

/// Longest request that is looked at; the server's own limit is lower. Stops a driver from having
/// a buffer of the host grow without end.
const MAX_REQUEST_LEN: u64 = 1 << 20;

/// The 9P device. Without a server it gives requests back unanswered.
pub struct NineP {
    server: Option<Box<dyn FileServer>>,
    /// Length of the mount tag, then the tag.
    config: Vec<u8>,
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl NineP {
    /// A device by which the driver reaches `server` under the name `tag`.
    #[must_use]
    pub fn new(server: Option<Box<dyn FileServer>>, tag: &str) -> Self {
        let len = tag.len() as u16;
        let config = [&len.to_le_bytes(), tag.as_bytes()].concat();
        Self { server, config, request: Vec::new(), answer: Vec::new() }
    }

    /// Puts another server, or none, behind the device.
    pub fn connect(&mut self, server: Option<Box<dyn FileServer>>) {
        self.server = server;
    }
}

impl fmt::Debug for NineP {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NineP").field("connected", &self.server.is_some()).finish_non_exhaustive()
    }
}

impl VirtioDevice for NineP {
    fn device_id(&self) -> u32 {
        DEVICE_ID
    }

    fn features(&self) -> u64 {
        VIRTIO_9P_MOUNT_TAG
    }

    fn queue_sizes(&self) -> Vec<u16> {
        vec![QUEUE_SIZE]
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
        queues[queue].serve(memory, |memory, chain| {
            let Some(server) = &mut self.server else { return Ok(0) };
            let mut from = chain.readable();
            self.request.resize(from.remaining().min(MAX_REQUEST_LEN) as usize, 0);
            from.read(memory, &mut self.request)?;
            server.serve(&self.request, &mut self.answer);
            chain.writable().write(memory, &self.answer).map(|written| written as u32)
        })
    }

    fn reset(&mut self) {
        if let Some(server) = &mut self.server {
            server.reset();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MmioDevice;
    use crate::devices::test_support::{DATA, Driver, Readable, STATUS, Writable};
    use std::cell::Cell;
    use std::rc::Rc;

    /// Answers a request by its number and itself in reverse; a reset begins at zero again.
    struct Reverse(Rc<Cell<u8>>);

    impl FileServer for Reverse {
        fn serve(&mut self, request: &[u8], answer: &mut Vec<u8>) {
            self.0.set(self.0.get() + 1);
            answer.clear();
            answer.push(self.0.get());
            answer.extend(request.iter().rev());
        }

        fn reset(&mut self) {
            self.0.set(0);
        }
    }

    fn device() -> NineP {
        NineP::new(Some(Box::new(Reverse(Rc::default()))), "lithify")
    }

    #[test]
    fn requests_and_answers_may_be_cut_anywhere() {
        let mut driver = Driver::start(device());
        driver.ram.store(DATA, b"abc");
        driver.ram.store(DATA + 0x1fff, b"def");
        driver.send(
            0,
            &[
                Readable(DATA, 3),
                Readable(DATA + 0x1fff, 3),
                Writable(DATA + 0x3fff, 2),
                Writable(DATA + 0x5000, 100),
            ],
        );
        assert_eq!(driver.used(0), [(0, 7)]);
        assert_eq!(driver.ram.bytes(DATA + 0x3fff, 2), [1, b'f']);
        assert_eq!(driver.ram.bytes(DATA + 0x5000, 6), b"edcba\0");
    }

    #[test]
    fn answers_without_room_are_cut() {
        let mut driver = Driver::start(device());
        driver.send(0, &[Readable(DATA, 100), Writable(DATA + 0x1000, 5)]);
        driver.send(0, &[Readable(DATA, 1)]);
        driver.send(0, &[Writable(DATA, 1)]);
        assert_eq!(driver.used(0).into_iter().map(|(_, len)| len).collect::<Vec<_>>(), [5, 0, 1]);
        assert!(!driver.failed());
    }

    #[test]
    fn giant_requests_are_cut() {
        let mut driver = Driver::start(device());
        let part = Readable(DATA, 1 << 20);
        driver.send(0, &[part, part, Writable(DATA, 8)]);
        assert_eq!(driver.used(0), [(0, 8)]);
        assert_eq!(driver.transport.device().request.len() as u64, MAX_REQUEST_LEN);
    }

    #[test]
    fn without_a_server_requests_come_back_empty() {
        let mut driver = Driver::start(NineP::new(None, "lithify"));
        driver.send(0, &[Readable(DATA, 7), Writable(DATA + 0x1000, 11)]);
        assert_eq!(driver.used(0), [(0, 0)]);
        assert!(!driver.failed());
    }

    #[test]
    fn a_reset_reaches_the_server() {
        let served = Rc::default();
        let server = Box::new(Reverse(Rc::clone(&served)));
        let mut driver = Driver::start(NineP::new(Some(server), "lithify"));
        driver.send(0, &[Readable(DATA, 1), Writable(DATA + 0x1000, 1)]);
        assert_eq!(served.get(), 1);
        driver.set(STATUS, 0);
        assert_eq!(served.get(), 0);
    }

    #[test]
    fn the_configuration_is_the_mount_tag() {
        let mut driver = Driver::stopped(device());
        assert_eq!(driver.get(0x08), 9);
        assert_eq!(driver.transport.read(0x100, 2, &mut driver.ram), 7);
        let tag: Vec<u8> =
            (0..7).map(|at| driver.transport.read(0x102 + at, 1, &mut driver.ram) as u8).collect();
        assert_eq!(tag, b"lithify");
        assert_eq!(driver.transport.device().features(), 1);
    }
}
