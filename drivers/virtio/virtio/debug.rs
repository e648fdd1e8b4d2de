// SPDX-License-Identifier: GPL-2.0

//! The directory `virtio` in debugfs, with one for each device: which features it offers, which of
//! these its drivers shall not get, what its driver has agreed on with it, and what its queues do.

use debugfs_file::{
    read_number,
    Dir,
    File,
    Show,
    Store, //
};
use kernel::{
    device::Bound,
    fmt,
    new_mutex,
    prelude::*,
    str::CString,
    sync::{
        global_lock,
        Arc,
        Mutex, //
    },
    uaccess::UserSliceReader, //
};

use crate::{
    features,
    registration,
    Device,
    Features, //
};

global_lock! {
    // SAFETY: Initialized by `Root::new`, before anything can register a device.
    unsafe(uninit) static ROOT: Mutex<Option<Dir>> = None;
}

/// The directory, for as long as the module is there.
pub(crate) struct Root(());

impl Root {
    /// Makes the directory.
    ///
    /// # Safety
    ///
    /// Called once.
    pub(crate) unsafe fn new() -> Self {
        // SAFETY: The caller's promise.
        unsafe { ROOT.init() };
        *ROOT.lock() = Dir::new(c"virtio").ok();
        Self(())
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        *ROOT.lock() = None;
    }
}

/// The features of a device, and what root keeps of them from its drivers.
#[pin_data]
struct Filter {
    #[pin]
    sets: Mutex<Sets>,
}

#[derive(Clone, Copy)]
struct Sets {
    /// What the device offered when a driver was tried last.
    offered: Features,
    /// What drivers do not get.
    filtered: Features,
}

impl Filter {
    /// Changes the set of what drivers do not get by the bit that is written.
    fn change(
        &self,
        reader: &mut UserSliceReader,
        change: impl FnOnce(Features, u32) -> Features,
    ) -> Result {
        let bit = read_number(reader)?;
        if bit >= Features::BITS {
            return Err(EINVAL);
        }
        let mut sets = self.sets.lock();
        sets.filtered = change(sets.filtered, bit);
        Ok(())
    }

    /// Leaves drivers everything, if 1 is written.
    fn clear(&self, reader: &mut UserSliceReader) -> Result {
        if read_number::<u32>(reader)? == 1 {
            self.sets.lock().filtered = Features::EMPTY;
        }
        Ok(())
    }
}

/// Shows the bits of a set, one on each line.
fn show(features: Features, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    features.iter().try_for_each(|bit| writeln!(f, "{bit}"))
}

type FeatureFile = Pin<KBox<File<Arc<Filter>>>>;

/// The directory of a device and what the bus has in it.
pub(crate) struct DeviceDir {
    dir: Dir,
    filter: Arc<Filter>,
    _files: [FeatureFile; 5],
}

impl DeviceDir {
    /// Makes the directory `virtio/virtioN`. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `ENODEV` if the bus has no directory.
    pub(crate) fn new(index: u32) -> Result<Self> {
        let name = CString::try_from_fmt(fmt!("virtio{index}"))?;
        let dir = match &*ROOT.lock() {
            Some(root) => root.subdir(&name)?,
            None => return Err(ENODEV),
        };
        let nothing = Sets {
            offered: Features::EMPTY,
            filtered: Features::EMPTY,
        };
        let filter = Arc::pin_init(
            pin_init!(Filter {
                sets <- new_mutex!(nothing, "virtio::filter"),
            }),
            GFP_KERNEL,
        )?;
        let file = |name, show: Option<Show<_>>, store: Option<Store<_>>| {
            File::new(&dir, name, filter.clone(), show, store)
        };
        let files = [
            file(
                c"device_features",
                Some(|filter, f| show(filter.sets.lock().offered, f)),
                None,
            )?,
            file(
                c"filter_features",
                Some(|filter, f| show(filter.sets.lock().filtered, f)),
                None,
            )?,
            file(
                c"filter_feature_add",
                None,
                Some(|filter, text| filter.change(text, Features::with)),
            )?,
            file(
                c"filter_feature_del",
                None,
                Some(|filter, text| filter.change(text, Features::without)),
            )?,
            file(
                c"filter_features_clear",
                None,
                Some(|filter, text| filter.clear(text)),
            )?,
        ];
        Ok(Self {
            dir,
            filter,
            _files: files,
        })
    }
}

/// Returns what is left of the features that a device offers, and shows them all in debugfs.
pub(crate) fn filter(dev: &Device<Bound>, offered: Features) -> Features {
    let Some(debug) = registration::debug(dev) else {
        return offered;
    };
    let mut sets = debug.filter.sets.lock();
    sets.offered = offered;
    offered.and_not(sets.filtered)
}

/// What a driver has agreed on with its device.
pub(crate) struct Agreement {
    bus_name: CString,
    features: Features,
    name: fn(u32) -> Option<&'static str>,
}

/// The file that shows an agreement.
pub(crate) type AgreementFile = Pin<KBox<File<Agreement>>>;

impl Agreement {
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let layout = if self.features.contains(features::RING_PACKED) {
            "packed"
        } else {
            "split"
        };
        f.write_fmt(fmt!("device: {}\nring: {layout}\n", &*self.bus_name))?;
        self.features.iter().try_for_each(|bit| {
            let name = (self.name)(bit).unwrap_or("unknown");
            writeln!(f, "feature {bit}: {name}")
        })
    }
}

/// Shows what was agreed on with a device, as the file `agreed`; `name` names the features (U29).
/// May sleep.
///
/// # Errors
///
/// `ENOMEM`; `ENODEV` if the device has no directory.
pub(crate) fn show_agreement(
    dev: &Device<Bound>,
    name: fn(u32) -> Option<&'static str>,
) -> Result<AgreementFile> {
    let dir = dev.debugfs_dir().ok_or(ENODEV)?;
    let agreement = Agreement {
        bus_name: CString::try_from(dev.bus_name())?,
        features: dev.features(),
        name,
    };
    File::new(&dir, c"agreed", agreement, Some(Agreement::show), None)
}

impl Device<Bound> {
    /// Returns the device's directory in debugfs, `virtio/virtioN`, if its transport is a Rust one.
    pub fn debugfs_dir(&self) -> Option<Dir> {
        registration::debug(self).map(|debug| debug.dir.clone())
    }
}
