use super::*;

fn plan_of(text: &str, options: &Options) -> Result<Plan, String> {
    let dockerfile = Dockerfile::parse("Dockerfile", text.into());
    dockerfile
        .and_then(|parsed| plan(parsed, options, &Matcher::default()))
        .map_err(|error| error.to_string())
}

fn order(text: &str, target: Option<&str>) -> Result<Vec<usize>, String> {
    let options = Options { target: target.map(str::to_owned), ..Options::new("/context") };
    plan_of(text, &options).map(|plan| plan.order)
}

#[test]
fn only_the_stages_that_the_target_needs_in_order() {
    let text = "FROM scratch AS a\nFROM scratch AS unused\nFROM a AS b\nFROM scratch\n\
                COPY --from=b /x /\nCOPY --from=0 /y /\n";
    assert_eq!(order(text, None), Ok(vec![0, 2, 3]));
    assert_eq!(order(text, Some("b")), Ok(vec![0, 2]));
    assert_eq!(order(text, Some("UNUSED")), Ok(vec![1]));
    assert_eq!(order(text, Some("0")), Ok(vec![0]));
    assert_eq!(
        order(text, Some("unusd")),
        Err("no stage is named `unusd` (did you mean `unused`?)".into())
    );
}

#[test]
fn a_later_stage_of_the_same_name_wins() {
    assert_eq!(order("FROM scratch AS a\nFROM scratch AS a\nFROM a", None), Ok(vec![1, 2]));
}

#[test]
fn stages_that_need_each_other_are_refused() {
    let text = "FROM scratch AS a\nCOPY --from=b /x /\nFROM scratch AS b\nCOPY --from=a /x /\n";
    assert_eq!(order(text, None), Err("Dockerfile:1: stages need each other: b -> a -> b".into()));
    let text = "FROM scratch AS a\nCOPY --from=a /x /\n";
    assert_eq!(order(text, None), Err("Dockerfile:1: stages need each other: a -> a".into()));
}

#[test]
fn thousands_of_chained_stages_do_not_exhaust_the_stack() {
    let mut text = String::from("FROM scratch AS s0\n");
    for stage in 1..5000 {
        text.push_str(&format!("FROM s{} AS s{stage}\n", stage - 1));
    }
    assert_eq!(order(&text, None).unwrap().len(), 5000);
}

#[test]
fn bases_resolve_to_contexts_scratch_stages_and_images() {
    let mut options = Options::new("/context");
    options.contexts.insert("debian".into(), "oci-layout:///x".into());
    options.contexts.insert("own".into(), "/y".into());
    let bases = |text: &str| {
        let plan = plan_of(text, &options).unwrap();
        plan.stages.into_iter().map(|stage| stage.base).collect::<Vec<_>>()
    };
    assert_eq!(
        bases("ARG V=latest\nFROM scratch AS a\nFROM A\nFROM debian:$V\nFROM own\nFROM alpine"),
        [
            Origin::Scratch,
            Origin::Stage(0),
            Origin::Context("debian".into()),
            Origin::Context("own".into()),
            Origin::Image("alpine".into()),
        ]
    );
}

#[test]
fn misplaced_and_malformed_stages_are_refused() {
    let table = [
        ("RUN x\nFROM a", "Dockerfile:1: RUN before the first FROM: only ARG can stand there"),
        ("ARG A", "the Dockerfile has no FROM"),
        ("FROM $A", "Dockerfile:1: FROM $A: the base is empty after expanding its variables"),
        (
            "FROM scratch AS build\nFROM Buil:",
            "Dockerfile:2: FROM Buil:: neither a stage nor a valid image reference (did you mean `build`?)",
        ),
        (
            "FROM scratch\nCOPY --from=3 a b",
            "Dockerfile:2: --from=3: there are only 1 stages, counted from 0",
        ),
        (
            "FROM --platform=linux/amd64 scratch",
            "Dockerfile:1: --platform=linux/amd64: this build is for linux/riscv64",
        ),
        (
            "FROM a AS 1",
            "Dockerfile:1: invalid stage name `1`: expected a letter, then letters, digits, `-`, `_`, `.`",
        ),
    ];
    for (text, expected) in table {
        assert_eq!(order(text, None), Err(expected.to_owned()), "{text}");
    }
}
