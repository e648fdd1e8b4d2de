// SPDX-License-Identifier: GPL-2.0

//! Names for addresses in the guest, from its own `/proc/kallsyms`.

use anyhow::{ensure, Context as _};
use rustc_demangle::demangle;

/// A function, or what is known instead.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Function {
    /// The module that it is in, `kernel`, or `user space`.
    pub module: String,
    pub name: String,
}

/// The functions of a running kernel, sorted by address.
pub struct Symbols {
    functions: Vec<(u64, Function)>,
}

/// Where the kernel's half of the address space begins.
const KERNEL_START: u64 = 1 << 63;

impl Symbols {
    /// Reads the text of `/proc/kallsyms`: address, type, name, and a module in brackets.
    ///
    /// # Errors
    ///
    /// If it is not such a text, or hides the addresses.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let mut functions = Vec::new();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let (Some(address), Some(kind), Some(name)) =
                (words.next(), words.next(), words.next())
            else {
                continue;
            };
            if !matches!(kind, "t" | "T" | "w" | "W") {
                continue;
            }
            let address = u64::from_str_radix(address, 16).with_context(|| line.to_owned())?;
            let module = words
                .next()
                .map_or("kernel", |word| word.trim_matches(['[', ']']));
            let function = Function {
                module: module.to_owned(),
                name: format!("{:#}", demangle(name)),
            };
            functions.push((address, function));
        }
        ensure!(
            functions
                .iter()
                .any(|(address, _)| *address >= KERNEL_START),
            "the guest shows no addresses of functions"
        );
        functions.sort();
        // Of several names for one place, any will do.
        functions.dedup_by_key(|(address, _)| *address);
        Ok(Self { functions })
    }

    /// Where a function of this name begins.
    pub fn address(&self, name: &str) -> Option<u64> {
        let mut named = self
            .functions
            .iter()
            .filter(|(_, function)| function.name == name);
        named.next().map(|(address, _)| *address)
    }

    /// The function that holds an address.
    pub fn find(&self, address: u64) -> Function {
        if address < KERNEL_START {
            return Function {
                module: "user space".into(),
                name: "(fio, its libraries, the shell)".into(),
            };
        }
        let after = self
            .functions
            .partition_point(|(start, _)| *start <= address);
        match after.checked_sub(1) {
            Some(at) => self.functions[at].1.clone(),
            None => Function {
                module: "kernel".into(),
                name: "(unknown)".into(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_belongs_to_the_function_before_it() {
        let text = "ffffffff81000000 T start\nffffffff81000100 d data\n\
                    ffffffffa0000000 t queue_rq\t[virtio_blk]\nffffffff81000200 t second\n";
        let symbols = Symbols::parse(text).expect("symbols");
        assert_eq!(symbols.address("second"), Some(0xffff_ffff_8100_0200));
        let name = |address| {
            let function = symbols.find(address);
            format!("{} {}", function.module, function.name)
        };
        assert_eq!(name(0xffff_ffff_8100_01ff), "kernel start");
        assert_eq!(name(0xffff_ffff_8100_0200), "kernel second");
        assert_eq!(name(0xffff_ffff_a000_0004), "virtio_blk queue_rq");
        assert!(name(0x40_0000).starts_with("user space"));
    }

    #[test]
    fn hidden_addresses_are_an_error() {
        assert!(Symbols::parse("0000000000000000 T start\n").is_err());
    }
}
