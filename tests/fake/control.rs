// SPDX-License-Identifier: GPL-2.0

//! What a disk does at a word from outside: files in debugfs, in the directory `virtio_fake.N`.
//!
//! Most take a number. `capacity`, `seg_max`, `blk_size` and `writeback` are what the disk says
//! of itself, and can be read, too; the driver does not hear of a change before something is
//! written to `changed` or `needs_reset`. `offer` takes a feature bit, which is on offer after
//! the next reset. While `hold` is not 0, the disk serves no requests, and while `fail_flush` is
//! not, it fails to flush. `volatile` is read: how many bytes were written into the disk's cache
//! since it was flushed.

use debugfs_file::{
    Dir,
    File,
    Show,
    Store, //
};
use kernel::{
    fmt,
    prelude::*,
    sync::Arc,
    uaccess::UserSliceReader, //
};

use super::{
    device::{
        blk,
        registers::Registers, //
    },
    disk::Disk,
    machine::Machine, //
};

/// A disk, and where in its configuration a field is, if the file is about one.
struct Control {
    machine: Arc<Machine<Pin<KBox<Disk>>>>,
    offset: usize,
}

impl Control {
    fn show<const N: usize>(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [0; 8];
        self.machine.registers(|registers| {
            if let Some(bytes) = bytes.get_mut(..N) {
                registers.read_config(self.offset, bytes);
            }
        });
        writeln!(f, "{}", u64::from_le_bytes(bytes))
    }

    fn show_volatile(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.machine.nature().volatile())
    }

    fn set<const N: usize>(&self, text: &mut UserSliceReader) -> Result {
        let value: u64 = debugfs_file::read_number(text)?;
        let bytes = value.to_le_bytes();
        let (bytes, rest) = bytes.split_at_checked(N).ok_or(EINVAL)?;
        if rest.iter().any(|&byte| byte != 0) {
            return Err(ERANGE);
        }
        let is_there = |registers: &mut Registers| registers.change_config(self.offset, bytes);
        self.machine.registers(is_there).then_some(()).ok_or(EINVAL)
    }

    fn changed(&self, text: &mut UserSliceReader) -> Result {
        debugfs_file::read_number::<u32>(text)?;
        self.machine.config_changed();
        Ok(())
    }

    fn needs_reset(&self, text: &mut UserSliceReader) -> Result {
        debugfs_file::read_number::<u32>(text)?;
        self.machine.registers(|registers| registers.need_reset());
        self.machine.config_changed();
        Ok(())
    }

    fn offer(&self, text: &mut UserSliceReader) -> Result {
        let bit: u32 = debugfs_file::read_number(text)?;
        if bit >= u64::BITS {
            return Err(EINVAL);
        }
        self.machine.registers(|registers| registers.offer(bit));
        Ok(())
    }

    fn fail_flush(&self, text: &mut UserSliceReader) -> Result {
        let wanted = debugfs_file::read_number::<u32>(text)? != 0;
        self.machine.nature().fail_flush(wanted);
        Ok(())
    }

    fn hold(&self, text: &mut UserSliceReader) -> Result {
        let wanted = debugfs_file::read_number::<u32>(text)? != 0;
        self.machine.nature().hold(wanted);
        self.machine.wake();
        Ok(())
    }
}

/// A file that controls a disk.
type ControlFile = Pin<KBox<File<Control>>>;

/// The files of a disk.
pub struct Controls {
    _files: KVec<ControlFile>,
}

impl Controls {
    /// Makes the files for the disk with that name. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new(name: &CStr, machine: &Arc<Machine<Pin<KBox<Disk>>>>) -> Result<Self> {
        let dir = Dir::new(name)?;
        let mut files = KVec::new();
        let mut add =
            |name: &CStr, offset, show: Option<Show<_>>, store: Option<Store<_>>| -> Result {
                let control = Control {
                    machine: machine.clone(),
                    offset,
                };
                let file = File::new(&dir, name, control, show, store)?;
                Ok(files.push(file, GFP_KERNEL)?)
            };
        let (show, set) = (Control::show::<4>, Control::set::<4>);
        add(c"seg_max", blk::SEG_MAX, Some(show), Some(set))?;
        add(c"blk_size", blk::BLK_SIZE, Some(show), Some(set))?;
        let (show, set) = (Control::show::<8>, Control::set::<8>);
        add(c"capacity", 0, Some(show), Some(set))?;
        let (show, set) = (Control::show::<1>, Control::set::<1>);
        add(c"writeback", blk::WRITEBACK, Some(show), Some(set))?;
        add(c"changed", 0, None, Some(Control::changed))?;
        add(c"needs_reset", 0, None, Some(Control::needs_reset))?;
        add(c"offer", 0, None, Some(Control::offer))?;
        add(c"hold", 0, None, Some(Control::hold))?;
        add(c"fail_flush", 0, None, Some(Control::fail_flush))?;
        add(c"volatile", 0, Some(Control::show_volatile), None)?;
        Ok(Self { _files: files })
    }
}
