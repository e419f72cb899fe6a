//! Training, and putting translated code into a machine that has booted.

use lithify_control::{Profile, ProfileError};
use lithify_isa::translation::{Layout, page_hash};
use lithify_translate::{Block, Budget, Code, Link, Page, Translation, translate};
use wasmtime::{Instance, Store, WasmParams, WasmResults};

use crate::append::Place;
use crate::census::{Census, Kinds};
use crate::host::BootHost;

/// Everything that translated code accesses at a constant address lies below: engines then need no
/// check of the address.
const MAX_ADDRESS: u32 = 32 << 20;

/// What to translate.
#[derive(Debug, Clone)]
pub struct Selection {
    /// What was executed how often.
    pub profile: Profile,
    /// How much of it is translated.
    pub budget: Budget,
}

/// Why nothing could be translated.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error("export `{name}`: {source}")]
    Call { name: &'static str, source: wasmtime::Error },
    #[error("the CPU's state is at {address:#x}, translated code needs it below {MAX_ADDRESS:#x}")]
    TooHigh { address: u32 },
    #[error("no memory at {at:#x}")]
    NoMemory { at: u64 },
    #[error("the profile it counted: {0}")]
    Profile(#[from] ProfileError),
    #[error(
        "it did not take the table of translated code: it is of another version of lithify, \
         `make boot-files` builds the one that fits"
    )]
    Table,
}

/// Translated code, known to the machine.
pub(crate) struct Linked {
    pub(crate) translation: Translation,
    /// As the machine got it.
    table: Vec<u8>,
    /// The pieces of guest code that are translated, as an emulator's footprint says them.
    pub(crate) pieces: Vec<u8>,
}

/// The booted instance, as the build talks to it.
pub(crate) struct Emulator<'a> {
    pub(crate) store: &'a mut Store<BootHost>,
    pub(crate) instance: Instance,
}

impl Emulator<'_> {
    fn call<P: WasmParams, R: WasmResults>(
        &mut self,
        name: &'static str,
        parameters: P,
    ) -> Result<R, LinkError> {
        let call = |source| LinkError::Call { name, source };
        let function =
            self.instance.get_typed_func::<P, R>(&mut *self.store, name).map_err(call)?;
        function.call(&mut *self.store, parameters).map_err(call)
    }

    fn memory(&mut self, at: u64, len: usize) -> Result<&mut [u8], LinkError> {
        let memory = self.instance.get_memory(&mut *self.store, "memory");
        let start = usize::try_from(at).unwrap_or(usize::MAX);
        memory
            .and_then(|memory| memory.data_mut(&mut *self.store).get_mut(start..)?.get_mut(..len))
            .ok_or(LinkError::NoMemory { at })
    }

    /// Whether it has export `name`: an emulator may do without what only makes starts faster.
    fn offers(&mut self, name: &str) -> bool {
        self.instance.get_func(&mut *self.store, name).is_some()
    }

    /// Rehearses a start of the booted machine, which is used up by that; returns what it used. `linked` is
    /// what will be translated.
    pub(crate) fn rehearse(&mut self, linked: Option<&Linked>) -> Result<Vec<u8>, LinkError> {
        if !self.offers("lithify_rehearse") {
            return Ok(Vec::new());
        }
        let table = linked.map_or(&[][..], |linked| &linked.table);
        let pieces = linked.map_or(&[][..], |linked| &linked.pieces);
        self.hand_over(&[table, pieces].concat())?;
        let place: u64 = self.call("lithify_rehearse", table.len() as u32)?;
        Ok(self.memory(place >> 32, place as u32 as usize)?.to_vec())
    }

    /// Makes the booted machine small, with what `footprint` names at hand.
    pub(crate) fn settle(&mut self, footprint: &[u8]) -> Result<(), LinkError> {
        if !self.offers("lithify_settle") {
            return Ok(());
        }
        self.hand_over(footprint)?;
        self.call("lithify_settle", ())
    }

    /// Puts `bytes` where the next call looks for them.
    fn hand_over(&mut self, bytes: &[u8]) -> Result<(), LinkError> {
        let at: u32 = self.call("lithify_table", bytes.len() as u32)?;
        self.memory(at.into(), bytes.len())?.copy_from_slice(bytes);
        Ok(())
    }

    /// What the guest uses its memory for, before [`settle`](Self::settle).
    pub(crate) fn kinds(&mut self, kernel: &[u8]) -> Result<Kinds, LinkError> {
        let records = self.pages_in_use()?;
        let memory = self.instance.get_memory(&mut *self.store, "memory");
        let memory = memory.map_or(&[][..], |memory| memory.data(&*self.store));
        Ok(Kinds::new(&records, memory, kernel))
    }

    /// The same of the machine as it will be frozen.
    pub(crate) fn census(&mut self, kinds: &Kinds) -> Result<Census, LinkError> {
        Ok(Census::new(&self.pages_in_use()?, kinds))
    }

    /// Nothing if the emulator does not say.
    fn pages_in_use(&mut self) -> Result<Vec<u8>, LinkError> {
        if !self.offers("lithify_census") {
            return Ok(Vec::new());
        }
        let place: u64 = self.call("lithify_census", ())?;
        Ok(self.memory(place >> 32, place as u32 as usize)?.to_vec())
    }

    /// Boots, trains, and returns what was counted; `None` if the machine did not come up.
    pub(crate) fn profile(&mut self, max_instructions: u64) -> Result<Option<Profile>, LinkError> {
        let place: u64 = self.call("lithify_profile", max_instructions)?;
        if place == 0 {
            return Ok(None);
        }
        let bytes = self.memory(place >> 32, place as u32 as usize)?;
        Ok(Some(Profile::decode(bytes)?))
    }

    /// Translates for the booted machine and makes it use the functions, which must be at `place`
    /// when it runs again.
    pub(crate) fn translate(
        &mut self,
        selection: &Selection,
        place: Place,
    ) -> Result<Linked, LinkError> {
        let link = Link {
            layout: self.layout()?,
            first_function: place.first_function,
            first_element: place.first_element,
        };
        let pages = pages(&selection.profile);
        let translation = translate(&pages, &link, selection.budget);
        let table = translation.table(&pages, &link);
        self.hand_over(&table)?;
        match self.call::<_, u32>("lithify_translate", ())? {
            0 => Err(LinkError::Table),
            _ => Ok(Linked { pieces: pieces(selection, &translation), table, translation }),
        }
    }

    fn layout(&mut self) -> Result<Layout, LinkError> {
        let mut words = [0; Layout::WORDS];
        for (number, word) in words.iter_mut().enumerate() {
            *word = self.call("lithify_layout", number as u32)?;
        }
        match words.into_iter().max() {
            Some(address @ MAX_ADDRESS..) => Err(LinkError::TooHigh { address }),
            _ => Ok(Layout::from_words(words)),
        }
    }
}

/// What is translated, as an emulator's footprint says it.
fn pieces(selection: &Selection, translation: &Translation) -> Vec<u8> {
    let pages = &selection.profile.pages;
    let hashes: Vec<_> = pages.iter().map(|page| page_hash(&page.bytes)).collect();
    let mut records = Vec::new();
    for Code { page, start, end } in &translation.code {
        records.extend(hashes[*page].iter().flat_map(|half| half.to_le_bytes()));
        records.extend([start, end].into_iter().flat_map(|offset| offset.to_le_bytes()));
    }
    records
}

fn pages(profile: &Profile) -> Vec<Page> {
    let page = |page: &lithify_control::PageProfile| Page {
        bytes: page.bytes.clone(),
        blocks: page
            .blocks
            .iter()
            .map(|block| Block { offset: block.offset, count: block.count })
            .collect(),
        places: page.places.clone(),
    };
    profile.pages.iter().map(page).collect()
}
