//! Messages of the control queues (section 5.3.6.2).

/// Length of `struct virtio_console_control`.
pub(super) const CONTROL_LEN: usize = 8;

/// Events that this device sends or understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum Event {
    DeviceReady = 0,
    PortAdd = 1,
    PortReady = 3,
    PortOpen = 6,
    PortName = 7,
}

/// `struct virtio_console_control`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ControlMessage {
    pub(super) id: u32,
    pub(super) event: u16,
    pub(super) value: u16,
}

impl ControlMessage {
    pub(super) fn from_bytes(bytes: [u8; CONTROL_LEN]) -> Self {
        let [i0, i1, i2, i3, e0, e1, v0, v1] = bytes;
        Self {
            id: u32::from_le_bytes([i0, i1, i2, i3]),
            event: u16::from_le_bytes([e0, e1]),
            value: u16::from_le_bytes([v0, v1]),
        }
    }

    pub(super) fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(CONTROL_LEN);
        bytes.extend(self.id.to_le_bytes());
        bytes.extend(self.event.to_le_bytes());
        bytes.extend(self.value.to_le_bytes());
        bytes
    }
}
