//! What a registry's refusals say.

use serde::Deserialize;
use ureq::http::StatusCode;

use crate::Error;
use crate::error::shown;
use crate::http::Reply;
use crate::limits::MAX_ERROR_BYTES;

/// distribution-spec 1.1, "Error Codes".
#[derive(Deserialize)]
struct Errors {
    errors: Vec<OneError>,
}

#[derive(Deserialize)]
struct OneError {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// The error of a reply with a status that was not wanted. `subject` is the repository, `what`
/// what was asked for.
pub(crate) fn refusal(reply: Reply, registry: &str, subject: &str, what: &str) -> Error {
    let (status, url) = (reply.status, reply.url.to_string());
    let detail = detail(reply);
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Error::Denied { registry: registry.to_owned(), subject: subject.to_owned(), detail }
        }
        StatusCode::NOT_FOUND => Error::NotFound { what: what.to_owned(), detail },
        _ => Error::Status { method: what.to_owned(), url, status: status.to_string(), detail },
    }
}

/// The registry's own words, after a separator. That they cannot be read is no further error.
fn detail(reply: Reply) -> String {
    let text = match reply.bytes(MAX_ERROR_BYTES) {
        Ok(body) => words(&body),
        Err(_) => String::new(),
    };
    if text.is_empty() { text } else { format!(": {}", shown(&text)) }
}

fn words(body: &[u8]) -> String {
    let Ok(Errors { errors }) = serde_json::from_slice(body) else { return String::new() };
    let one = |error: &OneError| match (error.code.as_str(), error.message.as_str()) {
        (code, "") => code.to_owned(),
        ("", message) => message.to_owned(),
        (code, message) => format!("{message} ({code})"),
    };
    errors.iter().take(3).map(one).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn errors_are_told_by_message_and_code() {
        for (body, expected) in [
            (r#"{"errors":[{"code":"DENIED","message":"no"}]}"#, "no (DENIED)"),
            (r#"{"errors":[{"code":"A"},{"message":"b"}]}"#, "A; b"),
            (r#"{"errors":[]}"#, ""),
            ("<html>", ""),
        ] {
            assert_eq!(words(body.as_bytes()), expected);
        }
    }
}
