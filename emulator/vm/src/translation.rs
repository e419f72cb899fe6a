//! What the build calls for translated code. It counts what a training run executes, in an instance
//! that it then throws away, asks where translated functions find the CPU's state, and hands over
//! the table of what was translated. None of these calls is left in an artifact.

use std::cell::RefCell;

use lithify_control::{BlockProfile, PageProfile, Profile};
use lithify_machine::{Machine, PageCounts};

use crate::{FROZEN, boot, imports, train};

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

pub(crate) fn with_machine<R>(body: impl FnOnce(&mut Machine) -> R) -> Option<R> {
    FROZEN.with_borrow_mut(|frozen| frozen.as_mut().map(|frozen| body(&mut frozen.machine)))
}

/// One word of the layout of a machine that has booted; 0 if there is none.
#[unsafe(export_name = "lithify_layout")]
pub(crate) extern "C" fn layout(word: u32) -> u32 {
    let word_of = |machine: &mut Machine| machine.layout().to_words().get(word as usize).copied();
    with_machine(word_of).flatten().unwrap_or(0)
}

/// Where the build puts the table, `len` bytes.
#[unsafe(export_name = "lithify_table")]
pub(crate) extern "C" fn table(len: u32) -> *mut u8 {
    BUFFER.set(vec![0; len as usize]);
    BUFFER.with_borrow_mut(Vec::as_mut_ptr)
}

/// What the build has put there.
pub(crate) fn take_buffer() -> Vec<u8> {
    BUFFER.take()
}

/// Lets the build take `bytes`: their address in the upper half, their length.
pub(crate) fn hand_over(bytes: Vec<u8>) -> u64 {
    BUFFER.set(bytes);
    BUFFER.with_borrow(|bytes| (bytes.as_ptr() as u64) << 32 | bytes.len() as u64)
}

/// Makes the machine use the table; returns 0 if it is damaged.
#[unsafe(export_name = "lithify_translate")]
pub(crate) extern "C" fn translate() -> u32 {
    let mut table = BUFFER.take();
    let done = with_machine(|machine| {
        // SAFETY: the build translated for this machine's layout, and appends the functions to this
        // module at the indices that the table says.
        unsafe { machine.translate(&table, call) }
    });
    // Freed memory is frozen too; zeros cost nothing there.
    table.fill(0);
    std::hint::black_box(&table);
    u32::from(done.flatten().is_some())
}

/// Calls a function of the module's own table.
///
/// # Safety
/// As [`lithify_machine::Call`] says.
unsafe fn call(function: u32, _cpu: *mut (), tlb: *const (), page: u64, entry: u32) -> u64 {
    type Translated = unsafe extern "C" fn(u32, u64, u32) -> u64;
    // SAFETY: a function pointer is an index of the table, and the caller vouches for the function.
    unsafe {
        let function = std::mem::transmute::<usize, Translated>(function as usize);
        function(tlb as usize as u32, page, entry)
    }
}

/// Boots and trains; returns address and length of the encoded profile, the address in the upper
/// half. 0 if the guest did not come up, which was then said.
#[unsafe(export_name = "lithify_profile")]
pub(crate) extern "C" fn profile(max_instructions: u64) -> u64 {
    let machine = boot::boot(boot::Counting::On).map(|mut frozen| {
        train::run(&mut frozen, max_instructions);
        frozen.machine
    });
    match machine {
        Ok(mut machine) => hand_over(encode(machine.block_counts())),
        Err(why) => {
            imports::boot_log(format!("{}{why}\n", why.prefix()).as_bytes());
            0
        }
    }
}

fn encode(counts: Vec<PageCounts>) -> Vec<u8> {
    let block = |(offset, count)| BlockProfile { offset, count };
    let page = |page: PageCounts| PageProfile {
        bytes: page.bytes,
        blocks: page.blocks.into_iter().map(block).collect(),
        places: page.places,
    };
    Profile { pages: counts.into_iter().map(page).collect() }.encode()
}
