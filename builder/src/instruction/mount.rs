//! `RUN --mount=type=…,…`.

use super::InstructionError;
use crate::error::Hint;

const FIELDS: [&str; 19] = [
    "type",
    "from",
    "source",
    "src",
    "target",
    "dst",
    "destination",
    "readonly",
    "ro",
    "readwrite",
    "rw",
    "required",
    "size",
    "id",
    "sharing",
    "mode",
    "uid",
    "gid",
    "env",
];

/// A mount's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MountKind {
    /// Files of the context, a stage or an image.
    #[default]
    Bind,
    /// A directory that outlives the build.
    Cache,
    /// An empty directory in memory.
    Tmpfs,
    /// A secret given to the build.
    Secret,
    /// The ssh agent's socket.
    Ssh,
}

/// How several steps use one cache mount at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// All at once.
    Shared,
    /// A new cache for each.
    Private,
    /// One after another.
    Locked,
}

/// A mount, checked as far as it holds no variables.
///
/// Values that hold a `$` are kept as written and checked after their expansion, by parsing the mount again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mount {
    /// Its fields as written.
    pub text: String,
    /// Its type.
    pub kind: MountKind,
    /// Stage, image or named context that the files come from.
    pub from: Option<String>,
    /// Path in `from`, or the secret's file.
    pub source: Option<String>,
    /// Where it appears.
    pub target: Option<String>,
    /// Writes are refused; `None` means the type's default.
    pub read_only: Option<bool>,
    /// The step fails if the secret or agent is missing.
    pub required: bool,
    /// Size of a tmpfs in bytes.
    pub size: Option<u64>,
    /// Identity of a cache or secret.
    pub id: Option<String>,
    /// Sharing of a cache.
    pub sharing: Option<Sharing>,
    /// Permission bits.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Environment variable that receives the secret.
    pub env: Option<String>,
}

/// Reads the fields of a mount.
pub(crate) fn parse(text: &str) -> Result<Mount, InstructionError> {
    let mut mount = Mount { text: text.to_owned(), ..Mount::default() };
    for field in csv(text) {
        let (name, value) = match field.split_once('=') {
            Some((name, value)) => (name.to_ascii_lowercase(), Some(value)),
            None => (field.to_ascii_lowercase(), None),
        };
        if !FIELDS.contains(&name.as_str()) {
            return Err(InstructionError::MountField {
                mount: text.to_owned(),
                hint: Hint::nearest(&name, FIELDS),
                field: name,
            });
        }
        mount.set(&name, value).map_err(|problem| mount.wrong(problem))?;
    }
    mount.check().map_err(|problem| mount.wrong(problem))?;
    Ok(mount)
}

/// Fields at commas; a field in double quotes can hold commas, `""` in it is a quote.
fn csv(text: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let field = fields.last_mut().expect("there is always a last field");
        match c {
            '"' if quoted && chars.next_if_eq(&'"').is_some() => field.push('"'),
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            c => field.push(c),
        }
    }
    fields
}

impl Mount {
    fn wrong(&self, problem: String) -> InstructionError {
        InstructionError::Mount { mount: self.text.clone(), problem }
    }

    fn set(&mut self, name: &str, value: Option<&str>) -> Result<(), String> {
        let Some(value) = value else { return self.set_switch(name) };
        if name == "from" && value.contains('$') {
            return Err("variables are not expanded in `from`; name a stage instead".to_owned());
        }
        if value.contains('$') {
            return Ok(());
        }
        let text = || Some(value.to_owned());
        match name {
            "type" => self.kind = kind(value)?,
            "from" => self.from = text(),
            "source" | "src" => self.source = text(),
            "target" | "dst" | "destination" => self.target = text(),
            "readonly" | "ro" => self.read_only = Some(boolean(name, value)?),
            "readwrite" | "rw" => self.read_only = Some(!boolean(name, value)?),
            "required" => self.required = boolean(name, value)?,
            "size" => self.size = Some(size(value)?),
            "id" => self.id = text(),
            "sharing" => self.sharing = Some(sharing(value)?),
            "mode" => self.mode = Some(number(name, value, 8)?),
            "uid" => self.uid = Some(number(name, value, 10)?),
            "gid" => self.gid = Some(number(name, value, 10)?),
            _ => self.env = text(),
        }
        Ok(())
    }

    fn set_switch(&mut self, name: &str) -> Result<(), String> {
        match name {
            "readonly" | "ro" => self.read_only = Some(true),
            "readwrite" | "rw" => self.read_only = Some(false),
            "required" => self.required = true,
            _ => return Err(format!("field `{name}` needs a value: {name}=VALUE")),
        }
        Ok(())
    }

    fn check(&self) -> Result<(), String> {
        use MountKind::{Bind, Cache, Secret, Ssh, Tmpfs};
        // A type that is a variable is known only after its expansion.
        if self.text.contains("type=$") {
            return Ok(());
        }
        let owned = matches!(self.kind, Cache | Secret | Ssh);
        let rules = [
            (self.mode.is_some() && !owned, "mode belongs to cache, secret and ssh mounts"),
            (self.uid.is_some() && !owned, "uid belongs to cache, secret and ssh mounts"),
            (self.gid.is_some() && !owned, "gid belongs to cache, secret and ssh mounts"),
            (self.size.is_some() && self.kind != Tmpfs, "size belongs to tmpfs mounts"),
            (self.sharing.is_some() && self.kind != Cache, "sharing belongs to cache mounts"),
            (self.env.is_some() && self.kind != Secret, "env belongs to secret mounts"),
            (
                self.required && !matches!(self.kind, Secret | Ssh),
                "required belongs to secret and ssh mounts",
            ),
            (
                self.from.is_some() && !matches!(self.kind, Bind | Cache),
                "from belongs to bind and cache mounts",
            ),
            (
                self.target.is_none()
                    && matches!(self.kind, Bind | Cache | Tmpfs)
                    && !self.text.contains('$'),
                "a target is needed",
            ),
            (
                self.kind == Secret
                    && self.source.is_none()
                    && self.target.is_none()
                    && self.id.is_none()
                    && !self.text.contains('$'),
                "a secret needs an id, source or target",
            ),
            (
                self.kind == Secret && self.source.is_some() && self.id.is_some(),
                "a secret has either an id or a source",
            ),
            (self.target.as_deref() == Some("/"), "the target cannot be `/`"),
        ];
        match rules.iter().find(|(broken, _)| *broken) {
            Some((_, problem)) => Err((*problem).to_owned()),
            None => Ok(()),
        }
    }
}

fn kind(value: &str) -> Result<MountKind, String> {
    Ok(match value.to_ascii_lowercase().as_str() {
        "bind" => MountKind::Bind,
        "cache" => MountKind::Cache,
        "tmpfs" => MountKind::Tmpfs,
        "secret" => MountKind::Secret,
        "ssh" => MountKind::Ssh,
        other => {
            let hint = Hint::nearest(other, ["bind", "cache", "tmpfs", "secret", "ssh"]);
            return Err(format!(
                "type `{value}`: expected bind, cache, tmpfs, secret or ssh{hint}"
            ));
        }
    })
}

fn sharing(value: &str) -> Result<Sharing, String> {
    Ok(match value.to_ascii_lowercase().as_str() {
        "shared" => Sharing::Shared,
        "private" => Sharing::Private,
        "locked" => Sharing::Locked,
        other => {
            let hint = Hint::nearest(other, ["shared", "private", "locked"]);
            return Err(format!("sharing `{value}`: expected shared, private or locked{hint}"));
        }
    })
}

/// The spellings that Go's ParseBool takes.
fn boolean(name: &str, value: &str) -> Result<bool, String> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("{name} `{value}`: expected true or false")),
    }
}

fn number(name: &str, value: &str, radix: u32) -> Result<u32, String> {
    let expected = if radix == 8 { "an octal number" } else { "a number" };
    u32::from_str_radix(value, radix).map_err(|_| format!("{name} `{value}`: expected {expected}"))
}

/// Bytes, or a number with k, m, g, t (powers of 1024), an optional `i` and `b` behind it.
fn size(value: &str) -> Result<u64, String> {
    let lower = value.to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = lower[digits.len()..].trim_end_matches('b').trim_end_matches('i');
    let shift = match unit {
        "" => Some(0),
        "k" => Some(10),
        "m" => Some(20),
        "g" => Some(30),
        "t" => Some(40),
        _ => None,
    };
    let bytes = digits.parse::<u64>().ok().zip(shift).and_then(|(n, s)| n.checked_mul(1 << s));
    bytes.ok_or_else(|| format!("size `{value}`: expected bytes, or a number with k, m, g or t"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_every_type() {
        let mount = parse("type=bind,from=build,source=/a,target=/b,rw").unwrap();
        assert_eq!(mount.kind, MountKind::Bind);
        assert_eq!(mount.from.as_deref(), Some("build"));
        assert_eq!((mount.source.as_deref(), mount.target.as_deref()), (Some("/a"), Some("/b")));
        assert_eq!(mount.read_only, Some(false));
        let mount = parse("type=cache,dst=/c,id=x,sharing=locked,mode=0755,uid=1,gid=2").unwrap();
        assert_eq!(mount.sharing, Some(Sharing::Locked));
        assert_eq!((mount.mode, mount.uid, mount.gid), (Some(0o755), Some(1), Some(2)));
        assert_eq!(parse("type=tmpfs,target=/t,size=2m").unwrap().size, Some(2 << 20));
        let mount = parse("type=secret,id=token,required,env=TOKEN").unwrap();
        assert!(mount.required);
        assert_eq!(mount.env.as_deref(), Some("TOKEN"));
        assert_eq!(parse("type=ssh").unwrap().kind, MountKind::Ssh);
        assert_eq!(parse("\"target=/a,b\"").unwrap().target.as_deref(), Some("/a,b"));
    }

    #[test]
    fn variables_wait_for_their_expansion() {
        assert_eq!(parse("type=$T,target=$X,size=$S").unwrap().kind, MountKind::Bind);
    }

    #[test]
    fn wrong_mounts_name_the_field() {
        let table = [
            (
                "type=bnd,target=/a",
                "type `bnd`: expected bind, cache, tmpfs, secret or ssh (did you mean `bind`?)",
            ),
            ("type=bind", "a target is needed"),
            ("target=/a,size=1", "size belongs to tmpfs mounts"),
            ("target=/a,mode=7", "mode belongs to cache, secret and ssh mounts"),
            ("type=cache,target=/a,mode=9", "mode `9`: expected an octal number"),
            ("type=cache,target=/", "the target cannot be `/`"),
            ("type=secret", "a secret needs an id, source or target"),
            ("type=secret,id=a,source=b", "a secret has either an id or a source"),
            (
                "type=tmpfs,target=/a,size=1x",
                "size `1x`: expected bytes, or a number with k, m, g or t",
            ),
            ("target", "field `target` needs a value: target=VALUE"),
            ("target=/a,ro=maybe", "ro `maybe`: expected true or false"),
            ("from=$X,target=/a", "variables are not expanded in `from`; name a stage instead"),
        ];
        for (text, expected) in table {
            let message = parse(text).unwrap_err().to_string();
            assert_eq!(message, format!("--mount={text}: {expected}"));
        }
        let message = parse("target=/a,sorce=/b").unwrap_err().to_string();
        assert_eq!(
            message,
            "--mount=target=/a,sorce=/b: unknown field `sorce` (did you mean `source`?)"
        );
    }
}
