// SPDX-License-Identifier: GPL-2.0

//! What the PCI transport believes of a device's capabilities, and which device it takes it for.

#[path = "../../../drivers/virtio/virtio_pci/capability.rs"]
mod capability;
#[path = "../../../drivers/virtio/virtio_pci/identity.rs"]
mod identity;

use capability::{
    Defect,
    Found,
    Kind,
    Layout,
    Part,
    SharedRegion,
    BARS,
    PAGE, //
};
use identity::virtio_type;
use proptest::prelude::*;

const COMMON: u8 = 1;
const NOTIFY: u8 = 2;
const ISR: u8 = 3;
const DEVICE: u8 = 4;

const SHARED_MEMORY: u8 = 8;

/// A capability as a device has it in its configuration space.
#[derive(Clone, Copy, Debug)]
struct Cap {
    cap_len: u8,
    cfg_type: u8,
    bar: u8,
    offset: u32,
    length: u32,
    multiplier: u32,
}

impl Cap {
    const fn new(cfg_type: u8, bar: u8, offset: u32, length: u32) -> Self {
        Self {
            cap_len: if cfg_type == NOTIFY { 20 } else { 16 },
            cfg_type,
            bar,
            offset,
            length,
            multiplier: 4,
        }
    }

    fn bytes(self) -> [u8; 20] {
        let mut bytes = vec![9, 0x40, self.cap_len, self.cfg_type, self.bar, 0, 0, 0];
        bytes.extend(self.offset.to_le_bytes());
        bytes.extend(self.length.to_le_bytes());
        bytes.extend(self.multiplier.to_le_bytes());
        bytes.try_into().unwrap()
    }
}

/// What QEMU offers: four structures of a page each in BAR 4.
const QEMU: [Cap; 4] = [
    Cap::new(COMMON, 4, 0, PAGE),
    Cap::new(ISR, 4, PAGE, PAGE),
    Cap::new(DEVICE, 4, 2 * PAGE, PAGE),
    Cap::new(NOTIFY, 4, 3 * PAGE, PAGE),
];

/// BARs 1 and 4, as QEMU has them.
const BAR_LENS: [u64; BARS] = [0, 0x1000, 0, 0, 0x4000, 0];

fn layout(caps: &[Cap], bars: &[u64; BARS]) -> Result<Layout, Defect> {
    let mut found = Found::default();
    for cap in caps {
        found.add(&cap.bytes(), bars);
    }
    found.layout()
}

/// QEMU's device with one structure in another form.
fn with(cap: Cap) -> Result<Layout, Defect> {
    let caps = QEMU.map(|old| {
        if old.cfg_type == cap.cfg_type {
            cap
        } else {
            old
        }
    });
    layout(&caps, &BAR_LENS)
}

fn part(bar: u8, offset: u64, len: u32) -> Part {
    Part { bar, offset, len }
}

#[test]
fn an_ordinary_device_is_mapped_no_further_than_needed() {
    let layout = layout(&QEMU, &BAR_LENS).unwrap();
    assert_eq!(layout.common, part(4, 0, 64));
    assert_eq!(layout.isr, part(4, 0x1000, 1));
    assert_eq!(layout.device, Some(part(4, 0x2000, PAGE)));
    assert_eq!(layout.doorbells.whole(), Ok(Some(part(4, 0x3000, PAGE))));
    assert_eq!(layout.bars().collect::<Vec<_>>(), [4, 4, 4, 4]);
}

#[test]
fn the_first_usable_capability_of_a_kind_wins() {
    let first = Cap::new(COMMON, 4, 0x100, 0x100);
    let second = Cap::new(COMMON, 4, 0x200, 0x100);
    let mut caps = vec![first, second];
    caps.extend(QEMU);
    assert_eq!(layout(&caps, &BAR_LENS).unwrap().common.offset, 0x100);

    // A BAR that is not there, reserved BARs, and a capability without room for its fields.
    let unusable = [
        Cap { bar: 0, ..first },
        Cap { bar: 6, ..first },
        Cap { bar: 255, ..first },
        Cap {
            cap_len: 15,
            ..first
        },
        Cap {
            cap_len: 0,
            ..first
        },
    ];
    for cap in unusable {
        let mut caps = vec![cap, second];
        caps.extend(QEMU);
        let found = layout(&caps, &BAR_LENS).unwrap().common.offset;
        assert_eq!(found, 0x200, "{cap:?}");
    }
}

#[test]
fn a_notification_capability_without_a_multiplier_is_passed_over() {
    let cap = Cap {
        cap_len: 19,
        ..Cap::new(NOTIFY, 4, 0x3000, PAGE)
    };
    assert_eq!(with(cap), Err(Defect::Missing(Kind::Notify)));
}

#[test]
fn kinds_that_are_reserved_or_not_used_are_passed_over() {
    for cfg_type in (0..=255).filter(|kind| !(1..=4).contains(kind)) {
        let mut caps = vec![Cap::new(cfg_type, 4, 1, 0)];
        caps.extend(QEMU);
        assert!(layout(&caps, &BAR_LENS).is_ok(), "cfg_type {cfg_type}");
    }
}

#[test]
fn a_longer_capability_is_accepted() {
    for cap_len in [16, 17, 20, 64, 255] {
        let cap = Cap {
            cap_len,
            ..Cap::new(COMMON, 4, 0, PAGE)
        };
        assert!(with(cap).is_ok(), "length {cap_len}");
    }
}

#[test]
fn a_longer_structure_is_accepted_but_not_mapped() {
    let cap = Cap::new(COMMON, 4, 0x100, u32::MAX);
    assert_eq!(with(cap).unwrap().common, part(4, 0x100, 64));
    let cap = Cap::new(DEVICE, 4, 0x100, u32::MAX);
    assert_eq!(with(cap).unwrap().device, Some(part(4, 0x100, PAGE)));
    // What is behind the end of the BAR is not mapped either.
    let cap = Cap::new(DEVICE, 4, 0x3f00, u32::MAX);
    assert_eq!(with(cap).unwrap().device, Some(part(4, 0x3f00, 0x100)));
    let cap = Cap::new(COMMON, 4, 0x4000 - 56, u32::MAX);
    assert_eq!(with(cap).unwrap().common, part(4, 0x4000 - 56, 56));
}

#[test]
fn bad_structures_are_refused() {
    use Defect::*;
    let cases = [
        (
            "common too short",
            Cap::new(COMMON, 4, 0, 55),
            TooShort(Kind::Common),
        ),
        (
            "common empty",
            Cap::new(COMMON, 4, 0, 0),
            TooShort(Kind::Common),
        ),
        (
            "common misaligned",
            Cap::new(COMMON, 4, 2, 100),
            Misaligned(Kind::Common),
        ),
        (
            "common past BAR",
            Cap::new(COMMON, 4, 0x4000, 100),
            BeyondBar(Kind::Common),
        ),
        (
            "common ends past BAR",
            Cap::new(COMMON, 4, 0x3fcc, 56),
            BeyondBar(Kind::Common),
        ),
        (
            "common wraps",
            Cap::new(COMMON, 4, 0xffff_fffc, 56),
            BeyondBar(Kind::Common),
        ),
        ("isr empty", Cap::new(ISR, 4, 0, 0), TooShort(Kind::Isr)),
        (
            "isr past BAR",
            Cap::new(ISR, 4, 0x4000, 1),
            BeyondBar(Kind::Isr),
        ),
        (
            "notify too short",
            Cap::new(NOTIFY, 4, 0, 1),
            TooShort(Kind::Notify),
        ),
        (
            "notify misaligned",
            Cap::new(NOTIFY, 4, 1, 16),
            Misaligned(Kind::Notify),
        ),
        (
            "notify past BAR",
            Cap::new(NOTIFY, 4, 0x3fff + 1, 16),
            BeyondBar(Kind::Notify),
        ),
        (
            "notify wraps",
            Cap::new(NOTIFY, 4, 0xffff_fffe, 16),
            BeyondBar(Kind::Notify),
        ),
        (
            "device misaligned",
            Cap::new(DEVICE, 4, 2, 16),
            Misaligned(Kind::Device),
        ),
        (
            "device past BAR",
            Cap::new(DEVICE, 4, 0x4000, 16),
            BeyondBar(Kind::Device),
        ),
    ];
    for (name, cap, defect) in cases {
        assert_eq!(with(cap), Err(defect), "{name}");
    }
}

#[test]
fn what_is_missing_is_told() {
    let without = |kind| {
        let caps: Vec<_> = QEMU
            .into_iter()
            .filter(|cap| cap.cfg_type != kind)
            .collect();
        layout(&caps, &BAR_LENS)
    };
    assert_eq!(without(COMMON), Err(Defect::LegacyOnly));
    assert_eq!(without(ISR), Err(Defect::Missing(Kind::Isr)));
    assert_eq!(without(NOTIFY), Err(Defect::Missing(Kind::Notify)));
    assert_eq!(layout(&[], &BAR_LENS), Err(Defect::LegacyOnly));
}

#[test]
fn a_defect_says_what_it_is_about() {
    for kind in [Kind::Common, Kind::Notify, Kind::Isr, Kind::Device] {
        for defect in [Defect::Missing(kind), Defect::TooShort(kind)] {
            assert_eq!(defect.describe().1, kind.name());
        }
    }
    assert_ne!(
        Defect::DoorbellOutside.describe().0,
        Defect::LegacyOnly.describe().0
    );
}

#[test]
fn a_device_without_configuration_is_fine() {
    let caps: Vec<_> = QEMU
        .into_iter()
        .filter(|cap| cap.cfg_type != DEVICE)
        .collect();
    assert_eq!(layout(&caps, &BAR_LENS).unwrap().device, None);
    assert_eq!(with(Cap::new(DEVICE, 4, 0x2000, 0)).unwrap().device, None);
}

#[test]
fn all_queues_share_a_register_if_the_multiplier_is_zero() {
    let cap = Cap {
        multiplier: 0,
        ..Cap::new(NOTIFY, 4, 0x3000, 2)
    };
    let doorbells = with(cap).unwrap().doorbells;
    assert_eq!(doorbells.whole(), Ok(Some(part(4, 0x3000, 2))));
    for notify_off in [0, 1, 7, u16::MAX] {
        assert_eq!(doorbells.offset_in(2, notify_off), Ok(0));
        assert_eq!(doorbells.single(notify_off), Ok(part(4, 0x3000, 2)));
    }
}

#[test]
fn a_large_notification_structure_is_not_mapped_at_once() {
    let bars = [0, 0, 0, 0, 0x80_0000, 0];
    let cases = [
        (0, PAGE, true),
        (0, PAGE + 1, false),
        (2, PAGE - 2, true),
        (2, PAGE - 1, false),
        (PAGE + 2, PAGE - 2, true),
        (0, u32::MAX, false),
    ];
    for (offset, length, at_once) in cases {
        let mut caps = QEMU;
        caps[3] = Cap::new(NOTIFY, 4, offset, length);
        let whole = layout(&caps, &bars).unwrap().doorbells.whole().unwrap();
        assert_eq!(whole.is_some(), at_once, "{length} bytes at {offset}");
    }
}

#[test]
fn a_page_for_each_queue() {
    let bars = [0, 0, 0, 0, 0x80_0000, 0];
    let mut caps = QEMU;
    caps[3] = Cap {
        multiplier: PAGE,
        ..Cap::new(NOTIFY, 4, 0x40_0000, 0x40_0000)
    };
    let doorbells = layout(&caps, &bars).unwrap().doorbells;
    assert_eq!(doorbells.single(0), Ok(part(4, 0x40_0000, 2)));
    assert_eq!(doorbells.single(3), Ok(part(4, 0x40_3000, 2)));
    assert_eq!(doorbells.single(1023), Ok(part(4, 0x7f_f000, 2)));
    assert_eq!(doorbells.single(1024), Err(Defect::DoorbellOutside));
}

/// The C driver multiplies in 32 bits when it maps registers one by one (M12).
#[test]
fn a_huge_multiplier_does_not_wrap_around() {
    let bars = [0, 0, 0, 0, 0x80_0000, 0];
    for multiplier in [0x1_0000, 0x8000_0000, 0xffff_fffe] {
        for length in [PAGE, 0x10_0000, u32::MAX] {
            let mut caps = QEMU;
            caps[3] = Cap {
                multiplier,
                ..Cap::new(NOTIFY, 4, 0, length)
            };
            let doorbells = layout(&caps, &bars).unwrap().doorbells;
            // In 32 bits each of these products is small.
            for notify_off in [0x8000, 0xfffe, 0xffff] {
                assert!(doorbells.single(notify_off).is_err());
                assert_eq!(
                    doorbells.offset_in(PAGE as usize, notify_off),
                    Err(Defect::DoorbellOutside)
                );
            }
        }
    }
}

#[test]
fn a_register_needs_both_of_its_bytes_and_alignment() {
    let doorbells = with(Cap::new(NOTIFY, 4, 0x3000, 16)).unwrap().doorbells;
    assert_eq!(doorbells.offset_in(16, 3), Ok(12));
    assert_eq!(doorbells.offset_in(16, 4), Err(Defect::DoorbellOutside));
    assert_eq!(doorbells.offset_in(13, 3), Err(Defect::DoorbellOutside));

    let cap = Cap {
        multiplier: 3,
        ..Cap::new(NOTIFY, 4, 0x3000, 16)
    };
    let doorbells = with(cap).unwrap().doorbells;
    let misaligned = Defect::Misaligned(Kind::Notify);
    assert_eq!(doorbells.offset_in(16, 1), Err(misaligned));
    assert_eq!(doorbells.single(1), Err(misaligned));
    assert_eq!(doorbells.offset_in(16, 2), Ok(6));
}

proptest! {
    /// Whatever a device says: what is mapped lies within its BAR.
    #[test]
    fn nothing_beyond_a_bar_is_ever_mapped(
        spaces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..24), 0..8),
        bars in prop::array::uniform6(prop_oneof![Just(0), 1..0x10000u64, any::<u64>()]),
        kinds in prop::collection::vec(0..6u8, 8),
        notify_off in any::<u16>(),
    ) {
        let mut found = Found::default();
        for (mut bytes, kind) in spaces.into_iter().zip(kinds) {
            if let [_, _, len, cfg_type, bar, ..] = &mut bytes[..] {
                (*len, *cfg_type) = (*len | 16, kind);
                *bar %= 7;
            }
            found.add(&bytes, &bars);
        }
        if let Ok(layout) = found.layout() {
            let parts = [Some(layout.common), Some(layout.isr), layout.device];
            let notify = [
                layout.doorbells.whole().ok().flatten(),
                layout.doorbells.single(notify_off).ok(),
            ];
            for part in parts.into_iter().chain(notify).flatten() {
                prop_assert!(part.len > 0);
                let end = u128::from(part.offset) + u128::from(part.len);
                prop_assert!(end <= u128::from(bars[usize::from(part.bar)]));
            }
            prop_assert!(layout.common.len >= 56);
        }
    }
}

#[test]
fn device_types_come_from_the_right_id() {
    let cases = [
        (0x0fff, 2, None),
        // Transitional: the subsystem says which.
        (0x1000, 1, Some(1)),
        (0x1001, 2, Some(2)),
        (0x103f, 0xffff, Some(0xffff)),
        // Modern: the device id says which, the subsystem nothing.
        (0x1040, 9, Some(0)),
        (0x1042, 9, Some(2)),
        (0x107f, 0, Some(0x3f)),
        (0x1080, 2, None),
        (0x1100, 2, None),
        (0xffff, 2, None),
    ];
    for (device, subsystem, expected) in cases {
        assert_eq!(virtio_type(device, subsystem), expected, "{device:#x}");
    }
}

/// A capability for a region of shared memory, with 64-bit offset and length.
fn shared(bar: u8, id: u8, offset: u64, len: u64) -> Vec<u8> {
    let mut bytes = vec![9, 0, 24, SHARED_MEMORY, bar, id, 0, 0];
    // CAST: The lower and the upper half.
    for half in [offset as u32, len as u32] {
        bytes.extend(half.to_le_bytes());
    }
    for value in [offset, len] {
        bytes.extend(((value >> 32) as u32).to_le_bytes());
    }
    bytes
}

/// M36, C21: a region is found by its id, with all 64 bits of where it is.
#[test]
fn shared_memory_is_found_by_its_id() {
    let bars = [0, 0, 0, 0, 0x10_0000_0000, 0];
    let find = |bytes: &[u8], id| SharedRegion::find(bytes, &bars, id);
    let region = SharedRegion {
        bar: 4,
        offset: 0x8_0000_1000,
        len: 0x7_ffff_f000,
    };
    let bytes = shared(region.bar, 5, region.offset, region.len);
    assert_eq!(find(&bytes, 5), Ok(Some(region)));
    assert_eq!(find(&bytes, 4), Ok(None));
    // A longer capability is fine (PCI-CAP-3), a shorter one says nothing.
    let mut longer = bytes.clone();
    longer[2] = 28;
    longer.extend([0xff; 4]);
    assert_eq!(find(&longer, 5), Ok(Some(region)));
    for len in 0..24 {
        let mut shorter = bytes.clone();
        shorter[2] = len;
        assert_eq!(find(&shorter, 5), Ok(None), "cap_len {len}");
        assert_eq!(find(&bytes[..len.into()], 5), Ok(None), "{len} bytes");
    }
}

/// M36: what is not there, or is another kind of structure, is passed over (PCI-CAP-1, PCI-CAP-4).
#[test]
fn shared_memory_that_is_not_there_is_passed_over() {
    let bars = [0x1000, 0, 0, 0, 0, 0];
    for bar in [1, 5, 6, 255] {
        assert_eq!(
            SharedRegion::find(&shared(bar, 1, 0, 8), &bars, 1),
            Ok(None)
        );
    }
    assert_eq!(SharedRegion::find(&shared(0, 1, 0, 0), &bars, 1), Ok(None));
    let mut common = shared(0, 1, 0, 8);
    common[3] = COMMON;
    assert_eq!(SharedRegion::find(&common, &bars, 1), Ok(None));
}

/// M36: a region that ends beyond its BAR, or beyond 64 bits, is not used.
#[test]
fn shared_memory_lies_within_its_bar() {
    let bars = [0x1000, 0, 0, 0, 0, 0];
    let fits = [(0, 0x1000), (0xfff, 1), (0x800, 0x800)];
    for (offset, len) in fits {
        let found = SharedRegion::find(&shared(0, 1, offset, len), &bars, 1);
        assert!(matches!(found, Ok(Some(_))), "{offset:#x}+{len:#x}");
    }
    let beyond = [
        (0, 0x1001),
        (0x1000, 1),
        (1 << 32, 1),
        (0, 1 << 32),
        (u64::MAX, 1),
        (u64::MAX, u64::MAX),
        (1, u64::MAX),
    ];
    for (offset, len) in beyond {
        let found = SharedRegion::find(&shared(0, 1, offset, len), &bars, 1);
        assert_eq!(found, Err(Defect::SharedMemory), "{offset:#x}+{len:#x}");
    }
}
