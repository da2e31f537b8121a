//! The decoder against tshark over every shared capture.

use framewalk_testkit::truth;

/// Fields that must agree.
const AGREEMENT_MIN: f64 = 0.998;

#[test]
fn fields_agree_with_tshark() {
    let Some(shared) = truth::shared() else {
        println!("skipped: no shared captures beside the workspace");
        return;
    };
    let report =
        truth::compare_directory(&shared.join("pcaps"), &shared.join("truth/packets")).unwrap();
    println!("{}", report.text());
    for (count, example) in report.classes() {
        println!(
            "{count:>6} {} {} (frame {}): tshark {:?}, ours {:?} in {}",
            example.file,
            example.field,
            example.frame,
            example.theirs,
            example.ours,
            example.protocols
        );
    }
    assert!(report.frames > 40_000, "the captures were read: {} frames", report.frames);
    assert!(
        report.agreement() >= AGREEMENT_MIN,
        "{:.4} of the fields agree, {AGREEMENT_MIN} must",
        report.agreement()
    );
}
