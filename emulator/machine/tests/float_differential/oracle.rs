//! The instructions executed by QEMU's user mode.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::instructions::Instruction;

const COMPILER: &str = "riscv64-linux-gnu-gcc";
const EMULATOR: &str = "qemu-riscv64";

/// One instruction to execute.
pub(crate) struct Record {
    pub(crate) instruction: u64,
    pub(crate) rounding_mode: u64,
    pub(crate) operands: [u64; 3],
}

/// What it left behind.
pub(crate) struct Outcome {
    float_register: u64,
    integer_register: u64,
    pub(crate) flags: u64,
}

impl Outcome {
    pub(crate) fn result(&self, instruction: &Instruction) -> u64 {
        if instruction.has_integer_result() { self.integer_register } else { self.float_register }
    }
}

pub(crate) struct Oracle {
    program: PathBuf,
}

impl Oracle {
    /// Compiles the program; `None`, and a message, without the tools for it. `name` keeps
    /// concurrent tests apart.
    pub(crate) fn build(name: &str, instructions: &[Instruction]) -> Option<Self> {
        for tool in [COMPILER, EMULATOR] {
            if Command::new(tool).arg("--version").output().is_err() {
                println!("skipped: {tool} is not installed");
                return None;
            }
        }
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&folder).expect("create the oracle's folder");
        std::fs::write(folder.join("cases.h"), cases(instructions)).expect("write cases.h");
        let program = folder.join("oracle");
        let compiled = Command::new(COMPILER)
            .args(["-O2", "-static", "-o"])
            .arg(&program)
            .arg("-I")
            .arg(&folder)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/float_differential/oracle.c"))
            .status()
            .expect("start the compiler");
        assert!(compiled.success(), "{COMPILER} compiles the oracle");
        Some(Self { program })
    }

    pub(crate) fn execute(&self, records: &[Record]) -> Vec<Outcome> {
        let mut child = Command::new(EMULATOR)
            .arg(&self.program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start the oracle");
        let mut stdin = child.stdin.take().expect("piped");
        let mut stdout = child.stdout.take().expect("piped");
        let input: Vec<u8> = records.iter().flat_map(Record::to_bytes).collect();
        let mut output = Vec::new();
        std::thread::scope(|scope| {
            scope.spawn(move || stdin.write_all(&input).expect("the oracle reads every record"));
            stdout.read_to_end(&mut output).expect("read the oracle's output");
        });
        assert!(child.wait().expect("wait for the oracle").success(), "the oracle succeeds");
        let outcomes: Vec<Outcome> = output.chunks_exact(24).map(Outcome::from_bytes).collect();
        assert_eq!(outcomes.len(), records.len(), "one outcome per record");
        outcomes
    }
}

fn cases(instructions: &[Instruction]) -> String {
    instructions.iter().enumerate().fold(String::new(), |mut cases, (number, instruction)| {
        writeln!(cases, "INSTRUCTION({number}, \"{}\")", instruction.assembly).expect("in memory");
        cases
    })
}

impl Record {
    fn to_bytes(&self) -> impl Iterator<Item = u8> + use<> {
        let [a, b, c] = self.operands;
        [self.instruction, self.rounding_mode, a, b, c].into_iter().flat_map(u64::to_le_bytes)
    }
}

impl Outcome {
    fn from_bytes(bytes: &[u8]) -> Self {
        let word = |index: usize| {
            u64::from_le_bytes(bytes[index * 8..][..8].try_into().expect("eight bytes"))
        };
        Self { float_register: word(0), integer_register: word(1), flags: word(2) }
    }
}
