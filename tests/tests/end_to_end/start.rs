//! What the controller cannot start with: one line that names the thing and the mend, and an exit code that is not 0.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Command, Output};

use redb::{Database, TableDefinition};
use scaleset_tests::local::binary::Program;
use scaleset_tests::local::cluster::LocalCluster;
use tempfile::TempDir;

use crate::world::{peaceful, run_bare};

/// What a store of this version has as its format; see the store of the simulated hardware.
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

/// Runs the controller until it gives up.
fn run(program: &Path, arguments: &[(&str, &Path)]) -> Output {
    let mut command = Command::new(program);
    command.arg("--health-listen=127.0.0.1:0").env_remove("KUBECONFIG");
    for (flag, path) in arguments {
        command.arg(flag).arg(path);
    }
    command.output().expect("the controller can be run")
}

/// The last line of what it said, where it ended as it should.
fn refusal(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "it ended well:\n{text}");
    let lines: Vec<&str> = text.lines().collect();
    let said: Vec<&&str> = lines.iter().filter(|line| line.starts_with("scaleset-controller: ")).collect();
    assert_eq!(said.len(), 1, "one line, and nothing besides logs:\n{text}");
    assert_eq!(lines.last(), Some(said[0]), "it is the last one:\n{text}");
    (*said[0]).to_owned()
}

fn assert_says(output: &Output, phrases: &[&str]) {
    let line = refusal(output);
    for phrase in phrases {
        assert!(line.contains(phrase), "{phrase:?} is not in: {line}");
    }
}

struct Files {
    directory: TempDir,
}

impl Files {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a temporary directory") }
    }

    fn write(&self, name: &str, text: &str) -> std::path::PathBuf {
        let path = self.directory.path().join(name);
        fs::write(&path, text).expect("a file in it");
        path
    }
}

#[test]
fn a_region_file_that_is_none_is_named_with_the_place() {
    run_bare(async || {
        let (program, files) = (Program::Controller.binary().await?, Files::new());
        let kubeconfig = files.write("kubeconfig", "{}");
        let store = files.directory.path().join("hardware.redb");
        let broken = files.write("broken.yaml", "seed: 1\nlatencies: [unfinished\n");
        let unknown = files.write("unknown.yaml", "seed: 1\ncolour: blue\n");
        let missing = files.directory.path().join("missing.yaml");
        for (region, phrases) in [
            (&broken, ["region file", "broken.yaml", "line"]),
            (&unknown, ["region file", "unknown.yaml", "colour"]),
            (&missing, ["region file", "missing.yaml", "name a readable file"]),
        ] {
            let arguments =
                [("--kubeconfig", kubeconfig.as_path()), ("--hardware-store", &store), ("--region-file", region)];
            assert_says(&run(&program, &arguments), &phrases);
            assert!(!store.exists(), "nothing was begun");
        }
        Ok(())
    });
}

#[test]
fn a_check_reads_the_region_file_and_begins_nothing() {
    run_bare(async || {
        let (program, files) = (Program::Controller.binary().await?, Files::new());
        let store = files.directory.path().join("hardware.redb");
        let broken = files.write("broken.yaml", "seed: 1\ncolour: blue\n");
        let check = |arguments: &[&str]| {
            let mut command = Command::new(&program);
            command.arg("--check").arg("--hardware-store").arg(&store).args(arguments);
            command.output().expect("the controller can be run")
        };
        assert!(check(&[]).status.success());
        assert_says(&check(&["--region-file", &broken.display().to_string()]), &["broken.yaml", "colour"]);
        assert!(!check(&["--time-scale=fast"]).status.success());
        assert!(!store.exists(), "nothing was begun");
        Ok(())
    });
}

#[test]
fn a_store_that_is_not_ours_to_open_is_left_as_it_is() {
    run_bare(async || {
        let (program, files) = (Program::Controller.binary().await?, Files::new());
        let kubeconfig = files.write("kubeconfig", "{}");
        let refused = |store: &Path, phrases: &[&str]| {
            let before = fs::read(store).expect("the store is there");
            let arguments = [("--kubeconfig", kubeconfig.as_path()), ("--hardware-store", store)];
            assert_says(&run(&program, &arguments), phrases);
            assert!(fs::read(store).expect("the store is there") == before, "{} was changed", store.display());
        };
        let newer = files.directory.path().join("newer.redb");
        write_newer_store(&newer);
        refused(&newer, &["newer.redb", "format 999", "left untouched", "use the newer version"]);
        let foreign = files.write("notes.txt", "these are my notes");
        refused(&foreign, &["notes.txt", "no usable hardware store", "name another file"]);

        // Somebody works on this one, so that only its refusal can be looked at.
        // A release keeps its store in a volume of a pod, where no other process comes.
        if let Some(locked) = peaceful().await.controller.hardware_store() {
            let arguments = [("--kubeconfig", kubeconfig.as_path()), ("--hardware-store", &locked)];
            assert_says(&run(&program, &arguments), &["hardware.redb", "locked", "another process"]);
        }
        Ok(())
    });
}

fn write_newer_store(path: &Path) {
    let database = Database::create(path).expect("a database can be made");
    let transaction = database.begin_write().expect("it can be written");
    let mut table = transaction.open_table(META).expect("it takes a table");
    table.insert("format", 999).expect("it takes a row");
    drop(table);
    transaction.commit().expect("it can be written");
}

#[test]
fn a_kubeconfig_that_is_none_is_named() {
    run_bare(async || {
        let (program, files) = (Program::Controller.binary().await?, Files::new());
        let store = files.directory.path().join("hardware.redb");
        let missing = files.directory.path().join("no-such-file");
        let arguments = [("--kubeconfig", missing.as_path()), ("--hardware-store", &store)];
        assert_says(&run(&program, &arguments), &["kubeconfig", "no-such-file", "--kubeconfig or KUBECONFIG"]);
        let arguments = [("--hardware-store", store.as_path())];
        assert_says(&run(&program, &arguments), &["no kubeconfig given and not in a cluster", "--kubeconfig PATH"]);
        Ok(())
    });
}

/// Both are waited for, each as long as a person may need to put it right, so they are tried beside each other.
#[test]
fn an_api_server_that_cannot_be_used_is_named_with_the_mend() {
    run_bare(async || {
        let (program, files) = (Program::Controller.binary().await?, Files::new());
        let cluster = tokio::task::spawn_blocking(LocalCluster::bare).await??;
        let bare = cluster.controller_kubeconfig()?;
        // Nobody listens on a port that was free a moment ago.
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let text = fs::read_to_string(&bare)?;
        let mut config: serde_json::Value = serde_json::from_str(&text)?;
        config["clusters"][0]["cluster"]["server"] = format!("https://{free}").into();
        let nowhere = files.write("kubeconfig", &config.to_string());
        let started = |kubeconfig: &Path, name: &str| {
            let (program, kubeconfig) = (program.clone(), kubeconfig.to_owned());
            let store = files.directory.path().join(name);
            std::thread::spawn(move || {
                run(&program, &[("--kubeconfig", kubeconfig.as_path()), ("--hardware-store", &store)])
            })
        };
        let (without_kinds, without_server) = (started(&bare, "bare.redb"), started(&nowhere, "nowhere.redb"));
        let address = free.to_string();
        let unreachable = without_server.join().expect("the run does not panic");
        assert_says(&unreachable, &["unreachable", &address, "start the API server"]);
        let unknown = without_kinds.join().expect("the run does not panic");
        let kinds = ["scalesets.compute.scaleset.io", "flexvms.compute.scaleset.io", "kubectl apply -f crds/manifests"];
        assert_says(&unknown, &kinds);
        Ok(())
    });
}
