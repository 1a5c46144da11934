//! The tables of medical knowledge agree with each other and with the codes.

use std::collections::BTreeSet;

use super::super::phrasing::check;
use super::super::voice::SLOTS;
use super::*;

#[test]
fn every_template_is_well_formed() {
    let mut wrong = Vec::new();
    let mut look = |owner: &str, template: &str| {
        if let Err(message) = check(template, SLOTS) {
            wrong.push(format!("{owner}: {message}"));
        }
        if template.contains("  ") {
            wrong.push(format!("{owner}: two blanks in: {template}"));
        }
    };
    for problem in problems() {
        for template in [
            problem.title, problem.complaint, problem.denies, problem.operation, problem.studies, problem.treated,
            problem.course,
        ] {
            look(problem.key, template);
        }
        for template in problem.presents.iter().chain(&problem.exam) {
            look(problem.key, template);
        }
    }
    for chronic in CHRONIC {
        for template in [chronic.listed, chronic.brief, chronic.managed] {
            look(chronic.key, template);
        }
    }
    for complication in COMPLICATIONS {
        look(complication.key, complication.title);
        look(complication.key, complication.told);
    }
    for study in STUDIES {
        for template in study.normal.iter().chain(&study.abnormal).chain([&study.technique, &study.question]) {
            look(study.name, template);
        }
    }
    MINOR.iter().for_each(|minor| look(minor.code, minor.listed));
    ALLERGIES.iter().for_each(|allergy| look(allergy.code, allergy.listed));
    FAMILY.iter().for_each(|line| look("family", line));
    MECHANISMS.iter().for_each(|mechanism| look("mechanism", mechanism.told));
    ORGANISMS.iter().for_each(|organism| look(organism.code, organism.name));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_code_has_a_title() {
    let diagnoses: BTreeSet<&str> = icd9::diagnoses().map(|row| row.code).collect();
    let procedures: BTreeSet<&str> = icd9::procedures().map(|row| row.code).collect();
    let named = |pairs: &'static [(&'static str, f64)]| pairs.iter().map(|(code, _)| *code);
    let mut used = BTreeSet::new();
    let mut done = BTreeSet::new();
    for problem in problems() {
        used.extend(problem.codes.iter().copied().chain(named(problem.also)));
        done.extend(named(problem.procedures));
    }
    for chronic in CHRONIC {
        used.extend(chronic.codes.iter().copied().chain(named(chronic.also)));
    }
    for complication in COMPLICATIONS {
        used.extend(complication.codes);
        done.extend(named(complication.procedures));
    }
    used.extend(MINOR.iter().map(|minor| minor.code));
    used.extend(ALLERGIES.iter().map(|allergy| allergy.code).filter(|code| !code.is_empty()));
    used.extend(MECHANISMS.iter().flat_map(|mechanism| mechanism.codes));
    used.extend(ORGANISMS.iter().flat_map(|organism| [organism.code, organism.septicaemia]));
    for (_, choices) in MINOR_PROCEDURES {
        done.extend(named(choices));
    }
    let missing: Vec<_> = used.difference(&diagnoses).chain(done.difference(&procedures)).collect();
    assert!(missing.is_empty(), "codes without a title: {missing:?}");
}

#[test]
fn tables_name_only_what_exists() {
    let chronic: BTreeSet<&str> = CHRONIC.iter().map(|chronic| chronic.key).collect();
    let keys: BTreeSet<&str> = problems().map(|problem| problem.key).collect();
    assert_eq!(keys.len(), problems().count(), "problems are unique");
    for problem in problems() {
        for (key, _) in problem.after {
            assert!(chronic.contains(key), "{} leans on {key}", problem.key);
        }
        assert!(!problem.codes.is_empty() && problem.stay_days > 0.0, "{}", problem.key);
        assert_eq!(problem.planned > 0.0, !problem.operation.is_empty(), "{}: appointment and operation", problem.key);
    }
    for study in STUDIES {
        for key in study.keys {
            assert!(keys.contains(key), "{} goes with {key}", study.name);
        }
    }
    for entry in CHRONIC {
        for (name, _) in entry.drugs {
            assert_eq!(drug(name).name, *name);
        }
    }
}

#[test]
fn there_is_enough_to_know() {
    let systems: BTreeSet<System> = problems().map(|problem| problem.system).collect();
    assert!(problems().count() >= 60 && systems.len() >= 15, "{} in {}", problems().count(), systems.len());
}
