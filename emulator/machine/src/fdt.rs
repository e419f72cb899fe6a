//! Writer for flattened device trees (devicetree specification 0.4, chapter 5; format version 17).
//!
//! The tree is built by closures, one inside the other, so begin and end of nodes always match;
//! properties precede subnodes in the output whatever the order of calls. The bytes depend on the
//! calls only.

const FDT_MAGIC: u32 = 0xd00d_feed;
const FDT_VERSION: u32 = 17;
const FDT_LAST_COMPATIBLE_VERSION: u32 = 16;
const FDT_BEGIN_NODE: u32 = 1;
const FDT_END_NODE: u32 = 2;
const FDT_PROP: u32 = 3;
const FDT_END: u32 = 9;

const HEADER_LEN: usize = 40;
/// The terminating entry of an empty memory reservation block.
const RESERVATIONS: [u8; 16] = [0; 16];

/// Property names, each once, NUL-terminated.
#[derive(Debug, Default)]
struct Strings {
    block: Vec<u8>,
    offsets: Vec<(&'static str, u32)>,
}

impl Strings {
    fn offset(&mut self, name: &'static str) -> u32 {
        if let Some(&(_, offset)) = self.offsets.iter().find(|(known, _)| *known == name) {
            return offset;
        }
        let offset = self.block.len() as u32;
        self.block.extend(name.as_bytes());
        self.block.push(0);
        self.offsets.push((name, offset));
        offset
    }
}

/// A node being written.
#[derive(Debug)]
pub struct Node<'a> {
    strings: &'a mut Strings,
    properties: Vec<u8>,
    subnodes: Vec<u8>,
}

impl<'a> Node<'a> {
    fn new(strings: &'a mut Strings) -> Self {
        Self { strings, properties: Vec::new(), subnodes: Vec::new() }
    }

    fn into_structure(self, name: &str) -> Vec<u8> {
        let mut structure = FDT_BEGIN_NODE.to_be_bytes().to_vec();
        structure.extend(name.as_bytes());
        structure.push(0);
        pad(&mut structure, 4);
        structure.extend(self.properties);
        structure.extend(self.subnodes);
        structure.extend(FDT_END_NODE.to_be_bytes());
        structure
    }

    /// Adds a subnode.
    pub fn node(&mut self, name: &str, fill: impl FnOnce(&mut Node<'_>)) {
        let mut node = Node::new(self.strings);
        fill(&mut node);
        let structure = node.into_structure(name);
        self.subnodes.extend(structure);
    }

    /// Adds a property of arbitrary bytes.
    pub fn bytes(&mut self, name: &'static str, value: &[u8]) {
        let offset = self.strings.offset(name);
        for word in [FDT_PROP, value.len() as u32, offset] {
            self.properties.extend(word.to_be_bytes());
        }
        self.properties.extend(value);
        pad(&mut self.properties, 4);
    }

    /// Adds a property whose presence is its value.
    pub fn flag(&mut self, name: &'static str) {
        self.bytes(name, &[]);
    }

    /// Adds a property of 32-bit cells.
    pub fn cells(&mut self, name: &'static str, cells: &[u32]) {
        let bytes: Vec<u8> = cells.iter().flat_map(|cell| cell.to_be_bytes()).collect();
        self.bytes(name, &bytes);
    }

    /// Adds a property of one cell.
    pub fn u32(&mut self, name: &'static str, value: u32) {
        self.cells(name, &[value]);
    }

    /// Adds a property of 64-bit values, two cells each.
    pub fn u64s(&mut self, name: &'static str, values: &[u64]) {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_be_bytes()).collect();
        self.bytes(name, &bytes);
    }

    /// Adds a property of one string.
    pub fn str(&mut self, name: &'static str, value: &str) {
        self.strs(name, &[value]);
    }

    /// Adds a property of a list of strings.
    pub fn strs(&mut self, name: &'static str, values: &[&str]) {
        let bytes: Vec<u8> =
            values.iter().flat_map(|value| value.bytes().chain(std::iter::once(0))).collect();
        self.bytes(name, &bytes);
    }
}

/// The blob of the tree whose root node `fill` describes.
pub fn device_tree(fill: impl FnOnce(&mut Node<'_>)) -> Vec<u8> {
    let mut strings = Strings::default();
    let mut root = Node::new(&mut strings);
    fill(&mut root);
    let mut structure = root.into_structure("");
    structure.extend(FDT_END.to_be_bytes());
    assemble(&structure, &strings.block)
}

/// Header, memory reservations, structure, strings: the order that version 17 recommends.
fn assemble(structure: &[u8], strings: &[u8]) -> Vec<u8> {
    let structure_at = HEADER_LEN + RESERVATIONS.len();
    let strings_at = structure_at + structure.len();
    let total = strings_at + strings.len();
    let boot_cpu = 0;
    let header = [
        FDT_MAGIC,
        total as u32,
        structure_at as u32,
        strings_at as u32,
        HEADER_LEN as u32,
        FDT_VERSION,
        FDT_LAST_COMPATIBLE_VERSION,
        boot_cpu,
        strings.len() as u32,
        structure.len() as u32,
    ];
    let mut blob: Vec<u8> = header.iter().flat_map(|word| word.to_be_bytes()).collect();
    blob.extend(RESERVATIONS);
    blob.extend(structure);
    blob.extend(strings);
    blob
}

fn pad(bytes: &mut Vec<u8>, alignment: usize) {
    bytes.resize(bytes.len().next_multiple_of(alignment), 0);
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use super::*;

    /// The source form of `blob` as the device tree compiler prints it; nothing if it is missing.
    pub(crate) fn decompile(blob: &[u8]) -> Option<String> {
        let spawned = Command::new("dtc")
            .args(["-q", "-I", "dtb", "-O", "dts", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let Ok(mut dtc) = spawned else {
            println!("skipped: dtc (device-tree-compiler) is not installed");
            return None;
        };
        dtc.stdin.take().unwrap().write_all(blob).unwrap();
        let output = dtc.wait_with_output().unwrap();
        assert!(output.status.success(), "dtc rejected the blob");
        Some(String::from_utf8(output.stdout).unwrap())
    }

    fn small_tree() -> Vec<u8> {
        device_tree(|root| {
            root.u32("#address-cells", 2);
            root.node("a@1", |a| {
                a.node("inner", |inner| inner.flag("late"));
                a.u64s("reg", &[0x1_0000_0002, 3]);
                a.strs("compatible", &["x,y", "z"]);
                a.bytes("blob", &[1, 2, 3, 4, 5]);
            });
            root.node("b", |b| b.u32("#address-cells", 7));
        })
    }

    #[test]
    fn the_compiler_reads_back_what_was_written() {
        let Some(source) = decompile(&small_tree()) else { return };
        let words: Vec<&str> = source.split_whitespace().collect();
        let expected = "/dts-v1/; / { #address-cells = <0x02>; \
            a@1 { reg = <0x01 0x02 0x00 0x03>; compatible = \"x,y\\0z\"; blob = [01 02 03 04 05]; \
            inner { late; }; }; \
            b { #address-cells = <0x07>; }; };";
        assert_eq!(words.join(" "), expected);
    }

    #[test]
    fn the_header_describes_the_blocks() {
        let blob = small_tree();
        let word = |index: usize| u32::from_be_bytes(blob[4 * index..][..4].try_into().unwrap());
        assert_eq!(word(0), 0xd00d_feed);
        assert_eq!(word(1) as usize, blob.len());
        assert_eq!((word(4), word(5), word(6)), (40, 17, 16));
        assert_eq!(word(2) + word(9), word(3), "strings follow the structure");
        assert_eq!(word(3) + word(8), word(1), "strings end the blob");
    }

    #[test]
    fn property_names_are_stored_once() {
        let blob = small_tree();
        let name = b"#address-cells";
        assert_eq!(blob.windows(name.len()).filter(|window| window == name).count(), 1);
    }
}
