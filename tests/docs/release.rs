//! What `scripts/release` packs.

use std::path::Path;
use std::process::Command;

fn run(command: &mut Command) -> String {
    let done = command.output().unwrap();
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).into_owned()
}

fn sections(file: &Path) -> String {
    run(Command::new("readelf").args(["--sections", "--wide"]).arg(file))
}

#[test]
fn a_release_is_a_stripped_program_with_its_debug_file_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/release");
    run(Command::new(script).args(["--binary", env!("CARGO_BIN_EXE_ordermill"), "--out"]).arg(&out));
    run(Command::new("sh").current_dir(&out).args(["-c", "sha256sum --check --strict *.sha256"]));
    let name = format!("ordermill-{}-{}-linux-gnu", env!("CARGO_PKG_VERSION"), std::env::consts::ARCH);
    let unpack = |file: String| run(Command::new("tar").arg("-xzf").arg(out.join(file)).arg("-C").arg(folder.path()));
    unpack(format!("{name}.tar.gz"));

    let release = folder.path().join(&name);
    let program = release.join("ordermill");
    assert!(!release.join("ordermill.debug").exists());
    let version = run(Command::new(&program).arg("--version"));
    assert_eq!(version, run(Command::new(env!("CARGO_BIN_EXE_ordermill")).arg("--version")));
    let stripped = sections(&program);
    assert!(!stripped.contains(".debug_line") && !stripped.contains(".symtab") && stripped.contains(".gnu_debuglink"), "{stripped}");
    for file in ["LICENSE", "README.md", "ordermill.toml", "man/ordermill-serve.1", "completions/ordermill.bash"] {
        assert!(release.join(file).metadata().is_ok_and(|file| file.len() > 100), "{file}");
    }
    // The settings file is one that the program takes.
    run(Command::new(&program).args(["config", "--config"]).arg(release.join("ordermill.toml")));

    unpack(format!("{name}-debug.tar.gz"));
    assert!(sections(&release.join("ordermill.debug")).contains(".debug_line"));
}
