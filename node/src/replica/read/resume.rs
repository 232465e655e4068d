//! Whether a watch may begin at an offset that a client brings.

use super::linearizable::Reads;
use crate::replica::error::Error;
use crate::replica::parts::applied::Applied;
use crate::replica::parts::consistency::Consistency;
use crate::replica::types::Types;

/// Whether a watch may begin at the offset `from` of the cluster `cluster_id`; `ours` is this cluster.
///
/// A client comes with the offset behind the last one it has seen. This node may not have applied that offset yet. It
/// asks the leader before it calls the offset wrong.
pub(crate) async fn check_resume<T: Types>(
    reads: &Reads<T>,
    applied: &Applied,
    ours: &str,
    from: Option<u64>,
    cluster_id: Option<&str>,
) -> Result<(), Error> {
    if let Some(named) = cluster_id.filter(|named| *named != ours) {
        return Err(Error::OtherCluster {
            named: named.to_owned(),
            head: applied.offset(),
            cluster_id: ours.to_owned(),
        });
    }
    let Some(from) = from.filter(|from| *from > applied.offset() + 1) else {
        return Ok(());
    };
    reads.barrier(Consistency::Linearizable, None).await?;
    let head = applied.offset();
    if from > head + 1 {
        return Err(Error::OffsetAhead {
            wanted: from,
            head,
            cluster_id: ours.to_owned(),
        });
    }
    Ok(())
}
