//! A packed ROM, written as its documentation says, whole or damaged, read at many places.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lithify_fuzz::Choices;
use lithify_rom::{Header, Reader, RomError, Source};

const LZ4: u8 = 1;
const ZSTD: u8 = 2;

fuzz_target!(|bytes: &[u8]| {
    let mut choices = Choices::new(bytes);
    let codec = [LZ4, ZSTD][choices.below(2)];
    let chunk_log2 = 12 + choices.below(3) as u8;
    let image: Vec<u8> = (0..choices.below(4)).flat_map(|_| choices.data()).collect();
    let whole = pack(&image, codec, chunk_log2);
    let mut rom = whole.clone();
    for _ in 0..choices.below(8) {
        let at = place(&mut choices) % rom.len();
        rom[at] = choices.byte();
    }
    let is_damaged = rom != whole;
    let header = match Header::read(&rom) {
        // An artifact's segment is as long as its header says, or it is refused before.
        Ok(Some(header)) if header.stored_len() <= rom.len() as u64 => header,
        other => return assert!(is_damaged, "{other:?}"),
    };
    let mut reader = Reader::new(Bytes(&rom), header);
    while !choices.is_over() {
        let (at, len) = (place(&mut choices), place(&mut choices));
        let mut read = vec![0; len];
        let expected = image.get(at..).and_then(|rest| rest.get(..len));
        match (reader.read(at as u64, &mut read), expected) {
            _ if is_damaged => {}
            (Ok(()), Some(expected)) => assert!(read == expected, "{len} bytes at {at}"),
            (Err(RomError::OutOfRange { .. }), None) => {}
            (outcome, _) => panic!("{len} bytes at {at}: {outcome:?}"),
        }
    }
});

fn place(choices: &mut Choices<'_>) -> usize {
    usize::from(choices.byte()) | usize::from(choices.byte()) << 8
}

struct Bytes<'a>(&'a [u8]);

impl Source for Bytes<'_> {
    fn read(&mut self, offset: u64, into: &mut [u8]) {
        into.copy_from_slice(&self.0[offset as usize..][..into.len()]);
    }
}

fn pack(image: &[u8], codec: u8, chunk_log2: u8) -> Vec<u8> {
    let chunks: Vec<Vec<u8>> =
        image.chunks(1 << chunk_log2).map(|chunk| compress(chunk, codec)).collect();
    let mut end = (32 + 4 * (chunks.len() + 1)) as u32;
    let mut index = end.to_le_bytes().to_vec();
    for chunk in &chunks {
        end += chunk.len() as u32;
        index.extend(end.to_le_bytes());
    }
    let mut rom = b"LITHROM1".to_vec();
    rom.extend([codec, chunk_log2, 0, 0, 0, 0, 0, 0]);
    rom.extend((image.len() as u64).to_le_bytes());
    rom.extend(u64::from(end).to_le_bytes());
    rom.extend(index);
    rom.extend(chunks.concat());
    rom
}

fn compress(chunk: &[u8], codec: u8) -> Vec<u8> {
    let packed = match codec {
        LZ4 => lz4_flex::block::compress(chunk),
        _ => zstd::bulk::compress(chunk, 1).expect("memory"),
    };
    if packed.len() < chunk.len() { packed } else { chunk.to_vec() }
}
