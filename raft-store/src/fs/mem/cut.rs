//! What a power cut leaves of unsynced changes. There are many outcomes: a seed draws one, or a test goes
//! through all.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::disk::{DataChange, DiskNames, Inode, MemDisk, write};

/// The unit in which a real disk tears a write.
const SECTOR_BYTES: usize = 512;
/// Up to this many sectors of one write, every combination of them is an outcome of its own.
const SECTORS_COMBINED_MAX: usize = 6;

/// A small seeded generator (splitmix64): the same seed gives the same faults, everywhere.
#[derive(Clone, Debug)]
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which must not be 0.
    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// What a power cut does to one unsynced change of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
enum ChangeFate {
    Lost,
    Kept,
    /// Of a write, these of the sectors that it touches.
    Sectors(Vec<bool>),
    /// Of a write, the bytes before this one.
    Before(usize),
    /// Of a write, the bytes from here on.
    From(usize),
}

impl ChangeFate {
    fn apply(&self, change: &DataChange, content: &mut Vec<u8>) {
        match (change, self) {
            (_, ChangeFate::Lost) => {}
            (DataChange::SetLen(len), _) => content.resize(*len, 0),
            (DataChange::Write { at, data }, ChangeFate::Kept) => write(content, *at, data),
            (DataChange::Write { at, data }, ChangeFate::Before(end)) => {
                write(content, *at, &data[..*end])
            }
            (DataChange::Write { at, data }, ChangeFate::From(start)) => {
                write(content, at + start, &data[*start..]);
            }
            (DataChange::Write { at, data }, ChangeFate::Sectors(kept)) => {
                for ((start, end), kept) in sectors(*at, data.len()).zip(kept) {
                    if *kept {
                        write(content, at + start, &data[start..end]);
                    }
                }
            }
        }
    }

    fn draw(change: &DataChange, random: &mut Random) -> Self {
        match (change, random.below(4)) {
            (_, 0) => ChangeFate::Lost,
            (DataChange::Write { at, data }, 1) => {
                let sectors = sectors(*at, data.len());
                ChangeFate::Sectors(sectors.map(|_| random.below(2) == 0).collect())
            }
            (DataChange::Write { data, .. }, 2) => match random.below(2) {
                0 => ChangeFate::Before(random.below(data.len() + 1)),
                _ => ChangeFate::From(random.below(data.len() + 1)),
            },
            _ => ChangeFate::Kept,
        }
    }

    /// Every possible fate of `change`: lost, kept, then torn in every way that makes a difference.
    fn all(inode: &Inode, change: &DataChange) -> Vec<Self> {
        let mut fates = vec![ChangeFate::Lost, ChangeFate::Kept];
        let DataChange::Write { at, data } = change else {
            return fates;
        };
        // Two tears have the same result if the disk already holds the bytes between them.
        let shows = |n: &usize| inode.durable.get(at + n) != Some(&data[*n]);
        let inner = 0..data.len().saturating_sub(1);
        fates.extend(inner.filter(shows).map(|n| ChangeFate::Before(n + 1)));
        fates.extend((1..data.len()).filter(shows).map(ChangeFate::From));
        let count = sectors(*at, data.len()).count();
        if (3..=SECTORS_COMBINED_MAX).contains(&count) {
            let masks = 1..(1_u32 << count) - 1;
            let kept = |mask| (0..count).map(|n| mask >> n & 1 == 1).collect();
            fates.extend(masks.map(|mask| ChangeFate::Sectors(kept(mask))));
        } else if count > SECTORS_COMBINED_MAX {
            for chosen in 0..count {
                for keep in [true, false] {
                    let kept = (0..count).map(|n| (n == chosen) == keep);
                    fates.push(ChangeFate::Sectors(kept.collect()));
                }
            }
        }
        fates
    }
}

impl fmt::Display for ChangeFate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChangeFate::Lost => f.write_str("lost"),
            ChangeFate::Kept => f.write_str("kept"),
            ChangeFate::Before(end) => write!(f, "only the bytes before {end} kept"),
            ChangeFate::From(start) => write!(f, "only the bytes from {start} on kept"),
            ChangeFate::Sectors(kept) => write!(f, "of its sectors kept: {kept:?}"),
        }
    }
}

/// The parts of a write that fall into one sector each, as ranges of its data.
fn sectors(at: usize, len: usize) -> impl Iterator<Item = (usize, usize)> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let room = SECTOR_BYTES - (at + start) % SECTOR_BYTES;
        let end = (start + room).min(len);
        let part = (start < len).then_some((start, end));
        start = end;
        part
    })
}

/// One outcome of a power cut, for the disk that it was made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// How many changes of names survive, by folder.
    names: Vec<usize>,
    /// What becomes of each change of a file whose name survives.
    fates: Vec<ChangeFate>,
}

impl Cut {
    /// One outcome, drawn by the seed.
    pub(super) fn draw(disk: &MemDisk, random: &mut Random) -> Self {
        let unsynced = disk.unsynced_names();
        let names: Vec<_> = unsynced
            .values()
            .map(|changes| random.below(changes.len() + 1))
            .collect();
        let survivors = disk.surviving_names(&names);
        let fates = unsynced_data(disk, &survivors);
        let fates = fates
            .iter()
            .map(|(_, change)| ChangeFate::draw(change, random));
        Cut {
            fates: fates.collect(),
            names,
        }
    }

    /// Every outcome, if those of the files are at most `exhaustive_max` for each outcome of the names. If they are more:
    /// all changes lost, all kept, each outcome of one change with all others lost and with all others kept (at most
    /// `exhaustive_max` of the torn ones), and as many again drawn by `seed`.
    pub(super) fn all(disk: &MemDisk, exhaustive_max: usize, seed: u64) -> Vec<Self> {
        let mut random = Random(seed);
        let unsynced = disk.unsynced_names();
        let lengths: Vec<_> = unsynced.values().map(|changes| changes.len() + 1).collect();
        let mut cuts = Vec::new();
        for names in combinations(&lengths) {
            let survivors = disk.surviving_names(&names);
            let fates: Vec<_> = unsynced_data(disk, &survivors)
                .iter()
                .map(|(inode, change)| ChangeFate::all(inode, change))
                .collect();
            let combined = combine(&fates, exhaustive_max, &mut random);
            cuts.extend(combined.into_iter().map(|fates| Cut {
                names: names.clone(),
                fates,
            }));
        }
        cuts
    }

    /// What is on the disk when the power is back.
    pub(super) fn apply(&self, disk: &MemDisk) -> MemDisk {
        let names = disk.surviving_names(&self.names);
        let mut contents = BTreeMap::new();
        let mut fates = self.fates.iter();
        for (number, inode) in named(disk, &names) {
            let mut content = inode.durable.clone();
            for (change, fate) in inode.unsynced.iter().zip(&mut fates) {
                fate.apply(change, &mut content);
            }
            contents.insert(number, content);
        }
        disk.with(names, contents)
    }

    /// The outcome in words, for the person who must find out why the store does not survive it.
    pub(super) fn describe(&self, disk: &MemDisk) -> String {
        let mut text = String::new();
        for ((folder, changes), kept) in disk.unsynced_names().iter().zip(&self.names) {
            let (count, folder) = (changes.len(), folder.display());
            text += &format!(
                "of {count} changes in {folder} kept: {:?}\n",
                &changes[..*kept]
            );
        }
        let names = disk.surviving_names(&self.names);
        let data = unsynced_data(disk, &names);
        for ((_, change), fate) in data.iter().zip(&self.fates) {
            text += &match change {
                DataChange::SetLen(len) => format!("length {len}: {fate}\n"),
                DataChange::Write { at, data } => {
                    format!("{} bytes at {at}: {fate}\n", data.len())
                }
            };
        }
        text
    }
}

/// The files that have a name, by number.
fn named<'a>(disk: &'a MemDisk, names: &DiskNames) -> BTreeMap<u64, &'a Inode> {
    let numbers: BTreeSet<_> = names.files.values().copied().collect();
    let found = numbers
        .into_iter()
        .filter_map(|number| Some((number, disk.inode(number).ok()?)));
    found.collect()
}

fn unsynced_data<'a>(disk: &'a MemDisk, names: &DiskNames) -> Vec<(&'a Inode, &'a DataChange)> {
    let changes_of = |inode: &'a Inode| inode.unsynced.iter().map(move |change| (inode, change));
    named(disk, names)
        .into_values()
        .flat_map(changes_of)
        .collect()
}

/// Every choice of one number below each of `bounds`.
fn combinations(bounds: &[usize]) -> Vec<Vec<usize>> {
    let mut found = vec![Vec::new()];
    for bound in bounds {
        let longer = found.iter().flat_map(|chosen: &Vec<usize>| {
            (0..*bound).map(move |next| [chosen.as_slice(), &[next]].concat())
        });
        found = longer.collect();
    }
    found
}

fn combine(
    fates: &[Vec<ChangeFate>],
    exhaustive_max: usize,
    random: &mut Random,
) -> Vec<Vec<ChangeFate>> {
    let product = fates
        .iter()
        .try_fold(1_usize, |product, fates| product.checked_mul(fates.len()));
    let choose = |chosen: Vec<usize>| -> Vec<ChangeFate> {
        let choices = fates.iter().zip(chosen);
        choices.map(|(fates, n)| fates[n].clone()).collect()
    };
    if product.is_some_and(|product| product <= exhaustive_max) {
        let lengths: Vec<_> = fates.iter().map(Vec::len).collect();
        return combinations(&lengths).into_iter().map(choose).collect();
    }
    // The first two of each are lost and kept.
    let mut chosen = vec![vec![0; fates.len()], vec![1; fates.len()]];
    let mut torn = Vec::new();
    for (changed, fates) in fates.iter().enumerate() {
        for fate in 0..fates.len() {
            for others in [0, 1] {
                let mut one = chosen[others].clone();
                one[changed] = fate;
                let into = if fate < 2 { &mut chosen } else { &mut torn };
                into.push(one);
            }
        }
    }
    while torn.len() > exhaustive_max {
        torn.swap_remove(random.below(torn.len()));
    }
    chosen.extend(torn);
    for _ in 0..chosen.len() {
        let any = fates.iter().map(|fates| random.below(fates.len()));
        chosen.push(any.collect());
    }
    chosen.into_iter().map(choose).collect()
}

#[cfg(test)]
#[path = "cut_tests.rs"]
mod tests;
