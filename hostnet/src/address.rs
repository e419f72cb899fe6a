//! Addresses as they stand before datagrams.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// Bytes of an address: family (4 or 6) at 0, port at 2, IPv6 scope at 4, address at 8, numbers
/// little-endian.
pub const ADDRESS_LEN: usize = 24;

/// The address as bytes.
#[must_use]
pub fn encode_address(address: SocketAddr) -> [u8; ADDRESS_LEN] {
    let mut bytes = [0; ADDRESS_LEN];
    bytes[2..4].copy_from_slice(&address.port().to_le_bytes());
    match address {
        SocketAddr::V4(v4) => {
            bytes[0] = 4;
            bytes[8..12].copy_from_slice(&v4.ip().octets());
        }
        SocketAddr::V6(v6) => {
            bytes[0] = 6;
            bytes[4..8].copy_from_slice(&v6.scope_id().to_le_bytes());
            bytes[8..].copy_from_slice(&v6.ip().octets());
        }
    }
    bytes
}

/// The reverse of [`encode_address`]; nothing if the family is none.
#[must_use]
pub fn decode_address(bytes: &[u8; ADDRESS_LEN]) -> Option<SocketAddr> {
    let [family, _, p0, p1, s0, s1, s2, s3, ip @ ..] = bytes;
    let port = u16::from_le_bytes([*p0, *p1]);
    let scope = u32::from_le_bytes([*s0, *s1, *s2, *s3]);
    match family {
        4 => {
            let v4 = Ipv4Addr::new(ip[0], ip[1], ip[2], ip[3]);
            Some(SocketAddr::new(IpAddr::V4(v4), port))
        }
        6 => Some(SocketAddrV6::new(Ipv6Addr::from(*ip), port, 0, scope).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_back() {
        for text in ["0.0.0.0:0", "192.0.2.1:65535", "[::]:1", "[2001:db8::f]:53", "[fe80::1%7]:9"]
        {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(decode_address(&encode_address(address)), Some(address), "{text}");
        }
        assert_eq!(decode_address(&[5; ADDRESS_LEN]), None);
    }
}
