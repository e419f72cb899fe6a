use super::*;

fn lookup(name: &str) -> Option<String> {
    let value = match name {
        "X" => "value",
        "EMPTY" => "",
        "SPACES" => "two  words",
        "FILE" => "/a/b.tar.gz",
        "STARS" => "a*b?c",
        "É" => "accent",
        "1" => "positional",
        _ => return None,
    };
    Some(value.to_owned())
}

fn text(word: &str) -> Result<String, ExpandError> {
    expand(word, Rules::arguments('\\'), &lookup).map(|expanded| expanded.text)
}

#[test]
fn every_modifier_for_set_empty_and_unset_variables() {
    let table = [
        ("plain", "plain"),
        ("$X", "value"),
        ("${X}", "value"),
        ("a$X.b", "avalue.b"),
        ("$Xy", ""),
        ("${X}y", "valuey"),
        ("$UNSET", ""),
        ("${UNSET}", ""),
        ("$É", "accent"),
        ("$1x", "positionalx"),
        ("$", "$"),
        ("$$", ""),
        ("a$ b", "a$ b"),
        ("$.", "$."),
        ("${X:-word}", "value"),
        ("${EMPTY:-word}", "word"),
        ("${UNSET:-word}", "word"),
        ("${X-word}", "value"),
        ("${EMPTY-word}", ""),
        ("${UNSET-word}", "word"),
        ("${UNSET:-}", ""),
        ("${X:+word}", "word"),
        ("${EMPTY:+word}", ""),
        ("${UNSET:+word}", ""),
        ("${X+word}", "word"),
        ("${EMPTY+word}", "word"),
        ("${UNSET+word}", ""),
        ("${X:?no}", "value"),
        ("${X?no}", "value"),
        ("${EMPTY?no}", ""),
        ("${UNSET:-$X}", "value"),
        ("${UNSET:-${ALSO:-deep}}", "deep"),
        ("${UNSET:-\"a}b\"}", "a}b"),
        ("${UNSET:-a\\}b}", "a}b"),
        ("${X#v}", "alue"),
        ("${X#x}", "value"),
        ("${FILE#*/}", "a/b.tar.gz"),
        ("${FILE##*/}", "b.tar.gz"),
        ("${FILE%.*}", "/a/b.tar"),
        ("${FILE%%.*}", "/a/b"),
        ("${FILE%?z}", "/a/b.tar."),
        ("${STARS#a\\*}", "b?c"),
        ("${STARS%\\?c}", "a*b"),
        ("${UNSET#x}", ""),
        ("${X/l/L}", "vaLue"),
        ("${FILE/a/A}", "/A/b.tar.gz"),
        ("${FILE//a/A}", "/A/b.tAr.gz"),
        ("${FILE/\\//-}", "-a/b.tar.gz"),
        ("${FILE//\\//-}", "-a-b.tar.gz"),
        ("${FILE//.*/}", "/a/b"),
        ("${X//?/$EMPTY.}", "....."),
        ("${X/value/$0}", ""),
        ("${X/nothing/y}", "value"),
    ];
    for (word, expected) in table {
        assert_eq!(text(word).as_deref(), Ok(expected), "{word}");
    }
}

/// A word with `@` for the name, and what it gives for X (`value`), EMPTY and UNSET; `!` is an error.
const MODIFIERS: [(&str, &str, &str, &str); 44] = [
    ("$@", "value", "", ""),
    ("${@}", "value", "", ""),
    ("${@:-w}", "value", "w", "w"),
    ("${@-w}", "value", "", "w"),
    ("${@:+w}", "w", "", ""),
    ("${@+w}", "w", "w", ""),
    ("${@:?w}", "value", "!@: w", "!@: w"),
    ("${@?w}", "value", "", "!@: w"),
    ("${@:-}", "value", "", ""),
    ("${@-}", "value", "", ""),
    ("${@:+}", "", "", ""),
    ("${@+}", "", "", ""),
    ("${@:?}", "value", "!@: must not be empty", "!@: must be set"),
    ("${@?}", "value", "", "!@: must be set"),
    ("${@#v}", "alue", "", ""),
    ("${@#*l}", "ue", "", ""),
    ("${@##*[lu]}", "value", "", ""),
    ("${@##*}", "", "", ""),
    ("${@#*}", "value", "", ""),
    ("${@#?}", "alue", "", ""),
    ("${@##??}", "lue", "", ""),
    ("${@#}", "value", "", ""),
    ("${@#none}", "value", "", ""),
    ("${@%e}", "valu", "", ""),
    ("${@%l*}", "va", "", ""),
    ("${@%%a*}", "v", "", ""),
    ("${@%%*}", "", "", ""),
    ("${@%*}", "value", "", ""),
    ("${@%?}", "valu", "", ""),
    ("${@%none}", "value", "", ""),
    ("${@/a/A}", "vAlue", "", ""),
    ("${@/[a]/A}", "value", "", ""),
    ("${@/a*/A}", "vA", "", ""),
    ("${@/none/A}", "value", "", ""),
    ("${@/a/}", "vlue", "", ""),
    ("${@//?/x}", "xxxxx", "", ""),
    ("${@//[al]/x}", "value", "", ""),
    ("${@//l/\\/}", "va\\/ue", "", ""),
    ("${@:-$X-$EMPTY}", "value", "value-", "value-"),
    ("${@:-${UNSET:-${X:+deep}}}", "value", "deep", "deep"),
    ("${@:+${X#va}}", "lue", "", ""),
    ("${@/${X%alue}/w}", "walue", "", ""),
    ("${@:-'$X'}", "value", "$X", "$X"),
    ("${@:-\\$X}", "value", "$X", "$X"),
];

fn outcome(word: &str, escape: char) -> String {
    match expand(word, Rules::arguments(escape), &lookup) {
        Ok(expanded) => expanded.text,
        Err(error) => format!("!{error}"),
    }
}

#[test]
fn modifiers_give_the_same_bare_quoted_and_inside_other_text() {
    for (template, set, empty, unset) in MODIFIERS {
        for (name, expected) in [("X", set), ("EMPTY", empty), ("UNSET", unset)] {
            let (word, expected) = (template.replace('@', name), expected.replace('@', name));
            assert_eq!(outcome(&word, '\\'), expected, "{word}");
            let framed = match expected.starts_with('!') {
                true => expected.clone(),
                false => format!("<{expected}>"),
            };
            assert_eq!(outcome(&format!("<{word}>"), '\\'), framed, "<{word}>");
            assert_eq!(outcome(&format!("<\"{word}\">"), '\\'), framed, "<\"{word}\">");
            if !word.contains('\\') {
                assert_eq!(outcome(&word, '`'), expected, "{word} under the backtick");
            }
            let nested = format!("${{UNSET:-{word}}}");
            assert_eq!(outcome(&nested, '\\'), expected, "{nested}");
        }
    }
}

#[test]
fn single_quotes_and_escapes_keep_every_modifier_as_text() {
    for (template, ..) in MODIFIERS.iter().filter(|(word, ..)| !word.contains(['\'', '\\'])) {
        let word = template.replace('@', "X");
        assert_eq!(outcome(&format!("'{word}'"), '\\'), word);
    }
    for (escape, word) in [('\\', r"\${X:-w}"), ('`', "`${X:-w}"), ('`', "\"`${X:-w}\"")] {
        assert_eq!(outcome(word, escape), "${X:-w}", "{word}");
    }
}

#[test]
fn quotes_and_escapes() {
    let table = [
        (r#""a b""#, "a b"),
        ("'$X'", "$X"),
        (r#""$X""#, "value"),
        (r#""'$X'""#, "'value'"),
        (r#"'a"b'"#, "a\"b"),
        (r"\$X", "$X"),
        (r#""\$X""#, "$X"),
        (r#""\a""#, r"\a"),
        (r#""\"""#, "\""),
        (r"\a\ b", "a b"),
        (r"\\", r"\"),
        (r"end\", "end"),
        (r"'\'", r"\"),
        ("", ""),
    ];
    for (word, expected) in table {
        assert_eq!(text(word).as_deref(), Ok(expected), "{word}");
    }
}

#[test]
fn a_backtick_escapes_where_the_directive_says_so() {
    let expanded = expand(r"a`$X\b", Rules::arguments('`'), &lookup).unwrap();
    assert_eq!(expanded.text, r"a$X\b");
}

#[test]
fn words_split_at_plain_and_substituted_but_not_at_quoted_spaces() {
    let words = |word: &str| expand(word, Rules::arguments('\\'), &lookup).unwrap().words;
    assert_eq!(words("a b"), ["a", "b"]);
    assert_eq!(words("$SPACES x"), ["two", "words", "x"]);
    assert_eq!(words("'a b' c"), ["a b", "c"]);
    assert_eq!(words("\"$SPACES\""), ["two  words"]);
    assert_eq!(words(r"a\ b"), ["a b"]);
    assert_eq!(words("  "), Vec::<String>::new());
}

#[test]
fn unset_variables_are_reported() {
    let expanded = expand("$X $A ${B:-c} ${C#d}", Rules::arguments('\\'), &lookup).unwrap();
    assert_eq!(expanded.unset.into_iter().collect::<Vec<_>>(), ["A", "C"]);
}

#[test]
fn heredoc_text_keeps_its_quotes() {
    let expanded = expand("say \"$X\" 'and' \\$X", Rules::heredoc(), &lookup).unwrap();
    assert_eq!(expanded.text, "say \"value\" 'and' $X");
}

#[test]
fn kept_references_survive_literally() {
    let rules = Rules { keep_unset: true, ..Rules::arguments('\\') };
    for word in ["$A", "${A}", "${A:-b}", "${A#b}", "${A//b/c}"] {
        assert_eq!(expand(word, rules, &lookup).unwrap().text, word);
    }
}

#[test]
fn malformed_words_are_refused_by_name() {
    let table = [
        ("'open", "no closing ' in `'open`"),
        ("\"open", "no closing \" in `\"open`"),
        ("${X", "no closing `}` for `${` in `${X`"),
        ("${", "no closing `}` for `${` in `${`"),
        ("${X:", "no closing `}` for `${` in `${X:`"),
        ("${X:-a", "no closing `}` for `${` in `${X:-a`"),
        ("${}", "bad substitution in `${}`: a name must follow `${`"),
        ("${{X}}", "bad substitution in `${{X}}`: a name must follow `${`"),
        (
            "${X:#a}",
            "unknown modifier `:#` in `${X:#a}`: expected one of :- :+ :? - + ? # ## % %% / //",
        ),
        (
            "${X^a}",
            "unknown modifier `^` in `${X^a}`: expected one of :- :+ :? - + ? # ## % %% / //",
        ),
        ("${X/a}", "no `/` between pattern and replacement in `${X/a}`"),
        ("${UNSET:?}", "UNSET: must be set"),
        ("${EMPTY:?}", "EMPTY: must not be empty"),
        ("${UNSET?give it}", "UNSET: give it"),
        ("${X#a\\b}", "bad pattern `a\\b` in `${X#a\\b}`: only * ? \\ / } can follow a backslash"),
    ];
    for (word, expected) in table {
        assert_eq!(text(word).unwrap_err().to_string(), expected, "{word}");
    }
}

#[test]
fn nesting_and_growth_are_bounded() {
    let deep = format!("{}x{}", "${U:-".repeat(10_000), "}".repeat(10_000));
    assert_eq!(text(&deep), Err(ExpandError::TooDeep));
    let big = |_: &str| Some("x".repeat(100_000));
    let grown = expand(&"$X".repeat(20), Rules::arguments('\\'), &big);
    assert_eq!(grown.unwrap_err(), ExpandError::TooLong);
    let replaced = expand("${X//x/$X}", Rules::arguments('\\'), &big);
    assert_eq!(replaced.unwrap_err(), ExpandError::TooLong);
    let quoted = format!("\"{}\"", "$X".repeat(20));
    let grown = expand(&quoted, Rules::arguments('\\'), &big);
    assert_eq!(grown.unwrap_err(), ExpandError::TooLong);
}
