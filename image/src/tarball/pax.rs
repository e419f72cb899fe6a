//! PAX extended headers: records of the form `LEN KEY=VALUE\n` (POSIX.1-2017 pax, "pax Extended
//! Header"). Values are binary: only the length tells where a record ends.

use crate::limits::MAX_SPARSE_EXTENTS;

const XATTR_PREFIX: &[u8] = b"SCHILY.xattr.";

/// The records that matter here.
#[derive(Default)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link_path: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<i64>,
    pub(super) gid: Option<i64>,
    pub(super) mtime: Option<i64>,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) sparse: PaxSparse,
}

/// GNU tar's sparse records, formats 0.0, 0.1 and 1.0.
#[derive(Default)]
pub(super) struct PaxSparse {
    pub(super) major: Option<u64>,
    pub(super) minor: Option<u64>,
    pub(super) real_size: Option<u64>,
    /// Offsets and lengths in turn, from `GNU.sparse.map` or from the repeated records of 0.0.
    pub(super) map: Vec<u64>,
}

impl Pax {
    pub(super) fn parse(mut records: &[u8]) -> Result<Self, String> {
        let mut pax = Self::default();
        let mut sparse_name = None;
        while !records.is_empty() {
            let (key, value, rest) = split_record(records).ok_or("malformed PAX record")?;
            pax.apply(key, value, &mut sparse_name)?;
            records = rest;
        }
        // With sparse files `path` is a made-up name for readers that do not know the format.
        pax.path = sparse_name.or(pax.path);
        Ok(pax)
    }

    fn apply(
        &mut self,
        key: &[u8],
        value: &[u8],
        sparse_name: &mut Option<Vec<u8>>,
    ) -> Result<(), String> {
        let number = || decimal(value).ok_or_else(|| bad_value(key));
        let id = || number().and_then(|id| i64::try_from(id).map_err(|_| bad_value(key)));
        match key {
            b"path" => self.path = Some(value.to_vec()),
            b"linkpath" => self.link_path = Some(value.to_vec()),
            b"size" => self.size = Some(number()?),
            b"uid" => self.uid = Some(id()?),
            b"gid" => self.gid = Some(id()?),
            b"mtime" => self.mtime = Some(whole_seconds(value).ok_or_else(|| bad_value(key))?),
            b"GNU.sparse.major" => self.sparse.major = Some(number()?),
            b"GNU.sparse.minor" => self.sparse.minor = Some(number()?),
            b"GNU.sparse.name" => *sparse_name = Some(value.to_vec()),
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => {
                self.sparse.real_size = Some(number()?);
            }
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => self.sparse.push(number()?)?,
            b"GNU.sparse.map" => {
                for part in value.split(|byte| *byte == b',') {
                    self.sparse.push(decimal(part).ok_or_else(|| bad_value(key))?)?;
                }
            }
            _ => self.apply_xattr(key, value),
        }
        Ok(())
    }

    fn apply_xattr(&mut self, key: &[u8], value: &[u8]) {
        if let Some(name) = key.strip_prefix(XATTR_PREFIX) {
            self.xattrs.push((name.to_vec(), value.to_vec()));
        }
    }
}

impl PaxSparse {
    fn push(&mut self, number: u64) -> Result<(), String> {
        if self.map.len() >= 2 * MAX_SPARSE_EXTENTS {
            return Err(format!("a sparse map of more than {MAX_SPARSE_EXTENTS} extents"));
        }
        self.map.push(number);
        Ok(())
    }
}

fn bad_value(key: &[u8]) -> String {
    format!("unreadable PAX value of `{}`", String::from_utf8_lossy(key))
}

/// Key, value and what follows.
fn split_record(records: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = records.iter().take(20).position(|byte| *byte == b' ')?;
    let len = usize::try_from(decimal(&records[..space])?).ok()?;
    let record = records.get(space + 1..len)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    Some((&record[..equals], &record[equals + 1..], &records[len..]))
}

pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Seconds rounded down: `-1.5` is -2.
fn whole_seconds(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let seconds: i64 = whole.parse().ok()?;
    let below = whole.starts_with('-') && fraction.bytes().any(|byte| byte != b'0');
    seconds.checked_sub(i64::from(below))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_may_hold_newlines_and_equals_signs() {
        let pax = Pax::parse(b"30 SCHILY.xattr.user.a=1\n2=3\n\n11 path=ab\n").unwrap();
        assert_eq!(pax.xattrs, [(b"user.a".to_vec(), b"1\n2=3\n".to_vec())]);
        assert_eq!(pax.path.as_deref(), Some(&b"ab"[..]));
    }

    #[test]
    fn malformed_records_are_refused() {
        for records in [
            &b"path=x\n"[..],
            b"99 path=x\n",
            b"10 path=xy",
            b"5 pa\n",
            b"0 \n",
            b"3 \n",
            b"-1 path=x\n",
            b"99999999999999999999999 a=b\n",
            b"10 size=z\n",
            b"18 mtime=1.5e300x\n",
        ] {
            assert!(Pax::parse(records).is_err(), "{:?}", String::from_utf8_lossy(records));
        }
    }

    #[test]
    fn times_round_down() {
        for (text, seconds) in [("12", 12), ("12.999", 12), ("-1.5", -2), ("-1.0", -1), ("0.5", 0)]
        {
            assert_eq!(whole_seconds(text.as_bytes()), Some(seconds), "{text}");
        }
    }
}
