//! Replies about machines.

use rstmdb_engine::Reply;
use rstmdb_engine::definition::Warning;
use rstmdb_engine::reply::MachineSummary;

use super::write_offset;
use crate::replica::{MarkedPart, ReplyMark};
use crate::server::messages::json::{self, ObjectWriter};

pub(super) fn write_stored(
    object: &mut ObjectWriter<'_>,
    reply: &Reply,
    marks: &mut Vec<ReplyMark>,
) {
    let Reply::PutMachine {
        machine,
        version,
        checksum,
        created,
        warnings,
    } = reply
    else {
        return;
    };
    object
        .str("machine", machine)
        .int("version", u64::from(*version))
        .str("stored_checksum", checksum)
        .flag("created", *created);
    write_warnings(object, warnings, marks);
}

/// The field is there only where there are any, and only for clients that have offered `cluster`.
fn write_warnings(object: &mut ObjectWriter<'_>, warnings: &[Warning], marks: &mut Vec<ReplyMark>) {
    if warnings.is_empty() {
        return;
    }
    let at = object.written();
    write_warning_list(object, warnings);
    marks.push(ReplyMark {
        at,
        bytes: object.written() - at,
        part: MarkedPart::Extension { shown: true },
    });
}

fn write_warning_list(object: &mut ObjectWriter<'_>, warnings: &[Warning]) {
    let out = object.key("warnings");
    json::array(out, warnings, usize::MAX, |out, warning| {
        let mut object = ObjectWriter::begin(out);
        object
            .str("place", &warning.place)
            .str("text", &warning.text);
        object.end();
    });
}

/// Format 1 is not named, as it was before there was another format.
fn write_format(object: &mut ObjectWriter<'_>, format: u32) {
    if format > 1 {
        object.int("format", u64::from(format));
    }
}

pub(crate) fn write_machine(object: &mut ObjectWriter<'_>, reply: &Reply) {
    let Reply::Machine {
        machine: _,
        version,
        definition,
        checksum,
        format,
        warnings,
    } = reply
    else {
        return;
    };
    object
        .raw("definition", definition)
        .str("checksum", checksum)
        .int("version", u64::from(*version));
    write_format(object, *format);
    if !warnings.is_empty() {
        write_warning_list(object, warnings);
    }
}

pub(super) fn write_machines(object: &mut ObjectWriter<'_>, items: &[MachineSummary]) {
    json::array(object.key("items"), items, usize::MAX, |out, item| {
        let mut object = ObjectWriter::begin(out);
        object
            .str("machine", &item.machine)
            .value("versions", &item.versions);
        write_format(&mut object, item.format);
        if item.warning_count > 0 {
            object.int("warning_count", item.warning_count as u64);
        }
        object.end();
    });
}

pub(super) fn write_deleted(object: &mut ObjectWriter<'_>, reply: &Reply) {
    let Reply::MachineDeleted {
        machine,
        versions,
        wal_offset,
    } = reply
    else {
        return;
    };
    object
        .str("machine", machine)
        .flag("deleted", true)
        .value("versions", versions);
    write_offset(object, "wal_offset", *wal_offset);
}
