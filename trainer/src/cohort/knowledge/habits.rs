//! Allergies, families, how injuries happen, what grows in cultures, and who patients are.

/// An allergy and the code of its history, if there is one.
#[derive(Debug)]
pub(in crate::cohort) struct Allergy {
    /// As pharmacies list it.
    pub(in crate::cohort) listed: &'static str,
    /// `V14.x`, or empty.
    pub(in crate::cohort) code: &'static str,
    /// Relative frequency.
    pub(in crate::cohort) weight: f64,
}

const fn allergy(listed: &'static str, code: &'static str, weight: f64) -> Allergy {
    Allergy { listed, code, weight }
}

/// Allergies.
pub(in crate::cohort) static ALLERGIES: &[Allergy] = &[
    allergy("{Penicillins|penicillin|PCN{ (rash)| (hives)|}}", "V140", 10.0),
    allergy("{Sulfa (Sulfonamide Antibiotics)|Sulfonamides|sulfa drugs}", "V142", 7.0),
    allergy("{Codeine|Morphine|Percocet|oxycodone}", "V145", 5.0),
    allergy("{Iodine; Iodine Containing|IV contrast dye|Iodinated Contrast Media - IV Dye}", "V1508", 2.0),
    allergy("{Latex|latex gloves}", "V1507", 1.0),
    allergy("{Aspirin|NSAIDS|ibuprofen}", "V146", 1.5),
    allergy("{Lisinopril|Ace Inhibitors|ACE inhibitors (cough)}", "V148", 2.5),
    allergy("{Erythromycin Base|Levofloxacin|cipro|Vancomycin (red man)}", "V141", 3.0),
    allergy("{Shellfish|shellfish derived|peanuts}", "V1504", 1.2),
    allergy("{Heparin Agents|heparin (HIT)}", "V148", 0.5),
    allergy("{Statins-Hmg-Coa Reductase Inhibitors|atorvastatin (myalgias)}", "V148", 1.0),
    allergy("{Bactrim|Keflex|Tetracycline|clindamycin}", "V141", 2.5),
];

/// What runs in families.
pub(in crate::cohort) static FAMILY: &[&str] = &[
    "{Father|Brother} {with|had} {CAD, MI at <42-79>|MI in his <4-7>0s}",
    "{Mother|Sister} {with|had} {breast CA|breast cancer at age <38-75>}",
    "{Mother|Father} died of {lung cancer|colon CA|a stroke|an MI} at {age |}<48-92>",
    "{Non-contributory|Noncontributory|NC|non contributory}",
    "{DM in mother and <1-4> siblings|Strong FH of diabetes|Family hx of DM2 and HTN}",
    "No {family history of|FH} {early CAD|premature coronary disease, sudden cardiac death or arrhythmia}",
    "{Mother|Grandmother} w/ {HTN and CVA|Alzheimer's}",
    "{Unknown, patient adopted|Unable to obtain}",
    "{Father w/ EtOH abuse and cirrhosis|Brother with alcoholism}",
    "{No known history of bleeding or clotting disorders|no h/o malignancy}",
    "{Siblings alive and healthy|<2-5> children, all healthy|Parents both lived into their <7-9>0s}",
    "{Polycystic kidney disease in sister|Uncle on dialysis|Aunt with lupus}",
];

/// How someone came to be injured.
#[derive(Debug)]
pub(in crate::cohort) struct Mechanism {
    /// Clause that names it.
    pub(in crate::cohort) told: &'static str,
    /// E codes, one of which is drawn.
    pub(in crate::cohort) codes: &'static [&'static str],
    /// Ages at which it is common: centre and width.
    pub(in crate::cohort) age: (f64, f64),
    /// Relative frequency.
    pub(in crate::cohort) weight: f64,
    /// Whether it breaks the skin: bullets and blades.
    pub(in crate::cohort) penetrating: bool,
}

/// How injuries happen.
pub(in crate::cohort) static MECHANISMS: &[Mechanism] = &[
    Mechanism {
        told: "{mechanical fall from standing|trip and fall at home|fall getting out of bed|slipping on ice}",
        codes: &["E8859", "E8889", "E8880", "E8844", "E8846"],
        age: (80.0, 14.0),
        weight: 6.0,
        penetrating: false,
    },
    Mechanism {
        told: "{fall down <4-15> stairs|falling down a flight of stairs}",
        codes: &["E8809"],
        age: (66.0, 22.0),
        weight: 3.0,
        penetrating: false,
    },
    Mechanism {
        told: "{<8-25> foot fall from a ladder|fall from roof|falling off scaffolding}",
        codes: &["E8810", "E882", "E8811", "E8849"],
        age: (46.0, 18.0),
        weight: 1.8,
        penetrating: false,
    },
    Mechanism {
        told: "{high speed MVC|motor vehicle crash, {restrained|unrestrained} driver|rollover MVA, + airbags|MVC vs tree, prolonged extrication}",
        codes: &["E8120", "E8121", "E8150", "E8160", "E8161"],
        age: (36.0, 22.0),
        weight: 4.5,
        penetrating: false,
    },
    Mechanism {
        told: "{motorcycle crash, helmeted|motorcycle accident, unhelmeted|being thrown from motorcycle}",
        codes: &["E8122", "E8162", "E8152"],
        age: (36.0, 14.0),
        weight: 1.2,
        penetrating: false,
    },
    Mechanism {
        told: "{being struck by car|pedestrian vs auto at <20-45> mph|ped struck}",
        codes: &["E8147"],
        age: (48.0, 24.0),
        weight: 1.5,
        penetrating: false,
    },
    Mechanism {
        told: "{bicycle accident|bike vs car}",
        codes: &["E8261", "E8136"],
        age: (38.0, 16.0),
        weight: 0.7,
        penetrating: false,
    },
    Mechanism {
        told: "{assault with blunt object|being assaulted outside a bar|being punched and kicked}",
        codes: &["E9600", "E9682", "E9689"],
        age: (32.0, 14.0),
        weight: 0.9,
        penetrating: false,
    },
    Mechanism {
        told: "{gunshot wound|GSW x<1-5>|multiple GSWs}",
        codes: &["E9650", "E9654", "E9550"],
        age: (27.0, 10.0),
        weight: 1.0,
        penetrating: true,
    },
    Mechanism {
        told: "{stab wound|being stabbed x<1-4> with a kitchen knife|SW}",
        codes: &["E966", "E956"],
        age: (31.0, 12.0),
        weight: 0.9,
        penetrating: true,
    },
];

/// What grows in cultures.
#[derive(Debug)]
pub(in crate::cohort) struct Organism {
    /// Name, as microbiology and clinicians have it.
    pub(in crate::cohort) name: &'static str,
    /// Code of the organism in diseases classified elsewhere.
    pub(in crate::cohort) code: &'static str,
    /// Code of a septicaemia with it.
    pub(in crate::cohort) septicaemia: &'static str,
    /// Relative frequency.
    pub(in crate::cohort) weight: f64,
}

/// Organisms.
pub(in crate::cohort) static ORGANISMS: &[Organism] = &[
    Organism { name: "{E. coli|E coli|pan-sensitive E. coli|ESCHERICHIA COLI}", code: "04149", septicaemia: "03842", weight: 5.0 },
    Organism { name: "{MRSA|coag positive staph (MRSA)}", code: "04112", septicaemia: "03812", weight: 3.0 },
    Organism { name: "{MSSA|STAPH AUREUS COAG +}", code: "04111", septicaemia: "03811", weight: 3.0 },
    Organism { name: "{Klebsiella|KLEBSIELLA PNEUMONIAE}", code: "0413", septicaemia: "03849", weight: 2.5 },
    Organism { name: "{Pseudomonas|PSEUDOMONAS AERUGINOSA}", code: "0417", septicaemia: "03843", weight: 2.0 },
    Organism { name: "{Enterococcus|VRE|enterococcus sensitive to amp}", code: "04104", septicaemia: "0388", weight: 2.0 },
    Organism { name: "{strep viridans|VIRIDANS STREPTOCOCCI|group B strep}", code: "04109", septicaemia: "0380", weight: 1.5 },
    Organism { name: "{pneumococcus|STREPTOCOCCUS PNEUMONIAE}", code: "0412", septicaemia: "0382", weight: 1.2 },
    Organism { name: "{coag negative staph|CNS}", code: "04119", septicaemia: "03819", weight: 1.5 },
    Organism { name: "{Bacteroides fragilis|mixed anaerobes}", code: "04182", septicaemia: "0383", weight: 0.7 },
    Organism { name: "{Proteus mirabilis|proteus}", code: "0416", septicaemia: "03849", weight: 1.2 },
    Organism { name: "{yeast|Candida albicans|budding yeast}", code: "1129", septicaemia: "1125", weight: 0.7 },
    Organism { name: "{Serratia|Enterobacter cloacae}", code: "04185", septicaemia: "03844", weight: 0.8 },
];
