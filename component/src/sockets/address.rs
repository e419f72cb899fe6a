//! Addresses as WASI 0.2 has them.

use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};

use wasip2::sockets::network::{
    IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress,
};

pub(super) fn family(of: SocketAddr) -> IpAddressFamily {
    if of.is_ipv4() { IpAddressFamily::Ipv4 } else { IpAddressFamily::Ipv6 }
}

pub(super) fn to_wasi(address: SocketAddr) -> IpSocketAddress {
    match address {
        SocketAddr::V4(v4) => IpSocketAddress::Ipv4(Ipv4SocketAddress {
            port: v4.port(),
            address: v4.ip().octets().into(),
        }),
        SocketAddr::V6(v6) => IpSocketAddress::Ipv6(Ipv6SocketAddress {
            port: v6.port(),
            flow_info: v6.flowinfo(),
            address: v6.ip().segments().into(),
            scope_id: v6.scope_id(),
        }),
    }
}

pub(super) fn from_wasi(address: IpSocketAddress) -> SocketAddr {
    match address {
        IpSocketAddress::Ipv4(v4) => {
            SocketAddrV4::new(<[u8; 4]>::from(v4.address).into(), v4.port).into()
        }
        IpSocketAddress::Ipv6(v6) => {
            let ip = <[u16; 8]>::from(v6.address).into();
            SocketAddrV6::new(ip, v6.port, v6.flow_info, v6.scope_id).into()
        }
    }
}

pub(super) fn ip(address: IpAddress) -> IpAddr {
    match address {
        IpAddress::Ipv4(v4) => <[u8; 4]>::from(v4).into(),
        IpAddress::Ipv6(v6) => <[u16; 8]>::from(v6).into(),
    }
}
