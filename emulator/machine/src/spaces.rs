//! Numbers of the address spaces for which caches remember what virtual addresses mean.
//!
//! Two views of the memory are told apart. What user code's addresses mean is up to the current address
//! space; a guest that switches back to one finds what it left there. Privileged code is
//! mapped alike in all of them, as long as nobody says otherwise.

/// Address spaces that keep their numbers. More programs than that which take turns look up anew.
const KNOWN: usize = 32;
/// No address space has this number.
pub(crate) const NO_SPACE: u32 = 0;

#[derive(Debug)]
pub(crate) struct Spaces {
    /// The number for which entries must hold to be used now. Translated code reads it.
    current: u32,
    user: u32,
    privileged: u32,
    is_privileged: bool,
    /// Whether something was remembered of privileged code that holds in one address space only.
    privileged_is_local: bool,
    /// What the architecture calls the current address space.
    name: u64,
    /// Names of address spaces, and the numbers of what their user code sees.
    known: [(u64, u32); KNOWN],
    /// Whose place the next one takes.
    oldest: usize,
    last: u32,
}

impl Spaces {
    pub(crate) fn new() -> Self {
        let mut spaces = Self {
            current: NO_SPACE,
            user: NO_SPACE,
            privileged: NO_SPACE,
            is_privileged: false,
            privileged_is_local: false,
            name: 0,
            known: [(0, NO_SPACE); KNOWN],
            oldest: 0,
            last: NO_SPACE,
        };
        spaces.forget();
        spaces
    }

    pub(crate) const fn current(&self) -> u32 {
        self.current
    }

    /// The number of what privileged code sees now.
    pub(crate) const fn privileged(&self) -> u32 {
        self.privileged
    }

    /// Where translated code finds the current number.
    pub(crate) const fn word(&self) -> &u32 {
        &self.current
    }

    /// Chooses the view of privileged code or that of user code.
    pub(crate) fn select(&mut self, privileged: bool) {
        self.is_privileged = privileged;
        self.current = if privileged { self.privileged } else { self.user };
    }

    /// Goes over to the address space that the architecture calls `name`.
    pub(crate) fn enter(&mut self, name: u64) {
        self.name = name;
        let known = self.known.iter().find(|known| known.0 == name && known.1 != NO_SPACE);
        self.user = match known {
            Some(&(_, number)) => number,
            None => self.learn(name),
        };
        if self.privileged_is_local {
            self.renew_privileged();
        }
        self.select(self.is_privileged);
    }

    /// Something of privileged code is about to be remembered that holds in this address space only.
    pub(crate) const fn note_local(&mut self) {
        self.privileged_is_local |= self.is_privileged;
    }

    /// Forgets everything: no number that was in use is.
    pub(crate) fn forget(&mut self) {
        self.known = [(0, NO_SPACE); KNOWN];
        self.user = self.learn(self.name);
        self.renew_privileged();
        self.select(self.is_privileged);
    }

    /// Forgets what user code of the address spaces that `is_meant` accepts by name sees, and what holds
    /// of privileged code in some of them only.
    pub(crate) fn forget_some(&mut self, is_meant: impl Fn(u64) -> bool) {
        for known in self.known.iter_mut().filter(|known| is_meant(known.0)) {
            *known = (0, NO_SPACE);
        }
        if is_meant(self.name) {
            self.user = self.learn(self.name);
        }
        if self.privileged_is_local {
            self.renew_privileged();
        }
        self.select(self.is_privileged);
    }

    /// Whether numbers are about to be used again: then nothing that bears one may be left.
    pub(crate) const fn is_used_up(&self) -> bool {
        self.last > u32::MAX - 2
    }

    /// Uses numbers again.
    pub(crate) fn start_over(&mut self) {
        self.last = NO_SPACE;
        self.forget();
    }

    fn learn(&mut self, name: u64) -> u32 {
        let number = self.fresh();
        self.known[self.oldest] = (name, number);
        self.oldest = (self.oldest + 1) % KNOWN;
        number
    }

    fn renew_privileged(&mut self) {
        self.privileged = self.fresh();
        self.privileged_is_local = false;
    }

    fn fresh(&mut self) -> u32 {
        self.last += 1;
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers of both views.
    fn views(spaces: &mut Spaces) -> [u32; 2] {
        [false, true].map(|privileged| {
            spaces.select(privileged);
            spaces.current()
        })
    }

    #[test]
    fn who_comes_back_finds_what_was_left_there() {
        let mut spaces = Spaces::new();
        spaces.enter(7);
        let seven = views(&mut spaces);
        spaces.enter(8);
        let eight = views(&mut spaces);
        assert_ne!(seven[0], eight[0]);
        assert_eq!(seven[1], eight[1], "privileged code is the same");
        assert!(!seven.contains(&eight[0]) && !eight[..1].contains(&eight[1]));
        spaces.enter(7);
        assert_eq!(views(&mut spaces), seven);
    }

    #[test]
    fn privileged_code_of_one_space_ends_with_it() {
        let mut spaces = Spaces::new();
        spaces.enter(7);
        let seven = views(&mut spaces);
        spaces.select(false);
        spaces.note_local();
        spaces.enter(8);
        assert_eq!(views(&mut spaces)[1], seven[1], "user code's is always local");
        spaces.note_local();
        spaces.enter(7);
        assert_eq!(views(&mut spaces)[0], seven[0]);
        assert_ne!(views(&mut spaces)[1], seven[1]);
    }

    #[test]
    fn what_is_forgotten_does_not_come_back() {
        let mut spaces = Spaces::new();
        for name in 0..5 {
            spaces.enter(name);
        }
        let four = views(&mut spaces);
        spaces.forget_some(|name| name == 2);
        assert_eq!(views(&mut spaces), four);
        spaces.enter(2);
        let two = views(&mut spaces);
        assert!(two[0] > four[0]);
        spaces.forget_some(|name| name == 2);
        assert!(views(&mut spaces)[0] > two[0]);
        spaces.forget();
        let forgotten = views(&mut spaces);
        assert!(forgotten.iter().all(|number| !two.contains(number) && *number > two[0]));
        spaces.enter(4);
        assert_ne!(views(&mut spaces)[0], four[0]);
    }

    #[test]
    fn any_number_of_spaces_may_take_turns() {
        let mut spaces = Spaces::new();
        let mut seen = std::collections::BTreeSet::new();
        for name in 0..2 * KNOWN as u64 {
            spaces.enter(name);
            assert!(seen.insert(views(&mut spaces)[0]), "a number of another one");
        }
        spaces.enter(0);
        assert!(seen.insert(views(&mut spaces)[0]), "its place was taken");
    }
}
