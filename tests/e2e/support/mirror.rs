//! A Debian mirror on the host's loopback.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// Serves the folder that `ci/debian-mirror.sh` made, until it is dropped.
#[derive(Debug)]
pub(crate) struct Mirror {
    server: Child,
    port: u16,
}

impl Mirror {
    /// The mirror, or `None` after saying why the test is skipped.
    pub(crate) fn serve() -> Option<Self> {
        let Some(folder) = std::env::var_os("LITHIFY_TEST_MIRROR") else {
            println!("skipped: LITHIFY_TEST_MIRROR is not set (see Makefile)");
            return None;
        };
        let mut command = Command::new("python3");
        command.args(["-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory"]).arg(folder);
        // Port 0: one that is free.
        command.arg("0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut server = command.spawn().expect("python3");
        let mut line = String::new();
        let stdout = server.stdout.as_mut().expect("piped");
        BufReader::new(stdout).read_line(&mut line).expect("a line about the address");
        // "Serving HTTP on 127.0.0.1 port N (http://127.0.0.1:N/) ..."
        let port = line.split(' ').skip_while(|word| *word != "port").nth(1);
        let port = port.and_then(|port| port.parse().ok()).unwrap_or_else(|| panic!("{line}"));
        Some(Self { server, port })
    }

    /// The mirror as a line of `sources.list`, seen from a guest that knows the host as `host`.
    pub(crate) fn apt_source(&self, host: &str) -> String {
        format!("deb [trusted=yes] http://{host}:{} trixie main", self.port)
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
