//! What a shell and `man` can be told about the commands, made from their definition.

use anyhow::Context;
use clap::{Args, Command};
use clap_complete::Shell;
use std::path::PathBuf;

/// Prints the completions of one shell.
#[derive(Args, Clone, Debug)]
pub(super) struct CompletionsArgs {
    /// The shell. For bash: source <(ordermill completions bash)
    shell: Shell,
}

/// Writes the man pages.
#[derive(Args, Clone, Debug)]
pub(super) struct ManArgs {
    /// The folder, such as /usr/local/share/man/man1; created if missing
    dir: PathBuf,
}

pub(super) fn completions(args: &CompletionsArgs, mut command: Command) {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    print!("{}", String::from_utf8_lossy(&script));
}

/// One page for ordermill and one for each of its commands.
pub(super) fn man(args: &ManArgs, command: Command) -> anyhow::Result<()> {
    let folder = args.dir.display();
    std::fs::create_dir_all(&args.dir).with_context(|| format!("{folder} cannot be made"))?;
    clap_mangen::generate_to(command, &args.dir).with_context(|| format!("{folder}: the pages cannot be written"))
}
