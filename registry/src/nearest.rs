//! Hints for names that do not exist.

/// Less similar names are no hint.
const SIMILAR: f64 = 0.6;

/// The one of `names` that `written` was most likely meant to be.
pub fn nearest<'a>(written: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let scored = names
        .into_iter()
        .map(|name| (strsim::normalized_damerau_levenshtein(written, name), name))
        .filter(|(score, _)| *score >= SIMILAR);
    scored.max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_similar_name_is_found_if_there_is_any() {
        let names = ["trixie", "trixie-slim", "bookworm"];
        assert_eq!(nearest("trixi", names), Some("trixie"));
        assert_eq!(nearest("trixie-slin", names), Some("trixie-slim"));
        assert_eq!(nearest("alpine", names), None);
    }
}
