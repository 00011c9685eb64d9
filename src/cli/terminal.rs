//! The terminal that the output goes to: how wide it is, and a page on it that is drawn again and again.

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use std::io::{IsTerminal as _, Read as _, Write as _};
use tokio::sync::mpsc;

/// Keys that wait to be looked at.
const KEYS: usize = 16;
/// Begins a page of its own that leaves what was on the screen, without a cursor; and its end.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// How many characters a line has; none where the output is no terminal.
pub(super) fn width() -> Option<usize> {
    size().map(|(width, _)| width)
}

/// Width and height.
fn size() -> Option<(usize, usize)> {
    let output = std::io::stdout();
    let size = output.is_terminal().then(|| tcgetwinsize(&output).ok()).flatten()?;
    (size.ws_col > 0 && size.ws_row > 0).then(|| (usize::from(size.ws_col), usize::from(size.ws_row)))
}

/// How a line looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Tone {
    Plain,
    Head,
    Good,
    Warn,
    Bad,
}

impl Tone {
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Head => "\x1b[1m",
            Self::Good => "\x1b[32m",
            Self::Warn => "\x1b[33m",
            Self::Bad => "\x1b[1;31m",
        }
    }
}

/// A page on the terminal. Dropping it gives the terminal back as it was.
pub(super) struct Screen {
    /// How the terminal took its input.
    input: Option<Termios>,
    has_colours: bool,
}

impl Screen {
    /// None where none can be drawn: the output is no terminal, or a dumb one.
    pub(super) fn open() -> Option<Self> {
        let can_draw = std::env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb");
        if !can_draw || size().is_none() {
            return None;
        }
        let stdin = std::io::stdin();
        let input = stdin.is_terminal().then(|| tcgetattr(&stdin).ok()).flatten();
        if let Some(input) = &input {
            let mut keys = input.clone();
            keys.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
            // Without it, keys are seen at the next Enter.
            _ = tcsetattr(&stdin, OptionalActions::Flush, &keys);
        }
        print!("{ENTER}");
        Some(Self { input, has_colours: std::env::var_os("NO_COLOR").is_none() })
    }

    /// Width and height now.
    pub(super) fn size(&self) -> (usize, usize) {
        size().unwrap_or((80, 24))
    }

    /// The keys that are pressed.
    pub(super) fn keys(&self) -> Keys {
        let (sender, keys) = mpsc::channel(KEYS);
        if self.input.is_some() {
            // Ends with the process: nothing interrupts its reading.
            std::thread::spawn(move || {
                let mut key = [0];
                while std::io::stdin().read(&mut key).is_ok_and(|read| read > 0) && sender.blocking_send(key).is_ok() {}
            });
        }
        Keys(keys)
    }

    /// Draws the lines over what is there.
    ///
    /// # Errors
    /// The terminal is gone.
    pub(super) fn draw(&mut self, lines: &[(Tone, String)]) -> std::io::Result<()> {
        let mut page = "\x1b[H".to_owned();
        for (at, (tone, text)) in lines.iter().enumerate() {
            let code = if self.has_colours { tone.code() } else { "" };
            let end = if code.is_empty() { "" } else { "\x1b[0m" };
            // Cleared before it is written: behind a line as wide as the terminal, its last character would be cleared.
            page.push_str(&format!("{}\x1b[2K{code}{text}{end}", if at == 0 { "" } else { "\r\n" }));
        }
        page.push_str("\x1b[J");
        let mut output = std::io::stdout().lock();
        output.write_all(page.as_bytes())?;
        output.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let mut output = std::io::stdout().lock();
        // A terminal that is gone needs nothing back.
        drop(output.write_all(LEAVE.as_bytes()));
        drop(output.flush());
        if let Some(input) = &self.input {
            _ = tcsetattr(std::io::stdin(), OptionalActions::Now, input);
        }
    }
}

/// Keys, one byte each.
pub(super) struct Keys(mpsc::Receiver<[u8; 1]>);

impl Keys {
    /// The next one; never, where there is no keyboard.
    pub(super) async fn next(&mut self) -> u8 {
        match self.0.recv().await {
            Some([key]) => key,
            None => std::future::pending().await,
        }
    }
}
