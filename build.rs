//! Tells the program which commit it is built from. Cargo also sets the variable where it runs the program, so it must not look like
//! a setting.

use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    let here = Path::new(".");
    // Who builds from sources without git, such as in a container, says where they are from.
    let told = std::env::var("SOURCE_COMMIT").ok().filter(|told| !told.is_empty());
    println!("cargo:rustc-env=BUILD_COMMIT={}", told.or_else(|| commit(here)).as_deref().unwrap_or("unknown"));
    println!("cargo:rerun-if-env-changed=SOURCE_COMMIT");
    // Named, so that a folder without git is not built anew each time: a package without such lines is, when any file changes.
    println!("cargo:rerun-if-changed=build.rs");
    for path in watched(here) {
        println!("cargo:rerun-if-changed={}", path.display());
    }
}

/// The commit that is checked out in `folder`; nothing without git, or in a folder of sources that it does not know.
pub(crate) fn commit(folder: &Path) -> Option<String> {
    git(folder, &["ls-files", "--error-unmatch", "Cargo.toml"])?;
    git(folder, &["rev-parse", "--short=12", "HEAD"])
}

/// Files of which at least one changes with every change of the commit. `HEAD` alone stays the same when a branch gets a commit, and
/// in a worktree is not at `.git/HEAD`. Only files that exist: cargo takes a missing one as changed each time.
pub(crate) fn watched(folder: &Path) -> Vec<PathBuf> {
    let place = |name: &str| git(folder, &["rev-parse", "--git-path", name]).map(|path| folder.join(path));
    let branch = git(folder, &["symbolic-ref", "--quiet", "HEAD"]);
    let mut paths: Vec<PathBuf> = ["HEAD", "logs/HEAD", "packed-refs"].iter().filter_map(|name| place(name)).collect();
    if let Some(mut path) = branch.and_then(|name| place(&name)) {
        // A packed branch has no file until its next commit makes one, in this folder.
        while !path.exists() && path.pop() {}
        paths.push(path);
    }
    paths.retain(|path| path.exists());
    paths
}

fn git(folder: &Path, arguments: &[&str]) -> Option<String> {
    let answer = Command::new("git").current_dir(folder).args(arguments).output().ok()?;
    answer.status.success().then(|| String::from_utf8_lossy(&answer.stdout).trim().to_owned()).filter(|text| !text.is_empty())
}
