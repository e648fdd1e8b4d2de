// SPDX-License-Identifier: GPL-2.0

//! Barriers for rings on the host.

use std::cell::{
    Cell,
    RefCell, //
};
use std::rc::Rc;
use std::sync::atomic::{
    fence,
    Ordering, //
};

use crate::ring::barrier::Barriers;

/// The fences of the language, which serve among threads.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fences;

impl Barriers for Fences {
    fn write(&self) {
        fence(Ordering::Release);
    }

    fn read(&self) {
        fence(Ordering::Acquire);
    }

    fn full(&self) {
        fence(Ordering::SeqCst);
    }
}

/// A kind of barrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Barrier {
    /// [`Barriers::write`].
    Write,
    /// [`Barriers::read`].
    Read,
    /// [`Barriers::full`].
    Full,
}

/// What happens at a barrier besides.
type Hook = Box<dyn FnMut(Barrier)>;

/// Barriers that are written down, and that let a test look at the ring in between.
#[derive(Clone, Default)]
pub struct Recorder {
    log: Rc<RefCell<Vec<Barrier>>>,
    hook: Rc<Cell<Option<Hook>>>,
}

impl Recorder {
    /// Returns the barriers since the last call.
    pub fn take(&self) -> Vec<Barrier> {
        self.log.take()
    }

    /// Calls `hook` at each barrier from now on.
    pub fn at_barrier(&self, hook: impl FnMut(Barrier) + 'static) {
        self.hook.set(Some(Box::new(hook)));
    }

    fn note(&self, barrier: Barrier) {
        self.log.borrow_mut().push(barrier);
        if let Some(mut hook) = self.hook.take() {
            hook(barrier);
            self.hook.set(Some(hook));
        }
    }
}

impl Barriers for Recorder {
    fn write(&self) {
        self.note(Barrier::Write);
    }

    fn read(&self) {
        self.note(Barrier::Read);
    }

    fn full(&self) {
        self.note(Barrier::Full);
    }
}
