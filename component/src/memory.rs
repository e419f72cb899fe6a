//! What stands in the artifact's memory, as the witx description of preview 1 lays it out.

use crate::bridge;

/// Room that the artifact offers or fills.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Buffer {
    pub(crate) at: u32,
    pub(crate) len: u32,
}

impl Buffer {
    /// Its bytes.
    pub(crate) fn bytes(self) -> Vec<u8> {
        let mut bytes = vec![0; self.len as usize];
        bridge::read(&mut bytes, self.at);
        bytes
    }
}

/// Bytes of an `iovec`.
const IOVEC_LEN: u32 = 8;

pub(crate) fn array<const N: usize>(at: u32) -> [u8; N] {
    let mut bytes = [0; N];
    bridge::read(&mut bytes, at);
    bytes
}

fn u32_at(at: u32) -> u32 {
    u32::from_le_bytes(array(at))
}

/// Entry `number` of a list of buffers.
pub(crate) fn iovec(list: u32, number: u32) -> Buffer {
    let at = list.wrapping_add(number.wrapping_mul(IOVEC_LEN));
    Buffer { at: u32_at(at), len: u32_at(at.wrapping_add(4)) }
}

pub(crate) fn put_u32(at: u32, value: u32) {
    bridge::write(at, &value.to_le_bytes());
}

pub(crate) fn put_u64(at: u32, value: u64) {
    bridge::write(at, &value.to_le_bytes());
}
