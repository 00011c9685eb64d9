//! The scripts as a newcomer meets them.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

/// Runs it, and returns its standard output; a failure fails the test. Standard error may hold anything, such as what is downloaded.
pub(crate) fn said_by(command: &mut Command) -> String {
    let told = command.output().unwrap();
    let said = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.status.success(), "{command:?}: {said}{}", String::from_utf8_lossy(&told.stderr));
    said
}

fn scripts() -> Vec<PathBuf> {
    let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts")).unwrap();
    let is_script = |path: &PathBuf| path.is_file() && path.metadata().unwrap().permissions().mode() & 0o111 != 0;
    let up = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/docker/up"));
    folder.map(|entry| entry.unwrap().path()).filter(is_script).chain([up]).collect()
}

#[test]
fn every_script_explains_itself_and_does_nothing_else() {
    let scripts = scripts();
    assert!(scripts.len() >= 6, "{scripts:?}");
    for script in scripts {
        let asked = Command::new(&script).arg("--help").output().unwrap();
        let text = String::from_utf8(asked.stdout).unwrap();
        let name = script.display();
        assert!(asked.status.success(), "{name} --help failed: {}", String::from_utf8_lossy(&asked.stderr));
        let comment = std::fs::read_to_string(&script).unwrap();
        let comment: Vec<&str> = comment.lines().skip(1).take_while(|line| line.starts_with('#')).collect();
        let comment: Vec<&str> = comment.iter().map(|line| line.trim_start_matches('#').trim_start_matches(' ')).collect();
        let shown: Vec<&str> = text.lines().map(str::trim_start).collect();
        assert_eq!(shown, comment, "{name} --help prints the comment at its top");
    }
}
