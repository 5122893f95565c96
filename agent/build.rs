//! Embeds the kernel programs that `cargo xtask build` has compiled.

use std::{env, fs, path::PathBuf};

fn main() {
    println!("cargo::rerun-if-env-changed=WEIR_BPF_OBJECT");
    let default = PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../target/bpf/weir-ebpf.o"
    ));
    let object = env::var_os("WEIR_BPF_OBJECT").map_or(default, PathBuf::from);
    println!("cargo::rerun-if-changed={}", object.display());
    let destination =
        PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("weir-ebpf.o");
    if let Err(error) = fs::copy(&object, &destination) {
        println!(
            "cargo::error=no kernel programs at {}: {error}; run `cargo xtask build`",
            object.display()
        );
    }
}
