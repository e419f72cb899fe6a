//! The root disk: the ROM as it is, or packed.
//!
//! While the machine boots the ROM is the host's file; in the artifact it is a segment of the module,
//! which the compiled form may hold packed or not. So its form is found out at the first read after
//! each thaw, and nothing of it is frozen.

use std::cell::RefCell;
use std::rc::Rc;

use lithify_control::exit_code;
use lithify_machine::host::BlockSource;
use lithify_rom::{Header, Reader, RomError, Source};

use crate::{imports, wasi};

/// The ROM as a disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rom(Rc<RefCell<Form>>);

#[derive(Debug, Default)]
enum Form {
    #[default]
    Unknown,
    Plain,
    Packed(Box<Reader<Segment>>),
}

/// The ROM's bytes.
#[derive(Debug)]
struct Segment;

impl Source for Segment {
    fn read(&mut self, offset: u64, into: &mut [u8]) {
        imports::rom_read(into, offset);
    }
}

impl Form {
    fn find_out() -> Result<Self, RomError> {
        let len = imports::rom_len();
        let mut start = [0; Header::LEN];
        let start = &mut start[..len.min(Header::LEN as u64) as usize];
        imports::rom_read(start, 0);
        match Header::read(start)? {
            None => Ok(Self::Plain),
            Some(header) if header.raw_len() == len => {
                Ok(Self::Packed(Box::new(Reader::new(Segment, header))))
            }
            Some(_) => Err(RomError::Header("it is another image's")),
        }
    }
}

impl Rom {
    /// Forgets what was found out: the form and the chunks read last.
    pub(crate) fn forget(&self) {
        *self.0.borrow_mut() = Form::Unknown;
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), RomError> {
        let mut form = self.0.borrow_mut();
        if let Form::Unknown = *form {
            *form = Form::find_out()?;
        }
        if let Form::Packed(reader) = &mut *form {
            return reader.read(offset, into);
        }
        imports::rom_read(into, offset);
        Ok(())
    }
}

impl BlockSource for Rom {
    fn len(&self) -> u64 {
        imports::rom_len()
    }

    fn read(&mut self, offset: u64, into: &mut [u8]) {
        if let Err(error) = Self::read(self, offset, into) {
            wasi::report(&error.to_string());
            wasi::exit(exit_code::LITHIFY);
        }
    }
}
