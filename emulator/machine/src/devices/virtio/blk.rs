//! Block device (virtio 1.2, section 5.2), read-only.
//!
//! Requests are served while the driver notifies: by the time the guest runs again its data is
//! there, so a driver never waits and the device holds no request.

use std::fmt;

use super::chain::{Chain, Cursor};
use super::queue::{Queue, QueueError};
use super::{COPY_LEN, VirtioDevice};
use crate::GuestMemory;
use crate::host::BlockSource;

const DEVICE_ID: u32 = 2;
const QUEUE_SIZE: u16 = 128;

const VIRTIO_BLK_F_SIZE_MAX: u64 = 1 << 1;
const VIRTIO_BLK_F_SEG_MAX: u64 = 1 << 2;
const VIRTIO_BLK_F_RO: u64 = 1 << 5;
const VIRTIO_BLK_F_BLK_SIZE: u64 = 1 << 6;

/// Data segments in a request: the queue less the request header and the status.
const SEG_MAX: u32 = QUEUE_SIZE as u32 - 2;
/// Bytes in a segment. With [`SEG_MAX`] of them a request stays below `MAX_CHAIN_BYTES`.
const SIZE_MAX: u32 = 64 << 10;

const SECTOR_LEN: u64 = 512;
const REQUEST_HEADER_LEN: usize = 16;
/// Length of the answer to a request for the serial number, which is padded with zeros.
pub const SERIAL_LEN: usize = 20;

const VIRTIO_BLK_T_IN: u32 = 0;
const VIRTIO_BLK_T_OUT: u32 = 1;
const VIRTIO_BLK_T_FLUSH: u32 = 4;
const VIRTIO_BLK_T_GET_ID: u32 = 8;

/// The status byte at the end of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Status {
    Ok = 0,
    IoErr = 1,
    Unsupp = 2,
}

/// A read-only disk.
pub struct Block {
    source: Box<dyn BlockSource>,
    serial: [u8; SERIAL_LEN],
    config: Config,
}

/// `struct virtio_blk_config` up to `blk_size`.
type Config = [u8; 24];

fn config(sectors: u64) -> Config {
    let mut config = [0; size_of::<Config>()];
    config[0..8].copy_from_slice(&sectors.to_le_bytes());
    config[8..12].copy_from_slice(&SIZE_MAX.to_le_bytes());
    config[12..16].copy_from_slice(&SEG_MAX.to_le_bytes());
    config[20..24].copy_from_slice(&(SECTOR_LEN as u32).to_le_bytes());
    config
}

impl Block {
    /// A disk with the content of `source`, of which a last partial sector is left out. `serial`
    /// is cut after [`SERIAL_LEN`] bytes.
    #[must_use]
    pub fn new(source: Box<dyn BlockSource>, serial: &str) -> Self {
        let mut padded = [0; SERIAL_LEN];
        padded.iter_mut().zip(serial.bytes()).for_each(|(to, from)| *to = from);
        let config = config(source.len() / SECTOR_LEN);
        Self { source, serial: padded, config }
    }

    /// Serves one request; returns how many bytes were written to its buffers.
    fn serve(&mut self, memory: &mut dyn GuestMemory, chain: &Chain) -> Result<u32, QueueError> {
        let mut header = [0; REQUEST_HEADER_LEN];
        let mut out = chain.readable();
        let mut data = chain.writable();
        let whole = out.read(memory, &mut header)? == REQUEST_HEADER_LEN;
        // Without room for a status there is nothing to answer.
        let Some(data_len) = data.remaining().checked_sub(1) else { return Ok(0) };
        let mut status_byte = data.clone();
        status_byte.advance(data_len);
        let (status, written) = if whole {
            self.execute(memory, &header, &mut data, data_len)?
        } else {
            (Status::IoErr, 0)
        };
        status_byte.write(memory, &[status as u8])?;
        // `written` counts from the start of the buffers: an error before the end of the data
        // leaves a gap before the status, so only the bytes before the gap count.
        Ok(if written == data_len { written as u32 + 1 } else { written as u32 })
    }

    fn execute(
        &mut self,
        memory: &mut dyn GuestMemory,
        header: &[u8; REQUEST_HEADER_LEN],
        data: &mut Cursor<'_>,
        data_len: u64,
    ) -> Result<(Status, u64), QueueError> {
        let [t0, t1, t2, t3, _, _, _, _, s0, s1, s2, s3, s4, s5, s6, s7] = *header;
        let sector = u64::from_le_bytes([s0, s1, s2, s3, s4, s5, s6, s7]);
        match u32::from_le_bytes([t0, t1, t2, t3]) {
            VIRTIO_BLK_T_IN => self.read(memory, sector, data, data_len),
            // Section 5.2.6.2: what a read-only device answers to writes.
            VIRTIO_BLK_T_OUT => Ok((Status::IoErr, 0)),
            VIRTIO_BLK_T_FLUSH => Ok((Status::Ok, 0)),
            VIRTIO_BLK_T_GET_ID => {
                let len = data_len.min(SERIAL_LEN as u64) as usize;
                data.write(memory, &self.serial[..len])?;
                Ok((Status::Ok, len as u64))
            }
            _ => Ok((Status::Unsupp, 0)),
        }
    }

    fn read(
        &mut self,
        memory: &mut dyn GuestMemory,
        sector: u64,
        data: &mut Cursor<'_>,
        data_len: u64,
    ) -> Result<(Status, u64), QueueError> {
        let Some(start) = self.byte_range(sector, data_len) else {
            return Ok((Status::IoErr, 0));
        };
        let mut page = [0; COPY_LEN];
        let mut done = 0;
        while let Some((at, run)) = data.run().filter(|_| done < data_len) {
            let step = (data_len - done).min(run as u64);
            let bytes = &mut page[..step as usize];
            self.source.read(start + done, bytes);
            memory.write(at, bytes)?;
            data.advance(step);
            done += step;
        }
        Ok((Status::Ok, done))
    }

    /// First byte of a transfer of whole sectors that lies inside the disk.
    fn byte_range(&self, sector: u64, len: u64) -> Option<u64> {
        let start = sector.checked_mul(SECTOR_LEN)?;
        let end = start.checked_add(len)?;
        (len.is_multiple_of(SECTOR_LEN) && end <= self.source.len()).then_some(start)
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Block").field("bytes", &self.source.len()).finish_non_exhaustive()
    }
}

impl VirtioDevice for Block {
    fn device_id(&self) -> u32 {
        DEVICE_ID
    }

    fn features(&self) -> u64 {
        VIRTIO_BLK_F_SIZE_MAX | VIRTIO_BLK_F_SEG_MAX | VIRTIO_BLK_F_RO | VIRTIO_BLK_F_BLK_SIZE
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
        queues[queue].serve(memory, |memory, chain| self.serve(memory, chain))
    }

    fn reset(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MmioDevice;
    use crate::devices::test_support::{DATA, Driver, Readable, Writable};

    const HEADER: u64 = DATA;
    const STATUS_BYTE: u64 = DATA + 0x100;
    const BUFFER: u64 = DATA + 0x1000;
    const SECTORS: u64 = 64;

    /// A disk whose byte n is n / 512 * 3 + n.
    struct Pattern(u64);

    fn pattern(at: u64) -> u8 {
        (at / 512 * 3 + at) as u8
    }

    impl BlockSource for Pattern {
        fn len(&self) -> u64 {
            self.0
        }
        fn read(&mut self, offset: u64, into: &mut [u8]) {
            assert!(offset + into.len() as u64 <= self.0, "read past the end of the disk");
            (offset..).zip(into).for_each(|(at, byte)| *byte = pattern(at));
        }
    }

    fn disk() -> Driver<Block> {
        Driver::start(Block::new(Box::new(Pattern(SECTORS * 512)), "rootfs"))
    }

    fn header(driver: &mut Driver<Block>, kind: u32, sector: u64) {
        driver.ram.store(HEADER, &kind.to_le_bytes());
        driver.ram.store(HEADER + 4, &[0; 4]);
        driver.ram.store(HEADER + 8, &sector.to_le_bytes());
        driver.ram.store(STATUS_BYTE, &[0xee]);
    }

    /// Sends a request for `len` bytes; returns status and length of what was written.
    fn request(driver: &mut Driver<Block>, kind: u32, sector: u64, len: u32) -> (u8, u32) {
        header(driver, kind, sector);
        driver.send(0, &[Readable(HEADER, 16), Writable(BUFFER, len), Writable(STATUS_BYTE, 1)]);
        let [(_, written)] = driver.used(0)[..] else { panic!("one answer to one request") };
        (driver.ram.bytes(STATUS_BYTE, 1)[0], written)
    }

    #[test]
    fn reads_return_the_sectors_of_the_source() {
        let mut driver = disk();
        for (sector, len) in [(0, 512), (63, 512), (5, 512 * 40), (0, 512 * 64), (9, 0)] {
            assert_eq!(request(&mut driver, 0, sector, len), (0, len + 1));
            let expected: Vec<u8> = (sector * 512..).take(len as usize).map(pattern).collect();
            assert_eq!(driver.ram.bytes(BUFFER, len as usize), expected, "sector {sector}");
        }
    }

    #[test]
    fn requests_may_be_cut_anywhere() {
        let mut driver = disk();
        header(&mut driver, 0, 2);
        driver.send(
            0,
            &[
                Readable(HEADER, 7),
                Readable(HEADER + 7, 9),
                Writable(BUFFER + 4090, 500),
                Writable(BUFFER + 0x4000, 13),
            ],
        );
        assert_eq!(driver.used(0), [(0, 513)]);
        let sector: Vec<u8> = (1024..1536).map(pattern).collect();
        assert_eq!(driver.ram.bytes(BUFFER + 4090, 500), sector[..500]);
        assert_eq!(driver.ram.bytes(BUFFER + 0x4000, 12), sector[500..]);
        assert_eq!(driver.ram.bytes(BUFFER + 0x4000 + 12, 1), [0], "the last byte is the status");
    }

    #[test]
    fn ranges_that_leave_the_disk_are_errors() {
        let mut driver = disk();
        for (sector, len) in [
            (64, 512),
            (63, 1024),
            (u64::MAX, 512),
            (u64::MAX / 512, 1024),
            (1 << 55, 512),
            (0, 511),
        ] {
            assert_eq!(request(&mut driver, 0, sector, len), (1, 0), "sector {sector:#x}");
        }
        assert!(!driver.failed());
    }

    #[test]
    fn writes_are_errors_and_unknown_requests_unsupported() {
        let mut driver = disk();
        header(&mut driver, 1, 0);
        driver.send(0, &[Readable(HEADER, 16), Readable(BUFFER, 512), Writable(STATUS_BYTE, 1)]);
        assert_eq!(driver.ram.bytes(STATUS_BYTE, 1), [1]);
        assert_eq!(driver.used(0).len(), 1);
        for kind in [2, 11, 13, u32::MAX] {
            assert_eq!(request(&mut driver, kind, 0, 512), (2, 0), "request {kind}");
        }
    }

    #[test]
    fn flush_succeeds() {
        assert_eq!(request(&mut disk(), 4, 0, 0), (0, 1));
    }

    #[test]
    fn the_serial_number_is_padded_with_zeros() {
        let mut driver = disk();
        assert_eq!(request(&mut driver, 8, 0, 20), (0, 21));
        assert_eq!(driver.ram.bytes(BUFFER, 20), b"rootfs\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
        assert_eq!(request(&mut driver, 8, 0, 3), (0, 4));
    }

    #[test]
    fn broken_requests_are_answered_as_far_as_there_is_room() {
        let mut driver = disk();
        driver.send(0, &[Readable(HEADER, 15), Writable(STATUS_BYTE, 1)]);
        assert_eq!(driver.ram.bytes(STATUS_BYTE, 1), [1], "header cut short");
        driver.send(0, &[Readable(HEADER, 16)]);
        driver.send(0, &[Writable(STATUS_BYTE, 0)]);
        assert_eq!(driver.used(0).len(), 3);
        assert!(!driver.failed());
    }

    #[test]
    fn the_configuration_describes_a_read_only_disk() {
        let mut driver = disk();
        let mut config =
            |offset, size| driver.transport.read(0x100 + offset, size, &mut driver.ram);
        assert_eq!(config(0, 8), SECTORS);
        assert_eq!((config(8, 4), config(12, 4), config(20, 4)), (64 << 10, 126, 512));
        assert_eq!(config(24, 8), 0);
        assert_eq!(config(u64::MAX - 0x100, 8), 0);
        let bits = driver.transport.device().features();
        assert_eq!(bits, 1 << 1 | 1 << 2 | 1 << 5 | 1 << 6);
        assert_eq!(driver.get(0x08), 2);
    }

    #[test]
    fn a_partial_last_sector_does_not_exist() {
        let mut driver = Driver::start(Block::new(Box::new(Pattern(1000)), ""));
        assert_eq!(driver.transport.read(0x100, 8, &mut driver.ram), 1);
        assert_eq!(request(&mut driver, 0, 1, 512), (1, 0));
    }

    #[test]
    fn the_largest_request_fits_a_chain() {
        assert!(u64::from(SEG_MAX) * u64::from(SIZE_MAX) + 17 <= super::super::MAX_CHAIN_BYTES);
    }
}
