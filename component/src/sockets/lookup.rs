//! Names: WASI 0.2 shows no name server, it looks names up itself.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};

use lithify_hostnet::{NameQuestion, NoAnswer};
use wasip2::io::poll::Pollable;
use wasip2::sockets::ip_name_lookup::{ResolveAddressStream, resolve_addresses};
use wasip2::sockets::network::{ErrorCode, Network};

use super::address::ip;

/// The name server that the gateway knows of: an address that nothing is sent to.
pub(super) const NAME_SERVER: SocketAddr =
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 53));

/// A guest that asks for more at a time asks again.
pub(super) const MAX_LOOKUPS: usize = 64;

/// A question of a guest that the host is working on.
#[derive(Debug)]
pub(super) struct Lookup {
    pollable: Pollable,
    stream: ResolveAddressStream,
    question: NameQuestion,
    found: Vec<IpAddr>,
    /// Who asks.
    pub(super) socket: usize,
}

/// What becomes of a message to the name server.
pub(super) enum Asked {
    Lookup(Lookup),
    /// It has an answer at once.
    Answer(Vec<u8>),
    Nothing,
}

pub(super) fn ask(network: &Network, message: &[u8], socket: usize) -> Asked {
    let question = match NameQuestion::read(message) {
        None => return Asked::Nothing,
        Some(Err(answer)) => return Asked::Answer(answer),
        Some(Ok(question)) => question,
    };
    match resolve_addresses(network, question.name()) {
        Ok(stream) => {
            let pollable = stream.subscribe();
            Asked::Lookup(Lookup { pollable, stream, question, found: Vec::new(), socket })
        }
        Err(error) => Asked::Answer(question.fail(no_answer(error))),
    }
}

fn no_answer(error: ErrorCode) -> NoAnswer {
    match error {
        ErrorCode::NameUnresolvable | ErrorCode::InvalidArgument => NoAnswer::NoName,
        _ => NoAnswer::Failure,
    }
}

impl Lookup {
    pub(super) fn pollable(&self) -> &Pollable {
        &self.pollable
    }

    /// The answer, if the host has it.
    pub(super) fn answer(&mut self) -> Option<Vec<u8>> {
        loop {
            match self.stream.resolve_next_address() {
                Ok(Some(address)) => self.found.push(ip(address)),
                Ok(None) => return Some(self.question.answer(&self.found)),
                Err(ErrorCode::WouldBlock) => return None,
                Err(error) => return Some(self.question.fail(no_answer(error))),
            }
        }
    }
}
