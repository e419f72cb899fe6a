//! Somebody who connects to the guest before the freeze, when nobody else can: a client that asks for
//! pages by HTTP, one after the other, and resets each connection when it has the answer.
//!
//! It is the host of an ordinary gateway, so the guest sees what it will see of a published port.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use lithify_hostnet::{Protocol, SocketId, Sockets};
use lithify_machine::host::Link;
use lithify_net::{Gateway, Settings, SharedGateway};

/// Where connections to the guest's port come from.
const DOOR: SocketId = SocketId(0);

/// A port that nobody listens to yet is tried again after this time.
const RETRY_NS: u64 = 10_000_000;

/// Visits of one port of the guest.
#[derive(Debug, Clone)]
pub(crate) struct Visits {
    gateway: SharedGateway<Visitor>,
    state: Rc<RefCell<State>>,
    now_ns: Rc<Cell<u64>>,
}

impl Visits {
    /// Asks for each of `paths` at `port`.
    pub(crate) fn new(port: u16, paths: &[Vec<u8>]) -> Self {
        let requests = paths.iter().rev().map(|path| request(path, port)).collect();
        let state = Rc::new(RefCell::new(State { requests, ..State::default() }));
        let now_ns = Rc::new(Cell::new(0));
        let visitor = Visitor { state: Rc::clone(&state), now_ns: Rc::clone(&now_ns) };
        let mut gateway = Gateway::new(visitor, Settings::default());
        gateway.adopt(DOOR, port, Protocol::Tcp);
        Self { gateway: SharedGateway::new(gateway), state, now_ns }
    }

    /// The machine's end of the cable.
    pub(crate) fn link(&self) -> Box<dyn Link> {
        Box::new(self.gateway.clone())
    }

    /// Tells the time; it never goes back.
    pub(crate) fn set_time(&self, now_ns: u64) {
        self.now_ns.set(now_ns);
    }

    /// Whether all requests were answered.
    pub(crate) fn are_over(&self) -> bool {
        let state = self.state.borrow();
        state.requests.is_empty() && state.visit.is_none()
    }

    /// The request that was not answered so far.
    pub(crate) fn unanswered(&self) -> Option<String> {
        let state = self.state.borrow();
        let request = state.requests.last()?.split(|byte| *byte == b'\r').next()?;
        Some(String::from_utf8_lossy(request).into_owned())
    }

    /// How long nothing happens here, in nanoseconds, unless the guest does something.
    pub(crate) fn rest(&self) -> Option<u64> {
        let state = self.state.borrow();
        let retry = (state.visit.is_none() && !state.requests.is_empty())
            .then(|| state.next_ns.saturating_sub(self.now_ns.get()));
        let gateway = self.gateway.with(Gateway::rest).map(|rest| rest.as_nanos() as u64);
        [retry, gateway].into_iter().flatten().min()
    }
}

fn request(path: &[u8], port: u16) -> Vec<u8> {
    let end = format!(" HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n");
    [b"GET ", path, end.as_bytes()].concat()
}

#[derive(Debug, Default)]
struct State {
    /// What is still to be answered, the next one last.
    requests: Vec<Vec<u8>>,
    visit: Option<Visit>,
    /// Socket numbers are used once.
    last: u32,
    /// Nobody knocks before this time.
    next_ns: u64,
}

/// One connection.
#[derive(Debug)]
struct Visit {
    socket: SocketId,
    /// Bytes of the request that are on their way.
    asked: usize,
}

/// The visits as the gateway's host.
#[derive(Debug)]
struct Visitor {
    state: Rc<RefCell<State>>,
    now_ns: Rc<Cell<u64>>,
}

fn nobody<T>() -> io::Result<T> {
    Err(ErrorKind::ConnectionRefused.into())
}

impl Sockets for Visitor {
    fn now(&mut self) -> Duration {
        Duration::from_nanos(self.now_ns.get())
    }

    fn accept(&mut self, _: SocketId) -> io::Result<SocketId> {
        let mut state = self.state.borrow_mut();
        if state.visit.is_some() || state.requests.is_empty() || self.now_ns.get() < state.next_ns {
            return Err(ErrorKind::WouldBlock.into());
        }
        state.last += 1;
        let socket = SocketId(state.last);
        state.visit = Some(Visit { socket, asked: 0 });
        Ok(socket)
    }

    fn recv(&mut self, socket: SocketId, into: &mut [u8]) -> io::Result<usize> {
        let State { requests, visit, .. } = &mut *self.state.borrow_mut();
        let visit = visit.as_mut().filter(|visit| visit.socket == socket);
        let (Some(visit), Some(request)) = (visit, requests.last()) else { return nobody() };
        let rest = &request[visit.asked..];
        let len = rest.len().min(into.len());
        into[..len].copy_from_slice(&rest[..len]);
        visit.asked += len;
        if len == 0 { Err(ErrorKind::WouldBlock.into()) } else { Ok(len) }
    }

    fn send(&mut self, _: SocketId, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    /// The answer has come to its end. The error makes the gateway reset the connection: none is left
    /// in the guest that it would remember.
    fn shutdown(&mut self, _: SocketId) -> io::Result<()> {
        self.state.borrow_mut().requests.pop();
        Err(ErrorKind::ConnectionReset.into())
    }

    fn close(&mut self, socket: SocketId) {
        self.abort(socket);
    }

    fn abort(&mut self, socket: SocketId) {
        let mut state = self.state.borrow_mut();
        if state.visit.take_if(|visit| visit.socket == socket).is_some() {
            state.next_ns = self.now_ns.get() + RETRY_NS;
        }
    }

    fn take_ready(&mut self, into: &mut Vec<SocketId>) {
        let state = self.state.borrow();
        match &state.visit {
            Some(visit) => into.push(visit.socket),
            None if !state.requests.is_empty() && self.now_ns.get() >= state.next_ns => {
                into.push(DOOR);
            }
            None => {}
        }
    }

    // Nobody but the visitor is there.

    fn connect(&mut self, _: SocketAddr) -> io::Result<SocketId> {
        nobody()
    }

    fn connect_unix(&mut self, _: &Path) -> io::Result<SocketId> {
        nobody()
    }

    fn connected(&mut self, _: SocketId) -> io::Result<()> {
        nobody()
    }

    fn listen(&mut self, _: SocketAddr) -> io::Result<SocketId> {
        nobody()
    }

    fn bind(&mut self, _: SocketAddr) -> io::Result<SocketId> {
        nobody()
    }

    fn send_to(&mut self, _: SocketId, _: &[u8], _: SocketAddr) -> io::Result<()> {
        nobody()
    }

    fn recv_from(&mut self, _: SocketId, _: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        nobody()
    }

    fn local_addr(&mut self, _: SocketId) -> io::Result<SocketAddr> {
        nobody()
    }
}
