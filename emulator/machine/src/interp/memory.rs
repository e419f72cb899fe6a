//! Loads, stores and atomics: the fast path through the TLB and everything behind it.

use std::ptr::NonNull;

use crate::arch::{Access, Arch, Trap};
use crate::arena::PAGE_SIZE;
use crate::core::{Bus, Core, NO_RESERVATION};

const OFFSET_MASK: u64 = PAGE_SIZE as u64 - 1;

/// Where a translated page is.
enum Target {
    /// Host address of the byte, and the page's index.
    Ram(NonNull<u8>, usize),
    /// Guest-physical address of a device register.
    Bus(u64),
}

/// Why execution does not go on at the step behind a store.
#[derive(Debug, Clone, Copy)]
pub(super) enum Odd {
    Trap(Trap),
    /// It is done, with this result, and has dropped decoded code.
    Stale(u64),
}

impl From<Trap> for Odd {
    fn from(trap: Trap) -> Self {
        Self::Trap(trap)
    }
}

/// `value`, or [`Odd::Stale`] with it.
fn done(value: u64, stale: bool) -> Result<u64, Odd> {
    if stale { Err(Odd::Stale(value)) } else { Ok(value) }
}

impl<A: Arch> Core<A> {
    /// A load of `SIZE` bytes, zero-extended.
    #[inline(always)]
    pub(super) fn load<const SIZE: usize>(&mut self, va: u64) -> Result<u64, Trap> {
        match self.tlb.read::<SIZE>(va) {
            // SAFETY: the TLB only holds pages of guest RAM, and a hit lies inside its page.
            Some(host) => Ok(unsafe { read::<SIZE>(host) }),
            None => self.load_slow(va, SIZE as u64),
        }
    }

    /// A store of the low `SIZE` bytes of `value`.
    #[inline(always)]
    pub(super) fn store<const SIZE: usize>(&mut self, va: u64, value: u64) -> Result<(), Odd> {
        match self.tlb.write::<SIZE>(va) {
            Some(host) => {
                // SAFETY: as in `load`; the write tag is only set for writable pages without code.
                unsafe { write::<SIZE>(host, value) };
                Ok(())
            }
            None => self.store_slow(va, SIZE as u64, value),
        }
    }

    fn target(&mut self, address: u64) -> Target {
        match self.ram.page_index(address) {
            Some(index) => {
                let page = self.ram.page(index);
                // SAFETY: the offset is below the page's size.
                Target::Ram(unsafe { page.add((address & OFFSET_MASK) as usize) }, index)
            }
            None => Target::Bus(address),
        }
    }

    #[cold]
    #[inline(never)]
    fn load_slow(&mut self, va: u64, size: u64) -> Result<u64, Trap> {
        self.code.note_miss();
        if va & OFFSET_MASK > PAGE_SIZE as u64 - size {
            return self.load_across_pages(va, size);
        }
        let address = A::translate(self, va, Access::Load)?;
        match self.target(address) {
            Target::Ram(host, index) => {
                self.tlb.fill_read(va, self.ram.page(index));
                // SAFETY: all bytes are on the page that `host` points into.
                Ok(unsafe { read_sized(host.as_ptr(), size) })
            }
            Target::Bus(address) => self.bus_read(va, address, size),
        }
    }

    fn bus_read(&mut self, va: u64, address: u64, size: u64) -> Result<u64, Trap> {
        self.time.publish(self.instret());
        let value = self.bus.read(address, size as u8, &mut self.ram);
        self.after_bus_access();
        value.ok_or(A::access_fault(va, Access::Load))
    }

    fn after_bus_access(&mut self) {
        self.drop_written_code();
        // An interrupt line may have moved.
        self.park();
    }

    /// A misaligned load over a page border: both pages are translated before either is read.
    fn load_across_pages(&mut self, va: u64, size: u64) -> Result<u64, Trap> {
        let first = PAGE_SIZE as u64 - (va & OFFSET_MASK);
        let low = A::translate(self, va, Access::Load)?;
        let high = A::translate(self, va.wrapping_add(first), Access::Load)?;
        let (Target::Ram(low, _), Target::Ram(high, _)) = (self.target(low), self.target(high))
        else {
            return Err(A::access_fault(va, Access::Load));
        };
        // SAFETY: `first` bytes end the first page, the rest starts the second.
        unsafe {
            Ok(read_bytes(low.as_ptr(), first)
                | read_bytes(high.as_ptr(), size - first) << (8 * first))
        }
    }

    #[cold]
    #[inline(never)]
    fn store_slow(&mut self, va: u64, size: u64, value: u64) -> Result<(), Odd> {
        self.code.note_miss();
        if va & OFFSET_MASK > PAGE_SIZE as u64 - size {
            return self.store_across_pages(va, size, value);
        }
        let address = A::translate(self, va, Access::Store)?;
        match self.target(address) {
            Target::Ram(host, index) => {
                let stale = self.make_writable(va, index);
                // SAFETY: all bytes are on the page that `host` points into.
                unsafe { write_sized(host.as_ptr(), size, value) };
                done(0, stale).map(drop)
            }
            Target::Bus(address) => Ok(self.bus_write(va, address, size, value)?),
        }
    }

    /// Lets stores to the page of `va`, which is RAM page `index`, hit from now on. Returns whether
    /// code was dropped for it.
    fn make_writable(&mut self, va: u64, index: usize) -> bool {
        let stale = self.ram.has_code(index);
        if stale {
            self.drop_code(index);
        }
        // What can be stored to can be loaded from.
        let page = self.ram.page(index);
        self.tlb.fill_write(va, page);
        self.tlb.fill_read(va, page);
        stale
    }

    fn bus_write(&mut self, va: u64, address: u64, size: u64, value: u64) -> Result<(), Trap> {
        self.time.publish(self.instret());
        let done = self.bus.write(address, size as u8, value, &mut self.ram);
        self.after_bus_access();
        done.ok_or(A::access_fault(va, Access::Store))
    }

    /// A misaligned store over a page border: nothing is written if either page refuses.
    fn store_across_pages(&mut self, va: u64, size: u64, value: u64) -> Result<(), Odd> {
        let first = PAGE_SIZE as u64 - (va & OFFSET_MASK);
        let low = A::translate(self, va, Access::Store)?;
        let high = A::translate(self, va.wrapping_add(first), Access::Store)?;
        let (Target::Ram(low, i), Target::Ram(high, j)) = (self.target(low), self.target(high))
        else {
            return Err(A::access_fault(va, Access::Store).into());
        };
        let mut stale = false;
        for index in [i, j] {
            if self.ram.has_code(index) {
                self.drop_code(index);
                stale = true;
            }
        }
        // SAFETY: `first` bytes end the first page, the rest starts the second.
        unsafe {
            write_bytes(low.as_ptr(), first, value);
            write_bytes(high.as_ptr(), size - first, value >> (8 * first));
        }
        done(0, stale).map(drop)
    }

    /// `rd = [va]; [va] = update(rd)` of a naturally aligned word or doubleword; a word is
    /// sign-extended.
    pub(super) fn amo<const SIZE: usize>(
        &mut self,
        va: u64,
        update: impl FnOnce(u64) -> u64,
    ) -> Result<u64, Odd> {
        let (host, stale) = self.atomic_target::<SIZE>(va)?;
        // SAFETY: an aligned access on the page that the TLB or `atomic_target` vouch for.
        let old = unsafe {
            let old = sign_extend::<SIZE>(read::<SIZE>(host));
            write::<SIZE>(host, update(old));
            old
        };
        done(old, stale)
    }

    /// Host address of naturally aligned, writable RAM at `va`, and whether code was dropped
    /// for it.
    fn atomic_target<const SIZE: usize>(&mut self, va: u64) -> Result<(*mut u8, bool), Trap> {
        if va & (SIZE as u64 - 1) != 0 {
            return Err(A::misaligned(va, Access::Store));
        }
        if let Some(host) = self.tlb.write::<SIZE>(va) {
            return Ok((host, false));
        }
        self.code.note_miss();
        let address = A::translate(self, va, Access::Store)?;
        let Target::Ram(host, index) = self.target(address) else {
            return Err(A::access_fault(va, Access::Store));
        };
        Ok((host.as_ptr(), self.make_writable(va, index)))
    }

    /// Load-reserved: the reservation is on the host address, which a physical one has for ever.
    pub(super) fn load_reserved<const SIZE: usize>(&mut self, va: u64) -> Result<u64, Trap> {
        if va & (SIZE as u64 - 1) != 0 {
            return Err(A::misaligned(va, Access::Load));
        }
        let host = match self.tlb.read::<SIZE>(va) {
            Some(host) => host,
            None => self.readable_target(va)?,
        };
        self.reservation = host as u64;
        // SAFETY: the TLB or `readable_target` vouch for the page; the access is aligned.
        Ok(sign_extend::<SIZE>(unsafe { read::<SIZE>(host) }))
    }

    /// Host address of readable RAM at `va`.
    fn readable_target(&mut self, va: u64) -> Result<*const u8, Trap> {
        self.code.note_miss();
        let address = A::translate(self, va, Access::Load)?;
        let Target::Ram(host, index) = self.target(address) else {
            return Err(A::access_fault(va, Access::Load));
        };
        self.tlb.fill_read(va, self.ram.page(index));
        Ok(host.as_ptr())
    }

    /// Store-conditional: 0 on success, 1 if the reservation is gone or elsewhere.
    pub(super) fn store_conditional<const SIZE: usize>(
        &mut self,
        va: u64,
        value: u64,
    ) -> Result<u64, Odd> {
        let (host, stale) = self.atomic_target::<SIZE>(va)?;
        if std::mem::replace(&mut self.reservation, NO_RESERVATION) != host as u64 {
            return done(1, stale);
        }
        // SAFETY: as in `amo`.
        unsafe { write::<SIZE>(host, value) };
        done(0, stale)
    }
}

const fn sign_extend<const SIZE: usize>(value: u64) -> u64 {
    if SIZE == 4 { value as i32 as u64 } else { value }
}

/// # Safety
/// `SIZE` bytes at `at` are readable.
#[inline(always)]
unsafe fn read<const SIZE: usize>(at: *const u8) -> u64 {
    // SAFETY: the caller's promise.
    unsafe {
        match SIZE {
            1 => u64::from(*at),
            2 => u64::from(u16::from_le(at.cast::<u16>().read_unaligned())),
            4 => u64::from(u32::from_le(at.cast::<u32>().read_unaligned())),
            _ => u64::from_le(at.cast::<u64>().read_unaligned()),
        }
    }
}

/// # Safety
/// `SIZE` bytes at `at` are writable.
#[inline(always)]
unsafe fn write<const SIZE: usize>(at: *mut u8, value: u64) {
    // SAFETY: the caller's promise.
    unsafe {
        match SIZE {
            1 => *at = value as u8,
            2 => at.cast::<u16>().write_unaligned((value as u16).to_le()),
            4 => at.cast::<u32>().write_unaligned((value as u32).to_le()),
            _ => at.cast::<u64>().write_unaligned(value.to_le()),
        }
    }
}

/// [`read`] of 1, 2, 4 or 8 bytes: a copy of so many as turns out is a call out of the module.
///
/// # Safety
/// `size` bytes at `at` are readable.
unsafe fn read_sized(at: *const u8, size: u64) -> u64 {
    // SAFETY: the caller's promise.
    unsafe {
        match size {
            1 => read::<1>(at),
            2 => read::<2>(at),
            4 => read::<4>(at),
            _ => read::<8>(at),
        }
    }
}

/// [`write`] of 1, 2, 4 or 8 bytes.
///
/// # Safety
/// `size` bytes at `at` are writable.
unsafe fn write_sized(at: *mut u8, size: u64, value: u64) {
    // SAFETY: the caller's promise.
    unsafe {
        match size {
            1 => write::<1>(at, value),
            2 => write::<2>(at, value),
            4 => write::<4>(at, value),
            _ => write::<8>(at, value),
        }
    }
}

/// # Safety
/// `len` (at most 8) bytes at `at` are readable.
unsafe fn read_bytes(at: *const u8, len: u64) -> u64 {
    let mut bytes = [0; 8];
    // SAFETY: the caller's promise; the array has room for eight.
    unsafe { std::ptr::copy_nonoverlapping(at, bytes.as_mut_ptr(), len as usize) };
    u64::from_le_bytes(bytes)
}

/// # Safety
/// `len` (at most 8) bytes at `at` are writable.
unsafe fn write_bytes(at: *mut u8, len: u64, value: u64) {
    // SAFETY: the caller's promise; the array has eight.
    unsafe { std::ptr::copy_nonoverlapping(value.to_le_bytes().as_ptr(), at, len as usize) };
}
