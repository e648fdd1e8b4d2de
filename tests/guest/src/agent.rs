// SPDX-License-Identifier: GPL-2.0

//! The host's end of the guest's second serial port, where a shell waits for commands.
//!
//! The other end, and the protocol, is `image/usr/lib/guest/agent`.

use base64::{engine::general_purpose::STANDARD, Engine as _};
use std::{
    io::{ErrorKind, Read, Write},
    os::unix::net::UnixStream,
    time::{Duration, Instant}, //
};

/// What a command in the guest printed (both streams) and its exit code.
#[derive(Clone, Debug)]
pub struct Output {
    pub code: i32,
    pub text: String,
}

impl Output {
    /// Whether the exit code is 0.
    pub fn is_ok(&self) -> bool {
        self.code == 0
    }
}

/// Why there is no [`Output`].
#[derive(Debug)]
pub enum Failure {
    /// The time is up; this is what came until then.
    TimedOut(String),
    /// QEMU closed the port.
    Gone,
}

pub struct Agent {
    port: UnixStream,
    number: u32,
    received: Vec<u8>,
}

impl Agent {
    pub fn new(port: UnixStream) -> Self {
        port.set_read_timeout(Some(Duration::from_millis(100)))
            .expect("setting a socket's timeout");
        Self {
            port,
            number: 0,
            received: Vec::new(),
        }
    }

    /// Waits for the guest's shell.
    pub fn wait_ready(&mut self, limit: Duration) -> Result<(), Failure> {
        self.read_to("@@ready", limit).map(drop)
    }

    /// Runs shell text in the guest.
    pub fn run(&mut self, text: &str, limit: Duration) -> Result<Output, Failure> {
        self.number += 1;
        let request = format!("{} {}\n", self.number, STANDARD.encode(text));
        self.port
            .write_all(request.as_bytes())
            .map_err(|_| Failure::Gone)?;
        let (text, code) = self.read_to(&format!("\n@@{} ", self.number), limit)?;
        Ok(Output {
            code: code.trim().parse().unwrap_or(-1),
            text: text.trim_end().to_owned(),
        })
    }

    /// Reads up to a line that starts with `marker`; gives what came before it, and its rest.
    fn read_to(&mut self, marker: &str, limit: Duration) -> Result<(String, String), Failure> {
        let deadline = Instant::now() + limit;
        let mut chunk = [0; 4096];
        loop {
            let text = String::from_utf8_lossy(&self.received);
            if let Some(at) = text.find(marker) {
                let rest = &text[at + marker.len()..];
                if let Some(end) = rest.find('\n') {
                    let answer = (text[..at].to_owned(), rest[..end].to_owned());
                    self.received.clear();
                    return Ok(answer);
                }
            }
            if Instant::now() > deadline {
                return Err(Failure::TimedOut(text.into_owned()));
            }
            match self.port.read(&mut chunk) {
                Ok(0) => return Err(Failure::Gone),
                Ok(count) => self.received.extend_from_slice(&chunk[..count]),
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => return Err(Failure::Gone),
            }
        }
    }
}
