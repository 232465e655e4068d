//! Lists of more than one page.

use rstmdb_rcp::json::Json;
use serde::Serialize;

use super::CliSession;
use crate::Error;
use crate::args::OutputForm;
use crate::render::{lists, view};

impl CliSession {
    /// Asks for page after page, as long as `next` can make of a page what the next request must say.
    ///
    /// A table has the items of all pages. For programs each page is printed when it has arrived, because all of them
    /// together may be longer than the memory is: as JSON each is the server's result, unchanged, on a line.
    pub async fn show_all<P: Serialize>(
        &self,
        op: &str,
        mut params: P,
        next: impl Fn(&mut P, &Json) -> bool,
    ) -> Result<(), Error> {
        let mut kept: Vec<Json> = Vec::new();
        loop {
            let answer = self.call(op, &params).await?;
            let page = Json::parse(answer.result.get()).map_err(Error::unexpected)?;
            match self.out.form() {
                OutputForm::Json | OutputForm::Yaml => self.out.json_item(answer.result.get())?,
                OutputForm::Jsonl => self.print_parsed(op, &page)?,
                OutputForm::Table | OutputForm::Wide => {
                    kept.extend_from_slice(lists::items(op, &page).unwrap_or_default());
                }
            }
            if next(&mut params, &page) {
                continue;
            }
            if self.out.for_programs() {
                return Ok(());
            }
            let whole = lists::with_items(op, page, kept);
            return self.draw(|paint| view::render(op, &whole, paint));
        }
    }
}
