//! Network device (virtio 1.2, section 5.1): one pair of queues and a cable.
//!
//! What crosses the queues is cheap by agreement of both ends: a frame is as large as an IP packet
//! can be, so that the guest's stack runs once for 64 KiB, and checksums of TCP and UDP stay
//! unfilled in both directions (see [`Link`]). A frame for the guest is spread over as many of its
//! buffers as it needs.
//!
//! The device holds no frame: one that the other side has no room for stays in the driver's
//! buffer, or with the link, until the next poll.

use std::fmt;

use super::VirtioDevice;
use super::chain::Chain;
use super::queue::{Queue, QueueError};
use crate::GuestMemory;
use crate::host::Link;

const DEVICE_ID: u32 = 1;

const VIRTIO_NET_F_CSUM: u64 = 1 << 0;
const VIRTIO_NET_F_GUEST_CSUM: u64 = 1 << 1;
const VIRTIO_NET_F_MTU: u64 = 1 << 3;
const VIRTIO_NET_F_MAC: u64 = 1 << 5;
const VIRTIO_NET_F_MRG_RXBUF: u64 = 1 << 15;

/// Largest IP packet on the link: the largest that IPv4 has, so that nothing is fragmented.
const MTU: u16 = u16::MAX;
const ETHERNET_HEADER_LEN: usize = 14;
/// Longest frame; the device drops longer ones of the guest.
pub const MAX_FRAME_LEN: usize = ETHERNET_HEADER_LEN + MTU as usize;

/// Linux fills this queue with buffers of one and a half to four KiB when the interface comes up,
/// which costs each start: enough of them for a few frames of the largest size.
const RECEIVE_QUEUE_SIZE: u16 = 128;
const TRANSMIT_QUEUE_SIZE: u16 = 64;
const RECEIVE: usize = 0;
const TRANSMIT: usize = 1;

/// `struct virtio_net_hdr` of a device that offers `VIRTIO_F_VERSION_1`.
const HEADER_LEN: usize = 12;
/// In the header's first byte: the checksum is as good as checked.
const VIRTIO_NET_HDR_F_DATA_VALID: u8 = 2;
/// Where `num_buffers` is in the header.
const NUM_BUFFERS: usize = 10;

/// The guest's hardware address, locally administered. Every machine is alone on its link, so all
/// can have the same.
pub const MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x0f];

/// The network device. Without a link it takes frames and forgets them.
pub struct Net {
    link: Option<Box<dyn Link>>,
    config: Config,
    /// A frame of the guest on its way to the link.
    frame: Vec<u8>,
}

/// `struct virtio_net_config` up to `mtu`.
type Config = [u8; 12];

impl Net {
    /// A device with this far end.
    #[must_use]
    pub fn new(link: Option<Box<dyn Link>>) -> Self {
        let mut config = Config::default();
        config[..6].copy_from_slice(&MAC);
        config[10..].copy_from_slice(&MTU.to_le_bytes());
        Self { link, config, frame: Vec::new() }
    }

    /// Puts the cable into another far end.
    pub fn connect(&mut self, link: Option<Box<dyn Link>>) {
        self.link = link;
    }

    fn transmit(
        &mut self,
        queue: &mut Queue,
        memory: &mut dyn GuestMemory,
    ) -> Result<(), QueueError> {
        while let Some(chain) = queue.take(memory)? {
            let Some(link) = &mut self.link else {
                queue.give_back(memory, chain, 0)?;
                continue;
            };
            if read_frame(&chain, memory, &mut self.frame)? && !link.send(&self.frame) {
                queue.untake(chain);
                return Ok(());
            }
            queue.give_back(memory, chain, 0)?;
        }
        Ok(())
    }

    fn receive(
        &mut self,
        queue: &mut Queue,
        memory: &mut dyn GuestMemory,
    ) -> Result<(), QueueError> {
        let Some(link) = &mut self.link else { return Ok(()) };
        let mut result = Ok(());
        link.receive(&mut |frame| match deliver(queue, memory, frame) {
            Ok(taken) => taken,
            Err(error) => {
                result = Err(error);
                false
            }
        });
        result
    }

    fn exchange(
        &mut self,
        queues: &mut [Queue],
        memory: &mut dyn GuestMemory,
    ) -> Result<(), QueueError> {
        self.transmit(&mut queues[TRANSMIT], memory)?;
        if let Some(link) = &mut self.link {
            link.poll();
        }
        self.receive(&mut queues[RECEIVE], memory)
    }
}

/// Whether the chain holds a frame that the link may have.
fn read_frame(
    chain: &Chain,
    memory: &dyn GuestMemory,
    frame: &mut Vec<u8>,
) -> Result<bool, QueueError> {
    let mut bytes = chain.readable();
    bytes.advance(HEADER_LEN as u64);
    let len = bytes.remaining();
    if !(ETHERNET_HEADER_LEN as u64..=MAX_FRAME_LEN as u64).contains(&len) {
        return Ok(false);
    }
    frame.resize(len as usize, 0);
    bytes.read(memory, frame)?;
    Ok(true)
}

/// Puts a frame into the driver's buffers; `false` if they do not suffice. A frame for which all
/// the buffers that the queue can hold do not suffice would wait for ever and is dropped.
fn deliver(
    queue: &mut Queue,
    memory: &mut dyn GuestMemory,
    frame: &[u8],
) -> Result<bool, QueueError> {
    let mut chains = Vec::new();
    let mut room = 0;
    while room < (HEADER_LEN + frame.len()) as u64 {
        let Some(chain) = queue.take(memory)? else {
            let hopeless = queue.ready() && chains.len() == usize::from(queue.size());
            chains.into_iter().rev().for_each(|chain| queue.untake(chain));
            return Ok(hopeless);
        };
        room += chain.writable().remaining();
        chains.push(chain);
    }
    let mut header = [0; HEADER_LEN];
    header[0] = VIRTIO_NET_HDR_F_DATA_VALID;
    header[NUM_BUFFERS..].copy_from_slice(&(chains.len() as u16).to_le_bytes());
    let (mut header, mut frame) = (&header[..], frame);
    for chain in chains {
        let mut buffer = chain.writable();
        let mut written = 0;
        for part in [&mut header, &mut frame] {
            let step = buffer.write(memory, part)?;
            *part = &part[step..];
            written += step as u32;
        }
        queue.give_back(memory, chain, written)?;
    }
    Ok(true)
}

impl fmt::Debug for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Net").field("connected", &self.link.is_some()).finish_non_exhaustive()
    }
}

impl VirtioDevice for Net {
    fn device_id(&self) -> u32 {
        DEVICE_ID
    }

    fn features(&self) -> u64 {
        self.required_features() | VIRTIO_NET_F_CSUM | VIRTIO_NET_F_MTU | VIRTIO_NET_F_MAC
    }

    /// A driver that checks checksums, or wants a frame in one buffer, could not receive anything.
    fn required_features(&self) -> u64 {
        VIRTIO_NET_F_GUEST_CSUM | VIRTIO_NET_F_MRG_RXBUF
    }

    fn queue_sizes(&self) -> Vec<u16> {
        vec![RECEIVE_QUEUE_SIZE, TRANSMIT_QUEUE_SIZE]
    }

    fn config(&self) -> &[u8] {
        &self.config
    }

    /// New buffers in one queue can be what the other waits for: the link answers what it is sent.
    fn notify(
        &mut self,
        _queue: usize,
        queues: &mut [Queue],
        memory: &mut dyn GuestMemory,
    ) -> Result<(), QueueError> {
        self.exchange(queues, memory)
    }

    fn poll(
        &mut self,
        queues: &mut [Queue],
        memory: &mut dyn GuestMemory,
    ) -> Result<(), QueueError> {
        self.exchange(queues, memory)
    }

    fn reset(&mut self) {}
}

#[cfg(test)]
mod tests;
