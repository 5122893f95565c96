//! The `weir` program: everything is in the library.

use std::process::ExitCode;

#[expect(clippy::print_stdout, reason = "until the command line exists")]
fn main() -> ExitCode {
    match weir::selftest::run(&mut |line| println!("{line}")) {
        Ok(tally) if tally.failed == 0 => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(1),
        Err(_) => ExitCode::from(2),
    }
}
