//! Debian's docker-registry (package of that name) on a port of its own.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Whether the test can run. One that cannot says so.
pub(crate) fn has(tools: &[&str]) -> bool {
    let is_there = |tool: &str| Command::new("which").arg(tool).output().unwrap().status.success();
    match tools.iter().find(|tool| !is_there(tool)) {
        Some(missing) => {
            println!("skipped: {missing} is not installed");
            false
        }
        None => true,
    }
}

/// What a registry asks of its users.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    Open,
    /// User `me`, password `secret`.
    Password,
    /// TLS with a certificate of an authority in `ca.pem` of the registry's folder.
    Tls,
}

/// A running docker-registry; it ends with this value.
pub(crate) struct Server {
    child: Child,
    folder: tempfile::TempDir,
    port: u16,
}

impl Server {
    pub(crate) fn start(door: Door) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let path = |name: &str| folder.path().join(name).display().to_string();
        let mut config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\n\
             http:\n  addr: 127.0.0.1:{port}\n",
            path("data")
        );
        if door == Door::Tls {
            certificates(folder.path());
            config += &format!(
                "  tls: {{certificate: {}, key: {}}}\n",
                path("server.pem"),
                path("server.key")
            );
        }
        if door == Door::Password {
            // bcrypt of `secret`
            const HASH: &str = "me:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n";
            std::fs::write(path("htpasswd"), HASH).unwrap();
            config += &format!("auth:\n  htpasswd: {{realm: test, path: {}}}\n", path("htpasswd"));
        }
        std::fs::write(path("config.yml"), config).unwrap();
        let child = Command::new("docker-registry")
            .args(["serve", &path("config.yml")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut server = Self { child, folder, port };
        server.wait();
        server
    }

    fn wait(&mut self) {
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(self.child.try_wait().unwrap().is_none(), "docker-registry ended");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// As it stands in names.
    pub(crate) fn name(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An authority, and a certificate of it for 127.0.0.1.
fn certificates(folder: &Path) {
    let script = "openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=test-authority \
         -keyout ca.key -out ca.pem -addext basicConstraints=critical,CA:TRUE && \
         openssl req -newkey rsa:2048 -nodes -subj /CN=registry -keyout server.key -out server.csr && \
         printf 'subjectAltName=IP:127.0.0.1' > extensions && \
         openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 \
         -extfile extensions -out server.pem";
    let output = Command::new("sh").args(["-c", script]).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}
