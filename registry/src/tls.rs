//! Whom to trust: the system's certificates, `--ca-file`, and docker's `certs.d` (`*.crt` are
//! authorities; `*.cert` with its `*.key` is the client's own certificate).

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

use crate::limits::MAX_CONFIG_BYTES;
use crate::{Error, Options};

/// The configuration for `authority` itself, and the one for everybody else, who must not see the
/// client's certificate.
pub(crate) fn configurations(
    authority: &str,
    options: &Options,
) -> Result<(TlsConfig, TlsConfig), Error> {
    let mut roots = Vec::new();
    let mut client = None;
    if !options.plain_http {
        roots = system_roots();
        if let Some(path) = &options.ca_file {
            roots.extend(certificates(path)?);
        }
        for dir in &options.certs_dirs {
            read_folder(&dir.join(authority), &mut roots, &mut client)?;
        }
    }
    let roots = RootCerts::from(roots);
    let configuration = |client| {
        TlsConfig::builder()
            .root_certs(roots.clone())
            .client_cert(client)
            .disable_verification(options.insecure)
            .build()
    };
    Ok((configuration(client), configuration(None)))
}

/// Unusable certificates of the system are somebody else's business, as in every other client.
fn system_roots() -> Vec<Certificate<'static>> {
    let found = rustls_native_certs::load_native_certs().certs;
    found.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect()
}

fn read_folder(
    folder: &Path,
    roots: &mut Vec<Certificate<'static>>,
    client: &mut Option<ClientCert>,
) -> Result<(), Error> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(());
        }
        Err(error) => return Err(Error::config(folder, error)),
    };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in &paths {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("crt") => roots.extend(certificates(path)?),
            Some("cert") => {
                let key = key(&path.with_extension("key"))?;
                *client = Some(ClientCert::new_with_certs(&certificates(path)?, key));
            }
            _ => {}
        }
    }
    Ok(())
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, Error> {
    let found: Vec<_> = items(path)?
        .into_iter()
        .filter_map(|item| match item {
            PemItem::Certificate(certificate) => Some(certificate),
            _ => None,
        })
        .collect();
    if found.is_empty() {
        return Err(Error::config(path, "no certificate in PEM"));
    }
    Ok(found)
}

fn key(path: &Path) -> Result<PrivateKey<'static>, Error> {
    let key = items(path)?.into_iter().find_map(|item| match item {
        PemItem::PrivateKey(key) => Some(key),
        _ => None,
    });
    key.ok_or_else(|| Error::config(path, "no private key in PEM"))
}

fn items(path: &Path) -> Result<Vec<PemItem<'static>>, Error> {
    let pem = read_file(path)?;
    parse_pem(&pem).collect::<Result<_, _>>().map_err(|error| Error::config(path, error))
}

/// A small file.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_CONFIG_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| Error::config(path, error))?;
    if bytes.len() as u64 > MAX_CONFIG_BYTES {
        return Err(Error::config(path, format!("more than {MAX_CONFIG_BYTES} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_hold_no_certificate_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let options = |ca_file: Option<PathBuf>| Options {
            ca_file,
            certs_dirs: vec![dir.path().to_owned()],
            ..Options::default()
        };
        let text = dir.path().join("ca.pem");
        fs::write(&text, "no certificate").unwrap();
        let missing = dir.path().join("missing.pem");
        for (path, reason) in [(text, "no certificate in PEM"), (missing, "No such file")] {
            let error = configurations("r.example", &options(Some(path.clone()))).unwrap_err();
            let message = error.to_string();
            assert!(message.contains(reason) && message.contains(path.to_str().unwrap()));
        }
        assert!(configurations("r.example", &options(None)).is_ok());
        fs::create_dir(dir.path().join("r.example:5000")).unwrap();
        fs::write(dir.path().join("r.example:5000/x.crt"), "").unwrap();
        assert!(configurations("r.example:5000", &options(None)).is_err());
    }
}
