use super::*;

fn inode(file_type: FileType, body: InodeBody<'_>) -> Inode<'_> {
    let header = InodeHeader { mode: 0o755, uid: 1, guid: 2, mtime: 3, inode_number: 4 };
    Inode { file_type, header, nlink: 1, xattr: None, body }
}

fn regular(start_block: u64, file_size: u64, sparse: u64) -> InodeBody<'static> {
    InodeBody::Regular { start_block, file_size, sparse, fragment: None, block_list: &[9] }
}

/// The type and the length of the encoded inode.
fn form(inode: &Inode<'_>) -> (u16, usize) {
    let bytes = inode.encode();
    (u16::from_le_bytes([bytes[0], bytes[1]]), bytes.len())
}

#[test]
fn the_superblock_is_where_linux_reads_it() {
    let superblock = Superblock {
        inodes: 1,
        fragments: 2,
        ids: 3,
        root_inode: MetadataRef { block: 8194, offset: 5 },
        bytes_used: 6,
        id_table_start: 7,
        xattr_id_table_start: NO_TABLE,
        inode_table_start: 9,
        directory_table_start: 10,
        fragment_table_start: 11,
        lookup_table_start: 12,
    };
    let bytes = superblock.encode();
    assert_eq!(bytes.len(), 96);
    assert_eq!(&bytes[..4], b"hsqs");
    let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    assert_eq!(number(32), 8194 << 16 | 5);
    let tables: Vec<u64> = (40..96).step_by(8).map(number).collect();
    assert_eq!(tables, [6, 7, u64::MAX, 9, 10, 11, 12]);
    // Version 4.0; block size and its logarithm.
    assert_eq!(bytes[28..32], [4, 0, 0, 0]);
    assert_eq!((&bytes[12..16], bytes[22]), (&[0, 0, 1, 0][..], 16));
}

#[test]
fn regular_files_take_the_long_form_only_if_they_must() {
    const GIB4: u64 = 1 << 32;
    for (body, expected) in [
        (regular(GIB4 - 1, GIB4 - 1, 0), (2, 36)),
        (regular(GIB4, 5, 0), (9, 60)),
        (regular(5, GIB4, 0), (9, 60)),
        (regular(5, 5, 1), (9, 60)),
    ] {
        assert_eq!(form(&inode(FileType::Regular, body)), expected);
    }
    let linked = Inode { nlink: 2, ..inode(FileType::Regular, regular(5, 5, 0)) };
    assert_eq!(form(&linked), (9, 60));
}

#[test]
fn directories_take_the_long_form_only_if_they_must() {
    let index = [IndexEntry { index: 0, start_block: 0, name: (*b"abc").into() }];
    let directory = |file_size, index| InodeBody::Directory {
        listing: MetadataRef::default(),
        file_size,
        parent_inode: 1,
        index,
    };
    for (body, expected) in [
        (directory(65_535, &[][..]), (1, 32)),
        (directory(65_536, &[][..]), (8, 40)),
        (directory(3, &index[..]), (8, 55)),
    ] {
        assert_eq!(form(&inode(FileType::Directory, body)), expected);
    }
}

#[test]
fn attributes_take_the_long_form() {
    let with = |file_type, body| form(&Inode { xattr: Some(7), ..inode(file_type, body) });
    assert_eq!(with(FileType::Symlink, InodeBody::Symlink(b"to")), (10, 30));
    assert_eq!(with(FileType::BlockDevice, InodeBody::Device(1)), (11, 28));
    assert_eq!(with(FileType::CharDevice, InodeBody::Device(1)), (12, 28));
    assert_eq!(with(FileType::Fifo, InodeBody::Ipc), (13, 24));
    assert_eq!(with(FileType::Socket, InodeBody::Ipc), (14, 24));
    assert_eq!(with(FileType::Regular, regular(0, 0, 0)), (9, 60));
}
