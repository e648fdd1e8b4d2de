// SPDX-License-Identifier: GPL-2.0

//! What the block driver makes of requests, before any queue has to do with it.

use kernel::prelude::*;

#[kunit_tests(virtio_blk)]
mod tests {
    use super::*;

    use blk_mq::{
        CmdFlags,
        DmaRange,
        Op, //
    };
    use virtio_ring::{
        AddError,
        Descriptors,
        Segment, //
    };

    use crate::{
        block_mapping::{
            pieces,
            Description,
            Mapped, //
        },
        wire::{
            Kind,
            UNMAP, //
        },
    };

    const NO_FLAGS: CmdFlags = CmdFlags::NONE;

    /// Notes what a buffer is made of: each segment, and whether the device writes it.
    #[derive(Default)]
    struct Recorder {
        segments: KVec<(Segment, bool)>,
    }

    impl Recorder {
        fn push(&mut self, segment: Segment, is_writable: bool) -> Result<(), AddError> {
            self.segments
                .push((segment, is_writable), GFP_KERNEL)
                .map_err(|_| AddError::Full)
        }
    }

    impl Descriptors for Recorder {
        fn push_readable(&mut self, segment: Segment) -> Result<(), AddError> {
            if self.segments.iter().any(|(_, is_writable)| *is_writable) {
                return Err(AddError::Order);
            }
            self.push(segment, false)
        }

        fn push_writable(&mut self, segment: Segment) -> Result<(), AddError> {
            self.push(segment, true)
        }
    }

    /// K1 to K7, K10, K11: each operation has its request.
    #[test]
    fn operations_have_their_requests() -> Result {
        for (op, kind) in [
            (Op::READ, Kind::Read),
            (Op::WRITE, Kind::Write),
            (Op::FLUSH, Kind::Flush),
            (Op::ZONE_APPEND, Kind::ZoneAppend),
            (Op::ZONE_OPEN, Kind::ZoneOpen),
            (Op::ZONE_CLOSE, Kind::ZoneClose),
            (Op::ZONE_FINISH, Kind::ZoneFinish),
            (Op::ZONE_RESET, Kind::ZoneReset),
            (Op::ZONE_RESET_ALL, Kind::ZoneResetAll),
        ] {
            for may_unmap in [false, true] {
                let mapped = Mapped::new(op, NO_FLAGS, may_unmap);
                check_eq!(mapped, Some(Mapped::Plain(kind)));
            }
        }
        for (op, kind) in [
            (Op::DISCARD, Kind::Discard),
            (Op::SECURE_ERASE, Kind::SecureErase),
        ] {
            // BLK-DISCARD-1: no flags, whatever the device can do.
            let mapped = Mapped::new(op, CmdFlags::NOUNMAP, true);
            check_eq!(mapped, Some(Mapped::Areas(kind, 0)));
            check_eq!(Mapped::new(op, NO_FLAGS, true), mapped);
        }
        Ok(())
    }

    /// K6: zeroes free the blocks where the device can do that, unless they are to stay.
    #[test]
    fn zeroes_may_unmap() -> Result {
        for (may_unmap, flags, expected) in [
            (true, NO_FLAGS, UNMAP),
            (true, CmdFlags::NOUNMAP, 0),
            (false, NO_FLAGS, 0),
            (false, CmdFlags::NOUNMAP, 0),
        ] {
            let mapped = Mapped::new(Op::WRITE_ZEROES, flags, may_unmap);
            check_eq!(mapped, Some(Mapped::Areas(Kind::WriteZeroes, expected)));
        }
        Ok(())
    }

    /// D28, K16: an operation that devices do not know is none; nothing falls over.
    #[test]
    fn d28_unknown_operations_are_refused() -> Result {
        let mut known = 0;
        let mut number = 0;
        while let Some(op) = Op::from_raw(number) {
            known += u32::from(Mapped::new(op, NO_FLAGS, true).is_some());
            number += 1;
        }
        check_eq!((number, known), (256, 12));
        for op in [Op::DRV_IN, Op::DRV_OUT] {
            check_eq!(Mapped::new(op, NO_FLAGS, true), None);
        }
        Ok(())
    }

    /// K22, K24, D42, SPLIT-FRAME-1: the header comes first and the answer last; the device writes
    /// the data of reads and reads that of all others.
    #[test]
    fn header_data_answer() -> Result {
        let header = Segment::new(0x1000, 16);
        let answer = Segment::new(0x2000, 1);
        let ranges = [(0x9000, 512), (0x5000, 4096), (0x7000, 1)];
        for (kind, is_read) in [
            (Kind::Read, true),
            (Kind::GetId, true),
            (Kind::GetLifetime, true),
            (Kind::ZoneReport, true),
            (Kind::Write, false),
            (Kind::Discard, false),
            (Kind::ZoneAppend, false),
        ] {
            for count in 0..=ranges.len() {
                let mut recorder = Recorder::default();
                let to = &mut recorder;
                let mut description = Description::begin(to, kind, header).map_err(|_| EINVAL)?;
                for &(addr, len) in ranges.iter().take(count) {
                    let range = DmaRange { addr, len };
                    description.data(range).map_err(|_| EINVAL)?;
                }
                description.end(answer).map_err(|_| EINVAL)?;

                let data = ranges.iter().take(count);
                let data = data.map(|&(addr, len)| (Segment::new(addr, len), is_read));
                let expected = Iterator::chain(core::iter::once((header, false)), data);
                let expected = Iterator::chain(expected, core::iter::once((answer, true)));
                check!(recorder.segments.iter().copied().eq(expected));
            }
        }
        Ok(())
    }

    /// A description ends with the first error, wherever it comes.
    #[test]
    fn errors_of_the_ring_are_passed_on() -> Result {
        /// Has room for so many segments.
        struct Room(u32);

        impl Room {
            fn take(&mut self) -> Result<(), AddError> {
                self.0 = self.0.checked_sub(1).ok_or(AddError::Full)?;
                Ok(())
            }
        }

        impl Descriptors for Room {
            fn push_readable(&mut self, _: Segment) -> Result<(), AddError> {
                self.take()
            }

            fn push_writable(&mut self, _: Segment) -> Result<(), AddError> {
                self.take()
            }
        }

        let describe = |room, kind| {
            let mut room = Room(room);
            let mut description = Description::begin(&mut room, kind, Segment::new(0, 16))?;
            description.data(DmaRange { addr: 0, len: 512 })?;
            description.end(Segment::new(0, 1))
        };
        for kind in [Kind::Read, Kind::Write] {
            for room in 0..3 {
                check_eq!(describe(room, kind), Err(AddError::Full));
            }
            check_eq!(describe(3, kind), Ok(()));
        }
        Ok(())
    }

    /// A range that an IOMMU has joined is cut into pieces that the device allows: all of it, in
    /// order, and no more of them than the segments that it was made of.
    #[test]
    fn long_ranges_are_cut() -> Result {
        for (len, max_len, pieces_due) in [
            (1, 1, 1),
            (512, 512, 1),
            (513, 512, 2),
            (4096, 512, 8),
            (65536, 65536, 1),
            (1 << 20, 65536, 16),
            ((1 << 20) + 1, 65536, 17),
            (u32::MAX, u32::MAX, 1),
            (u32::MAX, 1 << 31, 2),
        ] {
            let addr = u64::MAX - u64::from(u32::MAX);
            let mut next = addr;
            let mut count = 0;
            for piece in pieces(DmaRange { addr, len }, max_len) {
                check_eq!(piece.addr, next);
                check!(piece.len > 0 && piece.len <= max_len);
                next = next.wrapping_add(piece.len.into());
                count += 1;
            }
            check_eq!(next, addr.wrapping_add(len.into()));
            check_eq!(count, pieces_due);
        }
        check!(pieces(DmaRange { addr: 0, len: 0 }, 512).next().is_none());
        Ok(())
    }
}
