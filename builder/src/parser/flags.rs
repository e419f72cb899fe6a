//! `--flags` between the keyword and its arguments.

/// Splits leading flags off; `--` ends them. Quotes group and vanish, a backslash escapes.
pub(super) fn split(text: &str) -> (Vec<String>, &str) {
    let mut flags = Vec::new();
    let mut rest = text.trim_start();
    while rest.starts_with("--") {
        let (flag, after) = first_word(rest);
        rest = after.trim_start();
        if flag == "--" {
            break;
        }
        flags.push(flag[2..].to_owned());
    }
    (flags, rest)
}

fn first_word(text: &str) -> (String, &str) {
    let mut word = String::new();
    let mut quote = None;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => word.extend(chars.next().map(|(_, escaped)| escaped)),
            c if quote == Some(c) => quote = None,
            '"' | '\'' if quote.is_none() => quote = Some(c),
            c if quote.is_none() && c.is_whitespace() => return (word, &text[at..]),
            c => word.push(c),
        }
    }
    (word, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_end_at_the_first_other_word_or_at_two_dashes() {
        let table: &[(&str, &[&str], &str)] = &[
            ("a b", &[], "a b"),
            ("--x a", &["x"], "a"),
            ("--x=1  --y a --z", &["x=1", "y"], "a --z"),
            ("--x=\"a b\" c", &["x=a b"], "c"),
            ("--x='a b'c d", &["x=a bc"], "d"),
            ("--x=a\\ b c", &["x=a b"], "c"),
            ("-- --a b", &[], "--a b"),
            ("--x -- --a", &["x"], "--a"),
            ("-x a", &[], "-x a"),
            ("--x", &["x"], ""),
            ("", &[], ""),
        ];
        for (text, flags, rest) in table {
            let (found, found_rest) = split(text);
            assert_eq!((found.as_slice(), found_rest), (&*own(flags), *rest), "{text:?}");
        }
    }

    fn own(flags: &[&str]) -> Vec<String> {
        flags.iter().map(|flag| (*flag).to_owned()).collect()
    }
}
