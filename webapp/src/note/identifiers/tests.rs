//! Every kind on both sides: what is found, and what looks like it and is not.

use super::*;

fn found(text: &str) -> Vec<(IdentifierKind, &str)> {
    identifiers(text).into_iter().map(|one| (one.kind, &text[one.range])).collect()
}

#[test]
fn each_kind_is_found_where_it_stands() {
    use IdentifierKind as Kind;
    for (text, kind, part) in [
        ("seen by Dr. Smith today", Kind::Name, "Dr. Smith"),
        ("Mrs. Jane O'Brien-Smith fell", Kind::Name, "Mrs. Jane O'Brien-Smith"),
        ("Mr. J. Doe was", Kind::Name, "Mr. J. Doe"),
        ("Name: DOE, JANE\nSex: F", Kind::Name, "DOE, JANE"),
        ("Patient name: Jane Doe", Kind::Name, "Jane Doe"),
        ("Attending: Jane Q. Doe", Kind::Name, "Jane Q. Doe"),
        ("the patient Jane Doe reports", Kind::Name, "Jane Doe"),
        ("signed Jane Doe, MD", Kind::Name, "Jane Doe"),
        ("a man named Alfred", Kind::Name, "Alfred"),
        ("lives at 12 Old Mill Road in", Kind::Address, "12 Old Mill Road"),
        ("Boston, MA 02115", Kind::Address, "02115"),
        ("zip code 02115", Kind::Address, "02115"),
        ("on 3/14/2021 he", Kind::Date, "3/14/2021"),
        ("2021-03-14", Kind::Date, "2021-03-14"),
        ("14.03.2021", Kind::Date, "14.03.2021"),
        ("3/14/21", Kind::Date, "3/14/21"),
        ("stent in 03/2019", Kind::Date, "03/2019"),
        ("admitted on 3/14 with", Kind::Date, "3/14"),
        ("since March 3rd, 2021 he", Kind::Date, "March 3rd, 2021"),
        ("on 3 March", Kind::Date, "3 March"),
        ("in Sept 2020", Kind::Date, "Sept 2020"),
        ("a 93-year-old", Kind::Age, "93"),
        ("91F with", Kind::Age, "91"),
        ("call 617-555-0123", Kind::Phone, "617-555-0123"),
        ("(617) 555-0123", Kind::Phone, "(617) 555-0123"),
        ("617.555.0123", Kind::Phone, "617.555.0123"),
        ("fax: 555-0123", Kind::Phone, "555-0123"),
        ("1-800-555-0123", Kind::Phone, "1-800-555-0123"),
        ("jane.doe@example.org.", Kind::Email, "jane.doe@example.org"),
        ("SSN 123-45-6789", Kind::SocialSecurity, "123-45-6789"),
        ("MRN: 12345", Kind::Number, "12345"),
        ("Medical record number #123-45-67", Kind::Number, "123-45-67"),
        ("Unit No: 8812345", Kind::Number, "8812345"),
        ("Account no. AB12345", Kind::Number, "AB12345"),
        ("driver's license S1234567", Kind::Number, "S1234567"),
        ("pacemaker serial number 99887", Kind::Number, "99887"),
        ("ref 123456789", Kind::Number, "123456789"),
        ("see https://example.org/p?id=1.", Kind::Url, "https://example.org/p?id=1"),
        ("www.example.org", Kind::Url, "www.example.org"),
        ("from 192.168.10.4", Kind::Ip, "192.168.10.4"),
    ] {
        assert_eq!(found(text), [(kind, part)], "{text}");
    }
}

#[test]
fn clinical_numbers_and_placeholders_raise_no_alarm() {
    for text in [
        "BP 120/80, HR 72, RR 18, 98% RA, T 98.6",
        "vitals 98.1 88 129/69 23 100% on 2L NC",
        "aspirin 81 mg daily, metoprolol 12.5 mg BID, heparin 5000 units SC, 1000000 units penicillin",
        "strength 5/5 throughout, 2/6 systolic murmur, pain 10/10, 1/2 NS at 125",
        "ABG 7.35/45/80, Na 138 K 4.2 Cl 104 HCO3 22 BUN 18 Cr 1.1 glucose 130",
        "WBC 12.3, Plt 250,000, troponin 0.04 -> 0.12, INR 2.3, lactate 2.6, plt 1250000 cells",
        "Mr. [**Known lastname 12345**] saw Dr. [**Last Name (STitle) **] on [**2118-6-2**] at 617-[**Telephone/Fax (1) 1**]",
        "Name: ___ Unit No: ___ Admission Date: ___ Attending:___",
        "EF 50-55%, 3-4 times, 10-15 lbs, q4-6h, L4-5, 2-3-4 ribs, size 7.5 ETT",
        "68 year old man, aged 72, 45M, 89-year-old",
        "MS Contin 15 mg, Ms Contin, MR angiogram, MR. brain, Dr. was called, St. Jude MVR, ST elevations in V2-V4",
        "in 2009, since 1998, for 10 years, 40 pack-years, quit 1985",
        "Patient Denies chest pain. Patient Reports nausea. Patient: Alert",
        "May take 2 tablets. may 5 be. Take May 2 tablets",
        "Child-Pugh B, Parkinson's, Crohn's, Hodgkin Lymphoma, 3 mm ST depressions, Gram stain, Foley 16F",
        "T 98F, Temp 101F, tmax 102 F",
        "at 10:30 on 2L, on 5/5 strength, sats 88/90",
    ] {
        assert_eq!(found(text), [], "{text}");
    }
}

#[test]
fn any_text_gives_ranges_within_it() {
    for text in [
        "",
        "@",
        "[**",
        "Dr.",
        "1/",
        "\u{1f600}@\u{e9}.fr Dr. \u{c9}mile\u{301}",
        "Mr\u{a0}X",
        "0/0/0",
        "MRN:",
        "1.1.1.1.1",
        "(617) 555-0123-",
        "Name:",
    ] {
        for one in identifiers(text) {
            assert!(text.get(one.range.clone()).is_some(), "{text:?} {one:?}");
        }
    }
    assert_eq!(found("Dr. \u{c9}mile Zola"), [(IdentifierKind::Name, "Dr. \u{c9}mile Zola")]);
}

#[test]
fn a_summary_counts_by_kind() {
    let counts = summary(&identifiers("3/14/2021, 3/15/2021, Dr. Smith"));
    assert_eq!(counts, [(IdentifierKind::Date, 2), (IdentifierKind::Name, 1)]);
}

#[test]
fn a_long_paste_takes_no_longer_than_it_is() {
    let start = std::time::Instant::now();
    for part in [
        "Dr. Smith ",
        "[** **] ",
        "patient time of death ",
        "Name: Doe\n",
        "68F her ",
        "1/",
        "a@b.",
        "(617) 555-0123 ",
        "Allergies: ",
    ] {
        let text = part.repeat(300_000 / part.len());
        let _ = identifiers(&text);
        let parts = super::super::sections::sections(&text);
        let _ = super::super::sections::leakage(&text, &parts);
        let _ = super::super::edit::change_sex(&text, super::super::edit::Sex::Male);
        let _ = super::super::fitness::flags(&text, None);
    }
    // A second on a busy machine; what grows with the square of the length takes minutes.
    assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
}
