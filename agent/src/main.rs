//! The `weir` program: everything is in the library.

fn main() {
    println!(
        "{:?}",
        weir::selftest::run(&mut |line| println!("{line}")).map_err(|e| weir::error_chain(&e))
    );
}
