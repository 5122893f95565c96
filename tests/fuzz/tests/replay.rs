//! The corpus of each target, without libFuzzer.

use std::{fs, path::Path};

#[test]
fn the_corpus_holds() {
    for (name, check) in weir_fuzz::TARGETS {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("corpus")
            .join(name);
        let entries = fs::read_dir(&dir).expect("a corpus");
        let mut n_files = 0;
        for entry in entries {
            let file = entry.expect("an entry").path();
            println!("{}", file.display());
            check(&fs::read(&file).expect("a file"));
            n_files += 1;
        }
        assert!(n_files > 0, "{}", dir.display());
    }
}

#[test]
fn every_length_of_every_file_holds() {
    for (name, check) in weir_fuzz::TARGETS {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("corpus")
            .join(name);
        for entry in fs::read_dir(&dir).expect("a corpus") {
            let octets = fs::read(entry.expect("an entry").path()).expect("a file");
            for len in 0..octets.len().min(600) {
                check(&octets[..len]);
            }
        }
    }
}
