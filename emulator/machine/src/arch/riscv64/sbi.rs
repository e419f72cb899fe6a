//! The firmware: RISC-V Supervisor Binary Interface 2.0, as far as one hart needs it.

use super::{Riscv64, csr};
use crate::bus::{GuestMemory, GuestPhysAddr};
use crate::core::{Core, Halt, Pause};

/// Extension IDs.
const BASE: u64 = 0x10;
const TIME: u64 = 0x5449_4d45;
const SRST: u64 = 0x5352_5354;
const DBCN: u64 = 0x4442_434e;

/// Error codes.
const SUCCESS: i64 = 0;
const ERR_NOT_SUPPORTED: i64 = -2;
const ERR_INVALID_PARAM: i64 = -3;

/// Version 2.0: major in the upper half, minor in the lower 24 bits.
const SPEC_VERSION: u64 = 2 << 24;
/// No registered implementation ID is ours; this one is free.
const IMPLEMENTATION_ID: u64 = 0x4c54_4859;

/// Most bytes of one debug-console write: the guest may name all of its RAM.
const MAX_CONSOLE_WRITE: u64 = 64 << 10;

type Answer = Result<u64, i64>;

const A0: usize = 10;
const A1: usize = 11;
const A2: usize = 12;
const A6: usize = 16;
const A7: usize = 17;

/// Serves the call in a7 and a6; the answer goes to a0 (error) and a1 (value).
pub(super) fn call(core: &mut Core<Riscv64>) {
    let (extension, function) = (core.x[A7], core.x[A6]);
    let answer = match extension {
        BASE => base(core, function),
        TIME if function == 0 => {
            let deadline = core.x[A0];
            csr::set_timer(core, deadline);
            Ok(0)
        }
        SRST if function == 0 => system_reset(core),
        DBCN => debug_console(core, function),
        _ => Err(ERR_NOT_SUPPORTED),
    };
    let (error, value) = match answer {
        Ok(value) => (SUCCESS, value),
        Err(error) => (error, 0),
    };
    core.x[A0] = error as u64;
    core.x[A1] = value;
}

/// Chapter 4.
fn base(core: &Core<Riscv64>, function: u64) -> Answer {
    match function {
        0 => Ok(SPEC_VERSION),
        1 => Ok(IMPLEMENTATION_ID),
        2 => Ok(1),
        3 => Ok(u64::from(matches!(core.x[A0], BASE | TIME | SRST | DBCN))),
        // mvendorid, marchid, mimpid: not a commercial implementation.
        4..=6 => Ok(0),
        _ => Err(ERR_NOT_SUPPORTED),
    }
}

/// Chapter 10: type in a0, reason in a1.
fn system_reset(core: &mut Core<Riscv64>) -> Answer {
    const SYSTEM_FAILURE: u64 = 1;
    let halt = match (core.x[A0], core.x[A1]) {
        (0, SYSTEM_FAILURE) => Halt::Failure,
        (0, _) => Halt::Shutdown,
        (1 | 2, _) => Halt::Reboot,
        _ => return Err(ERR_INVALID_PARAM),
    };
    core.pause(Pause::Halted(halt));
    Ok(0)
}

/// Chapter 12. Input always answers that there is none.
fn debug_console(core: &mut Core<Riscv64>, function: u64) -> Answer {
    match function {
        0 => {
            let len = core.x[A0].min(MAX_CONSOLE_WRITE);
            let at = GuestPhysAddr(core.x[A1]);
            if core.x[A2] != 0 {
                return Err(ERR_INVALID_PARAM);
            }
            let mut bytes = vec![0; len as usize];
            core.ram.read(at, &mut bytes).map_err(|_| ERR_INVALID_PARAM)?;
            core.bus.log.0.write(&bytes);
            Ok(len)
        }
        1 => Ok(0),
        2 => {
            let byte = core.x[A0] as u8;
            core.bus.log.0.write(&[byte]);
            Ok(0)
        }
        _ => Err(ERR_NOT_SUPPORTED),
    }
}
