use super::*;

fn host(address: usize) -> NonNull<u8> {
    NonNull::new(address as *mut u8).expect("not zero")
}

const VIEWS: [View; 3] = [View::User, View::Kernel, View::KernelAndUser];

/// The views in which an address space can load from the page at 0x1000.
fn hits(tlb: &mut Tlb, space: u64) -> [bool; 3] {
    tlb.enter_space(space);
    VIEWS.map(|view| {
        tlb.select(view);
        tlb.read::<1>(0x1000).is_some()
    })
}

/// The number of entries that hold something.
fn filled(tlb: &Tlb) -> usize {
    let entries = tlb.places.iter().flat_map(|place| [place.load, place.store]);
    entries.filter(|entry| *entry != EMPTY).count()
}

fn fill_views(tlb: &mut Tlb, space: u64) {
    tlb.enter_space(space);
    for view in VIEWS {
        tlb.select(view);
        tlb.fill_read(0x1000, host(0x5000));
    }
}

#[test]
fn who_comes_back_to_an_address_space_finds_its_entries() {
    let mut tlb = Tlb::new();
    fill_views(&mut tlb, 7);
    assert_eq!(hits(&mut tlb, 8), [false, true, false], "the kernel's are everybody's");
    assert_eq!(hits(&mut tlb, 7), [true; 3]);
    for space in 10..10 + SPACES as u64 {
        tlb.enter_space(space);
    }
    assert_eq!(hits(&mut tlb, 7), [false, true, false], "its place was taken");
}

#[test]
fn a_kernels_entry_of_one_address_space_ends_with_it() {
    let mut tlb = Tlb::new();
    fill_views(&mut tlb, 7);
    tlb.select(View::User);
    tlb.note_local();
    assert_eq!(hits(&mut tlb, 8), [false, true, false], "the user's always are");
    tlb.select(View::Kernel);
    tlb.note_local();
    assert_eq!(hits(&mut tlb, 7), [true, false, true]);
}

#[test]
fn fences_reach_the_address_spaces_they_mean() {
    for (page, expected) in [(false, [false, true, false]), (true, [false; 3])] {
        let mut tlb = Tlb::new();
        for space in [7, 8, 9] {
            fill_views(&mut tlb, space);
        }
        let is_meant = |space| space == 8;
        if page {
            assert_eq!(tlb.flush_page(0x1000, is_meant), Flushed::Page);
        } else {
            tlb.flush_spaces(is_meant);
        }
        assert_eq!(hits(&mut tlb, 8), expected);
        assert_eq!(hits(&mut tlb, 7), [true, !page, true]);
        assert_eq!(hits(&mut tlb, 9), [true, !page, true]);
    }
}

#[test]
fn only_accesses_inside_the_page_with_permission_hit() {
    let mut tlb = Tlb::new();
    tlb.fill_read(0xffff_ffc0_0000_1234, host(0x5000));
    assert_eq!(tlb.read::<8>(0xffff_ffc0_0000_1ff8), Some(0x5ff8 as *const u8));
    assert_eq!(tlb.read::<1>(0xffff_ffc0_0000_1fff), Some(0x5fff as *const u8));
    assert_eq!(tlb.read::<8>(0xffff_ffc0_0000_1ff9), None);
    assert_eq!(tlb.read::<2>(0xffff_ffc0_0000_1001), Some(0x5001 as *const u8));
    assert_eq!(tlb.read::<2>(0xffff_ffc0_0000_0fff), None);
    assert_eq!(tlb.read::<8>(0xffff_ffc0_0000_2000), None);
    assert_eq!(tlb.write::<8>(0xffff_ffc0_0000_1000), None);
    for va in [0x800, 0x801, 0x802, 0x804, 0] {
        assert_eq!(tlb.read::<8>(va), None, "an empty entry must not match {va:#x}");
    }
}

#[test]
fn flushing_a_page_of_a_superpage_forgets_all_of_it() {
    let mut tlb = Tlb::new();
    tlb.note_superpage(0xffff_ffd0_0000_0000, 1 << 30);
    tlb.note_superpage(0x20_0000, 0x20_0000);
    tlb.fill_read(0x20_1000, host(0x5000));
    tlb.flush_page(0x40_0000, |_| true);
    assert!(tlb.read::<1>(0x20_1000).is_some());
    tlb.flush_page(0x3f_f000, |_| true);
    assert_eq!(tlb.read::<1>(0x20_1000), None);
}

#[test]
fn sets_are_apart_and_protect_reaches_all() {
    let mut tlb = Tlb::new();
    tlb.select(View::Kernel);
    tlb.fill_read(0x1000, host(0x5000));
    tlb.fill_write(0x1000, host(0x5000));
    tlb.select(View::User);
    assert_eq!(tlb.read::<1>(0x1000), None);
    tlb.protect(host(0x5000));
    tlb.select(View::Kernel);
    assert_eq!(tlb.write::<1>(0x1000), None);
    assert!(tlb.read::<1>(0x1000).is_some());
    tlb.flush_page(0x1fff, |_| false);
    assert_eq!(tlb.read::<1>(0x1000), None);
}

#[test]
fn a_flush_forgets_every_entry_of_every_set() {
    let mut tlb = Tlb::new();
    for space in 0..SPACES as u64 {
        tlb.enter_space(space);
        for view in VIEWS {
            tlb.select(view);
            for page in 0..PLACES as u64 {
                tlb.fill_read(page << 12, host(0x5000));
                tlb.fill_write(page << 12, host(0x6000));
            }
        }
    }
    assert_eq!(filled(&tlb), 2 * SETS * PLACES);
    tlb.flush();
    assert!(tlb.places.iter().all(|place| *place == EMPTY_PLACE));
}

#[test]
fn a_limited_tlb_holds_no_more_entries_than_that() {
    let mut tlb = Tlb::new();
    tlb.limit(4);
    for page in 0..100 {
        tlb.fill_read(page << 12, host(0x5000));
        tlb.fill_write(page << 12, host(0x6000));
        assert!(filled(&tlb) <= 4);
        assert!(tlb.write::<1>(page << 12).is_some());
    }
}

#[test]
fn a_copy_between_places_with_the_same_entry_hits_on_both_sides() {
    let mut tlb = Tlb::new();
    let far = (PLACES as u64) << 12;
    tlb.fill_read(0x1000, host(0x5000));
    tlb.fill_write(0x1000 + far, host(0x6000));
    assert_eq!(tlb.read::<1>(0x1000), Some(0x5000 as *const u8));
    assert_eq!(tlb.write::<1>(0x1000 + far), Some(0x6000 as *mut u8));
    assert_eq!(tlb.read::<1>(0x1000 + far), None);
}
