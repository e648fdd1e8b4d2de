// SPDX-License-Identifier: GPL-2.0

//! What the plugin has counted; the protocol is described there.

use anyhow::{bail, ensure, Context as _};
use std::{
    collections::HashMap,
    io::{Read as _, Write as _},
    mem,
    os::unix::net::UnixStream,
    path::PathBuf,
    time::Duration, //
};

/// The counters of a running guest.
pub struct Counters {
    socket: PathBuf,
    /// The address of the function whose calls are marks.
    marking: u64,
}

/// Their values at one time, or the difference of two times.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Executed instructions, by the address of the block that they are in.
    pub blocks: HashMap<u64, i64>,
    pub notifications: i64,
    /// Notifications after which the device took too long.
    pub unsettled: i64,
}

impl Counters {
    /// Has the plugin make a mark at each call of the function at this address of the guest.
    ///
    /// # Errors
    ///
    /// If the plugin does not answer.
    pub fn new(socket: PathBuf, marking: u64) -> anyhow::Result<Self> {
        let counters = Self { socket, marking };
        counters.marks()?;
        Ok(counters)
    }

    /// The marks since the last call.
    ///
    /// # Errors
    ///
    /// If the plugin does not answer all of it.
    pub fn marks(&self) -> anyhow::Result<Vec<Snapshot>> {
        let mut stream = UnixStream::connect(&self.socket).context("the plugin's socket")?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        writeln!(stream, "{:x}", self.marking)?;
        let mut text = String::new();
        stream.read_to_string(&mut text).context("the plugin")?;
        parse(&text)
    }
}

fn parse(text: &str) -> anyhow::Result<Vec<Snapshot>> {
    let mut marks = Vec::new();
    let mut snapshot = Snapshot::default();
    let mut is_complete = false;
    for line in text.lines() {
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["block", address, instructions, runs] => {
                let executed = instructions.parse::<i64>()? * runs.parse::<i64>()?;
                let address = u64::from_str_radix(address, 16)?;
                *snapshot.blocks.entry(address).or_default() += executed;
            }
            ["notifications", count] => snapshot.notifications = count.parse()?,
            ["unsettled", count] => snapshot.unsettled = count.parse()?,
            ["mark"] => marks.push(mem::take(&mut snapshot)),
            ["end"] => is_complete = true,
            _ => bail!("the plugin says: {line}"),
        }
    }
    ensure!(is_complete, "the plugin counted too little");
    Ok(marks)
}

impl Snapshot {
    /// What was counted since an earlier time; or, of two spans, by how much this one is longer.
    pub fn since(&self, earlier: &Self) -> Self {
        let mut blocks = self.blocks.clone();
        for (address, executed) in &earlier.blocks {
            *blocks.entry(*address).or_default() -= executed;
        }
        Self {
            blocks,
            notifications: self.notifications - earlier.notifications,
            unsettled: self.unsettled - earlier.unsettled,
        }
    }

    /// All executed instructions.
    pub fn instructions(&self) -> i64 {
        self.blocks.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_at_one_address_are_added() {
        let text = "block ff 2 10\nblock ff 3 1\nnotifications 4\nunsettled 0\nmark\nmark\nend\n";
        let marks = parse(text).expect("marks");
        assert_eq!(marks.len(), 2);
        assert_eq!(marks[0].blocks[&0xff], 23);
        assert_eq!(marks[0].notifications, 4);
        assert_eq!(marks[1].since(&marks[0]).instructions(), -23);
    }

    #[test]
    fn half_an_answer_is_an_error() {
        assert!(parse("block ff 2 10\nmark\n").is_err());
    }
}
