//! `--chmod`: octal or symbolic permissions.

use super::ExecError;

/// Permissions to apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mode {
    Octal(u16),
    Symbolic(Vec<Clause>),
}

/// One `who op perms` of a symbolic mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Clause {
    /// Mask of the classes: 0700, 0070, 0007.
    who: u16,
    op: char,
    perms: String,
}

impl Mode {
    pub(super) fn parse(text: &str) -> Result<Self, ExecError> {
        let wrong = || ExecError::BadMode { value: text.to_owned() };
        if text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty() {
            let mode = u16::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777);
            return mode.map(Self::Octal).ok_or_else(wrong);
        }
        let clauses: Option<Vec<Vec<Clause>>> = text.split(',').map(clauses).collect();
        clauses.map(|clauses| Self::Symbolic(clauses.concat())).ok_or_else(wrong)
    }

    pub(super) fn apply(&self, mode: u16, is_directory: bool) -> u16 {
        match self {
            Self::Octal(new) => *new,
            Self::Symbolic(clauses) => {
                clauses.iter().fold(mode, |mode, clause| clause.apply(mode, is_directory))
            }
        }
    }
}

/// `[ugoa]*` and then one or more of `[-+=][rwxXst]*`.
fn clauses(text: &str) -> Option<Vec<Clause>> {
    let ops = text.find(['+', '-', '='])?;
    let (classes, mut rest) = text.split_at(ops);
    let mut who = 0;
    for class in classes.chars() {
        who |= match class {
            'u' => 0o700,
            'g' => 0o070,
            'o' => 0o007,
            'a' => 0o777,
            _ => return None,
        };
    }
    let who = if who == 0 { 0o777 } else { who };
    let mut clauses = Vec::new();
    while let Some(op) = rest.chars().next() {
        let after = &rest[1..];
        let end = after.find(['+', '-', '=']).unwrap_or(after.len());
        let (perms, next) = after.split_at(end);
        if perms.chars().any(|perm| !"rwxXst".contains(perm)) {
            return None;
        }
        clauses.push(Clause { who, op, perms: perms.to_owned() });
        rest = next;
    }
    Some(clauses)
}

impl Clause {
    fn apply(&self, mode: u16, is_directory: bool) -> u16 {
        let bits = self.bits(mode, is_directory);
        match self.op {
            '+' => mode | bits,
            '-' => mode & !bits,
            _ => (mode & !self.covered()) | bits,
        }
    }

    fn bits(&self, mode: u16, is_directory: bool) -> u16 {
        let bit = |perm| match perm {
            'r' => 0o444 & self.who,
            'w' => 0o222 & self.who,
            'x' => 0o111 & self.who,
            'X' if is_directory || mode & 0o111 != 0 => 0o111 & self.who,
            's' => self.set_id(),
            't' if self.who == 0o777 => 0o1000,
            _ => 0,
        };
        self.perms.chars().map(bit).fold(0, |bits, bit| bits | bit)
    }

    fn set_id(&self) -> u16 {
        let user = if self.who & 0o700 != 0 { 0o4000 } else { 0 };
        let group = if self.who & 0o070 != 0 { 0o2000 } else { 0 };
        user | group
    }

    /// What `=` replaces.
    fn covered(&self) -> u16 {
        let sticky = if self.who == 0o777 { 0o1000 } else { 0 };
        self.who | self.set_id() | sticky
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_as_chmod_applies_them() {
        // mode text, before, is directory, after
        let table = [
            ("755", 0o644, false, 0o755),
            ("0", 0o644, false, 0),
            ("4755", 0o644, false, 0o4755),
            ("u+x", 0o644, false, 0o744),
            ("+x", 0o644, false, 0o755),
            ("go-rwx", 0o755, false, 0o700),
            ("a=r", 0o755, false, 0o444),
            ("u=rwx,go=rx", 0o600, false, 0o755),
            ("a+X", 0o644, false, 0o644),
            ("a+X", 0o644, true, 0o755),
            ("a+X", 0o744, false, 0o755),
            ("u+s", 0o755, false, 0o4755),
            ("g+s", 0o755, true, 0o2755),
            ("+t", 0o777, true, 0o1777),
            ("u=", 0o4755, false, 0o055),
            ("u+w-x", 0o555, false, 0o655),
        ];
        for (text, before, is_directory, after) in table {
            let mode = Mode::parse(text).unwrap();
            assert_eq!(mode.apply(before, is_directory), after, "{text} on {before:o}");
        }
    }

    #[test]
    fn what_is_no_mode_is_refused() {
        for text in ["", "8", "77777", "u", "z+x", "u+z", "u+x,", "rwx"] {
            assert!(Mode::parse(text).is_err(), "{text}");
        }
    }
}
