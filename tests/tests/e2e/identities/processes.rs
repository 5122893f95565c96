//! Processes: what is remembered of those that are gone, and rules about executables and users.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Command,
};

use nix::sys::stat::{Mode, SFlag, mknod};
use weir_tests::harness::{Absent, Host, eventually, installed};

use super::{grant_for, host, server_for};

const USER: u32 = 65_534;
const SHORT_LIVED: usize = 500;

const ALLOWED: &str = "1 0 0";
const REFUSED: &str = "0 1 0";

/// A copy of the client that anybody may run.
fn program(host: &Host, name: &str) -> PathBuf {
    let directory = host.path("bin");
    fs::create_dir_all(&directory).expect("a directory");
    for directory in [&host.path(""), &directory] {
        fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).expect("permissions");
    }
    let path = directory.join(name);
    // In a process of its own: what another thread starts meanwhile would keep a file of this one
    // open for writing, and a file that is open for writing is not executed.
    let copied = Command::new("cp").arg(host.client()).arg(&path).status();
    assert!(copied.expect("`cp` runs").success(), "a copy");
    path
}

/// What `program` prints, of one connection from the cgroup `other`.
fn call(host: &Host, program: &Path, server: SocketAddr) -> String {
    call_as(host, program, server, None)
}

fn call_as(host: &Host, program: &Path, server: SocketAddr, user: Option<u32>) -> String {
    let mut command = match user {
        Some(user) => {
            let mut command = host.command_in("other", "setpriv");
            let user = format!("--reuid={user}");
            command
                .args([&user, "--regid=0", "--clear-groups"])
                .arg(program);
            command
        }
        None => host.command_in("other", program),
    };
    let args = ["-", "tcp", &server.to_string(), "1", "1"];
    let output = command.args(args).output().expect("the program runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn every_event_of_a_process_that_is_gone_tells_its_executable() {
    let host = host();
    let server = server_for(&host, "");
    let program = program(&host, "short-lived");
    let agent = host.agent().start();
    for _ in 0..SHORT_LIVED {
        assert_eq!(call(&host, &program, server), REFUSED);
    }
    let events = eventually("the events", || {
        let events = agent.events(&[("verdict", "deny")]);
        (events.len() == SHORT_LIVED).then_some(events)
    });
    let told = events.iter().filter(|event| {
        event["exe"] == program.display().to_string() && event["comm"] == "short-lived"
    });
    assert_eq!(told.count(), SHORT_LIVED, "{}", events[0]);
}

/// The interpreter itself, and no script that starts it.
fn python() -> Result<PathBuf, Absent> {
    let mut python = Command::new(installed("python3")?);
    python.args(["-c", "import os; print(os.readlink('/proc/self/exe'))"]);
    let output = python.output().map_err(|error| error.to_string())?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().into())
}

#[test]
fn a_script_is_told_beside_its_interpreter() {
    let host = host();
    let python = match python() {
        Ok(python) => python,
        Err(why) => {
            println!("SKIP identities::processes::a_script_is_told_beside_its_interpreter: {why}");
            return;
        }
    };
    let server = server_for(&host, "");
    let script = host.path("caller.py");
    let text = format!(
        "#!{}\nimport socket\nsocket.socket().connect_ex(('{}', {}))\n",
        python.display(),
        server.ip(),
        server.port()
    );
    fs::write(&script, text).expect("a file");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("permissions");
    let agent = host.agent().start();
    let status = host.command_in("other", &script).status();
    assert!(status.expect("the script runs").success());
    let event = eventually("the event", || agent.events(&[("verdict", "deny")]).pop());
    assert_eq!(event["exe"], python.display().to_string());
    assert_eq!(event["script"], script.display().to_string());
    assert_eq!(event["comm"], "caller.py");
    assert_eq!(event["user"], 0);
}

#[test]
fn only_the_executable_that_is_named_may() {
    let host = host();
    let granted = program(&host, "granted");
    let copy = program(&host, "copy");
    let subject = format!("process: {{exe: {}}}", granted.display());
    let server = server_for(&host, &grant_for(&[subject]));
    let link = host.path("bin/link");
    fs::hard_link(&granted, &link).expect("a link");
    let agent = host.agent().start();

    assert_eq!(call(&host, &granted, server), ALLOWED);
    assert_eq!(call(&host, &link, server), ALLOWED, "the same file");
    assert_eq!(call(&host, &copy, server), REFUSED, "another file");
    let event = eventually("the event", || agent.events(&[("verdict", "allow")]).pop());
    let other = host.cgroup_path("other");
    assert_eq!(
        event["identity"],
        format!("cgroup:{other} exe:{}", granted.display())
    );
}

#[test]
fn a_file_that_takes_the_place_of_an_executable_is_noticed() {
    let host = host();
    let granted = program(&host, "granted");
    let new = program(&host, "new");
    let kept = host.path("bin/kept");
    fs::hard_link(&granted, &kept).expect("a link");
    let subject = format!("process: {{exe: {}}}", granted.display());
    let server = server_for(&host, &grant_for(&[subject]));
    let _agent = host.agent().start();
    assert_eq!(call(&host, &granted, server), ALLOWED);

    fs::rename(&new, &granted).expect("an update");
    eventually("the new file", || {
        (call(&host, &granted, server) == ALLOWED).then_some(())
    });
    assert_eq!(call(&host, &kept, server), REFUSED, "the former file");
    fs::remove_file(&granted).expect("it is removed");
    let back = program(&host, "back");
    assert_eq!(call(&host, &back, server), REFUSED);
    fs::rename(&back, &granted).expect("it is back");
    eventually("the file that is back", || {
        (call(&host, &granted, server) == ALLOWED).then_some(())
    });
}

#[test]
fn only_the_user_who_is_named_may() {
    let host = host();
    let program = program(&host, "client");
    let server = server_for(&host, &grant_for(&[format!("process: {{user: {USER}}}")]));
    let _agent = host.agent().start();
    assert_eq!(call_as(&host, &program, server, Some(USER)), ALLOWED);
    assert_eq!(call_as(&host, &program, server, Some(USER - 1)), REFUSED);
    assert_eq!(call(&host, &program, server), REFUSED, "root");
}

#[test]
fn executable_and_user_together_select_less_than_either() {
    let host = host();
    let (granted, other) = (program(&host, "granted"), program(&host, "other"));
    let subject = format!("process: {{exe: {}, user: {USER}}}", granted.display());
    let server = server_for(&host, &grant_for(&[subject]));
    let _agent = host.agent().start();
    for (program, user, expected) in [
        (&granted, USER, ALLOWED),
        (&granted, USER - 1, REFUSED),
        (&other, USER, REFUSED),
        (&other, USER - 1, REFUSED),
    ] {
        let found = call_as(&host, program, server, Some(user));
        assert_eq!(found, expected, "{} as {user}", program.display());
    }
}

#[test]
fn nobody_becomes_an_executable_by_its_number_while_no_agent_holds_it() {
    let host = host();
    let granted = program(&host, "granted");
    let number = fs::metadata(&granted).expect("it is there").ino();
    let subject = format!("process: {{exe: {}}}", granted.display());
    let server = server_for(&host, &grant_for(&[subject]));
    let agent = host.agent().start();
    assert_eq!(call(&host, &granted, server), ALLOWED);
    agent.kill();
    fs::remove_file(&granted).expect("it is removed");
    let numbers = (0..2_000).map(|index| host.path(&format!("bin/{index}")));
    // Without opening it: see `program`.
    let again = numbers.into_iter().find(|path| {
        mknod(path, SFlag::S_IFREG, Mode::S_IRWXU, 0).expect("a file");
        fs::metadata(path).expect("it is there").ino() == number
    });
    let Some(again) = again else {
        println!(
            "SKIP identities::processes::nobody_becomes_an_executable_by_its_number_while_no_agent_\
             holds_it: this file system uses no number again"
        );
        return;
    };
    run("cp", &[&host.client(), &again.display().to_string()]).expect("a copy");
    assert_eq!(call(&host, &again, server), REFUSED);
    let _agent = host.agent().start();
    assert_eq!(call(&host, &again, server), REFUSED);
}

/// On file systems that have other numbers for `stat` than the kernel's hooks see.
#[test]
fn an_executable_is_itself_on_layers_and_subvolumes() {
    let host = host();
    program(&host, "any");
    let [lower, upper, merged, volume] =
        ["lower", "upper", "merged", "volume"].map(|name| Mounted::make(&host, name));
    let tmpfs = |at: &Mounted| at.mount(&["-t", "tmpfs", "none"]);
    tmpfs(&lower).expect("a file system");
    tmpfs(&upper).expect("a file system");
    for name in ["upper/files", "upper/work"] {
        fs::create_dir(host.path(name)).expect("a directory");
    }
    let copy = |to: &Path| run("cp", &[&host.client(), &to.display().to_string()]);
    copy(&host.path("lower/client")).expect("a copy");
    let layers = format!(
        "lowerdir={},upperdir={},workdir={}",
        lower.place.display(),
        host.path("upper/files").display(),
        host.path("upper/work").display()
    );
    let mut places = Vec::new();
    let skipped = |what: &str, why: String| {
        println!(
            "SKIP identities::processes::an_executable_is_itself_on_layers_and_subvolumes: {what}: \
             {why}"
        );
    };
    match merged.mount(&["-t", "overlay", "-o", &layers, "none"]) {
        Ok(()) => places.push(merged.place.join("client")),
        Err(why) => skipped("overlay", why),
    }
    let image = host.path("image");
    let made = fs::File::create(&image).and_then(|file| file.set_len(1 << 30));
    made.expect("an image");
    let image = image.display().to_string();
    let formatted = run("mkfs.btrfs", &["-q", &image]);
    match formatted.and_then(|()| volume.mount(&["-o", "loop", &image])) {
        Ok(()) => {
            places.push(volume.place.join("client"));
            copy(&volume.place.join("client")).expect("a copy");
        }
        Err(why) => skipped("btrfs", why),
    }
    let subjects: Vec<_> = places
        .iter()
        .map(|place| format!("process: {{exe: {}}}", place.display()))
        .collect();
    let server = server_for(&host, &grant_for(&subjects));
    let agent = host.agent().start();
    for place in &places {
        assert_eq!(call(&host, place, server), ALLOWED, "{}", place.display());
    }
    agent.stop();
}

/// A directory for a file system, which is gone with this.
struct Mounted {
    place: PathBuf,
}

impl Mounted {
    fn make(host: &Host, name: &str) -> Self {
        let place = host.path(name);
        fs::create_dir(&place).expect("a directory");
        Self { place }
    }

    fn mount(&self, args: &[&str]) -> Result<(), String> {
        let place = self.place.display().to_string();
        run("mount", &[args, &[&place]].concat())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Whatever was mounted there; what was not is no mistake.
        let _ = run("umount", &["-l", &self.place.display().to_string()]);
    }
}

fn run(program: &str, args: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(args).output();
    let output = output.map_err(|error| format!("`{program}`: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}
