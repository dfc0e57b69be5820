//! State that only a busy connection needs: made when it is first changed, given back when idle.

use alloc::boxed::Box;
use core::ops::{Deref, DerefMut};

/// What a value is before it is made.
pub(super) trait Empty: Sized + 'static {
    /// To begin with.
    const NEW: Self;
    /// The same, to be read meanwhile.
    const EMPTY: &'static Self;
}

/// A value on the heap, or none that reads as [`Empty::EMPTY`].
#[derive(Clone, Debug)]
pub(super) struct OnDemand<T>(Option<Box<T>>);

impl<T> OnDemand<T> {
    /// Gives the value back.
    pub(super) fn release(&mut self) {
        self.0 = None;
    }
}

impl<T> Default for OnDemand<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Empty> Deref for OnDemand<T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        self.0.as_deref().unwrap_or(T::EMPTY)
    }
}

impl<T: Empty> DerefMut for OnDemand<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        self.0.get_or_insert_with(|| Box::new(T::NEW))
    }
}
