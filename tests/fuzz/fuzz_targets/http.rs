#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| weir_fuzz::http::check(octets));
