//! Frames on their way to the guest, in buffers that are used again.

use std::collections::VecDeque;

use lithify_control::PLAN;
use smoltcp::phy::{self, Checksum, ChecksumCapabilities, DeviceCapabilities, Medium};
use smoltcp::time::Instant;

use crate::buffers;
use crate::packet::{self, ETHERNET_HEADER_LEN};

/// Frames that wait for the guest; when it has no room for them, nobody makes more.
const MAX_WAITING: usize = 64;

/// A frame for the guest.
struct Frame {
    bytes: Box<[u8]>,
    len: usize,
}

/// Frames for the guest, oldest first.
#[derive(Default)]
pub(crate) struct FrameQueue {
    waiting: VecDeque<Frame>,
    spare: Vec<Frame>,
    /// Someone was refused since this was last asked.
    refused: bool,
}

impl FrameQueue {
    /// Takes the first frames' buffers from these.
    pub(crate) fn use_buffers(&mut self, buffers: Vec<Box<[u8]>>) {
        self.spare.extend(buffers.into_iter().map(|bytes| Frame { bytes, len: 0 }));
    }

    /// Whether another frame may be added.
    pub(crate) fn has_room(&mut self) -> bool {
        let room = self.waiting.len() < MAX_WAITING;
        self.refused |= !room;
        room
    }

    /// Whether somebody found no room since the last call.
    pub(crate) fn take_refused(&mut self) -> bool {
        std::mem::take(&mut self.refused)
    }

    /// Adds the frame that `fill` writes and returns the length of, unless it returns nothing.
    pub(crate) fn push<R>(&mut self, fill: impl FnOnce(&mut [u8]) -> (Option<usize>, R)) -> R {
        let mut frame =
            self.spare.pop().unwrap_or_else(|| Frame { bytes: buffers::frame(), len: 0 });
        let (len, result) = fill(&mut frame.bytes);
        match len {
            Some(len) => {
                frame.len = len;
                self.waiting.push_back(frame);
            }
            None => self.spare.push(frame),
        }
        result
    }

    /// Hands frames to `take` until it refuses one.
    pub(crate) fn drain(&mut self, take: &mut dyn FnMut(&[u8]) -> bool) {
        while self.waiting.front().is_some_and(|frame| take(&frame.bytes[..frame.len])) {
            self.spare.extend(self.waiting.pop_front());
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

/// What the TCP stack sees of the link: at most one packet of the guest, and the queue.
pub(crate) struct Wire<'a> {
    pub(crate) packet: Option<&'a [u8]>,
    pub(crate) frames: &'a mut FrameQueue,
}

impl phy::Device for Wire<'_> {
    type RxToken<'a>
        = Received<'a>
    where
        Self: 'a;
    type TxToken<'a>
        = Transmit<'a>
    where
        Self: 'a;

    /// An answer to a packet always has room: packets are let in only while there is some.
    fn receive(&mut self, _: Instant) -> Option<(Received<'_>, Transmit<'_>)> {
        self.packet.take().map(|packet| (Received(packet), Transmit(self.frames)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Transmit<'_>> {
        self.frames.has_room().then_some(Transmit(self.frames))
    }

    /// Checksums as [`Link`](lithify_machine::host::Link) has them.
    fn capabilities(&self) -> DeviceCapabilities {
        let mut checksum = ChecksumCapabilities::ignored();
        checksum.ipv4 = Checksum::Tx;
        checksum.icmpv4 = Checksum::Tx;
        checksum.icmpv6 = Checksum::Tx;
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = usize::from(PLAN.mtu);
        capabilities.checksum = checksum;
        capabilities
    }
}

/// A packet of the guest.
pub(crate) struct Received<'a>(&'a [u8]);

impl phy::RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

/// Room for a packet to the guest.
pub(crate) struct Transmit<'a>(&'a mut FrameQueue);

impl phy::TxToken for Transmit<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        self.0.push(|frame| {
            let packet = &mut frame[ETHERNET_HEADER_LEN..][..len];
            let result = f(packet);
            packet::address(frame);
            (Some(ETHERNET_HEADER_LEN + len), result)
        })
    }
}
