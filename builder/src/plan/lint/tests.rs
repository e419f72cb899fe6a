use crate::dockerfile::Dockerfile;
use crate::ignore::Matcher;
use crate::{Options, plan};

/// The warnings as `line:rule`, or the error.
fn warnings(text: &str, options: &Options) -> Result<Vec<String>, String> {
    let ignore = Matcher::from_file_text("secret\n*.tmp", ".dockerignore").unwrap();
    let parsed = Dockerfile::parse("Dockerfile", text.into());
    let plan = parsed.and_then(|parsed| plan::plan(parsed, options, &ignore));
    let plan = plan.map_err(|error| error.to_string())?;
    let line = |span: Option<crate::Span>| span.map_or(0, |span| span.first);
    Ok(plan.warnings.iter().map(|w| format!("{}:{}", line(w.span), w.rule)).collect())
}

#[test]
fn each_rule_fires_where_it_should_and_only_there() {
    let table: &[(&str, &[&str])] = &[
        ("FROM scratch AS Build", &["1:StageNameCasing"]),
        ("FROM scratch AS build", &[]),
        ("FROM scratch as build", &["1:FromAsCasing"]),
        ("from scratch as build", &[]),
        ("from scratch AS build", &["1:FromAsCasing"]),
        ("FROM scratch\nRUN a \\\n\n b", &["2:NoEmptyContinuation"]),
        ("FROM scratch\nenv A=1", &["2:ConsistentInstructionCasing"]),
        ("from scratch\nenv A=1\nUSER a", &["3:ConsistentInstructionCasing"]),
        ("FROM scratch\nEnv A=1", &["2:ConsistentInstructionCasing"]),
        ("arg A\nFROM scratch\nUSER a", &[]),
        ("FROM scratch AS a\nFROM scratch AS a", &["2:DuplicateStageName"]),
        ("FROM scratch AS context", &["1:ReservedStageName"]),
        ("FROM scratch AS scratch", &["1:ReservedStageName"]),
        ("FROM scratch\nCMD a", &["2:JSONArgsRecommended"]),
        ("FROM scratch\nENTRYPOINT a", &["2:JSONArgsRecommended"]),
        ("FROM scratch\nCMD [\"a\"]", &[]),
        ("FROM scratch\nCMD", &[]),
        ("FROM scratch\nSHELL [\"a\"]\nCMD a", &[]),
        ("FROM scratch AS a\nSHELL [\"a\"]\nFROM a\nCMD a", &[]),
        ("FROM scratch\nMAINTAINER a", &["2:MaintainerDeprecated"]),
        ("FROM scratch${A}", &["1:UndefinedArgInFrom"]),
        ("FROM scratch${A:-}", &[]),
        ("ARG A=scratch\nFROM $A", &[]),
        ("FROM scratch\nCMD [\"a\"]\nCMD [\"b\"]", &["2:MultipleInstructionsDisallowed"]),
        (
            "FROM scratch\nENTRYPOINT [\"a\"]\nENTRYPOINT [\"b\"]\nENTRYPOINT [\"c\"]",
            &["2:MultipleInstructionsDisallowed", "3:MultipleInstructionsDisallowed"],
        ),
        (
            "FROM scratch\nHEALTHCHECK NONE\nHEALTHCHECK CMD a",
            &["2:MultipleInstructionsDisallowed"],
        ),
        ("FROM scratch AS a\nCMD [\"a\"]\nFROM a\nCMD [\"b\"]", &[]),
        ("FROM scratch\nENV a b", &["2:LegacyKeyValueFormat"]),
        ("FROM scratch\nLABEL a b", &["2:LegacyKeyValueFormat"]),
        ("FROM --platform=$TARGETPLATFORM scratch", &["1:RedundantTargetPlatform"]),
        ("FROM --platform=${TARGETPLATFORM} scratch", &["1:RedundantTargetPlatform"]),
        ("FROM --platform=$BUILDPLATFORM scratch", &[]),
        ("FROM --platform=linux/riscv64 scratch", &["1:FromPlatformFlagConstDisallowed"]),
        ("FROM --platform=linux/riscv64 scratch AS for_riscv64", &[]),
        ("FROM scratch\nENV GITHUB_TOKEN=x", &["2:SecretsUsedInArgOrEnv"]),
        ("FROM scratch\nARG db_password", &["2:SecretsUsedInArgOrEnv"]),
        ("FROM scratch\nENV KEYBOARD=x AUTHOR=y PUBLIC_KEY=z", &[]),
        ("FROM scratch\nEXPOSE 80/TCP 81/tcp", &["2:ExposeProtoCasing"]),
        ("FROM scratch\nEXPOSE 8080:80", &["2:ExposeInvalidFormat"]),
        ("FROM scratch\nEXPOSE 127.0.0.1:80:80", &["2:ExposeInvalidFormat"]),
        ("FROM scratch\nEXPOSE ${P:-80} 1-2/udp", &[]),
        ("FROM scratch\nCOPY secret/x /", &["2:CopyIgnoredFile"]),
        ("FROM scratch\nADD ./a.tmp /", &["2:CopyIgnoredFile"]),
        ("FROM scratch AS a\nFROM scratch\nCOPY --from=a secret /", &[]),
        ("FROM scratch\nCOPY . /", &[]),
        ("FROM scratch\nADD http://example.org/secret /", &[]),
        ("# a note\nFROM scratch AS b", &[]),
        (
            "# check=experimental=all\n# a note\nFROM scratch AS b\n# note\nARG A",
            &["3:InvalidDefinitionDescription", "5:InvalidDefinitionDescription"],
        ),
        (
            "# check=experimental=all\nFROM scratch AS b\n# A is it\nARG A\n# note\n\nARG B\n#\nARG C",
            &[],
        ),
        (
            "# check=skip=JSONArgsRecommended\nFROM scratch\nCMD a\nENV a b",
            &["4:LegacyKeyValueFormat"],
        ),
        ("# check=skip=all\nfrom scratch AS B\nCMD a", &[]),
    ];
    for (text, expected) in table {
        let found = warnings(text, &Options::new("/context")).unwrap();
        assert_eq!(found, *expected, "{text}");
    }
}

#[test]
fn what_an_instruction_does_matters_only_in_stages_that_are_built() {
    let text = "FROM scratch AS Unused\nMAINTAINER a\nENV a b\nEXPOSE 80/TCP\nARG TOKEN\nCMD x\nCMD y\n\
                COPY secret /\nFROM scratch\n";
    let found = warnings(text, &Options::new("/context")).unwrap();
    assert_eq!(found, ["1:StageNameCasing", "2:MaintainerDeprecated"]);
    let options = Options { target: Some("unused".into()), ..Options::new("/context") };
    assert_eq!(warnings(text, &options).unwrap().len(), 9);
}

#[test]
fn bases_and_arguments_are_judged_by_what_the_user_gives() {
    let mut options = Options::new("/context");
    options.build_args.insert("V".into(), "13".into());
    options.build_args.insert("TYPO".into(), "x".into());
    let found = warnings("ARG V\nFROM debian:$V\nARG W=1", &options).unwrap();
    assert_eq!(found, ["2:InvalidDefaultArgInFrom", "0:UnusedBuildArg"]);
    let found = warnings("ARG V=12\nFROM debian:$V\nARG TYPO", &options).unwrap();
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn the_check_directive_can_make_warnings_errors() {
    let text = "# check=error=true\nFROM scratch AS A\nCMD a";
    let error = warnings(text, &Options::new("/context")).unwrap_err();
    assert_eq!(
        error,
        "the `check` directive makes warnings errors: StageNameCasing (line 2), \
         JSONArgsRecommended (line 3)"
    );
    assert_eq!(warnings("# check=error=true\nFROM scratch", &Options::new("/c")), Ok(Vec::new()));
}
