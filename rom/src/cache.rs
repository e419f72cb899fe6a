//! The chunks decoded last.

/// How much of the image a reader holds decoded. The guest's page cache keeps what is needed again:
/// this is for requests that take a chunk piece by piece. It bounds the memory of a machine whose
/// program reads all over its disk.
pub const CACHE_BYTES: usize = 1 << 20;

struct Entry {
    chunk: u64,
    used: u64,
    bytes: Vec<u8>,
}

/// Chunks by number, the one that was used longest ago goes first.
#[derive(Default)]
pub(crate) struct Cache {
    entries: Vec<Entry>,
    clock: u64,
}

impl Cache {
    /// The chunk, if it is here.
    pub(crate) fn get(&mut self, chunk: u64) -> Option<&[u8]> {
        self.clock += 1;
        let entry = self.entries.iter_mut().find(|entry| entry.chunk == chunk)?;
        entry.used = self.clock;
        Some(&entry.bytes)
    }

    /// Makes room for a chunk: a buffer to use again where the cache is full.
    pub(crate) fn room(&mut self, len: usize) -> Vec<u8> {
        let held = self.entries.iter().map(|entry| entry.bytes.len()).sum::<usize>();
        let oldest = || self.entries.iter().enumerate().min_by_key(|(_, entry)| entry.used);
        let mut bytes = match oldest() {
            Some((at, _)) if held + len > CACHE_BYTES => self.entries.swap_remove(at).bytes,
            _ => Vec::new(),
        };
        bytes.resize(len, 0);
        bytes
    }

    /// Keeps a chunk that is not here.
    pub(crate) fn put(&mut self, chunk: u64, bytes: Vec<u8>) {
        self.entries.push(Entry { chunk, used: self.clock, bytes });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEN: usize = CACHE_BYTES / 16;

    #[test]
    fn chunk_used_longest_ago_makes_room() {
        let mut cache = Cache::default();
        for chunk in 0..16 {
            assert!(cache.get(chunk).is_none());
            let bytes = cache.room(LEN);
            cache.put(chunk, bytes);
        }
        assert!(cache.get(0).is_some() && cache.get(15).is_some());
        let bytes = cache.room(LEN);
        cache.put(16, bytes);
        assert!(cache.get(0).is_some() && cache.get(1).is_none() && cache.get(16).is_some());
    }

    #[test]
    fn cache_never_holds_more_than_its_bound() {
        let mut cache = Cache::default();
        for chunk in 0..100 {
            let bytes = cache.room(LEN);
            cache.put(chunk, bytes);
            let held: usize = cache.entries.iter().map(|entry| entry.bytes.len()).sum();
            assert!(held <= CACHE_BYTES);
        }
    }
}
