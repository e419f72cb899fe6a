use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use super::*;
use crate::MmioDevice;
use crate::devices::test_support::{Buffer, DATA, Driver, EVENT_IDX, Readable, Writable};

const RX: u64 = 0;
const TX: u64 = 1;
const BUFFER: u64 = DATA + 0x2_0000;

#[derive(Debug, Default)]
struct Far {
    sent: Vec<Vec<u8>>,
    busy: bool,
    waiting: VecDeque<Vec<u8>>,
    echo: bool,
    polls: usize,
}

/// The far end of the cable; clones are the same one.
#[derive(Debug, Clone, Default)]
struct Cable(Rc<RefCell<Far>>);

impl Link for Cable {
    fn send(&mut self, frame: &[u8]) -> bool {
        let mut far = self.0.borrow_mut();
        if !far.busy {
            far.sent.push(frame.to_vec());
            if far.echo {
                far.waiting.push_back(frame.to_vec());
            }
        }
        !far.busy
    }

    fn poll(&mut self) {
        self.0.borrow_mut().polls += 1;
    }

    fn receive(&mut self, take: &mut dyn FnMut(&[u8]) -> bool) {
        let waiting = &mut self.0.borrow_mut().waiting;
        while waiting.front().is_some_and(|frame| take(frame)) {
            waiting.pop_front();
        }
    }
}

fn connected() -> (Driver<Net>, Cable) {
    let cable = Cable::default();
    (Driver::start(Net::new(Some(Box::new(cable.clone())))), cable)
}

fn frame(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at / 256 + at) as u8).collect()
}

/// A header that asks for a checksum, and a frame, at [`DATA`].
fn store(driver: &mut Driver<Net>, frame: &[u8]) -> u32 {
    driver.ram.store(DATA, &[1, 0, 0, 0, 0, 0, 34, 0, 16, 0, 0, 0]);
    driver.ram.store(DATA + 12, frame);
    (12 + frame.len()) as u32
}

#[test]
fn frames_arrive_without_the_header_however_they_are_cut() {
    let (mut driver, cable) = connected();
    let bytes = frame(100);
    let len = u64::from(store(&mut driver, &bytes));
    for cut in [1, 12, 13, 60] {
        let (head, tail) = (Readable(DATA, cut), Readable(DATA + u64::from(cut), len as u32 - cut));
        driver.send(TX, &[head, tail]);
        assert_eq!(cable.0.borrow_mut().sent.pop(), Some(bytes.clone()), "cut at {cut}");
    }
    assert_eq!(driver.used(TX).len(), 4);
}

#[test]
fn frames_of_impossible_length_are_dropped() {
    let (mut driver, cable) = connected();
    for len in [0, 11, 12, 12 + 13, 12 + MAX_FRAME_LEN as u32 + 1] {
        driver.send(TX, &[Readable(DATA, len)]);
    }
    assert_eq!(driver.used(TX).len(), 5);
    assert!(cable.0.borrow().sent.is_empty());
    for len in [14, MAX_FRAME_LEN as u32] {
        driver.send(TX, &[Readable(DATA, 12 + len)]);
        assert_eq!(cable.0.borrow_mut().sent.pop().map(|frame| frame.len()), Some(len as usize));
    }
    assert!(!driver.failed());
}

#[test]
fn a_busy_link_leaves_frames_with_the_driver() {
    let (mut driver, cable) = connected();
    cable.0.borrow_mut().busy = true;
    let len = store(&mut driver, &frame(60));
    driver.send(TX, &[Readable(DATA, len)]);
    driver.send(TX, &[Readable(DATA, len - 1)]);
    assert_eq!(driver.used(TX), []);
    cable.0.borrow_mut().busy = false;
    driver.poll();
    assert_eq!(driver.used(TX).len(), 2);
    let lens: Vec<usize> = cable.0.borrow().sent.iter().map(Vec::len).collect();
    assert_eq!(lens, [60, 59], "in order");
}

#[test]
fn a_frame_fills_one_buffer_after_its_header() {
    let (mut driver, cable) = connected();
    driver.post(RX, &[Writable(BUFFER, 100), Writable(BUFFER + 0x1000, 1000)]);
    driver.post(RX, &[Writable(BUFFER + 0x2000, 1000)]);
    cable.0.borrow_mut().waiting.push_back(frame(300));
    driver.poll();
    assert_eq!(driver.used(RX), [(0, 312)]);
    assert_eq!(driver.ram.bytes(BUFFER, 12), [2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
    assert_eq!(driver.ram.bytes(BUFFER + 12, 88), frame(300)[..88]);
    assert_eq!(driver.ram.bytes(BUFFER + 0x1000, 212), frame(300)[88..]);
}

#[test]
fn a_large_frame_is_spread_over_buffers_and_says_over_how_many() {
    let (mut driver, cable) = connected();
    let buffers: Vec<Buffer> =
        (0..20).map(|index| Writable(BUFFER + index * 0x1000, 4096)).collect();
    buffers.iter().for_each(|buffer| {
        driver.post(RX, &[*buffer]);
    });
    let whole = frame(MAX_FRAME_LEN);
    cable.0.borrow_mut().waiting.push_back(whole.clone());
    driver.poll();
    let used = driver.used(RX);
    assert_eq!(used.len(), 17);
    let total: u32 = used.iter().map(|(_, written)| *written).sum();
    assert_eq!(total as usize, 12 + whole.len());
    assert_eq!(driver.ram.bytes(BUFFER + 10, 2), [17, 0]);
    let stored = driver.ram.bytes(BUFFER, total as usize);
    assert!(stored[12..] == whole);
}

#[test]
fn a_frame_waits_for_enough_buffers() {
    for features in [0, EVENT_IDX] {
        let cable = Cable::default();
        let net = Net::new(Some(Box::new(cable.clone())));
        let required = net.required_features();
        let mut driver = Driver::start_with(net, required | features);
        cable.0.borrow_mut().waiting.extend([frame(500), frame(20)]);
        driver.send(RX, &[Writable(BUFFER, 256)]);
        driver.poll();
        assert_eq!(driver.used(RX), [], "the small frame does not overtake");
        driver.send(RX, &[Writable(BUFFER + 0x1000, 256)]);
        assert_eq!(driver.used(RX), [(0, 256), (1, 256)]);
        driver.send(RX, &[Writable(BUFFER, 256)]);
        assert_eq!(driver.used(RX), [(2, 32)]);
    }
}

#[test]
fn a_frame_that_no_buffers_can_ever_hold_is_dropped() {
    let (mut driver, cable) = connected();
    cable.0.borrow_mut().waiting.extend([frame(2000), frame(4)]);
    (0..RECEIVE_QUEUE_SIZE).for_each(|_| {
        driver.post(RX, &[Writable(BUFFER, 15)]);
    });
    driver.notify(RX);
    assert_eq!(driver.used(RX).len(), 2, "one buffer does not hold 16 bytes, two do");
    assert!(cable.0.borrow().waiting.is_empty());
}

#[test]
fn what_the_link_answers_to_a_frame_arrives_at_once() {
    let (mut driver, cable) = connected();
    cable.0.borrow_mut().echo = true;
    driver.post(RX, &[Writable(BUFFER, 256)]);
    let len = store(&mut driver, &frame(60));
    driver.send(TX, &[Readable(DATA, len)]);
    assert_eq!(driver.used(RX), [(0, 72)]);
    assert!(driver.transport.irq());
    assert_eq!(cable.0.borrow().polls, 1);
}

#[test]
fn buffers_the_device_took_all_at_once_are_asked_for_again() {
    let (mut driver, cable) = connected();
    let count = usize::from(RECEIVE_QUEUE_SIZE);
    cable.0.borrow_mut().waiting.extend((0..=count).map(|_| frame(4)));
    (0..count).for_each(|_| {
        driver.post(RX, &[Writable(BUFFER, 256)]);
    });
    driver.notify(RX);
    assert_eq!(driver.used(RX).len(), count);
    let avail_event = crate::devices::test_support::used_at(RX) + 4 + 8 * count as u64;
    assert_eq!(driver.ram.u16_at(avail_event), RECEIVE_QUEUE_SIZE);
}

#[test]
fn without_a_cable_frames_vanish_until_one_is_plugged_in() {
    let mut driver = Driver::start(Net::new(None));
    let len = store(&mut driver, &frame(60));
    driver.send(TX, &[Readable(DATA, len)]);
    driver.post(RX, &[Writable(BUFFER, 256)]);
    driver.poll();
    assert_eq!((driver.used(TX).len(), driver.used(RX)), (1, vec![]));
    let cable = Cable::default();
    driver.transport.device_mut().connect(Some(Box::new(cable.clone())));
    driver.send(TX, &[Readable(DATA, len)]);
    assert_eq!(cable.0.borrow().sent.len(), 1);
}

#[test]
fn buffers_outside_ram_stop_the_device() {
    for queue in [RX, TX] {
        let (mut driver, cable) = connected();
        cable.0.borrow_mut().waiting.push_back(frame(60));
        driver.send(queue, &[if queue == RX { Writable(0, 256) } else { Readable(0, 256) }]);
        assert!(driver.failed(), "queue {queue}");
    }
}

#[test]
fn drivers_that_could_not_receive_are_refused() {
    for missing in [1 << 1, 1 << 15] {
        let mut driver = Driver::stopped(Net::new(None));
        driver.set(0x70, 3);
        driver.accept((1 << 32 | 1 << 1 | 1 << 15) & !missing);
        driver.set(0x70, 3 | 8);
        assert_eq!(driver.get(0x70), 3, "without {missing:#x}");
    }
}

#[test]
fn the_configuration_names_address_and_mtu() {
    let mut driver = Driver::start(Net::new(None));
    assert_eq!(driver.get(0x08), 1);
    let config: Vec<u64> =
        (0..12).map(|at| driver.transport.read(0x100 + at, 1, &mut driver.ram)).collect();
    assert_eq!(config, [2, 0, 0, 0, 0, 15, 0, 0, 0, 0, 0xff, 0xff]);
    assert_eq!(driver.transport.device().features(), 1 | 2 | 1 << 3 | 1 << 5 | 1 << 15);
}
