//! The inputs that the fuzz targets begin with, and mutations of them by a seed.

#[path = "../../fuzz/src/lib.rs"]
#[allow(clippy::expect_used)]
mod targets;

use std::fs;
use std::path::Path;

#[test]
fn every_input_of_the_corpora_passes_its_fuzz_target_and_so_do_its_mutations() {
    replay("xstate", targets::xstate);
    replay("scxml", targets::scxml);
    replay("asl", targets::asl);
    replay("mermaid", targets::mermaid);
}

fn replay(target: &str, take: fn(&[u8])) {
    const MUTATIONS: u64 = 150;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let mut paths: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} is empty", folder.display());
    let inputs: Vec<Vec<u8>> = paths.iter().map(|path| fs::read(path).unwrap()).collect();
    for (path, input) in paths.iter().zip(&inputs) {
        println!("{}", path.display());
        take(input);
        for seed in 1..=MUTATIONS {
            take(&mutated(input, &inputs, seed));
        }
    }
}

/// Several times: removes a piece, doubles it, replaces it by a piece of any input, or changes a byte.
fn mutated(input: &[u8], inputs: &[Vec<u8>], seed: u64) -> Vec<u8> {
    let mut draw = Draw(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut bytes = input.to_vec();
    for _ in 0..=draw.below(3) {
        let from = draw.below(bytes.len());
        let to = from + draw.below(bytes.len().saturating_sub(from).min(60));
        let other = &inputs[draw.below(inputs.len() - 1)];
        let at = draw.below(other.len());
        let piece = &other[at..(at + draw.below(40)).min(other.len())];
        match draw.below(3) {
            0 => drop(bytes.drain(from..to)),
            1 => {
                let copy = bytes[from..to].to_vec();
                bytes.splice(from..from, copy);
            }
            2 => drop(bytes.splice(from..to, piece.iter().copied())),
            _ => {
                if let Some(byte) = bytes.get_mut(from) {
                    *byte = draw.below(255) as u8;
                }
            }
        }
    }
    bytes
}

struct Draw(u64);

impl Draw {
    /// At most `most`.
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % (most as u64 + 1)) as usize
    }
}
