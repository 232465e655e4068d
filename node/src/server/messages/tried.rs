//! What guards have read, in ALLOWED_EVENTS and in the details of `GUARD_FAILED`. Numbers have the digits that they have in
//! the context.

use bytes::{BufMut, BytesMut};
use rstmdb_engine::guard::Tried;
use rstmdb_rcp::json::Json;

use super::json::{self, ObjectWriter};

/// One guard. Of a value that is longer than is shown, `values` has the beginning as a string that ends in `…`, and `cut`
/// names its path.
pub(super) fn write(out: &mut BytesMut, tried: &Tried) {
    let mut object = ObjectWriter::begin(out);
    object.str("text", &tried.text).flag("holds", tried.holds);
    let values = object.key("values");
    values.put_u8(b'{');
    for (at, read) in tried.values.iter().enumerate() {
        if at > 0 {
            values.put_u8(b',');
        }
        json::string(values, &read.path);
        values.put_u8(b':');
        match read.beginning() {
            Some(beginning) => json::string(values, &beginning),
            None => values.put_slice(read.value.as_bytes()),
        }
    }
    values.put_u8(b'}');
    let cut = tried.values.iter().filter(|read| read.cut);
    let cut: Vec<&str> = cut.map(|read| &*read.path).collect();
    if !cut.is_empty() {
        object.value("cut", &cut);
    }
    if let Some(error) = &tried.error {
        object.str("error", error);
    }
    object.end();
}

/// The list of these.
pub(super) fn list(all: &[Tried]) -> Option<Json> {
    let mut out = BytesMut::new();
    json::array(&mut out, all, usize::MAX, write);
    // It is JSON, and each value is shorter than what is nested too deep.
    Json::parse(std::str::from_utf8(&out).ok()?).ok()
}
