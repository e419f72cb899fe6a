//! What changes a key and what does not, seen from outside: which steps of a second build are cached.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroUsize;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lithify_image::Blob;

use super::*;
use crate::exec::{Ended, Executor, Finished, Job, Stream};
use crate::machine::MachineError;
use crate::{Built, DockerfileInput, Event, Options, Progress};

/// Makes a file whose content is the command's last word, or, for `count`, how often it was asked.
struct Echo(Arc<AtomicUsize>);

impl Executor for Echo {
    fn execute(
        &self,
        job: &Job<'_>,
        _: &mut dyn FnMut(Stream, &[u8]),
    ) -> Result<Finished, MachineError> {
        let count = self.0.fetch_add(1, Ordering::SeqCst);
        let last = job.command.argv.last().cloned().unwrap_or_default();
        let text = last.split_whitespace().last().unwrap_or_default();
        let text = if text == "count" { count.to_string() } else { text.to_owned() };
        let mut tar = tar::Builder::new(tempfile::tempfile().unwrap());
        let mut header = tar::Header::new_ustar();
        header.set_size(text.len() as u64);
        tar.append_data(&mut header, "echoed", text.as_bytes()).unwrap();
        let file = tar.into_inner().unwrap();
        let len = file.metadata().unwrap().len();
        let ended = Ended::Changed(Blob::whole(file, len, "changes".into()));
        Ok(Finished { ended, caches: Vec::new() })
    }
}

/// The steps in the order of their numbers, and which of them were cached.
#[derive(Default)]
struct Steps(Mutex<BTreeMap<usize, (String, bool)>>);

impl Progress for Steps {
    fn event(&self, event: Event<'_>) {
        let mut steps = lock(&self.0);
        match event {
            Event::StepStarted { id, text, .. } => {
                steps.insert(id, (text.to_owned(), false));
            }
            Event::StepCached { id } => steps.get_mut(&id).unwrap().1 = true,
            _ => {}
        }
    }
}

struct Lab {
    dir: tempfile::TempDir,
    options: Options,
    store: Store,
    executed: Arc<AtomicUsize>,
}

impl Lab {
    fn new(dockerfile: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let context = dir.path().join("context");
        fs::create_dir(&context).unwrap();
        let store = Store::open(dir.path().join("store")).unwrap();
        let lab = Self { options: Options::new(context), store, dir, executed: Arc::default() };
        lab.write("a", "A");
        lab.write("b", "B");
        lab.dockerfile(dockerfile)
    }

    fn dockerfile(mut self, text: &str) -> Self {
        self.options.dockerfile = DockerfileInput::Bytes(text.into());
        self
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.options.context.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn chmod(&self, path: &str, mode: u32) {
        let path = self.options.context.join(path);
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Builds, and gives the texts of all steps that were cached.
    fn build(&self) -> (Built, Vec<String>) {
        let steps = Steps::default();
        let echo = Box::new(Echo(Arc::clone(&self.executed)));
        let built = crate::build_with(Some(echo), &self.options, &self.store, &steps);
        let built = built.unwrap_or_else(|error| panic!("{}", error.render()));
        let steps = steps.0.into_inner().unwrap().into_values();
        (built, steps.filter(|(_, cached)| *cached).map(|(text, _)| text).collect())
    }

    fn cached(&self) -> Vec<String> {
        self.build().1
    }
}

type Change = fn(Lab) -> Lab;

#[test]
fn inputs_decide_what_is_cached() {
    const FILE: &str = "FROM scratch\nARG V=1\nENV E=1\nCOPY a /\nRUN echo x\n";
    const BOTH: &[&str] = &["COPY a /", "RUN echo x"];
    const COPY: &[&str] = &["COPY a /"];
    let table: &[(&str, Change, &[&str])] = &[
        ("nothing", |lab| lab, BOTH),
        (
            "a file's content",
            |lab| {
                lab.write("a", "other");
                lab
            },
            &[],
        ),
        (
            "a file's mode",
            |lab| {
                lab.chmod("a", 0o755);
                lab
            },
            &[],
        ),
        (
            "another file",
            |lab| {
                lab.write("b", "other");
                lab
            },
            BOTH,
        ),
        (
            "a file's time",
            |lab| {
                let file =
                    fs::File::options().write(true).open(lab.options.context.join("a")).unwrap();
                file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
                lab
            },
            BOTH,
        ),
        ("an ENV", |lab| lab.dockerfile(&FILE.replace("E=1", "E=2")), COPY),
        ("an ARG's default", |lab| lab.dockerfile(&FILE.replace("V=1", "V=2")), COPY),
        (
            "an ARG given",
            |mut lab| {
                lab.options.build_args.insert("V".into(), "3".into());
                lab
            },
            COPY,
        ),
        (
            "a proxy",
            |mut lab| {
                lab.options.build_args.insert("HTTP_PROXY".into(), "http://proxy".into());
                lab
            },
            BOTH,
        ),
        ("the command", |lab| lab.dockerfile(&FILE.replace("echo x", "echo y")), COPY),
        ("a USER", |lab| lab.dockerfile(&FILE.replace("RUN", "USER 7\nRUN")), COPY),
        ("a SHELL", |lab| lab.dockerfile(&FILE.replace("RUN", "SHELL [\"a\"]\nRUN")), COPY),
        ("a LABEL", |lab| lab.dockerfile(&FILE.replace("RUN", "LABEL a=b\nRUN")), BOTH),
        ("a comment", |lab| lab.dockerfile(&FILE.replace("RUN", "# note\nRUN")), BOTH),
        ("the network", |lab| lab.dockerfile(&FILE.replace("RUN", "RUN --network=none")), COPY),
        ("an owner", |lab| lab.dockerfile(&FILE.replace("COPY", "COPY --chown=1")), &[]),
        ("a mode given", |lab| lab.dockerfile(&FILE.replace("COPY", "COPY --chmod=600")), &[]),
        ("the destination", |lab| lab.dockerfile(&FILE.replace("a /", "a /c")), &[]),
        (
            "the epoch",
            |mut lab| {
                lab.options.source_date_epoch = 5;
                lab
            },
            &[],
        ),
    ];
    for (what, change, expected) in table {
        let lab = Lab::new(FILE);
        assert_eq!(lab.cached(), [""; 0], "{what}");
        let lab = change(lab);
        let cached: Vec<String> =
            lab.cached().iter().map(|text| text.replace(" --network=none", "")).collect();
        assert_eq!(cached, *expected, "{what}");
    }
}

#[test]
fn a_step_that_makes_the_same_leaves_what_follows_cached() {
    let lab = Lab::new("FROM scratch\nRUN echo x\nRUN echo y\n");
    lab.build();
    // Another command with the same result.
    let lab = lab.dockerfile("FROM scratch\nRUN echo  x\nRUN echo y\n");
    assert_eq!(lab.cached(), ["RUN echo y"]);
}

#[test]
fn a_stage_counts_by_what_is_copied_of_it() {
    const FILE: &str =
        "FROM scratch AS s\nCOPY b /b\nCOPY a /a\nFROM scratch\nCOPY --from=s /b /\n";
    let lab = Lab::new(FILE);
    lab.build();
    lab.write("a", "other");
    assert_eq!(lab.cached(), ["COPY b /b", "COPY --from=s /b /"]);
    assert_eq!(lab.cached().len(), 3);
    lab.write("b", "other");
    assert_eq!(lab.cached(), [""; 0]);
}

#[test]
fn excluded_files_and_patterns_without_a_match_are_no_input() {
    const FILE: &str = "FROM scratch\nCOPY --exclude=*.log d x* /\n";
    let lab = Lab::new(FILE);
    lab.write("d/file", "1");
    let first = lab.build().0;
    lab.write("d/a.log", "2");
    let (second, cached) = lab.build();
    assert_eq!(cached.len(), 1);
    let rules = |built: &Built| built.warnings.iter().map(|w| w.rule).collect::<Vec<_>>();
    assert_eq!(rules(&first), ["NoMatch"]);
    assert_eq!(rules(&second), ["NoMatch"], "a hit warns as the first build did");
}

#[test]
fn with_everything_cached_no_layer_is_read() {
    let lab = Lab::new(
        "FROM scratch AS s\nCOPY a /\nRUN echo x\nFROM s\nCOPY --from=s /a /c\nWORKDIR /w\n",
    );
    let first = lab.build().0;
    let layers = first.layers();
    // What nobody may read: files that fail when they are.
    for layer in &layers {
        let path = lab.store.root().join("blobs/sha256").join(layer.diff_id.hex());
        let time = path.metadata().unwrap().modified().unwrap();
        fs::write(&path, b"unreadable").unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    }
    let (second, cached) = lab.build();
    assert_eq!(cached.len(), 4);
    assert_eq!(second.config.to_json(), first.config.to_json());
    assert!(second.tree().is_err());
}

#[test]
fn a_damaged_or_lost_layer_is_made_again() {
    for damage in [
        |path: &Path| fs::write(path, "damaged").unwrap(),
        |path: &Path| fs::remove_file(path).unwrap(),
    ] {
        let lab = Lab::new("FROM scratch\nCOPY a /\nRUN echo x\n");
        let first = lab.build().0;
        damage(&lab.store.root().join("blobs/sha256").join(first.layers()[0].diff_id.hex()));
        let (second, cached) = lab.build();
        assert_eq!(cached, ["RUN echo x"]);
        assert_eq!(second.config.to_json(), first.config.to_json());
        assert_eq!(second.tree().unwrap().walk().count(), 3);
    }
}

#[test]
fn caches_can_be_left_alone_for_all_stages_or_for_some() {
    let file = "FROM scratch AS one\nRUN count\nFROM scratch AS two\nCOPY --from=one /echoed /e\nRUN echo x\n";
    let mut lab = Lab::new(file);
    lab.build();
    assert_eq!(lab.cached().len(), 3);
    lab.options.cache.ignore_stages = vec!["TWO".into()];
    assert_eq!(lab.cached(), ["RUN count"]);
    lab.options.cache.ignore_stages = vec!["0".into(), "nowhere".into()];
    assert_eq!(lab.cached(), [""; 0], "the new count is another file");
    lab.options.cache.ignore_stages = Vec::new();
    lab.options.cache.ignore_all = true;
    assert_eq!(lab.cached(), [""; 0]);
    // What was made anew replaces what was there.
    let again = lab.build().0;
    lab.options.cache.ignore_all = false;
    let (built, cached) = lab.build();
    assert_eq!((cached.len(), built.config.to_json()), (3, again.config.to_json()));
}

#[test]
fn equal_steps_of_one_build_are_made_once_also_without_the_cache() {
    let mut lab = Lab::new(
        "FROM scratch AS a\nRUN count\nFROM scratch AS b\nRUN count\nFROM scratch\n\
         COPY --from=a / /a\nCOPY --from=b / /b\n",
    );
    for threads in [1, 4] {
        lab.options.threads = NonZeroUsize::new(threads).unwrap();
        lab.options.cache.ignore_all = true;
        lab.executed.store(0, Ordering::SeqCst);
        lab.build();
        assert_eq!(lab.executed.load(Ordering::SeqCst), 1);
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let mut file = String::new();
    for stage in 0..12 {
        file.push_str(&format!(
            "FROM scratch AS s{stage}\nCOPY a b /{stage}/\nRUN echo {stage}\nWORKDIR $X\n"
        ));
    }
    file.push_str("FROM scratch\n");
    for stage in 0..12 {
        file.push_str(&format!("COPY --from=s{stage} / /out{stage}/\n"));
    }
    let file = file.replace("WORKDIR $X", "WORKDIR /w$X");
    let outcomes: Vec<_> = [1, 2, 8]
        .map(|threads| {
            let mut lab = Lab::new(&file);
            lab.options.threads = NonZeroUsize::new(threads).unwrap();
            let built = lab.build().0;
            (built.config.to_json(), built.warnings)
        })
        .into();
    assert_eq!(outcomes[0], outcomes[1]);
    assert_eq!(outcomes[0], outcomes[2]);
    assert_eq!(outcomes[0].1.len(), 12);
}

#[test]
fn a_failing_stage_cancels_the_others() {
    let lab = Lab::new(
        "FROM scratch AS a\nCOPY missing /\nFROM scratch AS b\nRUN wait\nFROM a\nCOPY --from=b / /\n",
    );
    struct Waits;
    impl Executor for Waits {
        fn execute(
            &self,
            job: &Job<'_>,
            _: &mut dyn FnMut(Stream, &[u8]),
        ) -> Result<Finished, MachineError> {
            while !job.cancel.is_canceled() {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            Err(MachineError::Canceled)
        }
    }
    let mut options = lab.options.clone();
    options.threads = NonZeroUsize::new(2).unwrap();
    let error = crate::build_with(Some(Box::new(Waits)), &options, &lab.store, &()).unwrap_err();
    assert!(error.to_string().contains("missing"), "{error}");
    assert!(!options.cancel.is_canceled(), "the user did not ask for it");
    options.cancel.cancel();
    let error = crate::build_with(Some(Box::new(Waits)), &options, &lab.store, &()).unwrap_err();
    assert!(error.is_canceled(), "{error}");
}

#[test]
fn caches_travel_in_folders() {
    let file =
        "FROM scratch AS other\nRUN echo x\nFROM scratch\nCOPY --from=other /echoed /\nCOPY a /\n";
    for (mode, layers) in [(CacheMode::Min, 2), (CacheMode::Max, 3)] {
        let mut first = Lab::new(file);
        let dir = first.dir.path().join("exported");
        first.options.cache.export = vec![CacheExport { dir: dir.clone(), mode }];
        let built = first.build().0;
        // A copy from a stage has two keys.
        let records = fs::read_dir(dir.join("records/build-cache")).unwrap();
        assert_eq!(records.count(), layers + 1);

        let mut second = Lab::new(file);
        second.options.cache.import = vec![dir.clone()];
        let (again, cached) = second.build();
        assert_eq!(cached.len(), layers);
        assert_eq!(again.config.to_json(), built.config.to_json());
    }
}

#[test]
fn hostile_caches_are_no_caches() {
    let file = "FROM scratch\nCOPY a /\n";
    let damages: [fn(&Path); 4] = [
        |path| fs::write(path, "not json").unwrap(),
        |path| fs::write(path, "{\"blobs\":[],\"value\":{\"layer\":\"sha256:../../x\"}}").unwrap(),
        |path| fs::write(path, vec![b' '; 5 << 20]).unwrap(),
        |path| fs::remove_file(path).unwrap(),
    ];
    for (number, damage) in damages.into_iter().enumerate() {
        let mut first = Lab::new(file);
        let dir = first.dir.path().join("exported");
        first.options.cache.export = vec![CacheExport { dir: dir.clone(), mode: CacheMode::Max }];
        first.build();
        let records = fs::read_dir(dir.join("records/build-cache")).unwrap();
        records.for_each(|record| damage(&record.unwrap().path()));
        let mut second = Lab::new(file);
        second.options.cache.import = vec![dir];
        assert_eq!(second.cached(), [""; 0], "{number}");
    }
    let mut first = Lab::new(file);
    let dir = first.dir.path().join("exported");
    first.options.cache.export = vec![CacheExport { dir: dir.clone(), mode: CacheMode::Max }];
    let digest = first.build().0.layers()[0].diff_id;
    fs::write(dir.join("blobs/sha256").join(digest.hex()), "another layer").unwrap();
    let mut second = Lab::new(file);
    second.options.cache.import = vec![dir.clone()];
    let (built, cached) = second.build();
    assert_eq!((cached.len(), built.layers()[0].diff_id), (0, digest));
    second.options.cache.import = vec![dir.join("nowhere")];
    assert!(crate::build(&second.options, &second.store, &()).is_err());
}
