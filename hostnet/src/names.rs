//! Questions for addresses, as name servers get them, for hosts that offer answers and no name
//! server (RFC 1035, RFC 3596).
//!
//! Messages are a guest's: whatever they hold, a question is bounded by [`MAX_NAME_LEN`] and an
//! answer by [`MAX_MESSAGE_LEN`].

use std::net::IpAddr;

/// Bytes of a message before its questions (RFC 1035, 4.1.1).
const HEADER_LEN: usize = 12;
/// Type and class behind a name.
const QUESTION_TAIL: usize = 4;
/// Most bytes of a name as messages hold it (RFC 1035, 2.3.4).
const MAX_NAME_LEN: usize = 255;
/// Most bytes of a label.
const MAX_LABEL_LEN: u8 = 63;
/// Most bytes of a message over UDP.
const MAX_MESSAGE_LEN: usize = 512;

const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;
const CLASS_IN: u16 = 1;

/// `QR`: a response.
const RESPONSE: u8 = 0x80;
/// The bits of `OPCODE`, which are 0 for a standard query.
const OPCODE: u8 = 0x78;
/// `RD`, which a response repeats.
const RECURSION_DESIRED: u8 = 1;
/// `RA`.
const RECURSION_AVAILABLE: u8 = 0x80;

/// Points to the name in the question, which stands behind the header.
const SAME_NAME: [u8; 2] = [0xc0, HEADER_LEN as u8];
/// Seconds that an answer may be kept: the host does not say.
const TIME_TO_LIVE: u32 = 5;

/// Why there is no answer (`RCODE`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoAnswer {
    /// The name server cannot tell now.
    Failure = 2,
    /// There is no such name.
    NoName = 3,
    /// Nobody here knows anything but addresses.
    NotImplemented = 4,
}

/// A question for the addresses of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameQuestion {
    /// The message up to the end of its question.
    message: Vec<u8>,
    name: String,
    is_v6: bool,
}

impl NameQuestion {
    /// Reads a message. `Err` is the answer to one that asks for something else; `None` if it is no
    /// question at all.
    pub fn read(message: &[u8]) -> Option<Result<Self, Vec<u8>>> {
        let header = message.first_chunk::<HEADER_LEN>()?;
        let [_, _, flags, _, q0, q1, ..] = *header;
        if flags & (RESPONSE | OPCODE) != 0 || [q0, q1] != [0, 1] {
            return None;
        }
        let (name, len) = name(&message[HEADER_LEN..])?;
        let end = HEADER_LEN + len + QUESTION_TAIL;
        let [t0, t1, c0, c1] = *message.get(end - QUESTION_TAIL..end)?.first_chunk()?;
        let kind = u16::from_be_bytes([t0, t1]);
        let question = Self { message: message[..end].to_vec(), name, is_v6: kind == TYPE_AAAA };
        let is_address = [TYPE_A, TYPE_AAAA].contains(&kind);
        Some(if is_address && [c0, c1] == CLASS_IN.to_be_bytes() {
            Ok(question)
        } else {
            Err(question.fail(NoAnswer::NotImplemented))
        })
    }

    /// The name, without a dot at its end.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The answer with those of `addresses` that were asked for, as many as have room.
    #[must_use]
    pub fn answer(&self, addresses: &[IpAddr]) -> Vec<u8> {
        let mut message = self.head(0);
        let mut count = 0_u16;
        for address in addresses.iter().filter(|address| address.is_ipv6() == self.is_v6) {
            let octets = match address {
                IpAddr::V4(v4) => v4.octets().to_vec(),
                IpAddr::V6(v6) => v6.octets().to_vec(),
            };
            let kind = if self.is_v6 { TYPE_AAAA } else { TYPE_A };
            let record = [
                &SAME_NAME[..],
                &kind.to_be_bytes(),
                &CLASS_IN.to_be_bytes(),
                &TIME_TO_LIVE.to_be_bytes(),
                &(octets.len() as u16).to_be_bytes(),
                &octets,
            ]
            .concat();
            if message.len() + record.len() > MAX_MESSAGE_LEN {
                break;
            }
            message.extend(record);
            count += 1;
        }
        message[6..8].copy_from_slice(&count.to_be_bytes());
        message
    }

    /// The answer that there is none.
    #[must_use]
    pub fn fail(&self, why: NoAnswer) -> Vec<u8> {
        self.head(why as u8)
    }

    /// Header and question of an answer without records.
    fn head(&self, code: u8) -> Vec<u8> {
        let mut message = self.message.clone();
        message[2] = RESPONSE | message[2] & RECURSION_DESIRED;
        message[3] = RECURSION_AVAILABLE | code;
        message[6..HEADER_LEN].fill(0);
        message
    }
}

/// A name as text and its length in the message.
fn name(from: &[u8]) -> Option<(String, usize)> {
    let (mut name, mut at) = (String::new(), 0);
    loop {
        let len = *from.get(at).filter(|len| **len <= MAX_LABEL_LEN)?;
        let label = from.get(at + 1..at + 1 + usize::from(len))?;
        at += 1 + label.len();
        if at > MAX_NAME_LEN {
            return None;
        }
        if label.is_empty() {
            return Some((name, at));
        }
        // A dot within a label, or text that is none, is no name of a host.
        if !label.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'.') {
            return None;
        }
        if !name.is_empty() {
            name.push('.');
        }
        name.extend(label.iter().map(|byte| char::from(*byte)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Number 0x1234, recursion desired, one question.
    fn message(name: &[u8], kind: u16, class: u16) -> Vec<u8> {
        let header = [0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        [&header[..], name, &kind.to_be_bytes(), &class.to_be_bytes()].concat()
    }

    const NAME: &[u8] = b"\x07example\x03org\0";

    #[test]
    fn a_question_is_answered_with_addresses_of_its_kind() {
        let addresses: Vec<IpAddr> =
            ["192.0.2.7", "2001:db8::7"].map(|a| a.parse().unwrap()).into();
        let question = NameQuestion::read(&message(NAME, 1, 1)).unwrap().unwrap();
        assert_eq!(question.name(), "example.org");
        let head = b"\x12\x34\x81\x80\0\x01\0\x01\0\0\0\0\x07example\x03org\0\0\x01\0\x01";
        let record = b"\xc0\x0c\0\x01\0\x01\0\0\0\x05\0\x04\xc0\0\x02\x07";
        assert_eq!(question.answer(&addresses), [&head[..], record].concat());
        let question = NameQuestion::read(&message(NAME, 28, 1)).unwrap().unwrap();
        let answer = question.answer(&addresses);
        assert_eq!(answer[7], 1);
        assert!(answer.ends_with(b"\0\x10\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07"));
        assert_eq!(question.answer(&addresses[..1])[7], 0);
        assert_eq!(question.fail(NoAnswer::NoName)[2..4], [0x81, 0x83]);
    }

    #[test]
    fn answers_have_room_in_a_datagram() {
        let question = NameQuestion::read(&message(NAME, 1, 1)).unwrap().unwrap();
        let addresses = vec![IpAddr::from([1, 2, 3, 4]); 1000];
        let answer = question.answer(&addresses);
        assert!(answer.len() <= 512 && answer[7] >= 20, "{}", answer.len());
    }

    #[test]
    fn other_questions_get_an_answer_and_other_messages_none() {
        for (kind, class) in [(15, 1), (255, 1), (1, 3)] {
            let answer = NameQuestion::read(&message(NAME, kind, class)).unwrap().unwrap_err();
            assert_eq!(answer[3] & 0xf, 4, "{kind} {class}");
        }
        let whole = message(NAME, 1, 1);
        for len in 0..whole.len() {
            assert_eq!(NameQuestion::read(&whole[..len]), None, "{len}");
        }
        let mut response = whole.clone();
        response[2] |= 0x80;
        let long = [b"\x3f".as_slice(), &[b'a'; 63]].concat().repeat(4);
        for bad in [response, message(b"\xc0\x0c", 1, 1), message(b"\x03a.b\0", 1, 1)] {
            assert_eq!(NameQuestion::read(&bad), None, "{bad:?}");
        }
        assert_eq!(NameQuestion::read(&message(&[&long[..], b"\0"].concat(), 1, 1)), None);
    }
}
