//! The fake registry: right by itself, wrong where a test says so.

use std::collections::BTreeMap;
use std::io::{BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lithify_image::Digest;

use super::http::{Request, Response};

/// What to do instead of the right thing.
pub(crate) enum Fault {
    /// Another reply.
    Reply(Response),
    /// The right reply, of which the connection brings so many bytes of body before it closes.
    CutOff(usize),
    /// The same, but the connection is reset.
    Reset(usize),
    /// The right reply with one bit of the body wrong.
    Corrupt,
    /// The right reply with another `Content-Length`; the connection closes after the body.
    Length(usize),
    /// The right reply, byte by byte with this time between.
    Drip(Duration),
    /// No reply, and the connection stays open.
    Hang,
    /// The request is carried out, but the connection closes before the reply.
    Forget,
    /// The right reply to a request without this header.
    Without(&'static str),
    /// The right reply with a header more.
    Header(&'static str, String),
}

/// Who is let in.
#[derive(Clone)]
pub(crate) enum Access {
    Everybody,
    Basic {
        user: &'static str,
        password: &'static str,
    },
    /// Those with the token `TOKEN`, to be had from this realm.
    Bearer {
        realm: String,
    },
}

/// Bytes that the fake's end of a connection may hold back. What it holds is lost with a reset, and
/// a real network holds little; the system's own choice on loopback is megabytes.
const SEND_BUFFER: usize = 64 << 10;

/// What the token service of the fakes gives out.
pub(crate) const TOKEN: &str = "good-token";

type Script = Box<dyn FnMut(&Request) -> Option<Fault> + Send>;

#[derive(Default)]
struct Content {
    blobs: BTreeMap<String, Vec<u8>>,
    /// By repository and tag or digest: content type and bytes.
    manifests: BTreeMap<(String, String), (String, Vec<u8>)>,
    uploads: BTreeMap<String, Vec<u8>>,
    /// Which repository has which blob.
    owners: Vec<(String, String)>,
}

struct Shared {
    port: u16,
    access: Access,
    content: Mutex<Content>,
    script: Mutex<Script>,
    log: Mutex<Vec<Request>>,
    sent: AtomicU64,
    received: AtomicU64,
}

/// A running fake; its threads end with the test program.
pub(crate) struct Fake(Arc<Shared>);

impl Fake {
    pub(crate) fn new() -> Self {
        Self::with(Access::Everybody, |_| None)
    }

    pub(crate) fn faulty(script: impl FnMut(&Request) -> Option<Fault> + Send + 'static) -> Self {
        Self::with(Access::Everybody, script)
    }

    pub(crate) fn with(
        access: Access,
        script: impl FnMut(&Request) -> Option<Fault> + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let access = match access {
            Access::Bearer { realm } => {
                Access::Bearer { realm: realm.replace("PORT", &port.to_string()) }
            }
            other => other,
        };
        let shared = Arc::new(Shared {
            port,
            access,
            content: Mutex::default(),
            script: Mutex::new(Box::new(script)),
            log: Mutex::default(),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
        });
        let server = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = server.clone();
                std::thread::spawn(move || server.serve(stream));
            }
        });
        Self(shared)
    }

    /// As it stands in references.
    pub(crate) fn name(&self) -> String {
        format!("127.0.0.1:{}", self.0.port)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.name())
    }

    pub(crate) fn log(&self) -> Vec<Request> {
        self.0.log.lock().unwrap().clone()
    }

    pub(crate) fn count(&self, method: &str, part: &str) -> usize {
        self.log().iter().filter(|request| request.is(method, part)).count()
    }

    /// Bytes of bodies that were given to connections, at most [`SEND_BUFFER`] twice over of each
    /// undelivered.
    pub(crate) fn sent(&self) -> u64 {
        self.0.sent.load(Ordering::SeqCst)
    }

    /// Bytes of bodies that arrived.
    pub(crate) fn received(&self) -> u64 {
        self.0.received.load(Ordering::SeqCst)
    }

    pub(crate) fn add_blob(&self, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        self.0.content.lock().unwrap().blobs.insert(digest.to_string(), bytes.to_vec());
        digest
    }

    pub(crate) fn add_manifest(
        &self,
        repository: &str,
        target: &str,
        media_type: &str,
        json: &[u8],
    ) {
        let entry = (media_type.to_owned(), json.to_vec());
        let mut content = self.0.content.lock().unwrap();
        for target in [target.to_owned(), Digest::of(json).to_string()] {
            content.manifests.insert((repository.to_owned(), target), entry.clone());
        }
    }

    pub(crate) fn blob(&self, digest: &Digest) -> Option<Vec<u8>> {
        self.0.content.lock().unwrap().blobs.get(&digest.to_string()).cloned()
    }

    pub(crate) fn manifest(&self, repository: &str, target: &str) -> Option<Vec<u8>> {
        let key = (repository.to_owned(), target.to_owned());
        self.0.content.lock().unwrap().manifests.get(&key).map(|(_, json)| json.clone())
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) {
        rustix::net::sockopt::set_socket_send_buffer_size(&stream, SEND_BUFFER).unwrap();
        let mut writer = stream.try_clone().unwrap();
        let mut reader = BufReader::new(stream);
        while let Ok(Some(mut request)) = Request::read(&mut reader) {
            self.received.fetch_add(request.body.len() as u64, Ordering::SeqCst);
            self.log.lock().unwrap().push(Request { body: Vec::new(), ..request.clone() });
            let fault = (self.script.lock().unwrap())(&request);
            if let Some(Fault::Without(name)) = &fault {
                request.headers.remove(*name);
            }
            match fault {
                Some(Fault::Hang) => {
                    std::thread::park();
                    return;
                }
                Some(Fault::Reply(response)) => {
                    if self.send(&mut writer, &response, request.method == "HEAD").is_err() {
                        return;
                    }
                }
                fault => {
                    let response = self.answer(&request);
                    if self.reply(&mut writer, response, fault, request.method == "HEAD").is_err() {
                        return;
                    }
                }
            }
        }
    }

    fn reply(
        &self,
        writer: &mut TcpStream,
        mut response: Response,
        fault: Option<Fault>,
        head_only: bool,
    ) -> std::io::Result<()> {
        let closed = || Err(std::io::ErrorKind::ConnectionReset.into());
        match fault {
            Some(Fault::CutOff(len)) => {
                self.send_part(writer, &response, response.body.len(), len)?;
                return closed();
            }
            Some(Fault::Reset(len)) => {
                self.send_part(writer, &response, response.body.len(), len)?;
                let none = Some(Duration::ZERO);
                rustix::net::sockopt::set_socket_linger(&*writer, none)?;
                // Given back by the reader's end of the connection, too.
                let _ = writer.shutdown(std::net::Shutdown::Both);
                return closed();
            }
            Some(Fault::Length(length)) => {
                self.send_part(writer, &response, length, response.body.len())?;
                return closed();
            }
            Some(Fault::Drip(pause)) => {
                writer.write_all(response.head(response.body.len()).as_bytes())?;
                for byte in &response.body {
                    std::thread::sleep(pause);
                    writer.write_all(&[*byte])?;
                }
                return Ok(());
            }
            Some(Fault::Forget) => return closed(),
            Some(Fault::Corrupt) => {
                let middle = response.body.len() / 2;
                response.body[middle] ^= 1;
            }
            Some(Fault::Header(name, value)) => response = response.header(name, value),
            _ => {}
        }
        self.send(writer, &response, head_only)
    }

    fn send(
        &self,
        to: &mut TcpStream,
        response: &Response,
        head_only: bool,
    ) -> std::io::Result<()> {
        let len = response.body.len();
        self.send_part(to, response, len, if head_only { 0 } else { len })
    }

    fn send_part(
        &self,
        to: &mut TcpStream,
        response: &Response,
        announced: usize,
        len: usize,
    ) -> std::io::Result<()> {
        to.write_all(response.head(announced).as_bytes())?;
        let body = &response.body[..len.min(response.body.len())];
        for chunk in body.chunks(64 << 10) {
            to.write_all(chunk)?;
            self.sent.fetch_add(chunk.len() as u64, Ordering::SeqCst);
        }
        to.flush()
    }

    fn answer(&self, request: &Request) -> Response {
        if request.path == "/token" {
            return Response::new(200)
                .body(format!("{{\"token\":\"{TOKEN}\",\"expires_in\":300}}"));
        }
        if let Some(challenge) = self.challenge(request) {
            let error =
                r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#;
            return Response::new(401).header("www-authenticate", challenge).body(error);
        }
        let Some(rest) = request.path.strip_prefix("/v2/") else { return Response::new(404) };
        if rest.is_empty() {
            return Response::new(200).body("{}");
        }
        for part in ["/blobs/uploads/", "/blobs/", "/manifests/", "/tags/"] {
            if let Some((repository, target)) = rest.split_once(part) {
                let mut content = self.content.lock().unwrap();
                return match part {
                    "/blobs/uploads/" => content.upload(request, repository, target),
                    "/blobs/" => content.blob(request, target),
                    "/manifests/" => content.manifest(request, repository, target),
                    _ => content.tags(repository),
                };
            }
        }
        Response::new(404)
    }

    fn challenge(&self, request: &Request) -> Option<String> {
        let given = request.header("authorization");
        match &self.access {
            Access::Everybody => None,
            Access::Basic { user, password } => {
                let right = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
                (given != Some(&right)).then(|| "Basic realm=\"fake\"".to_owned())
            }
            Access::Bearer { realm } => {
                let right = format!("Bearer {TOKEN}");
                (given != Some(&right))
                    .then(|| format!("Bearer realm=\"{realm}\",service=\"fake\""))
            }
        }
    }
}

fn not_found(code: &str) -> Response {
    Response::new(404)
        .body(format!("{{\"errors\":[{{\"code\":\"{code}\",\"message\":\"unknown\"}}]}}"))
}

impl Content {
    fn blob(&self, request: &Request, digest: &str) -> Response {
        let Some(bytes) = self.blobs.get(digest) else { return not_found("BLOB_UNKNOWN") };
        let range = request.header("range").and_then(|range| range.strip_prefix("bytes="));
        let from = range.and_then(|range| range.strip_suffix('-')?.parse::<usize>().ok());
        match from {
            None => Response::new(200).body(bytes.clone()),
            Some(from) if from >= bytes.len() => Response::new(416),
            Some(from) => Response::new(206)
                .header(
                    "content-range",
                    format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len()),
                )
                .body(&bytes[from..]),
        }
    }

    fn upload(&mut self, request: &Request, repository: &str, id: &str) -> Response {
        let at = |id: &str| format!("/v2/{repository}/blobs/uploads/{id}?state=x%2Fy");
        match request.method.as_str() {
            "POST" => {
                if let (Some(mount), Some(from)) =
                    (request.query.get("mount"), request.query.get("from"))
                    && self.owners.contains(&(from.clone(), mount.clone()))
                {
                    return Response::new(201).header("location", "/");
                }
                let id = self.uploads.len().to_string();
                self.uploads.insert(id.clone(), Vec::new());
                Response::new(202).header("location", at(&id))
            }
            _ if !self.uploads.contains_key(id) => not_found("BLOB_UPLOAD_UNKNOWN"),
            "GET" => Response::new(204)
                .header("location", at(id))
                .header("range", format!("0-{}", self.uploads[id].len().saturating_sub(1))),
            "PATCH" => {
                let upload = self.uploads.get_mut(id).unwrap();
                let from = request.header("content-range").and_then(|r| r.split_once('-'));
                if from.is_some_and(|(from, _)| from.parse() != Ok(upload.len())) {
                    return Response::new(416);
                }
                upload.extend(&request.body);
                let last = upload.len() - 1;
                Response::new(202).header("location", at(id)).header("range", format!("0-{last}"))
            }
            "PUT" => {
                let mut bytes = self.uploads.remove(id).unwrap();
                bytes.extend(&request.body);
                let digest = Digest::of(&bytes).to_string();
                if request.query.get("digest") != Some(&digest) {
                    return Response::new(400).body(
                        r#"{"errors":[{"code":"DIGEST_INVALID","message":"wrong digest"}]}"#,
                    );
                }
                self.owners.push((repository.to_owned(), digest.clone()));
                self.blobs.insert(digest, bytes);
                Response::new(201).header("location", "/")
            }
            _ => Response::new(405),
        }
    }

    fn manifest(&mut self, request: &Request, repository: &str, target: &str) -> Response {
        let key = (repository.to_owned(), target.to_owned());
        if request.method == "PUT" {
            let media_type = request.header("content-type").unwrap_or_default().to_owned();
            let digest = Digest::of(&request.body).to_string();
            for target in [target.to_owned(), digest.clone()] {
                let entry = (media_type.clone(), request.body.clone());
                self.manifests.insert((repository.to_owned(), target), entry);
            }
            return Response::new(201).header("docker-content-digest", digest);
        }
        let Some((media_type, json)) = self.manifests.get(&key) else {
            return not_found("MANIFEST_UNKNOWN");
        };
        Response::new(200)
            .header("content-type", media_type)
            .header("docker-content-digest", Digest::of(json))
            .body(json.clone())
    }

    fn tags(&self, repository: &str) -> Response {
        let names = self
            .manifests
            .keys()
            .filter(|(name, target)| name == repository && !target.contains(':'));
        let tags: Vec<&String> = names.map(|(_, target)| target).collect();
        Response::new(200).body(serde_json::json!({ "name": repository, "tags": tags }).to_string())
    }
}
