//! `docs/settings.md` is made from `config/default.toml`.

use std::fmt::Write;

const HEAD: &str = "\
# Settings

<!-- Made from config/default.toml. After a change there: UPDATE_DOCS=1 cargo test --test docs settings -->

Every setting with its default. Later sources override earlier ones: defaults, the file named by `--config`, the environment, flags. An
unknown key is an error, and the error suggests the closest known key. `ordermill config` prints the effective settings, with secrets
masked.

In the environment, `server.listen` is `ORDERMILL_SERVER__LISTEN`: upper case, two underscores between section and key. With the suffix
`_FILE`, the variable names a file that holds the value (for secrets). The items of a list are separated by commas.

Times end in `_ms` (milliseconds) or `_s` (seconds). An empty string means: not set.
";

/// The reference as Markdown: a table a section.
fn reference(defaults: &str) -> String {
    let mut text = HEAD.to_owned();
    let (mut title, mut section, mut comment) = (String::new(), String::new(), String::new());
    let mut in_table = false;
    // The file's own introduction ends at the first title.
    for line in defaults.lines().skip_while(|line| !line.starts_with("# ----")) {
        if let Some(rest) = line.strip_prefix("# ---- ") {
            title = rest.trim_end_matches('-').trim().to_owned();
        } else if let Some(rest) = line.strip_prefix('#') {
            comment = format!("{comment} {}", rest.trim()).trim().to_owned();
        } else if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.to_owned();
            let title = std::mem::take(&mut title);
            let heading = if title.is_empty() { String::new() } else { format!("\n## {title}\n") };
            write!(text, "{heading}\n### `[{section}]`\n").unwrap();
            if !comment.is_empty() {
                write!(text, "\n{}\n", std::mem::take(&mut comment)).unwrap();
            }
            in_table = false;
        } else if let Some((key, value)) = line.split_once(" = ") {
            if !in_table {
                text.push_str("\n| setting | default | meaning |\n| --- | --- | --- |\n");
                in_table = true;
            }
            let value = if value == "\"\"" { "" } else { value };
            let value = if value.is_empty() { String::new() } else { format!("`{value}`") };
            writeln!(text, "| `{section}.{key}` | {value} | {} |", std::mem::take(&mut comment).replace('|', "\\|")).unwrap();
        } else {
            assert!(line.is_empty(), "config/default.toml has a line that the reference cannot show: {line}");
        }
    }
    text
}

#[test]
fn the_settings_reference_is_the_default_file() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/settings.md");
    let defaults = ordermill::config::default_file();
    let made = reference(defaults);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, &made).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(committed == made, "docs/settings.md is not what config/default.toml says: UPDATE_DOCS=1 cargo test --test docs settings");
    // Nothing is left out.
    let settings = defaults.lines().filter(|line| !line.starts_with('#') && line.contains(" = ")).count();
    assert_eq!(made.matches("\n| `").count(), settings);
}
