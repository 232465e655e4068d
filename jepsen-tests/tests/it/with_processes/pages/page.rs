//! What a page says that can be run.
//!
//! | in the page | what the test does |
//! |---|---|
//! | a block `console` | runs each line that begins with `$ `; the lines below it must be what it prints. `…` stands for any text, and alone on a line for any lines |
//! | a block `sh` | runs it as a script, which must succeed |
//! | `console` or `sh`, and `not run: REASON` behind it | counts it |
//! | a block with `file=NAME` behind its language | writes the file |
//! | a comment `page: needs PROGRAM` | leaves the page out where the program is not installed |
//! | a comment `page: server OPTIONS` | starts the page's server with these options in place of `--dev` |
//! | a comment `page: no server` | starts none, because the page itself says how |
//! | a comment `page: first COMMAND` | runs the command, for what the page takes for granted |

use rstmdb_jepsen::consoles::{self, ConsoleStep};

/// A page, in parts.
#[derive(Debug, Default)]
pub struct Page {
    /// Programs without which it cannot be run.
    pub needs: Vec<String>,
    /// The options of its server, if it wants one.
    pub server: Option<String>,
    /// In the order of the page.
    pub parts: Vec<Part>,
    /// The reasons of the blocks that are not run.
    pub not_run: Vec<String>,
}

/// Something to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Part {
    /// Write a file.
    File { name: String, text: String },
    /// Run a script that must succeed.
    Script { line: usize, text: String },
    /// Run a command and compare what it prints.
    Step(ConsoleStep),
}

/// A fenced block.
struct Block<'a> {
    /// Of its first fence, counted from 1.
    line: usize,
    info: &'a str,
    /// Without the indentation of the fence.
    lines: Vec<&'a str>,
}

impl Page {
    /// Reads a page; a block that is neither run nor marked as not run is a fault.
    pub fn parse(text: &str) -> Result<Page, String> {
        let mut page = Page {
            server: Some("--dev".to_owned()),
            ..Page::default()
        };
        let mut block: Option<Block<'_>> = None;
        for (at, line) in text.lines().enumerate() {
            let is_fence = line.trim_start().starts_with("```");
            match &mut block {
                None if is_fence => {
                    block = Some(Block {
                        line: at + 1,
                        info: line.trim().trim_start_matches('`').trim(),
                        lines: Vec::new(),
                    });
                }
                None => page.directive(line, at + 1)?,
                Some(open) if is_fence => {
                    let indent = line.len() - line.trim_start().len();
                    let cut = |line: &&str| line.get(indent..).unwrap_or_default().to_owned();
                    let lines: Vec<String> = open.lines.iter().map(cut).collect();
                    page.block(open.line, open.info, &lines)
                        .map_err(|fault| format!("{}: {fault}", open.line))?;
                    block = None;
                }
                Some(open) => open.lines.push(line),
            }
        }
        Ok(page)
    }

    /// Whether there is anything to run.
    pub fn is_run(&self) -> bool {
        self.parts
            .iter()
            .any(|part| !matches!(part, Part::File { .. }))
    }

    fn directive(&mut self, line: &str, at: usize) -> Result<(), String> {
        let Some(said) = line.trim().strip_prefix("<!-- page: ") else {
            return Ok(());
        };
        let said = said.strip_suffix("-->").unwrap_or(said).trim();
        let (word, rest) = said.split_once(' ').unwrap_or((said, ""));
        match (word, rest) {
            ("needs", program) => self.needs.push(program.to_owned()),
            ("server", options) => self.server = Some(options.to_owned()),
            ("no", "server") => self.server = None,
            ("first", command) => self.parts.push(Part::Script {
                line: at,
                text: command.to_owned(),
            }),
            _ => return Err(format!("{at}: a page cannot say {said:?}")),
        }
        Ok(())
    }

    fn block(&mut self, line: usize, info: &str, lines: &[String]) -> Result<(), String> {
        let (language, rest) = info.split_once(' ').unwrap_or((info, ""));
        let text = lines.iter().map(|line| format!("{line}\n")).collect();
        match (language, rest) {
            ("console" | "sh", "") => {}
            ("console" | "sh", rest) if rest.starts_with("not run: ") => {
                self.not_run
                    .push(rest.trim_start_matches("not run: ").to_owned());
                return Ok(());
            }
            (_, rest) if rest.starts_with("file=") => {
                let name = rest.trim_start_matches("file=").to_owned();
                self.parts.push(Part::File { name, text });
                return Ok(());
            }
            (_, "") if lines.iter().any(|line| line.starts_with("$ ")) => {
                return Err("a block with commands is `console`".to_owned());
            }
            (_, "") => return Ok(()),
            _ => return Err(format!("a block cannot be {info:?}")),
        }
        if language == "sh" {
            self.parts.push(Part::Script { line, text });
            return Ok(());
        }
        let steps = consoles::steps_of(lines.iter().map(String::as_str), line + 1);
        if steps.is_empty() {
            return Err("a console block without a command".to_owned());
        }
        self.parts.extend(steps.into_iter().map(Part::Step));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "<!-- page: needs python3 -->\n<!-- page: first a b -->\n1. text\n\n   ```sh\n   one\n     two\n   ```\n\
        ```yaml file=m.yaml\na: 1\n```\n```json\n{}\n```\n```sh not run: needs Docker\nx\n```\n```console\n$ three\nsaid\n```\n";

    #[test]
    fn a_page_is_read_in_its_order() {
        let page = Page::parse(TEXT).unwrap();
        assert_eq!(page.needs, ["python3"]);
        assert_eq!(page.not_run, ["needs Docker"]);
        assert_eq!(page.server.as_deref(), Some("--dev"));
        let step = ConsoleStep {
            line: 19,
            command: "three".to_owned(),
            output: vec!["said".to_owned()],
        };
        let script = |line, text: &str| Part::Script {
            line,
            text: text.to_owned(),
        };
        let file = Part::File {
            name: "m.yaml".to_owned(),
            text: "a: 1\n".to_owned(),
        };
        let parts = [
            script(2, "a b"),
            script(5, "one\n  two\n"),
            file,
            Part::Step(step),
        ];
        assert_eq!(page.parts, parts);
    }

    #[test]
    fn what_would_be_left_out_in_silence_is_a_fault() {
        for text in [
            "```\n$ a\n```\n",
            "```text\n$ a\n```\n",
            "```sh nope\na\n```\n",
            "```console\na\n```\n",
            "<!-- page: nothing -->\n",
        ] {
            assert!(Page::parse(text).is_err(), "{text}");
        }
        assert!(Page::parse("```json\n{}\n```\n").is_ok_and(|page| !page.is_run()));
    }
}
