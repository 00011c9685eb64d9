//! Which commit a build is from.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

#[path = "../../build.rs"]
#[expect(dead_code, reason = "cargo runs its main")]
mod build;

fn git(folder: &Path, arguments: &[&str]) {
    let done = Command::new("git")
        .current_dir(folder)
        .args(["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"])
        .args(arguments)
        .output()
        .unwrap();
    assert!(done.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// As after a build long ago: every watched file is old, so that any that a commit touches is newer.
fn make_old(folder: &Path) -> SystemTime {
    let old = SystemTime::now() - Duration::from_secs(3600);
    let watched = build::watched(folder);
    assert!(!watched.is_empty());
    for path in watched {
        assert!(path.exists(), "{} is missing: cargo would build each time", path.display());
        std::fs::File::open(path).unwrap().set_modified(old).unwrap();
    }
    old
}

/// A commit changes what `--version` says, and a file that cargo looks at.
fn commit_is_noticed(folder: &Path, how: &str) {
    let before = build::commit(folder).unwrap();
    let old = make_old(folder);
    git(folder, &["commit", "--quiet", "--allow-empty", "--message", how]);
    assert_ne!(build::commit(folder).unwrap(), before, "{how}");
    let newer = |path: &std::path::PathBuf| path.metadata().unwrap().modified().unwrap() > old + Duration::from_secs(60);
    assert!(build::watched(folder).iter().any(newer), "no watched file changed: {how}");
}

#[test]
fn a_new_commit_is_noticed_on_a_branch_in_a_worktree_and_with_packed_refs() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("clone");
    std::fs::create_dir(&folder).unwrap();
    assert_eq!(build::commit(&folder), None, "sources without git");
    git(&folder, &["init", "--quiet", "--initial-branch", "main"]);
    std::fs::write(folder.join("Cargo.toml"), "").unwrap();
    git(&folder, &["add", "Cargo.toml"]);
    git(&folder, &["commit", "--quiet", "--message", "first"]);
    commit_is_noticed(&folder, "on a branch");
    git(&folder, &["pack-refs", "--all"]);
    commit_is_noticed(&folder, "on a packed branch");
    git(&folder, &["config", "core.logAllRefUpdates", "false"]);
    std::fs::remove_dir_all(folder.join(".git/logs")).unwrap();
    commit_is_noticed(&folder, "without a log of the references");
    git(&folder, &["pack-refs", "--all"]);
    commit_is_noticed(&folder, "on a packed branch, without a log");
    git(&folder, &["worktree", "add", "--quiet", "-b", "other", "../worktree"]);
    let worktree = temporary.path().join("worktree");
    commit_is_noticed(&worktree, "in a worktree");
    git(&worktree, &["checkout", "--quiet", "--detach"]);
    commit_is_noticed(&worktree, "without a branch");
}

#[test]
fn the_version_names_the_commit() {
    let asked = Command::new(env!("CARGO_BIN_EXE_ordermill")).arg("--version").output().unwrap();
    let commit = build::commit(Path::new(env!("CARGO_MANIFEST_DIR")));
    let want = format!("ordermill {} ({})\n", env!("CARGO_PKG_VERSION"), commit.as_deref().unwrap_or("unknown"));
    assert_eq!(String::from_utf8_lossy(&asked.stdout), want);
}
